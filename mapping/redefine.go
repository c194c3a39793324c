package mapping

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// Redefine has the mapping follow what the portal's properties have become since
// it was compiled; every Mapper of it takes notice with its next event. A mapping
// of a table that the properties suit no longer keeps the plan that it had, and
// waits: see Waits. It reports whether anything is otherwise that concerns the
// mapping, which keeps the properties. One goroutine at a time.
func (m *Mapping) Redefine(properties map[string][]Property) bool {
	was := m.now.Load()
	definitions := m.definitions(properties)
	if definitions == was.definitions {
		return false
	}
	relations := make([]*change.Relation, 0, len(m.relations))
	for _, rel := range m.relations {
		relations = append(relations, rel)
	}
	now := compileAll(m.file, relations, properties).plans
	now.definitions = definitions
	for i, p := range now.bySource {
		source := m.sources[i]
		switch {
		case len(p.wrong) > 0:
			p.waits = strings.Join(p.wrong, "; ")
		case !bytes.Equal(p.source.GoneProps, source.GoneProps):
			// They go with the source, which is the same as long as the process runs.
			p.waits = "what on_delete sets is written otherwise now, as a property has another type; restart pgcrm"
		}
		if p.waits != "" {
			held := *was.bySource[i]
			held.waits = p.waits
			*p = held
		}
		p.source = source
	}
	m.now.Store(now)
	return true
}

// Waits says why a mapping of a table is held: what the portal's properties are
// now does not suit it. It is empty where they do. Any goroutine may ask.
func (m *Mapping) Waits(s *change.Source) string { return m.now.Load().bySource[s.Index].waits }

// Waits is the Waits of its mapping.
func (x *Mapper) Waits(s *change.Source) string { return x.m.Waits(s) }

// Options is the same for as long as the properties that a mapping writes have
// the same options. With other ones, values may be taken that were refused.
func (m *Mapping) Options(s *change.Source) string {
	var lines []string
	for _, d := range defined(s.Target, m.now.Load().properties[s.Target.Object]) {
		if slot := slices.Index(s.Target.Properties, d.Name); slices.Contains(s.Slots, slot) && len(d.Options) > 0 {
			lines = append(lines, fmt.Sprintf("%q %q", d.Name, d.Options))
		}
	}
	return digest(lines)
}

// definitions writes down the properties that the mapping writes, or matches by.
func (m *Mapping) definitions(properties map[string][]Property) string {
	var lines []string
	for _, t := range m.targets {
		list, known := properties[t.Object]
		lines = append(lines, fmt.Sprintf("%q %q %v", t.Object, t.Match, known))
		for _, d := range defined(t, list) {
			lines = append(lines, fmt.Sprintf("%+v", d))
		}
	}
	return digest(lines)
}

// defined are the properties of the list that a target uses, by name.
func defined(t *change.Target, list []Property) []Property {
	var used []Property
	for _, p := range list {
		if p.Name == t.Match || slices.Contains(t.Properties, p.Name) {
			used = append(used, p)
		}
	}
	slices.SortFunc(used, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return used
}
