package mapping

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pgcrm/pgcrm/change"
)

// Compile holds the file against the tables and the properties of each object
// type, as catalog and portal describe them. An error is an [*Error] that lists
// everything that does not fit, with its place in the file.
//
// Where not all could be looked at, what is known is checked all the same, for
// the error's sake: nil relations or nil properties stand for a database or a
// portal that is not known, and a relation without columns for a table that is
// there and could not be described. The Mapping is then of no use.
func Compile(f *File, relations []*change.Relation, properties map[string][]Property) (*Mapping, error) {
	c := compileAll(f, relations, properties)
	if err := c.err(); err != nil {
		return nil, err
	}
	if c.warn.err() != nil {
		c.m.warnings = c.warn.list
	}
	c.m.hash = hashOf(c.plans)
	c.m.file, c.m.relations = f, c.relations
	c.plans.definitions = c.m.definitions(properties)
	c.m.now.Store(c.plans)
	return c.m, nil
}

// compileAll is Compile for what suits and what does not: of each plan it is known
// what is wrong with it.
func compileAll(f *File, relations []*change.Relation, properties map[string][]Property) *compiler {
	c := &compiler{
		report:     &report{file: f.name, lines: f.lines},
		warn:       &report{file: f.name, lines: f.lines},
		relations:  map[TableName]*change.Relation{},
		properties: map[string]map[string]*Property{},
		m:          &Mapping{},
		plans:      &plans{byTable: map[TableName][]*plan{}, properties: properties},

		noDatabase: relations == nil,
		noPortal:   properties == nil,
	}
	for _, rel := range relations {
		c.relations[TableName{rel.Schema, rel.Name}] = rel
	}
	for object, list := range properties {
		byName := make(map[string]*Property, len(list))
		for i := range list {
			byName[list[i].Name] = &list[i]
		}
		c.properties[object] = byName
	}
	c.conflicts(f)
	c.addTargets(f)
	for _, t := range f.tables {
		rel := c.relation(t)
		for _, spec := range t.mappings {
			c.mapping(t.name, rel, spec)
		}
	}
	return c
}

type compiler struct {
	*report
	warn       *report
	relations  map[TableName]*change.Relation
	properties map[string]map[string]*Property
	targets    map[targetName]*change.Target
	dropped    map[*propSpec]bool // overruled by a mapping with a higher priority
	m          *Mapping
	plans      *plans

	noDatabase, noPortal bool // could not be looked at
}

type targetName struct{ object, match string }

// addTargets numbers the targets in order of name, so that the order of the
// file does not matter.
func (c *compiler) addTargets(f *File) {
	c.targets = map[targetName]*change.Target{}
	for _, t := range f.tables {
		for _, m := range t.mappings {
			name := targetName{m.object.text, m.match.property.text}
			target := c.targets[name]
			if target == nil {
				target = &change.Target{Object: name.object, Match: name.match}
				c.targets[name] = target
				c.m.targets = append(c.m.targets, target)
			}
			for _, p := range slices.Concat(m.props, m.onDelete.set) {
				if !c.dropped[p] {
					target.Properties = append(target.Properties, p.name.text)
				}
			}
		}
	}
	slices.SortFunc(c.m.targets, func(a, b *change.Target) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Match, b.Match))
	})
	for i, target := range c.m.targets {
		target.Index = i
		slices.Sort(target.Properties)
		target.Properties = slices.Compact(target.Properties)
		if len(target.Properties) > change.MaxSlots {
			c.add(pos{1, 1}, "more than %d properties of %s; split the mapping", change.MaxSlots, target.Object)
		}
	}
}

// conflicts refuses two mappings that write the same property of the same
// object, unless their priorities tell which one does.
func (c *compiler) conflicts(f *File) {
	type writer struct {
		mapping *mappingSpec
		prop    *propSpec
		table   TableName
	}
	type written struct{ object, property string }
	owner := map[written]writer{}
	c.dropped = map[*propSpec]bool{}
	for _, t := range f.tables {
		for _, m := range t.mappings {
			for _, p := range slices.Concat(m.props, m.onDelete.set) {
				name := written{m.object.text, p.name.text}
				now := writer{m, p, t.name}
				first, taken := owner[name]
				switch {
				case !taken:
					owner[name] = now
				case first.mapping == m: // properties and on_delete of one mapping
				case first.mapping.priority == m.priority:
					c.add(p.name.pos, "property %s of %s is written by the mapping of %s on line %d as well; remove one, or give the mapping that decides a higher priority: priority: 1",
						p.name.text, m.object.text, first.table, first.prop.name.pos.line)
				default:
					if first.mapping.priority > m.priority {
						first, now = now, first
					}
					owner[name] = now
					c.dropped[first.prop] = true
					c.warn.add(first.prop.name.pos, "property %s of %s is written by %s alone, which has the higher priority; this line has no effect",
						first.prop.name.text, m.object.text, now.table)
				}
			}
		}
	}
}

func (c *compiler) relation(t tableSpec) *change.Relation {
	if c.noDatabase {
		return nil
	}
	if rel := c.relations[t.name]; rel != nil {
		if len(rel.Columns) == 0 {
			return nil
		}
		if len(rel.PrimaryKey) == 0 {
			c.add(t.pos, "table %s has no primary key, so its rows cannot be told apart; add one: ALTER TABLE %s ADD PRIMARY KEY (...)", t.name, t.name)
		}
		return rel
	}
	names := make([]string, 0, len(c.relations))
	for name := range c.relations {
		names = append(names, name.String())
	}
	slices.Sort(names)
	hint := meant(t.name.String(), names)
	if hint == "" {
		hint = "; create it, or check the spelling and the role's rights on its schema"
	}
	c.add(t.pos, "table %s does not exist in the database%s", t.name, hint)
	return nil
}

