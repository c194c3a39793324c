package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

const (
	lowMark  = "low"
	highMark = "high"

	firstLoad      = "first_load"
	mappingChanged = "mapping_changed"

	// loadPoll is how often the loader looks whether what it waits for has come.
	loadPoll = 200 * time.Millisecond
)

// recall finds out, before anything is read, which rows an earlier process sent
// without settling their chunk. Until they are settled, they and what the stream
// says of them are sent without comparison.
func (l *loads) recall(ctx context.Context) error {
	backfills, err := l.s.Ledger.Backfills(ctx)
	if err != nil {
		return ofLedger(err)
	}
	for _, b := range backfills {
		source, table := l.s.sourceOf(b), l.tables[b.Table]
		if source == nil || table == nil || !inDoubt(b) {
			continue
		}
		rows := map[string]bool{}
		err := l.between(ctx, table, b, func(c Chunk) {
			for _, row := range c.Rows {
				if key, ok := rowKey(table, table, row); ok {
					rows[key] = true
				}
			}
		})
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.doubtful[b.ID] = doubtfulRows{source: source, rows: rows, end: keyOf(b.SentTo)}
		l.mu.Unlock()
		l.s.Log.Info("backfill_rows_in_doubt", "backfill", b.ID, "table", b.Table, "rows", len(rows))
	}
	return nil
}

// inDoubt reports whether rows of the backfill may have been sent that were not
// settled.
func inDoubt(b ledger.Backfill) bool {
	return len(b.SentTo) > 0 && keyOf(b.SentTo) != keyOf(b.DoneTo)
}

// sourceOf finds the mapping that the backfill was asked for, nil where it is
// mapped no longer.
func (s *session) sourceOf(b ledger.Backfill) *change.Source {
	for _, src := range s.Sources {
		if src.Table == b.Table && src.Target.Object == b.Object && src.Target.Match == b.Match {
			return src
		}
	}
	return nil
}

// between reads the rows that were sent and not settled, chunk by chunk.
func (l *loads) between(ctx context.Context, table *change.Relation, b ledger.Backfill, each func(Chunk)) error {
	after := b.DoneTo
	for {
		chunk, err := l.s.Source.Chunk(ctx, Range{Table: table, After: after, UpTo: b.SentTo, Limit: l.s.ChunkRows, Where: b.Where})
		if err != nil {
			return err
		}
		each(chunk)
		if chunk.Done {
			return nil
		}
		after = chunk.Last
	}
}

