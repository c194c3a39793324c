package pipeline

import (
	"context"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

const (
	// requestRows is how many rows one request names.
	requestRows = 1000
	// streamedEnough is from how many remembered transactions on a snapshot is
	// taken to forget those that are complete.
	streamedEnough = 10_000
	// lateEvery is how often it is looked for records whose doubt has ended.
	lateEvery = 5 * time.Second
	// purgeEvery is how often letters that are too old are removed.
	purgeEvery = time.Minute
)

// chores does what falls due now and then between backfills.
func (s *session) chores(ctx context.Context) error {
	if err := s.loads.trim(ctx); err != nil {
		return err
	}
	now := s.Now()
	if s.RecheckMissing > 0 && now.Sub(s.rechecked) >= s.RecheckMissing {
		s.rechecked = now
		if err := s.recheckMissing(ctx); err != nil {
			return err
		}
	}
	if s.LateWindow > 0 && now.Sub(s.lateAsked) >= min(lateEvery, s.LateWindow) {
		s.lateAsked = now
		if err := s.requestLate(ctx, now); err != nil {
			return err
		}
	}
	if s.LetterRetention > 0 && now.Sub(s.purged) >= purgeEvery {
		s.purged = now
		return s.persist(ctx, "purge_letters", func() error {
			n, err := s.Ledger.DropLetters(ctx, ledger.Filter{SeenBefore: now.Add(-s.LetterRetention)})
			if n > 0 {
				s.Log.Info("letters_removed", "count", n, "older_than", s.LetterRetention)
			}
			return err
		})
	}
	return nil
}

// requestLate has the records sent once more that an unanswered request may have
// changed meanwhile. A fence that would keep it from doing so does not exist.
func (s *session) requestLate(ctx context.Context, now time.Time) error {
	return s.persist(ctx, "request_late", func() error {
		n, err := s.Ledger.RequestLate(ctx, now, requestRows, Late)
		if n > 0 {
			s.Log.Info("late_requests_over", "records", n, "note", "they are read and sent once more")
		}
		return err
	})
}

// trim forgets streamed transactions that are complete, so that few are
// remembered however long no chunk is read.
func (l *loads) trim(ctx context.Context) error {
	l.mu.Lock()
	n := len(l.streamed)
	l.mu.Unlock()
	if n < streamedEnough {
		return nil
	}
	snapshot, err := l.s.Source.Snapshot(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for xid := range l.streamed {
		if snapshot.Visible(xid) {
			delete(l.streamed, xid)
		}
	}
	return nil
}

// recheckMissing has the rows of all records that were missing read and sent
// again: 100 a call, as a look-up would take, and whole once they exist.
func (s *session) recheckMissing(ctx context.Context) error {
	return s.persist(ctx, "recheck_missing", func() error {
		letters, err := s.Ledger.Letters(ctx, ledger.Filter{Category: sink.CategoryNotFound})
		if err != nil {
			return err
		}
		bySource := map[*change.Source][]string{}
		for _, l := range letters {
			for row := range l.Rows() {
				if src := s.sourceOf(ledger.Backfill{Table: row.Table, Object: l.Object, Match: l.Match}); src != nil {
					bySource[src] = append(bySource[src], row.Row)
				}
			}
		}
		for src, keys := range bySource {
			if err := s.request(ctx, src, Recheck, keys); err != nil {
				return err
			}
		}
		return nil
	})
}

// request asks for single rows to be read as chunks of their own.
func (s *session) request(ctx context.Context, src *change.Source, reason string, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), requestRows)
		_, err := s.Ledger.AddBackfill(ctx, ledger.Backfill{
			Table: src.Table, Object: src.Target.Object, Match: src.Target.Match,
			Reason: reason, Keys: keys[:n], Estimate: int64(n),
		})
		if err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}
