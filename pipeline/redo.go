package pipeline

import (
	"context"
	"errors"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/sink"
)

// errRedoAgain ends a session whose queue could not hold every record that
// changed below the point of redo. A queue full was delivered and settled; the
// next session reads again from the checkpoint.
var errRedoAgain = errors.New("redo again")

// passRedo opens the gate once everything that may have been sent before has
// been read again.
func (s *session) passRedo(ctx context.Context) error {
	if !s.redoing.Load() || s.queue.Horizon() < s.redoTo {
		return nil
	}
	if s.read.leftOut {
		return s.deliverAndRedo(ctx)
	}
	if err := failpoint.At("redo.passed"); err != nil {
		return err
	}
	s.read.mergeOnly = false
	s.redoing.Store(false)
	s.queue.Open()
	close(s.redone)
	s.Log.Info("redo_passed", "at", s.queue.Horizon().String(), "records", s.queue.Stats().Records)
	return nil
}

// deliverAndRedo sends what the queue could hold, reads nothing meanwhile, and
// asks for another session. The bound does not rise in it, so that the point of
// redo does not move away.
//
// What waits for a person has all of it wait: the queue has no room.
//
// The next session passes over what is settled now. The ledger would not do: it
// knows nothing of records that the CRM does not have, and a transaction with
// more of them than the queue holds would be begun again for ever.
func (s *session) deliverAndRedo(ctx context.Context) error {
	s.queue.Drain()
	s.queue.Open()
	for !s.queue.Empty() {
		s.takeUp()
		if err := s.idle(ctx, s.queue.Room()); err != nil {
			return err
		}
	}
	s.passed = s.read.firstLeft
	return errRedoAgain
}

// lookupRows is how many keys are looked up at once while condensing.
const lookupRows = 1000

// condense makes room in a queue that is full during redo: it forgets versions
// that the ledger shows as accounted for, and if that does not help, from now on
// changes only merge into records that are queued.
func (s *session) condense(ctx context.Context) error {
	byTarget := map[*change.Target][]*sink.Entry{}
	for _, e := range s.queue.Waiting() {
		if e.Rejection == nil {
			byTarget[e.Source.Target] = append(byTarget[e.Source.Target], e)
		}
	}
	for target, entries := range byTarget {
		for len(entries) > 0 {
			n := min(len(entries), lookupRows)
			if err := s.forgetAccounted(ctx, target, entries[:n]); err != nil {
				return err
			}
			entries = entries[n:]
		}
	}
	// A little room would have it condense again after every few changes.
	s.read.mergeOnly = s.queue.Stats().Bytes > s.BufferBytes/4*3
	s.Log.Info("redo_queue_full", "records", s.queue.Stats().Records, "merge_only", s.read.mergeOnly)
	return nil
}

func (s *session) forgetAccounted(ctx context.Context, target *change.Target, entries []*sink.Entry) error {
	if _, err := s.stream.KeepAlive(ctx); err != nil {
		return err
	}
	records, err := s.Ledger.Lookup(ctx, target, keysOf(entries))
	if err != nil {
		return ofLedger(err)
	}
	var settled []*sink.Entry
	for i, e := range entries {
		if s.accounted(e, records[i]) {
			settled = append(settled, e)
		}
	}
	s.queue.Forget(settled)
	return nil
}

// accounted reports whether every change of the version is known to be
// delivered, superseded or parked. Ordinals below OrdinalsSince were counted
// under another publication or mapping and say nothing.
func (s *session) accounted(e *sink.Entry, record *change.Record) bool {
	return record != nil &&
		e.First.LSN >= s.state.OrdinalsSince &&
		!record.Accounted.Before(e.Newest)
}

// leaveOut notes that the change must be read again, and with it everything from
// its transaction on.
func (s *session) leaveOut(a *sink.Add) {
	if !s.read.leftOut {
		s.read.leftOut, s.read.firstLeft = true, a.Pos
	}
	p := a.Patch
	s.queue.Ceiling(s.queue.LastEnd())
	s.leftOutside(a)
	if len(p.OldKey) > 0 {
		// What follows on either key must not overtake the rename.
		if s.read.barred == nil {
			s.read.barred = map[string]bool{}
		}
		s.read.barred[barKey(p.Source.Target, p.OldKey)] = true
		s.read.barred[barKey(p.Source.Target, p.Key)] = true
		s.queue.Reused(p.Source.Target, p.OldKey)
		s.queue.Reused(p.Source.Target, p.Key)
	}
}

// barred reports whether a rename of the patch's record was left out.
func (s *session) barred(p *change.Patch) bool {
	if len(s.read.barred) == 0 {
		return false
	}
	t := p.Source.Target
	if s.read.barred[barKey(t, p.Key)] {
		return true
	}
	return len(p.OldKey) > 0 && s.read.barred[barKey(t, p.OldKey)]
}

func barKey(t *change.Target, key []byte) string {
	return t.Object + "\x00" + t.Match + "\x00" + string(key)
}

func keysOf(entries []*sink.Entry) []string {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys
}
