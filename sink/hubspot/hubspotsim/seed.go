package hubspotsim

import (
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"time"
)

// Define adds property definitions to an object type, or replaces those of the
// same name. It works as an administrator would: nothing is refused.
func (p *Portal) Define(object string, properties ...Property) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[object]
	if o == nil {
		return fmt.Errorf("no object type %q", object)
	}
	now := p.now().UTC().Format(isoMillis)
	for _, prop := range properties {
		prop.CreatedAt, prop.UpdatedAt = now, now
		old := o.defs[prop.Name]
		if old == nil {
			o.add(prop)
			continue
		}
		// Records point at the definition: it changes in place.
		values := old.byValue
		if prop.GroupName == "" {
			prop.GroupName = o.Group
		}
		*old = *define(prop)
		if prop.HasUniqueValue && values != nil {
			old.byValue = values
		} else if prop.HasUniqueValue {
			for _, r := range o.order {
				if text := r.text(old); text != "" && r.archived == 0 {
					old.byValue[indexed(text, p.foldCase)] = r
				}
			}
		}
	}
	return nil
}

// Undefine archives a property: from now on it doesn't exist.
func (p *Portal) Undefine(object, property string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[object]
	if o == nil || o.defs[property] == nil {
		return fmt.Errorf("no property %q of %q", property, object)
	}
	o.defs[property].Archived = true
	return nil
}

// Seed creates records as an import or a person would, and returns their ids.
// hs_object_id chooses an id; createdate and the like are the portal's. Values
// must be text that the property could hold, but are not checked against its
// type.
func (p *Portal) Seed(object string, records ...map[string]string) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[object]
	if o == nil {
		return nil, fmt.Errorf("no object type %q", object)
	}
	ids := make([]string, 0, len(records))
	for _, values := range records {
		id := p.lastID + 1
		if text, chosen := values["hs_object_id"]; chosen {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n <= 0 || o.byID[n] != nil || o.merged[n] != nil {
				return ids, fmt.Errorf("hs_object_id %q is taken or no positive number", text)
			}
			id = n
		}
		if err := p.seedable(o, nil, values); err != nil {
			return ids, err
		}
		p.lastID = max(p.lastID, id)
		r := o.insert(id, p.now().UnixMilli())
		p.put(o, r, values, true)
		ids = append(ids, strconv.FormatInt(id, 10))
	}
	return ids, nil
}

// Edit changes a record as a person would in HubSpot.
func (p *Portal) Edit(object, id string, values map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, r, err := p.recordOf(object, id)
	if err != nil {
		return err
	}
	if err := p.seedable(o, r, values); err != nil {
		return err
	}
	r.updated = p.now().UnixMilli()
	p.put(o, r, values, false)
	return nil
}

// recordOf finds a record and its type.
func (p *Portal) recordOf(object, id string) (*objectType, *record, error) {
	o := p.objects[object]
	if o == nil {
		return nil, nil, fmt.Errorf("no object type %q", object)
	}
	r, _ := o.byRecordID([]byte(id))
	if r == nil {
		return nil, nil, fmt.Errorf("no %s with id %s", object, id)
	}
	return o, r, nil
}

// Archive deletes a record as a person would in HubSpot.
func (p *Portal) Archive(object, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, r, err := p.recordOf(object, id)
	if err != nil {
		return err
	}
	now := p.now()
	o.archive(r, now.UnixMilli(), p.foldCase)
	if !p.journal.off() {
		p.journal.add(Entry{Time: now, Received: now, Source: "seed", Object: o.Name, ID: id, By: "hs_object_id"})
	}
	return nil
}

func (p *Portal) seedable(o *objectType, r *record, values map[string]string) error {
	for name, value := range values {
		d := o.live([]byte(name))
		switch {
		case d == nil:
			return fmt.Errorf("no property %q of %s", name, o.Name)
		case !validText(value):
			return fmt.Errorf("property %q: not UTF-8, or more than %d characters", name, maxCharacters)
		case d.byValue != nil && value != "":
			if holder := d.byUnique([]byte(value), p.foldCase); holder != nil && holder != r {
				return fmt.Errorf("property %q: record %d already has the value %q", name, holder.id, value)
			}
		}
	}
	return nil
}

func (p *Portal) put(o *objectType, r *record, values map[string]string, isNew bool) {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	now := p.now()
	e := Entry{
		Time: now, Received: now, Source: "seed", Object: o.Name, ID: strconv.FormatInt(r.id, 10), New: isNew,
		By: "hs_object_id", Properties: Values{},
	}
	for _, name := range names {
		if system(name) {
			continue
		}
		p.remember(o.set(r, o.defs[name], values[name], p.foldCase), now.UnixMilli(), "CRM_UI")
		e.Properties = append(e.Properties, Value{name, values[name]})
	}
	if !p.journal.off() {
		p.journal.add(e)
	}
}

// Record returns one record that is not archived; an id that was merged away leads to the
// survivor.
func (p *Portal) Record(object, id string) (Record, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.objects[object]; o != nil {
		if r, _ := o.byRecordID([]byte(id)); r != nil {
			return r.copy(), true
		}
	}
	return Record{}, false
}

// Find returns the record that has the value of a unique property.
func (p *Portal) Find(object, property, value string) (Record, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.objects[object]; o != nil {
		if d := o.defs[property]; d != nil {
			if r := d.byUnique([]byte(value), p.foldCase); r != nil {
				return r.copy(), true
			}
		}
	}
	return Record{}, false
}

// Records returns all records of a type, archived ones too, by id.
func (p *Portal) Records(object string) []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[object]
	if o == nil {
		return nil
	}
	out := make([]Record, 0, len(o.order))
	for _, r := range o.sorted() {
		out = append(out, r.copy())
	}
	return out
}

// Count returns the number of records of a type that are not archived.
func (p *Portal) Count(object string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	if o := p.objects[object]; o != nil {
		for _, r := range o.order {
			if r.archived == 0 {
				n++
			}
		}
	}
	return n
}

// SetLimits changes the rate limits from the next call on.
func (p *Portal) SetLimits(l Limits) {
	if l.Window <= 0 {
		l.Window = 10 * time.Second
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
	p.quota.windows = map[string]*window{}
}

// SetQuirks changes the quirks from the next call on. FoldCase stays as it was
// when the portal was made.
func (p *Portal) SetQuirks(q Quirks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quirks = q
}

// Spend counts calls of other apps against the account's day.
func (p *Portal) Spend(calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quota.turn(p.now().In(p.zone))
	p.quota.daily += calls
}

// Client returns an [http.RoundTripper] that calls the portal without a
// network. A cut connection is an error of the round trip.
func (p *Portal) Client() http.RoundTripper { return roundTripper{p} }