// loadLoop waits for redo to be over and then works through the backfills.
func (s *session) loadLoop(ctx context.Context) error {
	select {
	case <-s.redone:
	case <-ctx.Done():
		return nil
	}
	backfills, err := s.plan(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	if len(backfills) == 0 {
		return nil
	}
	s.enter(Loading, nil)
	if err := s.quiet(ctx, backfills); err != nil {
		return unlessEnded(ctx, err)
	}
	for _, b := range backfills {
		if err := s.load(ctx, b); err != nil {
			return unlessEnded(ctx, err)
		}
	}
	s.loads.recording.Store(false)
	s.enter(Streaming, nil)
	return nil
}

// plan lists the backfills that are not finished, and files one for each mapping
// that is new or has changed since its rows were last sent.
func (s *session) plan(ctx context.Context) ([]ledger.Backfill, error) {
	if s.Backfill {
		if err := s.fileLoads(ctx); err != nil {
			return nil, ofLedger(err)
		}
	}
	open, err := s.Ledger.Backfills(ctx)
	return open, ofLedger(err)
}

func (s *session) fileLoads(ctx context.Context) error {
	hashes, err := s.Ledger.SourceHashes(ctx)
	if err != nil {
		return err
	}
	for i, src := range s.Sources {
		b := ledger.Backfill{
			Table: src.Table, Object: src.Target.Object, Match: src.Target.Match,
			Reason: firstLoad, SourceHash: s.SourceHashes[i],
		}
		for _, h := range hashes {
			if h.Table == b.Table && h.Object == b.Object && h.Match == b.Match {
				b.Reason = mappingChanged
				if h.Hash == b.SourceHash {
					b.Reason = ""
				}
			}
		}
		if b.Reason == "" {
			continue
		}
		if b.Estimate, err = s.Source.Estimate(ctx, s.loads.tables[src.Table]); err != nil {
			return err
		}
		if _, err := s.Ledger.AddBackfill(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// quiet has the reader remember what it streams from now on, and waits until
// every transaction that runs now has ended: of those it cannot know which were
// streamed before they became visible.
func (s *session) quiet(ctx context.Context, backfills []ledger.Backfill) error {
	s.loads.recording.Store(true)
	first, err := s.Source.Snapshot(ctx)
	if err != nil {
		return err
	}
	s.loads.waiting(backfills, "transactions that were open at the start")
	for {
		now, err := s.Source.Snapshot(ctx)
		if err != nil {
			return err
		}
		if first.EndedBefore(now) {
			s.loads.waiting(backfills, "")
			return nil
		}
		if err := sleep(ctx, loadPoll); err != nil {
			return err
		}
	}
}

func (l *loads) waiting(backfills []ledger.Backfill, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range backfills {
		if l.current[b.ID] == nil {
			l.current[b.ID] = &BackfillStatus{ID: b.ID, Table: b.Table, Rows: b.Rows, Estimate: b.Estimate}
		}
		l.current[b.ID].Waiting = what
	}
}

// load carries one backfill to its end.
func (s *session) load(ctx context.Context, b ledger.Backfill) error {
	source, table := s.sourceOf(b), s.loads.tables[b.Table]
	if source == nil || table == nil {
		s.Log.Warn("backfill_dropped", "backfill", b.ID, "table", b.Table, "note", "it is not mapped this way any more")
		return ofLedger(s.Ledger.FinishBackfill(ctx, b.ID))
	}
	s.Log.Info("backfill_started", "backfill", b.ID, "table", b.Table, "reason", b.Reason, "rows_done", b.Rows)
	next := Range{Table: table, After: b.DoneTo, Limit: s.ChunkRows, Where: b.Where}
	doubt := sink.Doubt(0)
	if inDoubt(b) {
		next.UpTo, doubt = b.SentTo, sink.ChunkInDoubt
	}
	for n := 0; ; {
		if err := s.awaitRoom(ctx); err != nil {
			return err
		}
		n++
		chunk, taken, err := s.loadChunk(ctx, b, source, next, n, doubt)
		if err != nil {
			return err
		}
		if !taken {
			continue
		}
		switch {
		case !chunk.Done:
			next.After = chunk.Last
		case next.UpTo != nil:
			// What may have been sent has been sent again; the rest is new.
			next.After, next.UpTo, doubt = b.SentTo, nil, 0
		default:
			return s.finish(ctx, b)
		}
	}
}

// loadChunk reads a chunk between two marks and reports whether the reader has
// put it into the queue. If not, it must be read again.
func (s *session) loadChunk(ctx context.Context, b ledger.Backfill, source *change.Source, r Range, n int, doubt sink.Doubt) (Chunk, bool, error) {
	w := &window{
		token:    fmt.Sprintf("%d-%d-%d", s.state.Epoch, b.ID, n),
		table:    r.Table,
		source:   source,
		backfill: b.ID,
		doubt:    doubt,
		verdict:  make(chan bool, 1),
		touched:  map[string]touch{},
	}
	s.loads.setWindow(w)
	if err := s.Source.Mark(ctx, w.token+" "+lowMark); err != nil {
		return Chunk{}, false, err
	}
	chunk, err := s.Source.Chunk(ctx, r)
	if err != nil {
		return Chunk{}, false, err
	}
	sentTo := chunk.Last
	if r.UpTo != nil && chunk.Done {
		sentTo = r.UpTo
		chunk.Last = r.UpTo
	}
	if len(sentTo) == 0 {
		s.loads.setWindow(nil)
		return chunk, true, nil // no rows
	}
	if r.UpTo == nil {
		// Written ahead: what is sent from here on is not in the log.
		err := s.persist(ctx, "backfill_sent_to", func() error { return s.Ledger.BackfillSentTo(ctx, b.ID, sentTo) })
		if err != nil {
			return Chunk{}, false, err
		}
	}
	s.loads.fill(w, chunk)
	if err := s.Source.Mark(ctx, w.token+" "+highMark); err != nil {
		return Chunk{}, false, err
	}
	select {
	case taken := <-w.verdict:
		if !taken {
			s.Log.Info("backfill_chunk_read_again", "backfill", b.ID, "table", b.Table)
			return chunk, false, sleep(ctx, loadPoll)
		}
		return chunk, true, nil
	case <-ctx.Done():
		return Chunk{}, false, ctx.Err()
	}
}

func (l *loads) setWindow(w *window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = w
}

// fill gives the window its rows. The reader does not look at them before it
// has seen the high mark, which is written after this.
func (l *loads) fill(w *window, chunk Chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.chunk = chunk
}

// awaitRoom lets live changes go first: a chunk is read only while the queue is
// less than half full.
func (s *session) awaitRoom(ctx context.Context) error {
	for s.queue.Stats().Bytes > s.BufferBytes/2 {
		if err := sleep(ctx, loadPoll/10); err != nil {
			return err
		}
	}
	return nil
}

// finish waits until the last chunk is saved as done.
func (s *session) finish(ctx context.Context, b ledger.Backfill) error {
	for s.loads.pending(b.ID) {
		if err := sleep(ctx, loadPoll); err != nil {
			return err
		}
	}
	err := s.persist(ctx, "backfill_finished", func() error { return s.Ledger.FinishBackfill(ctx, b.ID) })
	if err != nil {
		return err
	}
	rows := s.loads.forget(b.ID)
	s.Log.Info("backfill_finished", "backfill", b.ID, "table", b.Table, "rows", rows)
	return nil
}

func (l *loads) forget(id int64) (rows int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if st := l.current[id]; st != nil {
		rows = st.Rows
	}
	delete(l.current, id)
	return rows
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
