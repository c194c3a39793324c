package pipeline

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// reweighEvery is how often it is counted anew what a transaction comes to that
// waits, while later changes go into it.
const reweighEvery = 5 * time.Second

// weighing is what the reader knows of the transaction that it reads, where that
// may have to wait.
type weighing struct {
	on     bool // its versions are withheld
	commit change.LSN
	early  *held // it waits already, before its end
	// Of the changes that the queue had no room for: records that would change,
	// never more of them than one above HoldAbove, and those not looked up yet.
	outside map[uint64]bool
	pending []*sink.Entry
	samples []ledger.HeldSample
	seed    maphash.Seed

	weighed time.Time // when it was last counted anew what waits
}

// weigh begins with a transaction.
func (s *session) weigh(commit change.LSN) {
	if s.HoldAbove == nil {
		return
	}
	w := &s.read.weighing
	*w = weighing{commit: commit, seed: w.seed, weighed: w.weighed}
	if s.read.skip || s.gate.passes(func() string { return s.txDigest(commit) }) {
		return
	}
	w.on = true
	s.queue.Withhold()
}

func (s *session) txDigest(commit change.LSN) string {
	return digestOf("transaction", s.server.SystemID, commit.String(), s.Instance.MappingHash)
}

// judge decides, once the transaction is read whole, whether it goes on.
func (s *session) judge(ctx context.Context) error {
	w := &s.read.weighing
	if !w.on {
		return nil
	}
	w.on = false
	versions := s.queue.Withheld()
	if versions == nil {
		return nil // none of it is in the queue; where it was left out it is read again
	}
	if w.early == nil && len(w.outside)+len(w.pending) == 0 && int64(versions.Len()) <= *s.HoldAbove {
		s.queue.Release(versions)
		return nil
	}
	if err := s.weighOutside(ctx); err != nil {
		return err
	}
	t, err := s.tally(ctx, s.queue.Entries(versions), nil)
	if err != nil {
		return err
	}
	t.Records += int64(len(w.outside))
	t.Samples = append(t.Samples, w.samples...)
	t.Samples = t.Samples[:min(len(t.Samples), sampleRecords)]
	if w.early != nil {
		return s.recount(ctx, w.early, t)
	}
	if t.Records <= *s.HoldAbove {
		s.queue.Release(versions)
		return nil
	}
	// Where more was left out than is counted, the number is the least that it is.
	return s.holdTransaction(ctx, versions, t, int64(len(w.outside)) > *s.HoldAbove)
}

func (s *session) holdTransaction(ctx context.Context, versions *sink.Hold, t Tally, partial bool) error {
	w := &s.read.weighing
	h := &held{versions: versions, Held: ledger.Held{
		Digest: s.txDigest(w.commit), Commit: w.commit, Records: t.Records, Partial: partial, Samples: t.Samples, HeldAt: s.Now(),
	}}
	if partial && w.on {
		w.early = h
	}
	return s.noteHeld(ctx, h, "the transaction that committed at "+w.commit.String())
}

// squeeze makes room where only what waits for the end of the transaction that is
// being read fills the queue: the end would never be read. What would change
// nothing goes off. If the rest is too much already, the transaction waits; if it
// is not, it is read to its end without being kept, and then read once more.
func (s *session) squeeze(ctx context.Context) error {
	w := &s.read.weighing
	if !w.on || w.early != nil || !s.queue.Stuck() {
		return nil
	}
	versions := s.queue.Withheld()
	if versions == nil {
		return nil // what waits is older
	}
	same := map[*sink.Entry]bool{}
	t, err := s.tally(ctx, s.queue.Entries(versions), func(e *sink.Entry, changes bool) {
		if !changes {
			same[e] = true
		}
	})
	if err != nil {
		return err
	}
	if t.Records > *s.HoldAbove {
		return s.holdTransaction(ctx, versions, t, true)
	}
	s.queue.ReleaseSome(versions, func(e *sink.Entry) bool { return same[e] })
	if len(same) < versions.Len() {
		s.read.mergeOnly = true
		s.Log.Info("transaction_counted", "commit", w.commit.String(), "buffer_bytes", s.BufferBytes,
			"note", "it does not fit into PGCRM_BUFFER_BYTES and may come to more than PGCRM_HOLD_ABOVE: it is counted first, and then read again")
	}
	return nil
}

