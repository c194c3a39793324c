package pipeline

import (
	"context"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

const (
	// boundSlack is how far the send-ahead bound is written beyond what was
	// read. After a crash, redo reads to the bound or to the end of the log,
	// whichever is nearer.
	boundSlack = 4 << 20
	// settleAtMost is how many batches go into one transaction.
	settleAtMost = 64
	// settleTick is how often positions are saved that no outcome carries along.
	settleTick = time.Second
	// An idle position is saved only when the log has grown by more than our own
	// writes can account for, and rarely: else saving it would be what makes the
	// log grow.
	idleGrowth = 64 << 10
	idleEvery  = 10 * time.Second
	idleAtOnce = 8 << 20
	// progressEvery is how often the server is asked for its position where
	// nothing arrives: it is how an idle stream is known to live.
	progressEvery = 10 * time.Second
)

// settleLoop writes outcomes to the ledger, one settle at a time, until the
// results are closed. It is the only writer of checkpoint and bound.
func (s *session) settleLoop(ctx context.Context) error {
	tick := time.NewTicker(settleTick)
	defer tick.Stop()
	idleSaved := s.Now()
	for {
		turn(ctx)
		var outcomes []outcome
		select {
		case batch, ok := <-s.results:
			if !ok {
				return s.settle(ctx, nil, true)
			}
			outcomes = s.gatherResults(batch)
		case <-s.queue.BoundWanted():
			if err := s.raiseBound(ctx); err != nil {
				return err
			}
			continue
		case <-s.lease.wanted:
			if err := s.writeBound(ctx, "renew_lease", s.nextBound()); err != nil {
				return err
			}
			continue
		case <-tick.C:
			if s.redoing.Load() {
				s.stream.RequestProgress()
			}
			due := s.idleDue(s.Now().Sub(idleSaved))
			if !due && !s.loads.progressDue(s.queue) {
				continue
			}
			idleSaved = s.Now()
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.settle(ctx, outcomes, false); err != nil {
			return err
		}
		if len(s.results) == 0 && s.loads.progressDue(s.queue) {
			// That was the last row of a chunk; nothing else will carry its progress.
			if err := s.settle(ctx, nil, false); err != nil {
				return err
			}
		}
	}
}

// gatherResults adds what has arrived meanwhile: one COMMIT for all of it.
func (s *session) gatherResults(outcomes []outcome) []outcome {
	for range settleAtMost {
		select {
		case more, ok := <-s.results:
			if !ok {
				return outcomes
			}
			outcomes = append(outcomes, more...)
		default:
			return outcomes
		}
	}
	return outcomes
}

// SaveMark is the content of a logical message whose position is saved soon after
// it is accounted for: how a command learns that what was committed before it is.
const SaveMark = "save"

// saveFrom has a position from here on saved without waiting for more log.
func (s *session) saveFrom(at change.LSN) {
	s.saveDue.Store(max(s.saveDue.Load(), uint64(at)))
}

// idleDue reports whether a position should be saved though nothing else is to
// be written.
func (s *session) idleDue(since time.Duration) bool {
	saved, safe := change.LSN(s.saved.Load()), s.queue.Safe()
	switch {
	case safe <= saved:
		return false
	case saved < change.LSN(s.saveDue.Load()):
		return true
	default:
		grown := safe - saved
		return grown >= idleAtOnce || grown >= idleGrowth && since >= idleEvery
	}
}

// raiseBound writes the bound alone, at once: with nothing in flight no settle
// would ever carry it.
func (s *session) raiseBound(ctx context.Context) error {
	bound := s.nextBound()
	if bound <= change.LSN(s.bound.Load()) {
		return nil
	}
	return s.writeBound(ctx, "raise_bound", bound)
}

// writeBound is the smallest of the fenced writes; one that does not lie higher
// leaves the bound as it is.
func (s *session) writeBound(ctx context.Context, what string, bound change.LSN) error {
	err := s.fenced(ctx, what, func() error { return s.Ledger.RaiseBound(ctx, bound) })
	if err != nil {
		return err
	}
	s.boundIs(bound)
	return nil
}

// fenced repeats a write until it succeeds. It then shows that no other instance
// had taken over when it began.
func (s *session) fenced(ctx context.Context, what string, write func() error) error {
	var began time.Time
	err := s.persist(ctx, what, func() error {
		began = s.Now()
		return write()
	})
	if err == nil {
		s.lease.renew(began)
	}
	return err
}

// nextBound is zero during redo: raising the bound would move the point that
// redo must reach.
func (s *session) nextBound() change.LSN {
	if s.redoing.Load() {
		return 0
	}
	return s.queue.Reading() + boundSlack
}

func (s *session) boundIs(bound change.LSN) {
	if bound > change.LSN(s.bound.Load()) {
		s.bound.Store(uint64(bound))
		s.queue.SetBound(bound)
	}
}

// settle writes the outcomes and the positions in one transaction, and only
// after its COMMIT removes the entries and confirms the checkpoint.
func (s *session) settle(ctx context.Context, outcomes []outcome, last bool) error {
	entries := make([]*sink.Entry, len(outcomes))
	settlement := &ledger.Settlement{Bound: s.nextBound(), Deliveries: make([]ledger.Delivery, 0, len(outcomes))}
	write := last
	for i, o := range outcomes {
		entries[i] = o.entry
		if o.delivery != nil {
			settlement.Deliveries = append(settlement.Deliveries, *o.delivery)
			if o.delivery.OldKey != "" {
				settlement.Deliveries = append(settlement.Deliveries, vacate(o.entry))
			}
		}
		settlement.Letters = append(settlement.Letters, o.letters...)
		if o.late && o.delivery != nil && s.LateWindow > 0 {
			for row := range o.entry.Rows {
				settlement.Doubts = append(settlement.Doubts, ledger.Doubt{Source: row.Source, Row: row.Row, Key: o.entry.Key, Until: o.answered.Add(s.LateWindow)})
			}
		}
	}
	for _, o := range outcomes {
		if o.astray == "" {
			continue
		}
		for row := range o.entry.Rows {
			settlement.Doubts = append(settlement.Doubts, ledger.Doubt{Source: row.Source, Row: row.Row, Key: o.astray, Until: o.answered})
		}
	}
	if err := s.requestRereads(ctx, outcomes); err != nil {
		return err
	}
	settlement.Chunks = s.loads.progress(s.queue)
	settlement.Checkpoint = s.queue.Settling(entries)
	saved := change.LSN(s.saved.Load())
	write = write && settlement.Checkpoint > saved || len(outcomes) == 0 && settlement.Checkpoint > saved ||
		len(settlement.Deliveries)+len(settlement.Letters)+len(settlement.Chunks) > 0
	if write {
		err := s.fenced(ctx, "settle", func() error { return s.Ledger.Settle(ctx, settlement) })
		if err != nil {
			return err
		}
		s.loads.saved(settlement.Chunks)
		s.boundIs(settlement.Bound)
		s.saved.Store(max(s.saved.Load(), uint64(settlement.Checkpoint)))
		s.stream.Confirm(change.LSN(s.saved.Load()))
		if err := failpoint.At("settle.confirmed"); err != nil {
			return err
		}
	}
	// What needed no write leaves as well: the CRM holds it already, and the
	// ledger says so.
	s.queue.Remove(entries)
	s.report(outcomes)
	return nil
}

func (s *session) report(outcomes []outcome) {
	if len(outcomes) > 0 {
		s.progressed.Store(s.Now().UnixNano())
	}
	type key struct{ object, name string }
	counts := map[key]int{}
	for _, o := range outcomes {
		counts[key{o.entry.Source.Target.Object, o.name}]++
		if o.name != Delivered {
			continue
		}
		latency := o.answered.Sub(o.entry.Since)
		s.Recorder.ObserveDelivery(latency, 1)
		s.OnDelivery(Delivery{Entry: o.entry, Sent: o.sent, Latency: latency})
	}
	for k, n := range counts {
		s.Recorder.CountRecords(k.object, k.name, n)
	}
}

// requestRereads files, before the settle, the rows that the stream did not
// carry whole: after a crash between the two they are filed again.
func (s *session) requestRereads(ctx context.Context, outcomes []outcome) error {
	rows := map[*change.Source][]string{}
	for _, o := range outcomes {
		if !o.reread {
			continue
		}
		for row := range o.entry.Rows {
			rows[row.Source] = append(rows[row.Source], row.Row)
		}
	}
	for src, keys := range rows {
		if err := s.persist(ctx, "request_reread", func() error { return s.request(ctx, src, Reread, keys) }); err != nil {
			return err
		}
	}
	return nil
}
