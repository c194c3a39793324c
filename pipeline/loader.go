package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

const (
	lowMark  = "low"
	highMark = "high"

	// loadPoll is how often the loader looks whether what it waits for has come.
	loadPoll = 200 * time.Millisecond
	// unreadableRetry is how long a backfill waits whose rows cannot be read.
	unreadableRetry = 5 * time.Second
	// requestPoll is how often requests are looked for.
	requestPoll = time.Second
)

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

// loadLoop waits for redo to be over and then works through the backfills: those
// that were begun, those of mappings that are new or have changed, and those
// that are asked for while it runs.
func (s *session) loadLoop(ctx context.Context) error {
	err := patiently(ctx, func(ctx context.Context) error {
		select {
		case <-s.redone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return nil //nolint:nilerr // told to stop
	}
	var filed []string
	for {
		if now := s.sourceHashes(); s.Backfill && !slices.Equal(now, filed) {
			if err := s.persist(ctx, "file_backfills", func() error { return s.fileLoads(ctx, now) }); err != nil {
				return unlessEnded(ctx, err)
			}
			filed = now
		}
		var backfills []ledger.Backfill
		err := s.persist(ctx, "list_backfills", func() (err error) {
			backfills, err = s.Ledger.Backfills(ctx)
			return err
		})
		if err != nil {
			return unlessEnded(ctx, err)
		}
		if err := s.dropHolds(ctx, backfills); err != nil {
			return unlessEnded(ctx, err)
		}
		s.loads.plan(backfills)
		backfills = s.loads.due(backfills, s.Now())
		if err := s.loadAll(ctx, backfills); err != nil {
			return unlessEnded(ctx, err)
		}
		if err := s.chores(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
		if err := sleep(ctx, requestPoll); err != nil {
			return nil //nolint:nilerr // told to stop
		}
	}
}

func (s *session) loadAll(ctx context.Context, backfills []ledger.Backfill) error {
	if len(backfills) == 0 {
		s.enter(Streaming, nil)
		return nil
	}
	for _, b := range backfills {
		if len(b.Keys) == 0 {
			s.enter(Loading, nil)
		}
	}
	if err := s.quiet(ctx, backfills); err != nil {
		return err
	}
	for _, b := range backfills {
		if err := s.load(ctx, b); err != nil {
			return err
		}
	}
	s.enter(Streaming, nil)
	return nil
}

// forgetUnmapped has the rows of a mapping that is gone sent anew if it ever comes
// back: what they change meanwhile goes by unseen. It is on disk before anything is
// read, and with that before the checkpoint passes such a change.
func (s *session) forgetUnmapped(ctx context.Context) error {
	hashes, err := s.Ledger.SourceHashes(ctx)
	if err != nil {
		return ofLedger(err)
	}
	for _, h := range hashes {
		if s.sourceOf(ledger.Backfill{Table: h.Table, Object: h.Object, Match: h.Match}) != nil {
			continue
		}
		if err := s.Ledger.ForgetSource(ctx, h); err != nil {
			return ofLedger(err)
		}
		s.Log.Info("mapping_gone", "table", h.Table, "object", h.Object, "note", "its rows are sent anew if it comes back")
	}
	return nil
}

func (s *session) sourceHashes() []string {
	hashes := make([]string, len(s.Sources))
	for i, src := range s.Sources {
		hashes[i] = s.SourceHash(src)
	}
	return hashes
}

// fileLoads asks for loads of the mappings whose hash is not the ledger's.
func (s *session) fileLoads(ctx context.Context, now []string) error {
	hashes, err := s.Ledger.SourceHashes(ctx)
	if err != nil {
		return err
	}
	for i, src := range s.Sources {
		b := ledger.Backfill{
			Table: src.Table, Object: src.Target.Object, Match: src.Target.Match,
			Reason: firstLoad, SourceHash: now[i],
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
// streamed before they became visible. Once in a session is enough.
func (s *session) quiet(ctx context.Context, backfills []ledger.Backfill) error {
	if !s.loads.recording.CompareAndSwap(false, true) {
		s.loads.waiting(backfills, "")
		return nil
	}
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

// load carries one backfill to its end. Where its rows cannot be read, one that a
// person asked for is given up with the reason, say of a condition that is no
// SQL. The others are owed: they wait, and are tried again.
func (s *session) load(ctx context.Context, b ledger.Backfill) error {
	source, table := s.sourceOf(b), s.loads.tables[b.Table]
	if source == nil || table == nil {
		return s.giveUp(ctx, b, "the table is not mapped this way any more")
	}
	j := &job{session: s, Backfill: b, source: source, table: table}
	err := j.look(ctx)
	if err == nil {
		var waits bool
		if waits, err = j.mustWait(ctx); waits {
			return err
		}
	}
	if err == nil {
		s.Log.Info("backfill_started", "backfill", b.ID, "table", b.Table, "reason", b.Reason, "rows_done", b.Rows)
		err = j.run(ctx)
	}
	var unreadable *unreadableError
	if errors.Is(err, errCancelled) {
		s.loads.done(source, b)
		return j.cancelled(ctx)
	}
	owed := errors.As(err, &unreadable) && ctx.Err() == nil && !s.Source.Transient(err)
	if owed && b.Reason != Asked {
		s.postpone(b, unreadable.Error())
		return nil
	}
	s.loads.done(source, b)
	switch {
	case owed:
		return s.giveUp(ctx, b, unreadable.Error())
	case err != nil:
		return err
	}
	s.fits(source)
	if err = j.finish(ctx); errors.Is(err, errCancelled) {
		return j.cancelled(ctx)
	}
	return err
}

func (s *session) postpone(b ledger.Backfill, why string) {
	if s.loads.postpone(b, why, s.Now().Add(unreadableRetry)) {
		s.Log.Error("backfill_waits", "backfill", b.ID, "table", b.Table, "reason", b.Reason, "error", why,
			"note", "its rows are owed; it goes on when they can be read")
	}
}

func (s *session) giveUp(ctx context.Context, b ledger.Backfill, why string) error {
	s.Log.Warn("backfill_given_up", "backfill", b.ID, "table", b.Table, "error", why)
	s.loads.setWindow(nil)
	s.loads.forget(b.ID)
	return s.persist(ctx, "backfill_failed", func() error { return s.Ledger.FailBackfill(ctx, b.ID, why) })
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
	turn(ctx)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
