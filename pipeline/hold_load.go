package pipeline

import (
	"context"
	"strconv"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// holdLoad reports whether the load must wait for a person. It is asked before
// the first chunk of a load that nobody has asked for: once begun, it was let go.
// Rows that are gone are in no table, and cannot be counted like this.
func (s *session) holdLoad(ctx context.Context, b ledger.Backfill, source *change.Source) (bool, error) {
	if s.HoldAbove == nil || s.CountLoad == nil || len(b.Keys) > 0 || b.SentTo != nil || b.Reason == Asked || b.Reason == GoneRows {
		return false, nil
	}
	digest := digestOf("load", strconv.FormatInt(b.ID, 10), b.Table, b.Object, b.Match, s.SourceHashes[source.Index])
	if s.gate.passes(func() string { return digest }) {
		return false, nil
	}
	s.loads.waiting([]ledger.Backfill{b}, "for its records to be counted")
	var t Tally
	err := turning(ctx, func() (err error) {
		t, err = s.CountLoad(ctx, b, source)
		return err
	})
	if err != nil {
		return false, &unreadableError{err}
	}
	if t.Records <= *s.HoldAbove {
		s.loads.waiting([]ledger.Backfill{b}, "")
		return false, nil
	}
	s.loads.waiting([]ledger.Backfill{b}, "for pgcrm resume "+digest)
	h := &held{Held: ledger.Held{Digest: digest, Backfill: b.ID, Records: t.Records, Samples: t.Samples, HeldAt: s.Now()}}
	return true, s.persist(ctx, "hold", func() error { return s.noteHeld(ctx, h, "the load of "+b.Table) })
}
