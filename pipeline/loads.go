package pipeline

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// loads is what reader, loader and settler share about backfills.
type loads struct {
	s      *session
	tables map[string]*change.Relation // mapped tables by qualified name

	// recording has the reader remember the transactions that it streams.
	recording atomic.Bool

	mu       sync.Mutex
	window   *window
	streamed map[uint32]uint64 // transactions that no snapshot has shown as complete
	seq      uint64
	chunks   []*sink.Chunk // in the queue whole, not yet saved as done

	// The reader's alone: it need not look at the rest for each row.
	lastXID  uint32
	watching bool // the low mark of a window was read

	pace    pace
	current map[int64]*BackfillStatus
	// planned is set once the backfills are known, and whole names the mappings
	// whose table is being loaded or waits for it.
	planned bool
	// postponed says when to try backfills again whose rows could not be read.
	postponed map[int64]time.Time
	whole     map[*change.Source]int
}

func newLoads(s *session) *loads {
	l := &loads{
		s:        s,
		tables:   map[string]*change.Relation{},
		streamed: map[uint32]uint64{},
		current:  map[int64]*BackfillStatus{},
		whole:    map[*change.Source]int{},

		postponed: map[int64]time.Time{},
	}
	for _, t := range s.Tables {
		l.tables[t.String()] = t
	}
	return l
}

// touch is told of every mapped change that the stream carries.
func (l *loads) touch(ev *change.Event, patches []change.Patch) {
	if !l.recording.Load() || ev.XID == l.lastXID && !l.watching {
		return
	}
	l.lastXID = ev.XID
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.streamed[ev.XID]; !known {
		l.seq++
		l.streamed[ev.XID] = l.seq
	}
	if w := l.window; w != nil && w.open && w.table.Schema == ev.Relation.Schema && w.table.Name == ev.Relation.Name {
		w.touch(ev, patches)
	}
}

// mark handles a logical message. Marks of others, and those of an earlier
// process that are read again, concern nobody.
func (l *loads) mark(ctx context.Context, ev *change.Event) error {
	token, side, _ := strings.Cut(string(ev.Content), " ")
	l.mu.Lock()
	w := l.window
	if w == nil || w.token != token {
		l.mu.Unlock()
		return nil
	}
	if side == lowMark {
		w.open, w.since = true, l.seq
		l.watching = true
		l.mu.Unlock()
		return nil
	}
	l.window = nil
	l.watching = false
	taken := w.open && !w.spoiled && l.complete(w)
	l.mu.Unlock()
	if !taken {
		w.verdict <- false
		return nil
	}
	chunk, err := l.enqueue(ctx, w, ev)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.chunks = append(l.chunks, chunk)
	l.mu.Unlock()
	w.verdict <- true
	return nil
}

// complete reports whether the chunk's snapshot has seen every transaction that
// was streamed before the low mark. A commit is in the log before it is visible:
// such a chunk holds an older row than the stream has delivered. Transactions
// that are seen are forgotten.
func (l *loads) complete(w *window) bool {
	complete := true
	for xid, seq := range l.streamed {
		if w.chunk.Snapshot.Visible(xid) {
			delete(l.streamed, xid)
		} else if seq <= w.since {
			complete = false
		}
	}
	return complete
}

// enqueue puts the chunk's rows into the queue, at the position of the high mark.
func (l *loads) enqueue(ctx context.Context, w *window, ev *change.Event) (*sink.Chunk, error) {
	chunk := &sink.Chunk{Backfill: w.backfill, Number: w.number, Last: w.chunk.Last, Rows: len(w.chunk.Rows)}
	former, err := l.formerKeys(ctx, w)
	if err != nil {
		return nil, err
	}
	for i := range w.mapped {
		m := &w.mapped[i]
		p := &m.patch
		if len(w.touched) > 0 {
			key, _ := w.rowKey(w.table, w.chunk.Rows[m.row])
			props, left := w.rest(key, p)
			if !left && p.Rejection == nil {
				continue
			}
			p.Props = props
		}
		if was := former[string(p.Row)]; was != "" && !l.s.queue.Holds(w.source.Target, was) {
			p.OldKey = []byte(was)
		}
		pos := change.Position{LSN: ev.Pos.LSN, Ordinal: uint32(m.row + 1)} //nolint:gosec // rows of a chunk
		l.s.add(sink.Add{Patch: p, Pos: pos, Commit: ev.CommitTime, Doubt: w.doubt, Chunk: chunk})
	}
	// The reader's mapper meets the catalog's description of the table: it learns
	// types from it that the stream does not describe. This event asks nothing.
	if _, err := l.s.Mapper.Map(&change.Event{Kind: change.Delete, Relation: w.table}, l.s.read.patches[:0]); err != nil {
		return nil, err
	}
	if err := l.enqueueGone(ctx, w, ev, chunk); err != nil {
		return nil, err
	}
	l.s.Recorder.CountBackfillRows(w.table.String(), len(w.chunk.Rows))
	l.s.count()
	return chunk, nil
}

