package hubspotsim

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// claim is a unique value that an input of the batch asks for.
type claim struct {
	def   *definition
	value string
}

// conflicts looks for unique values that another record has, or that two
// inputs ask for.
func (c *call) conflicts(perInput bool) (answer, bool) {
	op := c.route.op
	update := op == "update" || op == "patch"
	fails := c.portal.quirks.ConflictFailsBatch.on(op == "upsert", c.rng)
	var claims map[claim]struct{}
	var all problems
	for i := range c.batch.inputs {
		in := &c.batch.inputs[i]
		if !in.good() {
			continue
		}
		for j := range in.props {
			p := &in.props[j]
			if p.def.byValue == nil || p.keep || len(p.value) == 0 || in.rec != nil && in.rec.text(p.def) == string(p.value) {
				continue
			}
			if claims == nil {
				claims = map[claim]struct{}{}
			}
			key := claim{p.def, indexed(string(p.value), c.portal.foldCase)}
			holder := p.def.byUnique(p.value, c.portal.foldCase)
			_, claimed := claims[key]
			claims[key] = struct{}{}
			if (holder == nil || holder == in.rec) && !claimed {
				continue
			}
			in.failed = append(in.failed, c.clash(p, holder, update))
		}
		all = append(all, in.failed...)
	}
	switch {
	case len(all) == 0 || perInput && (update || !fails):
		return answer{}, true
	case update:
		return c.refuse(http.StatusBadRequest, c.valuesInvalid(all)), false
	}
	// Only the first conflict is named.
	return c.refuse(http.StatusConflict, refusal{Message: all[0].message, Category: "CONFLICT"}), false
}

func (c *call) clash(p *prop, holder *record, update bool) problem {
	id := ""
	if holder != nil {
		id = strconv.FormatInt(holder.id, 10)
	}
	if update {
		return problem{
			"propertyValue: " + id + " already has that value " + string(p.value), "CONFLICTING_UNIQUE_VALUE", p.def.Name, string(p.value), true,
		}
	}
	word := "Object"
	if p.def.Name == "email" {
		word = "Contact"
	}
	return problem{message: word + " already exists. Existing ID: " + id, code: "CONFLICT", name: p.def.Name, value: id}
}

// apply writes an input that was found good.
func (c *call) apply(o *objectType, in *input, now time.Time) {
	p := c.portal
	ms := now.UnixMilli()
	if in.isNew {
		p.lastID++
		in.rec = o.insert(p.lastID, ms)
		if len(in.idProperty) > 0 {
			c.addKey(o, in)
		}
	}
	in.rec.updated = ms

	// The new values of an input share one allocation.
	var text strings.Builder
	size := 0
	for i := range in.props {
		if q := &in.props[i]; c.changes(in, q) {
			size += len(q.value)
		}
	}
	text.Grow(size)
	for i := range in.props {
		q := &in.props[i]
		if q.keep || !c.changes(in, q) {
			continue
		}
		var value string
		if q.def.multi && len(q.value) > 0 && q.value[0] == ';' {
			value = appendOptions(in.rec.text(q.def), q.value)
		} else {
			from := text.Len()
			text.Write(q.value)
			value = text.String()[from:]
		}
		c.store(o, in.rec, q.def, value, ms, "INTEGRATION")
	}
	if in.isNew && o.Name == "companies" {
		c.fillWebsite(o, in.rec, ms)
	}
	c.record(o, in, now)
}

func (c *call) changes(in *input, q *prop) bool {
	s := in.rec.find(q.def)
	return s == nil || s.text != string(q.value)
}

// addKey gives a record that an upsert creates the key it was asked for by.
func (c *call) addKey(o *objectType, in *input) {
	d := o.defs[string(in.idProperty)]
	for _, q := range in.props {
		if q.def == d {
			return
		}
	}
	c.store(o, in.rec, d, string(in.id), in.rec.created, "INTEGRATION")
}

// fillWebsite does what HubSpot does when a company is created with a domain.
func (c *call) fillWebsite(o *objectType, r *record, ms int64) {
	domain, website := o.defs["domain"], o.defs["website"]
	if domain != nil && website != nil && r.text(domain) != "" && r.text(website) == "" {
		c.store(o, r, website, r.text(domain), ms, "AUTOMATION")
	}
}

func (c *call) store(o *objectType, r *record, d *definition, value string, ms int64, source string) {
	s := o.set(r, d, value, c.portal.foldCase)
	c.portal.remember(s, ms, source)
}

// remember keeps a property's history.
func (p *Portal) remember(s *stored, ms int64, source string) {
	if p.depth <= 0 {
		return
	}
	s.history = &revision{text: s.text, at: ms, source: source, next: s.history}
	last := s.history
	for range p.depth - 1 {
		if last = last.next; last == nil {
			return
		}
	}
	last.next = nil
}

// record writes the journal's entry.
func (c *call) record(o *objectType, in *input, now time.Time) {
	p := c.portal
	p.stats.Written++
	if p.journal.off() {
		return
	}
	e := Entry{
		Time: now, Received: c.received, Request: c.id, Call: c.number, Source: c.route.op, Late: c.late,
		Object: o.Name, ID: strconv.FormatInt(in.rec.id, 10), By: string(in.idProperty), Key: string(in.id),
		Trace: string(in.trace), New: in.isNew, Properties: make(Values, 0, len(in.props)),
	}
	if e.By == "" && !in.isNew {
		e.By = "hs_object_id"
	}
	for _, q := range in.props {
		if q.keep {
			e.Ignored = append(e.Ignored, q.def.Name)
		} else {
			e.Properties = append(e.Properties, Value{q.def.Name, string(q.value)})
		}
	}
	p.journal.add(e)
}
