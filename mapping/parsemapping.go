package mapping

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// DefaultObject is the HubSpot object type that is written where a mapping
// names none.
const DefaultObject = "companies"

func (p *fileParser) mapping(n *node) *mappingSpec {
	m := &mappingSpec{pos: n.pos, object: word{DefaultObject, n.pos}}
	var match, properties bool
	p.keys(n, "a table's mapping", map[string]func(key, value *node){
		"object": func(key, value *node) {
			if w, ok := p.scalar(key, value); ok {
				m.object = w
				if w.text == "" || strings.ContainsAny(w.text, "/ ?#%") {
					p.add(w.pos, "%q is not an object type; write companies, contacts, deals or the name of a custom object such as 2-123456", w.text)
				}
			}
		},
		"match": func(_, value *node) {
			match = true
			p.match(m, value)
		},
		"when": func(key, value *node) {
			if _, ok := p.scalar(key, value); ok {
				m.when = value
			}
		},
		"on_missing": func(key, value *node) {
			m.missingAt = value.pos
			m.onMissing = choice(p, key, value, []string{"park", "create", "skip"}, []change.Missing{change.Park, change.Create, change.Skip})
		},
		"on_delete": func(key, value *node) { p.onDelete(m, key, value) },
		"priority":  func(key, value *node) { m.priority = p.integer(key, value) },
		"properties": func(_, value *node) {
			properties = true
			p.properties(m, value)
		},
	})
	if !match {
		p.missing(n.pos, "match is missing; add match: {PROPERTY: COLUMN}, the HubSpot property with unique values and the column that holds its value")
	}
	if !properties {
		p.missing(n.pos, "properties is missing; add properties: with PROPERTY: COLUMN under it")
	}
	return m
}

func (p *fileParser) match(m *mappingSpec, n *node) {
	if n.kind != mapNode || len(n.pairs) != 1 {
		p.unless(n, "match names one property and one column, match: {account_id: id}, not %s", n.describe())
		return
	}
	kv := n.pairs[0]
	m.match.property = word{kv.key.text, kv.key.pos}
	m.match.column, _ = p.scalar(kv.key, kv.value)
}

func (p *fileParser) onDelete(m *mappingSpec, key, n *node) {
	m.onDelete.pos = n.pos
	if n.kind != mapNode {
		m.onDelete.kind = choice(p, key, n, []string{"ignore", "archive"}, []change.Deleted{change.Ignore, change.Archive})
		return
	}
	m.onDelete.kind = change.SetGone
	var set bool
	p.keys(n, "on_delete", map[string]func(key, value *node){
		"set": func(_, value *node) {
			set = true
			if value.kind != mapNode || len(value.pairs) == 0 {
				p.unless(value, "set is a map of properties to constants, {set: {status: churned}}, not %s", value.describe())
				return
			}
			for _, kv := range value.pairs {
				if w, ok := p.scalar(kv.key, kv.value); ok {
					m.onDelete.set = append(m.onDelete.set, &propSpec{name: word{kv.key.text, kv.key.pos}, konst: &w})
				}
			}
			sortProps(m.onDelete.set)
		},
	})
	if !set && len(n.pairs) == 0 {
		p.add(n.pos, "on_delete is ignore, archive or {set: {PROPERTY: CONSTANT}}, not an empty map")
	}
}

func sortProps(props []*propSpec) {
	slices.SortFunc(props, func(a, b *propSpec) int { return cmp.Compare(a.name.text, b.name.text) })
}

func (p *fileParser) properties(m *mappingSpec, n *node) {
	if n.kind != mapNode || len(n.pairs) == 0 {
		p.unless(n, "properties is a map of HubSpot properties to columns with at least one entry, not %s", n.describe())
		return
	}
	for _, kv := range n.pairs {
		spec := &propSpec{name: word{kv.key.text, kv.key.pos}}
		if kv.value.kind == mapNode {
			p.property(spec, kv.value)
		} else if w, ok := p.scalar(kv.key, kv.value); ok {
			spec.column = &w
		}
		m.props = append(m.props, spec)
	}
	sortProps(m.props)
}

// property reads the long form, a map with column, expr or const and options.
func (p *fileParser) property(s *propSpec, n *node) {
	var sources []word
	at := map[string]pos{}
	note := func(h func(key, value *node)) func(key, value *node) {
		return func(key, value *node) {
			at[key.text] = key.pos
			h(key, value)
		}
	}
	source := func(h func(w word, value *node)) func(key, value *node) {
		return func(key, value *node) {
			sources = append(sources, word{key.text, key.pos})
			if w, ok := p.scalar(key, value); ok {
				h(w, value)
			}
		}
	}
	p.keys(n, "property "+s.name.text, map[string]func(key, value *node){
		"column": source(func(w word, _ *node) { s.column = &w }),
		"expr":   source(func(_ word, value *node) { s.expr = value }),
		"const":  source(func(w word, _ *node) { s.konst = &w }),
		"values": note(func(_, value *node) { p.values(s, value) }),
		"on_other": note(func(key, value *node) {
			s.onOther = choice(p, key, value, []string{"park", "clear", "keep", "pass"}, []otherPolicy{otherPark, otherClear, otherKeep, otherPass})
		}),
		"on_null": note(func(key, value *node) {
			s.onNull = choice(p, key, value, []string{"clear", "overwrite", "keep"}, []nullPolicy{nullClear, nullOverwrite, nullKeep})
		}),
		"on_overflow": note(func(key, value *node) {
			s.overflow = choice(p, key, value, []string{"park", "truncate"}, []overflowPolicy{overflowPark, overflowTruncate})
		}),
		"tz": note(func(key, value *node) { p.zone(s, key, value) }),
		"by": note(func(key, value *node) {
			s.byAt = value.pos
			s.byLabel = choice(p, key, value, []string{"value", "label"}, []bool{false, true})
		}),
		"direction": note(func(key, value *node) {
			s.dirAt = value.pos
			s.backward = choice(p, key, value, []string{"forward", "allow"}, []bool{false, true})
		}),
	})
	switch len(sources) {
	case 0:
		p.missing(n.pos, "property %s says not where its value comes from; add column, expr or const", s.name.text)
	case 1:
	default:
		p.add(sources[1].pos, "property %s has both %s and %s; keep one", s.name.text, sources[0].text, sources[1].text)
	}
	if at, stands := at["on_other"]; stands && !s.mapped {
		p.add(at, "on_other belongs to values; add values or remove on_other")
	}
	if s.konst == nil {
		return
	}
	for _, key := range []string{"values", "on_null", "on_overflow", "tz", "by"} {
		if at, stands := at[key]; stands {
			p.add(at, "%s has no effect on a const, which is taken as written; remove it", key)
		}
	}
}

func (p *fileParser) values(s *propSpec, n *node) {
	s.mapped = true
	if n.kind != mapNode || len(n.pairs) == 0 {
		p.unless(n, "values is a map of column values to property values, {free: FREE}, not %s", n.describe())
		return
	}
	for _, kv := range n.pairs {
		if to, ok := p.scalar(kv.key, kv.value); ok {
			s.values = append(s.values, valueSpec{word{kv.key.text, kv.key.pos}, to})
		}
	}
}

func (p *fileParser) zone(s *propSpec, key, value *node) {
	w, ok := p.scalar(key, value)
	if !ok {
		return
	}
	s.tzAt = w.pos
	loc, err := time.LoadLocation(w.text)
	if err != nil || w.text == "" || w.text == "Local" {
		p.add(w.pos, "%q is not a time zone; write a name of the IANA database such as America/New_York or UTC", w.text)
		return
	}
	s.tz = loc
}
