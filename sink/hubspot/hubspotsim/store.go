package hubspotsim

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// objectType holds the definitions and records of one type.
type objectType struct {
	Schema
	defs map[string]*definition
	// order has the records that are not merged away, by id unless dirty.
	order []*record
	dirty bool
	byID  map[int64]*record
	// merged leads from an id that was merged away to the survivor.
	merged map[int64]*record
}

// record is one CRM record. Times are epoch milliseconds.
type record struct {
	id                         int64
	created, updated, archived int64
	values                     []stored
	// seen is the last call that named the record, to find duplicates.
	seen uint64
}

// stored is one property's value, as it was sent.
type stored struct {
	def     *definition
	text    string
	history *revision
}

// revision is an entry of a property's history, the newest first.
type revision struct {
	text   string
	at     int64
	source string
	next   *revision
}

// Record is a copy of a stored record. Properties holds values as they were
// sent; "" is a cleared one.
type Record struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
	CreatedAt  time.Time         `json:"createdAt"`
	UpdatedAt  time.Time         `json:"updatedAt"`
	Archived   bool              `json:"archived"`
}

func newObjectType(s Schema) *objectType {
	o := &objectType{Schema: s, defs: map[string]*definition{}, byID: map[int64]*record{}, merged: map[int64]*record{}}
	for _, p := range systemProperties() {
		p.HubSpotDefined, p.Modification.Archivable, p.Modification.ReadOnlyDefinition = true, false, true
		o.add(p)
	}
	for _, p := range s.Properties {
		p.HubSpotDefined, p.Modification.Archivable, p.Modification.ReadOnlyDefinition = true, false, true
		o.add(p)
	}
	return o
}

func (o *objectType) add(p Property) *definition {
	if p.GroupName == "" {
		p.GroupName = o.Group
	}
	d := define(p)
	o.defs[p.Name] = d
	return d
}

// live returns the definition if it exists and is not archived.
func (o *objectType) live(name []byte) *definition {
	if d := o.defs[string(name)]; d != nil && !d.Archived {
		return d
	}
	return nil
}

func (r *record) find(d *definition) *stored {
	for i := range r.values {
		if r.values[i].def == d {
			return &r.values[i]
		}
	}
	return nil
}

func (r *record) text(d *definition) string {
	if s := r.find(d); s != nil {
		return s.text
	}
	return ""
}

// set stores a value and keeps the index of unique values.
func (o *objectType) set(r *record, d *definition, text string, foldCase bool) *stored {
	s := r.find(d)
	if s == nil {
		r.values = append(r.values, stored{def: d})
		s = &r.values[len(r.values)-1]
	}
	if d.byValue != nil && s.text != text {
		d.release(r, s.text, foldCase)
		if text != "" {
			d.byValue[indexed(text, foldCase)] = r
		}
	}
	s.text = text
	return s
}

// release frees a unique value that r has.
func (d *definition) release(r *record, text string, foldCase bool) {
	if key := indexed(text, foldCase); d.byValue[key] == r {
		delete(d.byValue, key)
	}
}

func indexed(value string, foldCase bool) string {
	if foldCase {
		return fold(value)
	}
	return value
}

func (o *objectType) insert(id, now int64) *record {
	r := &record{id: id, created: now, updated: now}
	if n := len(o.order); n > 0 && o.order[n-1].id > id {
		o.dirty = true
	}
	o.order = append(o.order, r)
	o.byID[id] = r
	return r
}

// archive moves the record to the recycle bin: it is found no more, and its
// unique values are free.
func (o *objectType) archive(r *record, now int64, foldCase bool) {
	r.archived, r.updated = now, now
	for _, s := range r.values {
		s.def.release(r, s.text, foldCase)
	}
}

// sorted returns the records in order of id.
func (o *objectType) sorted() []*record {
	if o.dirty {
		slices.SortFunc(o.order, func(a, b *record) int { return cmp.Compare(a.id, b.id) })
		o.dirty = false
	}
	return o.order
}

// byRecordID finds a record that is not archived. Through an id that was merged away
// it finds the survivor.
func (o *objectType) byRecordID(id []byte) (r *record, merged bool) {
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		return nil, false
	}
	if r = o.byID[n]; r == nil {
		if r = o.merged[n]; r != nil {
			merged = true
		}
	}
	if r == nil || r.archived != 0 {
		return nil, false
	}
	return r, merged
}

// byUnique finds the record that has the value of a unique property.
func (d *definition) byUnique(value []byte, foldCase bool) *record {
	if foldCase {
		return d.byValue[fold(string(value))]
	}
	return d.byValue[string(value)]
}

func (r *record) copy() Record {
	out := Record{
		ID:         strconv.FormatInt(r.id, 10),
		Properties: make(map[string]string, len(r.values)),
		CreatedAt:  time.UnixMilli(r.created).UTC(), UpdatedAt: time.UnixMilli(r.updated).UTC(), Archived: r.archived != 0,
	}
	for _, s := range r.values {
		out.Properties[s.def.Name] = s.text
	}
	return out
}
