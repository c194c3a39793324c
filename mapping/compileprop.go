package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping/expression"
)

// matchKey compiles match: which record a row addresses.
func (p *planCompiler) matchKey() {
	property := p.spec.match.property
	p.plan.match = p.column(p.spec.match.column)
	key := &p.plan.key
	key.recordID = property.text == change.RecordID
	key.format = format{to: typeString, property: property.text}
	if !key.recordID {
		def, t := p.matchProperty(property)
		if def == nil {
			return
		}
		key.format.to = t
	} else {
		key.format.to = typeNumber
	}
	if p.plan.match < 0 {
		return
	}
	col := p.plan.columns[p.plan.match]
	key.format.from = typeOfColumn(&col.typ)
	why := key.format.from.refuse(key.format.to, false)
	if key.format.from.array {
		why = "is an array, which cannot say which record is meant; name another column"
	}
	if why != "" {
		p.add(p.spec.match.column.pos, "column %s (%s) %s", col.name, key.format.from.name, why)
	}
	key.raw = key.format.to == typeString && isRaw(key.format.from)
	p.note("match %q %q %v %v %v", property.text, col.name, key.format.from.class, key.format.from.array, key.format.to)
}

// matchProperty is the definition of a match property that can tell records
// apart.
func (p *planCompiler) matchProperty(property word) (*Property, propType) {
	def, t := p.definition(property)
	if def == nil {
		return nil, 0
	}
	if def.HasUniqueValue {
		if t != typeString && t != typeNumber {
			p.add(property.pos, "property %s is %s; match needs a string or a number", property.text, article(t))
			return nil, 0
		}
		return def, t
	}
	if property.text == "domain" && p.spec.object.text == DefaultObject {
		p.add(property.pos, "companies cannot be matched by domain: HubSpot does not hold it unique, several companies may have the same one, and the API refuses to address records by it; "+
			"create a property with unique values, match by that, and pair the companies that exist with pgcrm link %s --by domain=%s", p.plan.table, p.spec.match.column.text)
		return nil, 0
	}
	var unique []string
	for _, other := range p.byName {
		if other.HasUniqueValue && !other.Archived {
			unique = append(unique, other.Name)
		}
	}
	slices.Sort(unique)
	mend := "create one that has, with pgcrm init --create-properties or in HubSpot; the flag cannot be added later"
	if len(unique) > 0 {
		mend = "use one that has: " + strings.Join(unique, ", ")
	}
	p.add(property.pos, "property %s does not have unique values, so it cannot tell records apart; %s, or match by %s", property.text, mend, change.RecordID)
	return nil, 0
}

// when compiles the condition.
func (p *planCompiler) when() {
	if p.spec.when == nil || p.rel == nil {
		return
	}
	f := p.formula(p.spec.when)
	if f == nil {
		return
	}
	if t := f.program.Type; t.Kind != expression.Bool && t.Kind != expression.Any {
		p.add(p.spec.when.pos, "when is a condition, and this is %s; compare it with something", t)
		return
	}
	p.plan.when = f
	p.note("when %s", f.program.Canonical)
}

// policies compiles on_missing and on_delete.
func (p *planCompiler) policies() {
	s := p.spec
	p.plan.source.OnDelete = s.onDelete.kind
	policy := []string{fmt.Sprintf("missing %d delete %d", s.onMissing, s.onDelete.kind)}
	for _, set := range s.onDelete.set {
		if p.dropped[set] || p.isMatch(set) {
			continue
		}
		def, t := p.definition(set.name)
		if def == nil {
			continue
		}
		f := format{to: t, property: set.name.text}
		p.options(&f, set, def)
		slot := p.slot(set)
		c := p.constant(&f, *set.konst)
		p.plan.source.Slots = append(p.plan.source.Slots, slot)
		p.plan.source.GoneProps = appendConstant(p.plan.source.GoneProps, slot, c)
		policy = append(policy, fmt.Sprintf("set %q=%q", set.name.text, c.text))
	}
	p.plan.policy = strings.Join(policy, " ")
	if s.onMissing != change.Create {
		return
	}
	if s.match.property.text == change.RecordID {
		p.add(s.missingAt, "a record that is matched by %s cannot be created, since HubSpot gives that id; use on_missing: park or skip, or match by a property with unique values", change.RecordID)
	}
	named := slices.ContainsFunc(s.props, func(q *propSpec) bool { return q.name.text == "name" || q.name.text == "domain" })
	if s.object.text == DefaultObject && !named {
		p.add(s.missingAt, "HubSpot creates a company only with a name or a domain; map one of the two, or use on_missing: park")
	}
}

func (p *planCompiler) slot(s *propSpec) int {
	slot, _ := slices.BinarySearch(p.plan.source.Target.Properties, s.name.text)
	return slot
}

// isMatch reports a property that is the match property, and so written already.
func (p *planCompiler) isMatch(s *propSpec) bool {
	if s.name.text != p.spec.match.property.text {
		return false
	}
	p.add(s.name.pos, "%s is the match property and is written from its column already; remove this line", s.name.text)
	return true
}

