package pipeline

import (
	"context"
	"strconv"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// mustWait reports whether the load must wait for a person. It is asked before
// the first chunk of a load that nobody has asked for: once begun, it was let go.
func (j *job) mustWait(ctx context.Context) (bool, error) {
	if j.HoldAbove == nil || len(j.Keys) > 0 || j.SentTo != nil || j.Reason == Asked {
		return false, nil
	}
	count := func(ctx context.Context) (Tally, error) {
		t, err := j.CountLoad(ctx, j.Backfill, j.source)
		if err != nil {
			err = &unreadableError{err}
		}
		return t, err
	}
	what := "the load of " + j.Table
	switch {
	case j.Reason == GoneRows && j.source.OnDelete == change.Ignore:
		return false, nil
	case j.Reason == GoneRows:
		count, what = j.tallyGone, "what on_delete says of rows that are gone from "+j.Table
	case j.CountLoad == nil:
		return false, nil
	}
	digest := digestOf("load", strconv.FormatInt(j.ID, 10), j.Table, j.Object, j.Match, j.session.SourceHash(j.source))
	if j.gate.passes(func() string { return digest }) {
		return false, nil
	}
	waiting := []ledger.Backfill{j.Backfill}
	j.loads.waiting(waiting, "for its records to be counted")
	var t Tally
	err := turning(ctx, func() (err error) {
		t, err = count(ctx)
		return err
	})
	if err != nil {
		return false, err
	}
	if t.Records <= *j.HoldAbove {
		j.loads.waiting(waiting, "")
		return false, nil
	}
	j.loads.waiting(waiting, "for pgcrm resume "+digest)
	h := &held{Held: ledger.Held{Digest: digest, Backfill: j.ID, Records: t.Records, Samples: t.Samples, HeldAt: j.Now()}}
	return true, j.persist(ctx, "hold", func() error { return j.noteHeld(ctx, h, what) })
}

// dropHolds forgets loads that somebody has cancelled while they waited.
func (s *session) dropHolds(ctx context.Context, open []ledger.Backfill) error {
	for _, h := range s.gate.withdrawn(open) {
		s.loads.forget(h.Backfill)
		s.Log.Info("hold_over", "digest", h.Digest, "backfill", h.Backfill, "note", "the load was cancelled")
		if err := s.persist(ctx, "forget_hold", func() error { return s.Ledger.ForgetHolds(ctx, []string{h.Digest}) }); err != nil {
			return err
		}
	}
	return nil
}
