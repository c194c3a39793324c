package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/sink"
)

// reading is the state of the reader's loop, and its alone.
type reading struct {
	patches   []change.Patch
	skip      bool             // the transaction lies below the checkpoint
	rows      bool             // the transaction holds mapped rows
	mergeOnly bool             // the queue is full in redo
	keys      map[rowOf]string // match values of rows, where changes leave them out
	unfit     bool             // a mapping may wait for its table
	leftOut   bool             // a change was left out of the queue
	firstLeft change.Position
	barred    map[string]bool
	changes   map[countKey]int
	coalesced []int // by target
	skipped   []uint64
	weighing  weighing
}

type countKey struct {
	table *change.Relation
	kind  change.Kind
}

// readLoop reads the stream into the queue until ctx ends.
func (s *session) readLoop(ctx context.Context) error {
	s.read.changes = map[countKey]int{}
	s.read.coalesced = make([]int, len(s.Targets))
	s.read.skipped = make([]uint64, len(s.Sources))
	for i, src := range s.Sources {
		s.read.skipped[i] = s.Mapper.Skipped(src)
	}
	s.stream.RequestProgress()
	for {
		turn(ctx)
		s.takeUp()
		if err := s.reweigh(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
		if err := s.passRedo(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
		if err := s.makeRoom(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
		ev, err := s.stream.Next(ctx)
		if err == nil {
			err = failpoint.At("read.decoded")
		}
		if err != nil {
			return unlessEnded(ctx, err)
		}
		if err := s.handle(ctx, ev); err != nil {
			return unlessEnded(ctx, err)
		}
	}
}

// unlessEnded drops the error of a loop whose context has ended: it is the
// echo of the error that ended it.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *session) handle(ctx context.Context, ev *change.Event) error {
	switch ev.Kind {
	case change.Begin:
		s.queue.BeginTransaction(ev.Pos.LSN)
		s.read.skip = ev.Pos.LSN < s.state.Checkpoint
		s.read.rows = false
		s.weigh(ev.Pos.LSN)
	case change.Insert, change.Update, change.Delete:
		if s.read.skip || ev.Pos.Before(s.passed) {
			return nil
		}
		return s.row(ctx, ev)
	case change.Truncate:
		for _, r := range ev.Truncated {
			s.read.changes[countKey{r, ev.Kind}]++
			s.Log.Warn("table_truncated", "table", r.String(), "note", "counted; records in the CRM are left as they are")
		}
	case change.Commit:
		if err := s.judge(ctx); err != nil {
			return err
		}
		s.queue.EndTransaction(ev.End)
		if s.read.rows {
			s.saveFrom(ev.End)
		}
		s.count()
		s.lead.committed(ev.CommitTime)
		if err := s.keepLead(ctx); err != nil {
			return err
		}
		if !s.redoing.Load() && s.read.mergeOnly {
			if s.read.leftOut {
				return s.deliverAndRedo(ctx)
			}
			s.read.mergeOnly = false // the rest has merged
		}
		return failpoint.At("read.committed")
	case change.Mark:
		if string(ev.Content) == SaveMark {
			s.saveFrom(ev.Pos.LSN)
			return nil
		}
		return s.loads.mark(ctx, ev)
	case change.Progress:
		s.queue.Progress(ev.End)
	default:
		return fmt.Errorf("event kind %v is not known", ev.Kind)
	}
	return nil
}

// row maps one row change and puts its patches into the queue.
func (s *session) row(ctx context.Context, ev *change.Event) error {
	s.read.rows = true
	s.read.changes[countKey{ev.Relation, ev.Kind}]++
	patches, err := s.Mapper.Map(ev, s.read.patches[:0])
	if err != nil {
		return err
	}
	s.read.patches = patches
	if err := failpoint.At("read.mapped"); err != nil {
		return err
	}
	if patches, err = s.fitting(ctx, patches); err != nil {
		return err
	}
	for i := range patches {
		if err := s.formerly(ctx, &patches[i]); err != nil {
			return err
		}
	}
	s.loads.touch(ev, patches)
	redone := sink.Doubt(0)
	if s.redoing.Load() && ev.Pos.LSN < s.redoTo {
		redone = sink.Redone
	}
	for i := range patches {
		p := &patches[i]
		if p.Gone && len(p.Key) == 0 {
			if err := s.whose(ctx, p); err != nil {
				return err
			}
			if len(p.Key) == 0 {
				continue // nothing was delivered from the row
			}
		}
		s.add(sink.Add{Patch: p, Pos: ev.Pos, Commit: ev.CommitTime, Doubt: redone})
	}
	if len(s.read.weighing.pending) >= lookupRows {
		return s.weighOutside(ctx)
	}
	return failpoint.At("read.queued")
}

// whose finds the record that a row was delivered to, for a change that names the
// row alone: in the queue, or else in the ledger.
func (s *session) whose(ctx context.Context, p *change.Patch) error {
	if key, ok := s.queue.KeyOf(p.Source, p.Row); ok {
		p.Key = []byte(key)
		return nil
	}
	keys, err := s.Ledger.KeysOf(ctx, p.Source, string(p.Row))
	if err != nil {
		return ofLedger(err)
	}
	if len(keys) > 0 {
		p.Key = []byte(keys[len(keys)-1])
	}
	return nil
}

func (s *session) add(a sink.Add) {
	a.MergeOnly = s.read.mergeOnly
	if a.MergeOnly && s.barred(a.Patch) {
		s.leaveOut(&a)
		return
	}
	added, merged := s.queue.Add(a)
	s.lead.note(merged)
	switch {
	case !added:
		s.leaveOut(&a)
	case merged:
		s.read.coalesced[a.Patch.Source.Target.Index]++
	}
}

// count hands the transaction's counts over.
func (s *session) count() {
	for k, n := range s.read.changes {
		s.Recorder.CountChanges(k.table.String(), k.kind.String(), n)
	}
	clear(s.read.changes)
	for i, n := range s.read.coalesced {
		if n > 0 {
			s.Recorder.CountRecords(s.Targets[i].Object, Coalesced, n)
		}
	}
	clear(s.read.coalesced)
	for i, src := range s.Sources {
		if n := s.Mapper.Skipped(src); n > s.read.skipped[i] {
			s.Recorder.CountRecords(src.Target.Object, Skipped, int(n-s.read.skipped[i])) //nolint:gosec // rows of one transaction
			s.read.skipped[i] = n
		}
	}
}

// makeRoom waits while the queue is full, answering keepalives. In redo, when
// nothing may be sent and so nothing ever leaves, it turns to merging only; and
// so it does in a transaction that must be counted first and does not fit.
func (s *session) makeRoom(ctx context.Context) error {
	for s.queue.Full() && !s.read.mergeOnly {
		if s.redoing.Load() {
			return s.condense(ctx)
		}
		s.takeUp()
		if err := s.squeeze(ctx); err != nil {
			return err
		}
		if s.read.mergeOnly {
			return nil
		}
		if err := s.idle(ctx, s.queue.Room()); err != nil {
			return err
		}
	}
	return nil
}

// idle keeps the stream alive without reading until the signal comes or a
// status update is due.
func (s *session) idle(ctx context.Context, signal <-chan struct{}) error {
	turn(ctx)
	next, err := s.stream.KeepAlive(ctx)
	if err != nil {
		return err
	}
	timer := time.NewTimer(min(next, time.Second))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-signal:
	case <-timer.C:
	}
	return nil
}