// property compiles one property and adds it to the plan.
func (p *planCompiler) property(s *propSpec) {
	if p.isMatch(s) {
		return
	}
	slot := p.slot(s)
	prop := propPlan{slot: slot, column: -1, onNull: s.onNull, onOther: s.onOther}
	prop.format = format{zone: s.tz, truncate: s.overflow == overflowTruncate, byLabel: s.byLabel, property: s.name.text}
	if s.column != nil {
		prop.column = p.column(*s.column)
	}
	if s.expr != nil && p.rel != nil {
		prop.formula = p.formula(s.expr)
	}
	if s.backward {
		p.plan.source.ClearFirst = append(p.plan.source.ClearFirst, slot)
	}
	def, t := p.definition(s.name)
	if def == nil {
		return
	}
	prop.format.to = t
	p.options(&prop.format, s, def)
	if s.konst != nil {
		prop.constant = p.constant(&prop.format, *s.konst)
	}
	if s.mapped {
		p.values(&prop, s)
	}
	if prop.column >= 0 {
		p.fromColumn(&prop, s)
	}
	if prop.formula != nil && (!s.mapped || s.onOther == otherPass) {
		if why := refuseResult(prop.formula.program.Type, t, s.tz != nil); why != "" {
			p.add(s.expr.pos, "the expression gives %s, and property %s is %s; %s", prop.formula.program.Type, s.name.text, article(t), why)
		}
	}
	p.unused(s, &prop)
	p.noteProperty(s, &prop)
	p.plan.props = append(p.plan.props, prop)
	p.plan.source.Slots = append(p.plan.source.Slots, slot)
}

// fromColumn checks that the column's values can be written as the property's
// type.
func (p *planCompiler) fromColumn(prop *propPlan, s *propSpec) {
	col := &p.plan.columns[prop.column]
	f := &prop.format
	f.from = typeOfColumn(&col.typ)
	checked := !s.mapped || s.onOther == otherPass
	if why := f.from.refuse(f.to, f.zone != nil); why != "" && checked {
		p.add(s.column.pos, "column %s (%s) %s", col.name, f.from.name, strings.ReplaceAll(why, "COLUMN", col.name))
	}
	if s.mapped && f.from.array && f.to != typeOptions && f.to != typeString {
		p.add(s.column.pos, "column %s (%s) %s", col.name, f.from.name, f.from.refuse(f.to, true))
	}
	if checked && f.options != nil {
		p.labels(prop, s)
	}
	prop.raw = f.to == typeString && isRaw(f.from) && !s.mapped
}

// isRaw reports whether a string property gets the column's text as it stands.
func isRaw(c columnType) bool { return !c.array && c.class != classBool && c.class != classPadded }

// labels warns of values of a Postgres enum that the property has no option for.
func (p *planCompiler) labels(prop *propPlan, s *propSpec) {
	var lacking []string
	for _, label := range prop.format.from.labels {
		_, mapped := prop.values[label]
		if _, ok := prop.format.options[label]; !ok && !mapped {
			lacking = append(lacking, label)
		}
	}
	if len(lacking) > 0 {
		p.warn.add(s.column.pos, "column %s may hold %s, which property %s has no option for; add the options in HubSpot, or map them with values",
			s.column.text, strings.Join(lacking, ", "), s.name.text)
	}
}

// options sets what an enumeration takes.
func (p *planCompiler) options(f *format, s *propSpec, def *Property) {
	if f.to != typeOption && f.to != typeOptions {
		if s.byLabel {
			p.add(s.byAt, "by: label is for enumerations, and property %s is %s; remove it", s.name.text, article(f.to))
		}
		return
	}
	if len(def.Options) == 0 && def.ExternalOptions {
		if s.byLabel {
			p.add(s.byAt, "the options of property %s live outside its definition, so labels cannot be looked up; use values", s.name.text)
		}
		return
	}
	f.options = make(map[string][]byte, len(def.Options))
	for _, o := range def.Options {
		name := o.Value
		if s.byLabel {
			name = o.Label
		}
		if other, dup := f.options[name]; dup && string(other) != o.Value {
			p.add(s.byAt, "property %s has two options labelled %q, %s and %s; tell them apart with values", s.name.text, name, other, o.Value)
		}
		f.options[name] = []byte(o.Value)
	}
}

// constant formats a value that the file gives.
func (p *planCompiler) constant(f *format, w word) *constant {
	g := *f
	g.from = columnType{class: classText}
	text, why := g.append(nil, []byte(w.text))
	if why == nil {
		return &constant{text}
	}
	hint := ""
	if why.Category == change.InvalidOption {
		names := make([]string, 0, len(f.options))
		for name := range f.options {
			names = append(names, name)
		}
		slices.Sort(names)
		if hint = meant(w.text, names); hint == "" {
			hint = "; its options are " + some(names)
		}
	} else {
		hint = "; property " + f.property + " is " + article(f.to)
	}
	p.add(w.pos, "%s%s", why.Reason, hint)
	return &constant{}
}

// some lists the first of many names.
func some(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func (p *planCompiler) values(prop *propPlan, s *propSpec) {
	prop.values = make(map[string]constant, len(s.values))
	for _, v := range s.values {
		prop.values[v.from.text] = *p.constant(&prop.format, v.to)
	}
}

// unused warns of options that change nothing.
func (p *planCompiler) unused(s *propSpec, prop *propPlan) {
	f := &prop.format
	if f.truncate && f.to != typeString {
		p.add(s.name.pos, "on_overflow: truncate is for text, and property %s is %s; remove it", s.name.text, article(f.to))
	}
	if f.zone != nil && f.to != typeDate && f.to != typeDatetime {
		p.add(s.tzAt, "tz is for date and datetime properties, and property %s is %s; remove it", s.name.text, article(f.to))
		return
	}
	if f.zone == nil || prop.column < 0 {
		return
	}
	if f.to == typeDate && f.from.class == classTimestamp || f.from.class == classDate && f.to == typeDate {
		p.warn.add(s.tzAt, "tz has no effect here: a %s has its own date", f.from.name)
	}
	if f.to == typeDatetime && f.from.class == classTimestamptz {
		p.warn.add(s.tzAt, "tz has no effect here: a %s is a moment in any zone", f.from.name)
	}
}
