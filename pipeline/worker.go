package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// outcome is what became of one version, on its way to the ledger.
type outcome struct {
	entry    *sink.Entry
	delivery *ledger.Delivery // nil where the CRM was not written and no letter may close
	letters  []ledger.Letter
	name     string // for the metric
	sent     change.Props
	answered time.Time
}

// dispatchLoop takes batches and starts a worker for each until ctx ends. The
// workers run under hard, so that what is in flight outlives ctx.
func (s *session) dispatchLoop(ctx, hard context.Context, workers *errgroup.Group) error {
	slots := make(chan struct{}, s.MaxInFlight)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		batch, err := s.queue.Take(ctx, s.Gather)
		if err != nil {
			return unlessEnded(ctx, err)
		}
		workers.Go(func() error {
			s.inFlight.Add(1)
			defer func() { s.inFlight.Add(-1); <-slots }()
			err := s.deliver(hard, batch)
			if err != nil {
				s.abandoned.Store(true)
			}
			return err
		})
	}
}

// holdFor is how long a target rests whose configuration the CRM refuses.
const holdFor = 30 * time.Second

// deliver brings one batch to its outcomes. An error means that ctx has ended;
// the batch then stays unsettled, and redo finds it.
func (s *session) deliver(ctx context.Context, batch []*sink.Entry) error {
	target := batch[0].Source.Target
	records, err := s.lookup(ctx, target, batch)
	if err != nil {
		return err
	}
	var (
		outcomes = make([]outcome, 0, len(batch))
		jobs     []sink.Job
		sending  []*attempt
	)
	for i, e := range batch {
		a := &attempt{session: s, entry: e, record: records[i].now, settled: records[i].settled}
		if o, done := a.withoutCall(); done {
			outcomes = append(outcomes, o)
			continue
		}
		jobs = append(jobs, a.job())
		sending = append(sending, a)
	}
	if len(jobs) > 0 {
		verdicts, err := s.Deliverer.Deliver(ctx, target, jobs)
		var hold *sink.HoldError
		switch {
		case errors.As(err, &hold):
			if s.holds.set(target.Object, hold.Error()) {
				s.Log.Error("mapping_held", "object", target.Object, "match", target.Match, "error", hold)
			}
		case err != nil:
			return err
		case s.holds.clear(target.Object):
			s.Log.Info("mapping_goes_on", "object", target.Object)
		}
		var undecided []*sink.Entry
		for i, a := range sending {
			if verdicts[i].Outcome != sink.Undecided {
				outcomes = append(outcomes, a.outcome(verdicts[i]))
				continue
			}
			if verdicts[i].Unanswered {
				a.entry.Doubt |= sink.Redone
			}
			undecided = append(undecided, a.entry)
		}
		if len(undecided) > 0 {
			s.queue.Return(undecided, holdFor)
		}
	}
	if len(outcomes) == 0 {
		return nil
	}
	select {
	case s.results <- outcomes:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remembered is what the ledger knows about the record of an entry.
type remembered struct {
	now     *change.Record // what the CRM is known to hold; nil for nothing
	settled bool           // every change of the entry is accounted for
}

// lookup asks the ledger what the CRM is known to hold, for as long as it takes.
//
// A record that is renamed is known under the old key, or, after a rename that
// was settled, under the new one. Where a later change is accounted for under
// either, so is the rename: until it was settled, it held both keys.
func (s *session) lookup(ctx context.Context, target *change.Target, batch []*sink.Entry) ([]remembered, error) {
	keys := keysOf(batch)
	for _, e := range batch {
		if e.OldKey != "" {
			keys = append(keys, e.OldKey)
		}
	}
	var records []*change.Record
	err := s.persist(ctx, "ledger_lookup", func() (err error) {
		records, err = s.Ledger.Lookup(ctx, target, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	found := make([]remembered, len(batch))
	renamed := records[len(batch):]
	for i, e := range batch {
		found[i] = remembered{records[i], s.accounted(e, records[i])}
		if e.OldKey == "" {
			continue
		}
		before := renamed[0]
		renamed = renamed[1:]
		found[i].settled = found[i].settled || s.accounted(e, before)
		if before != nil {
			found[i].now = before
		}
	}
	return found, nil
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
		err := op()
		var wrong interface{ Problems() []string }
		if errors.Is(err, ledger.ErrFenced) || errors.As(err, &wrong) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(policy, ctx), func(err error, wait time.Duration) {
		s.Log.Warn("state_database", "operation", what, "error", err, "retry_in", wait.Round(time.Millisecond))
	})
}
