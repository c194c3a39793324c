package mapping

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping/expression"
)

// Mapper turns events into patches. It reuses its buffers: what a patch points
// to is valid until the next call of Map. One goroutine.
type Mapper struct {
	m       *Mapping
	plans   *plans // that the runners run
	runners map[TableName][]*runner
	bound   map[*change.Relation]*binding
	types   map[uint32]change.Type // of the catalog, met so far
	owners  map[uint32]TableName   // mapped tables
	recent  map[TableName][]*change.Relation
	last    *change.Relation
	lastTo  *binding
	skipped []uint64
}

// relationsKept is how many descriptions of one table stay bound: the stream's,
// the backfill's, and some on the way out.
const relationsKept = 4

// Mapper makes a mapper of its own for a goroutine.
func (m *Mapping) Mapper() *Mapper {
	x := &Mapper{
		m:       m,
		types:   map[uint32]change.Type{},
		owners:  map[uint32]TableName{},
		runners: map[TableName][]*runner{},
		bound:   map[*change.Relation]*binding{},
		recent:  map[TableName][]*change.Relation{},
		skipped: make([]uint64, len(m.sources)),
	}
	x.follow(m.now.Load())
	for table := range x.runners {
		if rel := m.relations[table]; rel != nil && rel.OID != 0 {
			x.owners[rel.OID] = table
		}
	}
	return x
}

// follow has other plans run from now on.
func (x *Mapper) follow(all *plans) {
	x.plans = all
	for table, plans := range all.byTable {
		x.runners[table] = nil
		for _, p := range plans {
			x.runners[table] = append(x.runners[table], newRunner(p))
		}
	}
	x.unbind()
}

func newRunner(p *plan) *runner {
	r := &runner{plan: *p, decoded: make([]any, len(p.columns)), isDecoded: make([]bool, len(p.columns))}
	r.props = slices.Clone(p.props)
	r.frame.Load = r.load
	return r
}

// Map appends to dst what the event asks of the CRM: for each mapping of the
// row's table at most one patch, for other events nothing. Where the table does
// not fit a mapping any more, its patch says so and nothing else, but for a row
// that is deleted: that takes no more than the key. An error is a fault of the
// stream; dst is then returned as it came.
func (x *Mapper) Map(ev *change.Event, dst []change.Patch) ([]change.Patch, error) {
	switch ev.Kind {
	case change.Insert, change.Update, change.Delete:
	default:
		return dst, nil
	}
	if all := x.m.now.Load(); all != x.plans {
		x.follow(all)
	}
	b := x.bind(ev.Relation)
	if len(b.runners) > 0 && ev.Kind != change.Delete && len(ev.New) != len(ev.Relation.Columns) {
		return dst, fmt.Errorf("table %s: the change carries %d columns where %d were announced; this is a fault of the stream, restart", ev.Relation, len(ev.New), len(ev.Relation.Columns))
	}
	for i, r := range b.runners {
		if b.unfit[i] != "" && !r.canDelete(ev, b.columns[i]) {
			dst = append(dst, change.Patch{Source: r.source, Unfit: b.unfit[i]})
			continue
		}
		patch, outcome := r.run(ev, b.columns[i])
		switch outcome {
		case mapped:
			dst = append(dst, patch)
		case skipped:
			x.skipped[r.source.Index]++
		}
	}
	return dst, nil
}

// Skipped counts the rows of a source, since the mapper was made, that address
// no record because their match column is NULL.
func (x *Mapper) Skipped(s *change.Source) uint64 { return x.skipped[s.Index] }

// bind finds what runs the plans of the relation's table, as the relation is.
func (x *Mapper) bind(rel *change.Relation) *binding {
	if rel == x.last && rel != nil {
		return x.lastTo
	}
	b := x.bound[rel]
	if b == nil {
		b = x.newBinding(rel)
	}
	x.last, x.lastTo = rel, b
	return b
}

type outcome uint8

const (
	nothing outcome = iota
	mapped
	skipped
)