// progress lists the chunks that can be saved as done: all before them are, and
// no row of theirs is open.
func (l *loads) progress(q *sink.Queue) []ledger.ChunkDone {
	l.mu.Lock()
	defer l.mu.Unlock()
	var done []ledger.ChunkDone
	rows := map[int64]int64{}
	for _, c := range l.chunks {
		if !q.ChunkDone(c) {
			break
		}
		rows[c.Backfill] += int64(c.Rows)
		done = append(done, ledger.ChunkDone{ID: c.Backfill, Number: c.Number, DoneTo: c.Last, Rows: l.rowsDone(c.Backfill) + rows[c.Backfill]})
	}
	return done
}

func (l *loads) rowsDone(id int64) int64 {
	if st := l.current[id]; st != nil {
		return st.Rows
	}
	return 0
}

func (l *loads) progressDue(q *sink.Queue) bool { return len(l.progress(q)) > 0 }

// saved forgets chunks whose progress is on disk.
func (l *loads) saved(done []ledger.ChunkDone) {
	if len(done) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := 0
	for _, c := range l.chunks[:len(done)] {
		rows += c.Rows
	}
	l.pace.settled(int64(rows), l.s.Now())
	l.chunks = l.chunks[len(done):]
	for _, d := range done {
		if st := l.current[d.ID]; st != nil {
			st.Rows = d.Rows
		}
	}
}

// backlog counts the rows that wait in the queue.
func (l *loads) backlog() (rows int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.chunks {
		rows += c.Rows
	}
	return rows
}

// pending reports whether a chunk of the backfill is not yet saved as done.
func (l *loads) pending(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.chunks {
		if c.Backfill == id {
			return true
		}
	}
	return false
}

func (l *loads) status() []BackfillStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []BackfillStatus
	for _, st := range l.current {
		all = append(all, *st)
	}
	return all
}

// covers reports whether the rows of the mapping are about to be read anyway.
// Before the loads are known that is certain at the very first start alone; to
// read a row twice costs less than not to read it.
func (l *loads) covers(source *change.Source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.planned && l.s.state.First && l.s.Backfill || l.whole[source] > 0
}

// loading reports whether the table of the mapping is being loaded whole, or
// waits for it.
func (l *loads) loading(source *change.Source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole[source] > 0
}

// whole reports a load of all rows of a table.
func whole(b ledger.Backfill) bool { return len(b.Keys) == 0 && b.Where == "" && b.Reason != GoneRows }

// plan takes note of which tables are to be loaded whole.
func (l *loads) plan(backfills []ledger.Backfill) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.planned = true
	clear(l.whole)
	for _, b := range backfills {
		if whole(b) {
			l.whole[l.s.sourceOf(b)]++
		}
	}
}

func (l *loads) done(source *change.Source, b ledger.Backfill) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if whole(b) {
		l.whole[source]--
	}
}

// due leaves out the backfills that wait to be tried again.
func (l *loads) due(backfills []ledger.Backfill, now time.Time) []ledger.Backfill {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(backfills, func(b ledger.Backfill) bool { return now.Before(l.postponed[b.ID]) || l.s.gate.loadHeld(b.ID) })
}

// postpone has a backfill tried again later and shows why it waits. It reports
// whether that is news.
func (l *loads) postpone(b ledger.Backfill, why string, until time.Time) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = nil
	_, before := l.postponed[b.ID]
	l.postponed[b.ID] = until
	if st := l.current[b.ID]; st != nil {
		st.Waiting = why
	}
	return !before
}
