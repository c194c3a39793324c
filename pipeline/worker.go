package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// outcome is what became of one version, on its way to the ledger.
type outcome struct {
	entry    *sink.Entry
	delivery *ledger.Delivery // nil where the CRM was not written and no letter may close
	letters  []ledger.Letter
	name     string // for the metric
	// reread is set where the row is to be read, since the record lacks values
	// that the stream does not carry.
	reread bool
	// late is set where a request without an answer may still change the record.
	late bool
	// astray is the key of a record that must be put right before this one.
	astray   string
	sent     change.Props
	answered time.Time
}

// dispatchLoop takes batches and starts a worker for each until ctx ends. The
// workers run under hard, so that what is in flight outlives ctx. A worker that
// fails kills the session, since its batch would never be settled; but not once
// the session has ended anyway, when the others are to finish.
func (s *session) dispatchLoop(ctx, hard context.Context, stop <-chan struct{}, kill context.CancelCauseFunc, workers *errgroup.Group) error {
	slots := make(chan struct{}, s.MaxInFlight)
	for {
		err := patiently(ctx, func(ctx context.Context) error {
			select {
			case slots <- struct{}{}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return unlessEnded(ctx, err)
		}
		// Changes keep merging in the queue while no call could be made.
		if err := patiently(ctx, s.lease.await); err != nil {
			return unlessEnded(ctx, err)
		}
		if err := patiently(ctx, s.Ready); err != nil {
			return unlessEnded(ctx, err)
		}
		var batch []*sink.Entry
		err = patiently(ctx, func(ctx context.Context) (err error) {
			batch, err = s.queue.Take(ctx, s.Gather, s.lead.linger)
			return err
		})
		if err != nil {
			return unlessEnded(ctx, err)
		}
		workers.Go(func() error {
			s.inFlight.Add(1)
			defer func() { s.inFlight.Add(-1); <-slots }()
			err := s.deliver(hard, ctx, batch)
			if err != nil && ctx.Err() == nil && !stopped(stop) {
				kill(err)
			}
			return err
		})
	}
}

// lagAfter is how long the checkpoint may stand still before the ledger is told of
// what needed no call.
const lagAfter = 30 * time.Second

// lagging reports whether something has kept the checkpoint for so long that what
// is behind it would be much to send again after a crash. Otherwise the checkpoint
// passes what needed no call, which then costs no write either.
func (s *session) lagging() bool {
	open := s.queue.Stats().Open
	return !open.IsZero() && s.Now().Sub(open) > lagAfter
}

// fillAtMost is how many batches are gone through to fill one call.
const fillAtMost = 10

// holdFor is how long a target rests whose configuration the CRM refuses.
const holdFor = 30 * time.Second

// deliver brings one batch to its outcomes. An error means that ctx has ended,
// that the process is told to stop, or what no waiting mends; what has no outcome
// by then stays unsettled, and redo finds it.
//
// What turns out to need no call makes room in the one that the others need: it is
// filled up from the queue, until front ends.
func (s *session) deliver(ctx, front context.Context, batch []*sink.Entry) (err error) {
	target := batch[0].Source.Target
	var outcomes []outcome
	if s.Trace != nil {
		traced, end := s.Trace(ctx, target, batch)
		ctx = traced
		defer func() { end(byName(outcomes), err) }()
	}
	if err := failpoint.At("deliver.taken"); err != nil {
		return err
	}
	var writes, archives []*attempt
	for taken := 0; len(batch) > 0; {
		taken += len(batch)
		lagging := s.lagging()
		records, err := s.lookup(ctx, target, batch)
		if err != nil {
			return err
		}
		attempts := make([]attempt, len(batch))
		for i, e := range batch {
			a := &attempts[i]
			*a = attempt{session: s, entry: e, remembered: records[i], lagging: lagging}
			o, done := a.withoutCall()
			if err := a.owe(ctx); err != nil {
				return err
			}
			switch {
			case done:
				outcomes = append(outcomes, o)
			case a.archives():
				archives = append(archives, a)
			default:
				writes = append(writes, a)
			}
		}
		batch = nil
		if n := len(writes) + len(archives); n > 0 && n < s.BatchSize && taken < fillAtMost*s.BatchSize && front.Err() == nil {
			batch = s.queue.More(target, s.BatchSize-n)
		}
	}
	for _, part := range []struct {
		attempts []*attempt
		call     deliverFunc
	}{{writes, s.Deliverer.Deliver}, {archives, s.Deliverer.Archive}} {
		if err != nil {
			break
		}
		var got []outcome
		got, err = s.send(ctx, target, part.attempts, part.call)
		if outcomes == nil {
			outcomes = got
		} else {
			outcomes = append(outcomes, got...)
		}
	}
	if len(outcomes) == 0 {
		return err
	}
	select {
	case s.results <- outcomes:
		return err
	case <-ctx.Done():
		s.abandoned.Store(true) // no settle tells of those that may take effect late
		return ctx.Err()
	}
}

// byName counts outcomes.
func byName(outcomes []outcome) map[string]int {
	counts := map[string]int{}
	for _, o := range outcomes {
		counts[o.name]++
	}
	return counts
}

type deliverFunc func(context.Context, *change.Target, []sink.Job) ([]sink.Verdict, error)

// send makes the calls for attempts and gives the outcomes of those that were
// decided, with an error too. Without one the others go back into the queue,
// their target at rest.
func (s *session) send(ctx context.Context, target *change.Target, attempts []*attempt, call deliverFunc) ([]outcome, error) {
	if len(attempts) == 0 {
		return nil, nil
	}
	if err := s.identify(ctx, target, attempts); err != nil {
		return nil, err
	}
	var outcomes []outcome
	attempts = slices.DeleteFunc(attempts, func(a *attempt) bool {
		if a.misses {
			// Where the row is now, and what it is, is read again.
			outcomes = append(outcomes, outcome{entry: a.entry, name: Unchanged, reread: true})
		}
		return a.misses
	})
	if len(attempts) == 0 {
		return outcomes, nil
	}
	jobs := make([]sink.Job, len(attempts))
	for i, a := range attempts {
		jobs[i] = a.job()
	}
	if err := failpoint.At("deliver.send"); err != nil {
		return outcomes, err
	}
	verdicts, err := call(ctx, target, jobs)
	if err == nil {
		err = failpoint.At("deliver.answered")
	}
	var hold *sink.HoldError
	switch {
	case errors.As(err, &hold):
		if s.holds.set(target.Object, hold.Error()) {
			s.Log.Error("mapping_held", "object", target.Object, "match", target.Match, "problem", hold.Problems()[0])
		}
	case err != nil:
	case s.holds.clear(target.Object):
		s.Log.Info("mapping_goes_on", "object", target.Object)
	}
	outcomes = slices.Grow(outcomes, len(attempts))
	var undecided []*sink.Entry
	for i, a := range attempts {
		if verdicts[i].Outcome != sink.Undecided {
			letters, failed := s.leave(ctx, target, a, verdicts[i])
			if failed == nil {
				o := a.outcome(verdicts[i])
				o.letters = append(o.letters, letters...)
				outcomes = append(outcomes, o)
				continue
			}
			s.abandoned.Store(true) // its own call may take effect late
			if !errors.As(failed, &hold) {
				err = failed
			}
		}
		if verdicts[i].Unanswered {
			a.entry.Doubt |= sink.Unanswered
			s.abandoned.Store(true) // the session may end before the entry's turn comes again
		}
		undecided = append(undecided, a.entry)
	}
	if err != nil && hold == nil {
		return outcomes, err
	}
	if len(undecided) > 0 {
		s.queue.Return(undecided, holdFor)
	}
	return outcomes, nil
}

// remembered is what the ledger knows about the record of an entry.
type remembered struct {
	now     *change.Record // what the CRM is known to hold; nil for nothing
	settled bool           // every change of the entry is accounted for
	renamed bool           // the rename is, whatever came after it
	// learntID is the id of the old key's record, to which nothing was delivered yet.
	learntID string
	// ofRow is set where the record was last delivered from the entry's row, as far
	// as its mapping goes. Only mappings that ask something of rows that are gone
	// have it.
	ofRow bool
}

// lookup asks the ledger what the CRM is known to hold, for as long as it takes.
//
// A record that is renamed is known under the old key, or, after a rename that
// was settled, under the new one. Where a later change is accounted for under
// either, so is the rename: until it was settled, it held both keys. To rename
// again might take the old key from a record that has it now.
func (s *session) lookup(ctx context.Context, target *change.Target, batch []*sink.Entry) ([]remembered, error) {
	keys := lookupKeys(batch)
	var records []*change.Record
	err := s.persist(ctx, "ledger_lookup", func() (err error) {
		records, err = s.Ledger.Lookup(ctx, target, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	found := s.remember(batch, records)
	return found, s.findOrigins(ctx, target, batch, records, found)
}

// lookupKeys are the entries' keys, and after them their old ones.
func lookupKeys(batch []*sink.Entry) []string {
	keys := keysOf(batch)
	for _, e := range batch {
		if e.OldKey != "" {
			keys = append(keys, e.OldKey)
		}
	}
	return keys
}

// remember makes of the records of lookupKeys what is known of each entry's.
func (s *session) remember(batch []*sink.Entry, records []*change.Record) []remembered {
	found := make([]remembered, len(batch))
	olds := records[len(batch):]
	for i, e := range batch {
		f := &found[i]
		f.now = unlessLearnt(unlessVacant(records[i]))
		// What the key's record was before it was renamed is sent under its new key.
		f.settled = s.accounted(e, records[i]) || f.now == nil && s.reached(records[i], e.Newest)
		if e.OldKey == "" {
			continue
		}
		old := olds[0]
		olds = olds[1:]
		f.renamed = s.reached(records[i], e.First) || s.reached(old, e.First)
		if learnt(old) {
			f.learntID = old.CRMID
		}
		if old = unlessLearnt(unlessVacant(old)); old != nil && !f.renamed {
			f.now = old
		}
	}
	return found
}

// reached reports whether the record is accounted for at or after the position.
// Across transactions the numbering of changes does not matter.
func (s *session) reached(r *change.Record, at change.Position) bool {
	return r != nil && !r.Accounted.Before(at) && (r.Accounted.LSN > at.LSN || at.LSN >= s.state.OrdinalsSince)
}

// vacate notes in the ledger that a key has no record any more, since that was
// renamed. What is read again of the time before must not make it anew. The row
// is one that no table has.
func vacate(e *sink.Entry) ledger.Delivery {
	return ledger.Delivery{Source: e.Source, Key: e.OldKey, Row: "\x00", Accounted: e.First}
}

// unlessVacant is nil for a key that has no record.
func unlessVacant(r *change.Record) *change.Record {
	if r == nil || r.CRMID != "" {
		return r
	}
	for _, f := range r.Facts {
		if f.State != change.Never {
			return r
		}
	}
	return nil
}

// unlessLearnt is nil for a record of which nothing is known but its id.
func unlessLearnt(r *change.Record) *change.Record {
	if learnt(r) {
		return nil
	}
	return r
}

// persist repeats an operation of the ledger until it succeeds, the ledger says
// that another instance has taken over, or ctx ends.
func (s *session) persist(ctx context.Context, what string, op func() error) error {
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstBackoff),
		backoff.WithMaxInterval(lastBackoff),
		backoff.WithMaxElapsedTime(0),
	)
	return backoff.RetryNotify(func() error {
		turn(ctx)
		err := failpoint.Around(what, op)
		var wrong interface{ Problems() []string }
		if errors.Is(err, ledger.ErrFenced) || errors.As(err, &wrong) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(policy, ctx), func(err error, wait time.Duration) {
		s.Log.Warn("state_database", "operation", what, "error", err, "retry_in", wait.Round(time.Millisecond))
	})
}