// runner runs one plan with its own buffers.
type runner struct {
	plan
	ev      *change.Event
	at      []int
	full    bool // ev.Old is a whole row
	key     []byte
	oldKey  []byte
	row     []byte
	oldRow  []byte
	scratch []byte
	packed  change.Props

	frame     expression.Frame
	reading   []int // the running program's columns, as indexes into columns
	before    bool  // it runs over the old row
	decoded   []any // by column, of the new row
	isDecoded []bool
}

// run maps one row change.
func (r *runner) run(ev *change.Event, at []int) (change.Patch, outcome) {
	r.ev, r.at = ev, at
	r.full = len(ev.Old) > 0 && !ev.OldIsKey
	clear(r.isDecoded)
	if ev.Kind == change.Delete {
		return r.deleted()
	}
	patch := change.Patch{Source: r.source}
	entered, outcome := r.condition(&patch)
	if outcome != mapped || patch.Gone {
		return patch, outcome
	}
	value := r.known(r.match)
	if value.Kind == change.Null {
		return patch, skipped
	}
	if patch.Rejection == nil {
		r.setKey(&patch, value)
	}
	r.row = r.rowKey(r.row, false)
	patch.Row = r.row
	if patch.Rejection != nil || patch.Reread {
		return patch, mapped
	}
	moved := r.previousKey(&patch) || entered || r.rowMoved(patch.Row)
	patch.Props, patch.Whole, patch.Reread = r.properties(moved)
	return patch, mapped
}

// setKey writes the match value.
func (r *runner) setKey(patch *change.Patch, value change.Value) {
	if value.Kind == change.Unchanged {
		patch.Rejection = &change.Rejection{Category: change.InvalidKey, Reason: "the match column is stored out of line and the change does not carry it; ALTER TABLE ... REPLICA IDENTITY FULL makes changes carry it"}
		return
	}
	var why *change.Rejection
	if r.key, why = r.plan.key.append(r.key[:0], value.Text); why != nil {
		patch.Rejection = why
		return
	}
	patch.Key = r.key
}

// previousKey sets OldKey, and reports whether the row addressed no record, or
// another one, before.
func (r *runner) previousKey(patch *change.Patch) bool {
	if r.ev.Kind != change.Update {
		return false
	}
	i := r.at[r.match]
	carried := i < len(r.ev.Old) && r.ev.Old[i].Kind == change.Text
	if !r.full && !carried && !r.ev.Relation.Columns[i].InIdentity {
		r.oldRow = r.rowKey(r.oldRow, true)
		patch.OldRow = r.oldRow
		return false
	}
	if len(r.ev.Old) == 0 {
		return false
	}
	old := r.ev.Old[i]
	if old.Kind != change.Text {
		return old.Kind == change.Null && r.full
	}
	var why *change.Rejection
	r.oldKey, why = r.plan.key.append(r.oldKey[:0], old.Text)
	if why != nil {
		return true
	}
	if bytes.Equal(r.oldKey, patch.Key) {
		return false
	}
	patch.OldKey = r.oldKey
	return true
}

// rowMoved reports whether the row's primary key was another: what was to be read
// of it under that is not there any more.
func (r *runner) rowMoved(row []byte) bool {
	if r.ev.Kind != change.Update || len(r.ev.Old) == 0 {
		return false
	}
	r.oldRow = r.rowKey(r.oldRow, true)
	return !bytes.Equal(r.oldRow, row)
}

// known is a column's value after the change, from the old row where that holds
// it and the new one does not.
func (r *runner) known(column int) change.Value {
	i := r.at[column]
	v := r.ev.New[i]
	if v.Kind == change.Unchanged && i < len(r.ev.Old) && r.ev.Old[i].Kind != change.Unchanged && (r.full || r.ev.Old[i].Kind == change.Text) {
		return r.ev.Old[i]
	}
	return v
}