// mapping compiles one mapping of one table. rel is nil where the table is not
// there; what can be checked without it still is.
func (c *compiler) mapping(table TableName, rel *change.Relation, spec *mappingSpec) {
	target := c.targets[targetName{spec.object.text, spec.match.property.text}]
	source := &change.Source{Index: len(c.m.sources), Table: table.String(), Target: target, OnMissing: spec.onMissing}
	p := &planCompiler{compiler: c, spec: spec, rel: rel, plan: &plan{source: source, table: table}}
	c.m.sources = append(c.m.sources, source)
	c.plans.bySource = append(c.plans.bySource, p.plan)
	c.plans.byTable[table] = append(c.plans.byTable[table], p.plan)
	sound := len(c.list)

	p.byName = c.properties[spec.object.text]
	if p.byName == nil && !c.noPortal {
		objects := make([]string, 0, len(c.properties))
		for object := range c.properties {
			objects = append(objects, object)
		}
		slices.Sort(objects)
		hint := meant(spec.object.text, objects)
		if hint == "" {
			hint = "; check its name and the token's scopes"
		}
		c.add(spec.object.pos, "the portal shows no object type %s%s", spec.object.text, hint)
	}
	p.matchKey()
	if rel != nil {
		for _, i := range rel.PrimaryKey {
			p.plan.primary = append(p.plan.primary, p.use(i))
			p.note("primary %d %q", len(p.plan.primary), rel.Columns[i].Name)
		}
	}
	p.when()
	p.policies()
	for _, prop := range spec.props {
		if !c.dropped[prop] {
			p.property(prop)
		}
	}
	if len(source.Slots) == 0 && len(spec.props) > 0 && len(c.dropped) > 0 && c.list == nil {
		c.add(spec.pos, "every property of this mapping is written by one with a higher priority; remove the mapping")
	}
	slices.Sort(source.Slots)
	source.Slots = slices.Compact(source.Slots)
	p.plan.hash = hashOfPlan(p)
	for _, wrong := range c.list[sound:] {
		p.plan.wrong = append(p.plan.wrong, wrong.String())
	}
}

// planCompiler compiles one mapping.
type planCompiler struct {
	*compiler
	spec   *mappingSpec
	rel    *change.Relation
	byName map[string]*Property
	plan   *plan
	canon  []string // what decides the output, for the hash
}

// use has the plan read a column and returns its place in plan.columns.
func (p *planCompiler) use(i int) int {
	c := &p.rel.Columns[i]
	for at, known := range p.plan.columns {
		if known.name == c.Name {
			return at
		}
	}
	t := typeOfColumn(&c.Type)
	p.plan.columns = append(p.plan.columns, planColumn{c.Name, c.Type, t.decoder()})
	return len(p.plan.columns) - 1
}

// column looks a column up by name; -1 where it is reported as missing, or the
// table is.
func (p *planCompiler) column(w word) int {
	if p.rel == nil {
		return -1
	}
	i, err := p.find(w.text, "name a column of the table, or write a constant as {const: ...}")
	if err != nil {
		p.add(w.pos, "%v", err)
		return -1
	}
	return p.use(i)
}

// find is the place of a column in the relation, or why it cannot be read.
func (p *planCompiler) find(name, mend string) (int, error) {
	i := p.rel.Column(name)
	if i < 0 {
		names := make([]string, len(p.rel.Columns))
		for i := range p.rel.Columns {
			names[i] = p.rel.Columns[i].Name
		}
		hint := meant(name, names)
		if hint == "" {
			hint = "; " + mend
		}
		return 0, fmt.Errorf("table %s has no column %s%s", p.plan.table, name, hint)
	}
	if p.rel.Columns[i].Generated {
		return 0, fmt.Errorf("column %s is generated, and the log does not carry generated columns; use an expression over the columns that it is made of", name)
	}
	return i, nil
}

// definition looks a property up that is to be written; nil where it is reported
// as unfit.
func (p *planCompiler) definition(w word) (*Property, propType) {
	if p.byName == nil {
		return nil, 0
	}
	def := p.byName[w.text]
	if def == nil {
		names := make([]string, 0, len(p.byName))
		for name := range p.byName {
			names = append(names, name)
		}
		slices.Sort(names)
		hint := meant(w.text, names)
		if hint == "" {
			hint = "; create it in HubSpot, or run pgcrm init --create-properties"
		}
		p.add(w.pos, "%s have no property %s%s", p.spec.object.text, w.text, hint)
		return nil, 0
	}
	t, known := typeOf(def)
	switch {
	case def.Archived:
		p.add(w.pos, "property %s is archived; restore it in HubSpot, or map another", w.text)
	case def.Calculated:
		p.add(w.pos, "property %s is calculated by HubSpot and cannot be written; map another", w.text)
	case def.ReadOnly:
		p.add(w.pos, "property %s is read-only in HubSpot and cannot be written; map another", w.text)
	case !known:
		p.add(w.pos, "property %s has the type %s, which cannot be written by the API; map another", w.text, cmp.Or(def.Type, "(none)"))
	default:
		return def, t
	}
	return nil, 0
}

func (p *planCompiler) note(format string, args ...any) {
	p.canon = append(p.canon, fmt.Sprintf(format, args...))
}
