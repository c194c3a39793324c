package sink

import "github.com/pgcrm/pgcrm/change"

// rows finds the last entry that a row's change went into: a change may name the
// row, and not the record. A delete does, and an update may leave the match value
// out that the row had before; a row whose key is its match value never does.
type rows map[rowOf]*Entry

type rowOf struct {
	source *change.Source
	row    string
}

func (r rows) enter(e *Entry) {
	if e.Rejection != nil {
		return
	}
	r.enterRow(e, e.Source, e.Row, e.Row != e.Key || e.OldKey != "")
	for _, o := range e.Also {
		r.enterRow(e, o.Source, o.Row, o.Row != e.Key)
	}
}

func (r rows) enterRow(e *Entry, source *change.Source, row string, named bool) {
	if source.OnDelete != change.Ignore || named {
		r[rowOf{source, row}] = e
	}
}

func (r rows) leave(e *Entry) {
	r.leaveRow(e, e.Source, e.Row)
	for _, o := range e.Also {
		r.leaveRow(e, o.Source, o.Row)
	}
}

func (r rows) leaveRow(e *Entry, source *change.Source, row string) {
	if at := (rowOf{source, row}); r[at] == e {
		delete(r, at)
	}
}

// Holds reports whether a change in the queue concerns the key.
func (q *Queue) Holds(target *change.Target, key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes[target.Index].last[key] != nil
}

// KeyOf is the record that a row's last change in the queue went to; false where
// there is none.
func (q *Queue) KeyOf(source *change.Source, row []byte) (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.lanes[source.Target.Index].rows[rowOf{source, string(row)}]
	if e == nil {
		return "", false
	}
	return e.Key, true
}
