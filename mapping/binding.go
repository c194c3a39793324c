package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// binding is a relation's columns, found for the plans of its table. Relations
// differ over time, and the stream tells with each row which one it had: a row is
// mapped by that and by nothing else, so that it gives the same patch whenever it
// is read.
type binding struct {
	runners []*runner
	columns [][]int  // by runner, by plan column: index in the relation, -1 where it does not fit
	unfit   []string // by runner: why it cannot map the relation's rows; mostly empty
}

func (x *Mapper) newBinding(rel *change.Relation) *binding {
	b := &binding{}
	if rel == nil {
		return b
	}
	table := TableName{rel.Schema, rel.Name}
	if len(x.runners[table]) == 0 {
		if was, ok := x.owners[rel.OID]; ok {
			b.renamed(x.runners[was], was, rel)
		}
		x.bound[rel] = b
		x.keep(table, rel)
		return b
	}
	x.learn(rel)
	x.own(table, rel.OID)
	b.runners = slices.Clone(x.runners[table])
	var retyped []*plan
	for i, r := range b.runners {
		columns, unfit := r.fit(rel)
		if len(unfit.retyped) > 0 && len(unfit.missing) == 0 {
			if retyped == nil {
				retyped = x.retyped(table, rel)
			}
			if retyped != nil && len(retyped[i].wrong) == 0 {
				b.runners[i] = newRunner(retyped[i])
				columns, unfit = b.runners[i].fit(rel)
			}
		}
		b.columns = append(b.columns, columns)
		b.unfit = append(b.unfit, unfit.String())
	}
	x.bound[rel] = b
	x.keep(table, rel)
	return b
}

// own takes note of which table has a mapped name.
func (x *Mapper) own(table TableName, oid uint32) {
	if x.owners[oid] == table {
		return
	}
	for other, name := range x.owners {
		if name == table {
			delete(x.owners, other)
		}
	}
	x.owners[oid] = table
	x.unbind()
}

// unbind has every relation bound anew.
func (x *Mapper) unbind() {
	clear(x.bound)
	clear(x.recent)
	x.last, x.lastTo = nil, nil
}

// renamed is the binding of a mapped table that has another name now, and nobody
// has its own: what changes in it is owed to its mappings.
func (b *binding) renamed(runners []*runner, was TableName, rel *change.Relation) {
	for _, r := range runners {
		b.runners = append(b.runners, r)
		columns := make([]int, len(r.columns))
		for i := range columns {
			columns[i] = -1
		}
		b.columns = append(b.columns, columns)
		b.unfit = append(b.unfit, fmt.Sprintf("table %s is called %s now; give it its name back, or change the mapping and restart", was, rel))
	}
}

// keep forgets the bindings of relations that are out of use.
func (x *Mapper) keep(table TableName, rel *change.Relation) {
	kept := append(x.recent[table], rel)
	if len(kept) > relationsKept {
		delete(x.bound, kept[0])
		kept = slices.Delete(kept, 0, 1)
	}
	x.recent[table] = kept
}

// unfit names the columns of a table that do not fit.
type unfit struct {
	table            string
	missing, retyped []string
}

func (u *unfit) String() string {
	columns, trouble, mend := u.missing, "no longer there", "bring %s back"
	if len(columns) == 0 {
		columns, trouble, mend = u.retyped, "of another type now, which the mapping cannot take", "give %s the type back"
	}
	switch len(columns) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("column %s of table %s is %s; %s, or change the mapping and restart", columns[0], u.table, trouble, fmt.Sprintf(mend, "it"))
	}
	return fmt.Sprintf("columns %s of table %s are %s; %s, or change the mapping and restart",
		strings.Join(columns, ", "), u.table, trouble, fmt.Sprintf(mend, "them"))
}

// fit finds the plan's columns in the relation.
func (r *runner) fit(rel *change.Relation) (columns []int, bad unfit) {
	columns, bad.table = make([]int, len(r.columns)), rel.String()
	for i := range r.columns {
		need := &r.columns[i]
		at := rel.Column(need.name)
		switch {
		case at < 0:
			bad.missing = append(bad.missing, change.QuoteName(need.name))
		case !sameType(&need.typ, &rel.Columns[at].Type):
			bad.retyped = append(bad.retyped, change.QuoteName(need.name))
			at = -1
		}
		columns[i] = at
	}
	return columns, bad
}

// learn remembers the types that the catalog's description of a table names. The
// stream gives their numbers only.
func (x *Mapper) learn(rel *change.Relation) {
	for i := range rel.Columns {
		t := &rel.Columns[i].Type
		if t.Name == "" {
			continue
		}
		if _, known := x.types[t.OID]; !known {
			x.types[t.OID] = *t
			x.unbind() // what did not fit may do so now
		}
	}
}

// described reports whether it is known what the type is: from the catalog, or
// because it is built in.
func described(t *change.Type) bool {
	return t.Name != "" || typeOfColumn(t).name != typeOfColumn(&change.Type{}).name
}

// Unfit says why the mapping behind a source cannot map rows of its table as the
// catalog describes it now, or waits for properties; empty where it can. Any
// goroutine may ask.
func (x *Mapper) Unfit(src *change.Source, table *change.Relation) string {
	if why := x.m.Waits(src); why != "" {
		return why
	}
	b := x.m.Mapper().newBinding(table)
	for i, r := range b.runners {
		if r.source == src {
			return b.unfit[i]
		}
	}
	return ""
}

// retyped compiles the mappings of a table for the types that the relation's
// columns have; nil where those are not known. What is wrong with a plan says
// whether it takes them.
func (x *Mapper) retyped(table TableName, rel *change.Relation) []*plan {
	was := x.m.relations[table]
	if was == nil {
		return nil
	}
	now := *was
	now.Columns = slices.Clone(was.Columns)
	for i := range now.Columns {
		c := &now.Columns[i]
		at := rel.Column(c.Name)
		if at < 0 || rel.Columns[at].Type.OID == c.Type.OID {
			continue
		}
		if c.Type = rel.Columns[at].Type; !described(&c.Type) {
			known, ok := x.types[c.Type.OID]
			if !ok {
				return nil // of its own making, and not met yet
			}
			c.Type = known
		}
	}
	relations := make([]*change.Relation, 0, len(x.m.relations))
	for name, other := range x.m.relations {
		if name != table {
			relations = append(relations, other)
		}
	}
	all := compileAll(x.m.file, append(relations, &now), x.plans.properties).plans.byTable[table]
	for _, p := range all {
		p.source = x.m.sources[p.source.Index]
	}
	return all
}
