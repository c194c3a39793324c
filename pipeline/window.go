package pipeline

import (
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
)

// window is a chunk of a backfill on its way through the stream. The loader
// makes it and fills it in before it writes the high mark; the reader takes note
// between the marks of what the stream carries, and puts the rest of the chunk
// into the queue at the high mark.
type window struct {
	token    string
	table    *change.Relation // as the catalog has it
	source   *change.Source
	backfill int64
	number   int // of the chunk in the backfill
	chunk    Chunk
	mapped   []mappedRow
	doubt    sink.Doubt
	first    bool      // the table's first load
	verdict  chan bool // whether the chunk was taken; buffered
	// gone are primary keys of rows that are gone if the chunk lacks them.
	gone [][]string

	open    bool
	since   uint64           // streamed transactions up to here came before the low mark
	touched map[string]touch // by row
	spoiled bool             // a change whose row the stream does not name
}

// touch says which properties of a row the stream carried between the marks.
type touch struct {
	all   bool
	slots map[int]bool
}

// touch takes note of a change between the marks. An update counts for the
// properties that it carries; an insert, a delete and a change of either key
// count for the row whole, and so does an update that gave the mapping nothing:
// the row as the stream left it asks nothing of the CRM.
func (w *window) touch(ev *change.Event, patches []change.Patch) {
	if ev.Kind != change.Update {
		row := ev.New
		if ev.Kind == change.Delete {
			row = ev.Old
		}
		w.touchAll(ev.Relation, row)
		return
	}
	if ev.Old != nil {
		before, ok := w.rowKey(ev.Relation, ev.Old)
		after, _ := w.rowKey(ev.Relation, ev.New)
		if !ok || before != after {
			w.touchAll(ev.Relation, ev.Old)
			w.touchAll(ev.Relation, ev.New)
			return
		}
	}
	row, ok := w.rowKey(ev.Relation, ev.New)
	if !ok {
		w.spoiled = true
		return
	}
	t := w.touched[row]
	p := patchOf(patches, w.source)
	if p == nil || p.Rejection != nil || len(p.OldKey) > 0 {
		t.all = true
	} else {
		if t.slots == nil {
			t.slots = map[int]bool{}
		}
		for prop := range p.Props.All() {
			t.slots[prop.Slot] = true
		}
	}
	w.touched[row] = t
}

func (w *window) touchAll(rel *change.Relation, row []change.Value) {
	key, ok := w.rowKey(rel, row)
	if !ok {
		w.spoiled = true
		return
	}
	w.touched[key] = touch{all: true}
}

func patchOf(patches []change.Patch, src *change.Source) *change.Patch {
	for i := range patches {
		if patches[i].Source == src {
			return &patches[i]
		}
	}
	return nil
}

// rest returns what the chunk's row may still give: the properties that the
// stream did not carry between the marks.
func (w *window) rest(row string, p *change.Patch) (change.Props, bool) {
	t, touched := w.touched[row]
	switch {
	case !touched:
		return p.Props, true
	case t.all:
		return nil, false
	}
	props := p.Props.Without(nil, func(slot int) bool { return t.slots[slot] })
	return props, len(props) > 0
}

// rowKey names a row by the primary key of the catalog's table.
func (w *window) rowKey(rel *change.Relation, row []change.Value) (string, bool) {
	return rowKey(w.table, rel, row)
}

func rowKey(table, rel *change.Relation, row []change.Value) (string, bool) {
	var b strings.Builder
	for _, i := range table.PrimaryKey {
		at := i
		if rel != table {
			at = rel.Column(table.Columns[i].Name)
		}
		if at < 0 || at >= len(row) || row[at].Kind != change.Text {
			return "", false
		}
		b.Write(row[at].Text)
		b.WriteByte(0)
	}
	return b.String(), true
}

func keyOf(pk []string) string { return strings.Join(pk, "\x00") + "\x00" }