// rowKey writes the primary key into dst: the text of its column, or a JSON array
// of texts. With before it is the key that the row had before the change, as far
// as the change carries it.
func (r *runner) rowKey(dst []byte, before bool) []byte {
	if len(r.primary) == 1 {
		return append(dst[:0], r.keyColumn(r.primary[0], before)...)
	}
	dst = append(dst[:0], '[')
	for i, column := range r.primary {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, r.keyColumn(column, before))
	}
	return append(dst, ']')
}

func (r *runner) keyColumn(column int, before bool) []byte {
	if i := r.at[column]; before && i < len(r.ev.Old) && r.ev.Old[i].Kind == change.Text {
		return r.ev.Old[i].Text
	}
	if r.ev.Kind == change.Delete {
		return nil
	}
	return r.known(column).Text
}

// properties packs what the change says of every property. With moved the
// record may be new to the row: what the new tuple leaves out is taken from a
// full old one. whole tells whether nothing was left out, reread whether
// something was that may have changed.
func (r *runner) properties(moved bool) (packed change.Props, whole, reread bool) {
	out, whole := r.packed[:0], true
	for i := range r.props {
		p := &r.props[i]
		if p.constant != nil {
			out = appendConstant(out, p.slot, p.constant)
			continue
		}
		if p.formula != nil {
			switch r.knows(p.formula) {
			case allKnown:
				out = r.appendResult(out, p)
			case someKnown:
				whole, reread = false, true
			default:
				whole = false
			}
			continue
		}
		v := r.ev.New[r.at[p.column]]
		if v.Kind == change.Unchanged && moved {
			v = r.known(p.column)
		}
		switch {
		case v.Kind == change.Unchanged:
			whole = false
		case v.Kind == change.Null:
			out = r.appendNull(out, p)
		case p.raw && len(v.Text) <= MaxLength && len(v.Text) > 0 && utf8.Valid(v.Text):
			out = out.Append(p.slot, change.Set, v.Text)
		default:
			out = r.appendValue(out, p, v.Text)
		}
	}
	r.packed = out
	return out, whole, reread || moved && !whole
}

func appendConstant(out change.Props, slot int, c *constant) change.Props {
	if len(c.text) == 0 {
		return out.Append(slot, change.Clear, nil)
	}
	return out.Append(slot, change.Set, c.text)
}

// appendNull applies on_null.
func (r *runner) appendNull(out change.Props, p *propPlan) change.Props {
	switch p.onNull {
	case nullKeep:
		return out
	case nullOverwrite:
		return out.Append(p.slot, change.Clear, nil)
	}
	return out.Append(p.slot, r.clearing(p), nil)
}

// clearing is how a property without a value is cleared: in any case where the
// old row shows that it had one, else if it was delivered.
func (r *runner) clearing(p *propPlan) change.PropKind {
	if p.formula != nil {
		return r.clearingResult(p)
	}
	i := r.at[p.column]
	if !r.full || r.ev.Kind != change.Update || r.ev.Old[i].Kind != change.Text {
		return change.ClearIfDelivered
	}
	if p.values != nil && p.onOther == otherClear && !p.format.from.array {
		if _, had := p.values[string(p.format.from.plainText(r.ev.Old[i].Text))]; !had {
			return change.ClearIfDelivered
		}
	}
	return change.Clear
}

// appendValue formats a value.
func (r *runner) appendValue(out change.Props, p *propPlan, text []byte) change.Props {
	var why *change.Rejection
	if p.values == nil {
		r.scratch, why = p.format.append(r.scratch[:0], text)
	} else {
		var other otherPolicy
		r.scratch, other, why = p.translate(r.scratch[:0], text)
		switch other {
		case otherKeep:
			return out
		case otherClear:
			return out.Append(p.slot, r.clearing(p), nil)
		}
	}
	switch {
	case why != nil:
		return out.AppendRefused(p.slot, *why)
	case len(r.scratch) == 0:
		return out.Append(p.slot, change.Clear, nil)
	}
	return out.Append(p.slot, change.Set, r.scratch)
}