// leftOutside takes note of a change that the queue had no room for.
func (s *session) leftOutside(a *sink.Add) {
	w := &s.read.weighing
	if !w.on || int64(len(w.outside)) > *s.HoldAbove {
		return
	}
	w.pending = append(w.pending, versionOf(a.Patch, a.Pos))
}

// versionOf is the version that a change alone makes.
func versionOf(p *change.Patch, pos change.Position) *sink.Entry {
	return &sink.Entry{
		Source: p.Source, Key: string(p.Key), OldKey: string(p.OldKey), Row: string(p.Row), Props: slices.Clone(p.Props),
		Rejection: p.Rejection, Gone: p.Gone, GoneOnly: p.Gone, First: pos, Newest: pos,
	}
}

// weighOutside counts the changes that the queue had no room for.
func (s *session) weighOutside(ctx context.Context) error {
	w := &s.read.weighing
	if len(w.pending) == 0 {
		return nil
	}
	if w.outside == nil {
		w.outside, w.seed = map[uint64]bool{}, maphash.MakeSeed()
	}
	t, err := s.tally(ctx, w.pending, func(e *sink.Entry, changes bool) {
		if changes && int64(len(w.outside)) <= *s.HoldAbove {
			w.outside[maphash.String(w.seed, barKey(e.Source.Target, []byte(e.Key)))] = true
		}
	})
	if err != nil {
		return err
	}
	w.samples = append(w.samples, t.Samples...)
	w.samples = w.samples[:min(len(w.samples), sampleRecords)]
	w.pending = w.pending[:0]
	return nil
}

// takeUp lets go what a person has resumed.
func (s *session) takeUp() {
	if !s.gate.news.Swap(false) {
		return
	}
	for _, h := range s.gate.takeResumed() {
		s.release(h)
		s.logResumed(h)
	}
}

func (s *session) release(h *held) {
	s.queue.Release(h.versions)
	s.gate.remove(h)
	if w := &s.read.weighing; w.early == h {
		w.early, w.on = nil, false
	}
}

// reweigh counts anew what waits, where later changes went into it: rows that
// were put right change nothing any more.
func (s *session) reweigh(ctx context.Context) error {
	w := &s.read.weighing
	if w.on || s.HoldAbove == nil || s.Now().Sub(w.weighed) < reweighEvery || !s.queue.Regained() {
		return nil
	}
	w.weighed = s.Now()
	for _, h := range s.gate.list() {
		if h.versions == nil {
			continue
		}
		t, err := s.tally(ctx, s.queue.Entries(h.versions), nil)
		if err != nil {
			return err
		}
		if err := s.recount(ctx, h, t); err != nil {
			return err
		}
	}
	return nil
}

// recount notes what a transaction that waits comes to now, and lets it go where
// that is not too much any more.
func (s *session) recount(ctx context.Context, h *held, t Tally) error {
	if t.Records <= *s.HoldAbove {
		s.release(h)
		s.Log.Info("hold_over", "digest", h.Digest, "records", t.Records, "note", "later changes have taken it back so far that it goes on")
		return ofLedger(s.Ledger.ForgetHolds(ctx, []string{h.Digest}))
	}
	if h.Records == t.Records && !h.Partial {
		return nil
	}
	now := h.Held
	now.Records, now.Partial, now.Samples = t.Records, false, t.Samples
	s.gate.update(h, now)
	return ofLedger(s.Ledger.Hold(ctx, now))
}
