package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// errStopping ends the front of a session when the process is told to stop.
var errStopping = errors.New("stopping")

// session is the time from taking the slot to losing it.
type session struct {
	*Pipeline
	stream Stream
	server Server
	state  ledger.State
	queue  *sink.Queue
	lease  *lease

	// redoTo is the position that redo must pass before anything is sent.
	redoTo  change.LSN
	redoing atomic.Bool
	redone  chan struct{} // closed when redo has passed

	saved     atomic.Uint64 // checkpoint on disk
	bound     atomic.Uint64 // bound on disk
	saveDue   atomic.Uint64 // end of the last transaction that held mapped rows, or a later SaveMark
	inFlight  atomic.Int64  // batches that workers hold
	abandoned atomic.Bool   // a request may be left whose outcome no settle tells

	results chan []outcome
	loads   *loads
	holds   holds
	unfit   unfit
	gate    gate

	read reading
	lead lead

	// unclean is set where whoever held the slot before may have left requests
	// without an answer.
	unclean bool

	rechecked, purged, lateAsked time.Time // the loader's
}

// runSession takes the slot, opens the road, and walks it to its end.
func (p *Pipeline) runSession(ctx context.Context, stop <-chan struct{}) error {
	var s *session
	err := p.watched(ctx, loopPipeline, func(ctx context.Context) (err error) {
		s, err = p.beginUnlessStopped(ctx, stop)
		return err
	})
	if err != nil {
		return err
	}
	p.session.Store(s)

	hard, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	front, frontCtx := errgroup.WithContext(hard)
	front.Go(func() error {
		select {
		case <-stop:
			return errStopping
		case <-frontCtx.Done():
			return nil
		}
	})
	front.Go(func() error { return s.watched(frontCtx, loopReader, s.readLoop) })
	front.Go(func() error { return s.watched(frontCtx, loopLoader, s.loadLoop) })
	front.Go(func() error { return s.keepAsking(frontCtx) })
	if p.HoldAbove != nil {
		front.Go(func() error { return s.watched(frontCtx, loopHolder, s.holdLoop) })
	}

	// A worker outlives the front: what is in flight is finished.
	workers := new(errgroup.Group)
	workers.SetLimit(p.MaxInFlight)
	// Once the front has ended another instance may have the slot: calls under way
	// are finished, and none is begun.
	sending := p.Until(hard, frontCtx, s.lease.await)
	front.Go(func() error {
		return s.watched(frontCtx, loopDispatcher, func(ctx context.Context) error {
			return s.dispatchLoop(ctx, sending, stop, kill, workers)
		})
	})

	settled := make(chan error, 1)
	go func() {
		err := s.watched(hard, loopSettler, s.settleLoop)
		if err != nil {
			kill(err) // nothing may be sent any more
		}
		settled <- err
	}()

	frontErr := front.Wait()
	timer := time.AfterFunc(p.ShutdownTimeout, func() { kill(errors.New("shutdown timeout")) })
	_ = workers.Wait() // a worker's error has ended hard, or came of that
	close(s.results)
	settleErr := <-settled
	timer.Stop()
	tidied := settleErr == nil && s.leavesNothing()
	p.tidy = tidy{epoch: s.state.Epoch, ok: tidied}
	s.close(ctx, tidied && errors.Is(frontErr, errStopping))

	switch {
	case settleErr != nil && ctx.Err() == nil && !isShutdown(settleErr):
		return settleErr
	case errors.Is(frontErr, errStopping):
		return nil
	case frontErr == nil && ctx.Err() == nil:
		// What ended the session is the reason, not what its end did to others.
		return context.Cause(hard)
	default:
		return frontErr
	}
}

// keepAsking has the reader of an idle stream hear of the server now and then,
// whatever the other loops wait for.
func (s *session) keepAsking(ctx context.Context) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.stream.RequestProgress()
		}
	}
}

func isShutdown(err error) bool { return errors.Is(err, context.Canceled) }

// beginUnlessStopped is begin for a process that may be told to stop while a
// neighbour does not answer: nothing is in flight yet that had to be finished.
func (p *Pipeline) beginUnlessStopped(ctx context.Context, stop <-chan struct{}) (*session, error) {
	opening, opened := context.WithCancel(ctx)
	defer opened()
	go func() {
		select {
		case <-stop:
			opened()
		case <-opening.Done():
		}
	}()
	s, err := p.begin(opening)
	if err != nil && stopped(stop) {
		return nil, errStopping
	}
	return s, err
}

// begin takes the slot and only then reads what the ledger and the server say:
// checkpoint, bound and log end read before may be out of date by what the
// process that held the slot did last.
func (p *Pipeline) begin(ctx context.Context) (*session, error) {
	peek, known, err := p.Ledger.Peek(ctx)
	if err != nil {
		return nil, ofLedger(err)
	}
	start := p.Instance.InitialCheckpoint
	if known {
		start = peek.Checkpoint
	}
	if known {
		// Another's slot is not to be opened: that alone may move it.
		server, err := p.Source.Identify(ctx)
		if err != nil {
			return nil, err
		}
		if err := peek.Admit(p.instance(server)); err != nil {
			return nil, ofLedger(err)
		}
		if peek.Instance.Timeline != server.Timeline {
			p.Log.Warn("timeline_changed", "from", peek.Instance.Timeline, "to", server.Timeline,
				"note", "every change of this server is read; if the failover lost commits of the old one, the CRM may hold them until the rows change again or are sent again: pgcrm verify --repair")
		}
	}
	stream, err := p.Source.Open(ctx, start)
	if err != nil {
		if now, _, peekErr := p.Ledger.Peek(ctx); peekErr == nil && now.Checkpoint != peek.Checkpoint {
			// Positions that did not fit were those of an instance at work.
			return nil, fmt.Errorf("%w: the checkpoint moved while the slot was asked for: %w", ErrStandby, err)
		}
		return nil, err
	}
	s, err := p.take(ctx, stream)
	if err != nil {
		_ = stream.Close(ctx) // the error that matters is the one before
		return nil, err
	}
	return s, nil
}

func (p *Pipeline) take(ctx context.Context, stream Stream) (*session, error) {
	if err := failpoint.At("session.opened"); err != nil {
		return nil, err
	}
	server, err := p.Source.Identify(ctx)
	if err != nil {
		return nil, err
	}
	asked := p.Now()
	state, err := p.Ledger.Begin(ctx, p.instance(server), p.Targets)
	if err != nil {
		return nil, ofLedger(err)
	}
	if err := failpoint.At("session.begun"); err != nil {
		return nil, err
	}
	clean := state.First || state.CleanStop
	ours := p.tidy.epoch+1 == state.Epoch // this process was the last one
	if !clean && !ours {
		p.quiet = p.Now().Add(p.Lease)
	}
	if err := plausible(state, server); err != nil {
		return nil, err
	}
	s := &session{
		Pipeline: p,
		stream:   stream,
		server:   server,
		state:    state,
		queue:    sink.NewQueue(len(p.Targets), p.BufferBytes, p.BatchSize, p.Now),
		redoTo:   min(state.Bound, server.FlushedEnd),
		redone:   make(chan struct{}),
		results:  make(chan []outcome, p.MaxInFlight),
		holds:    holds{},

		lead:      lead{now: p.Now, longest: p.Linger},
		lease:     newLease(p.Lease, p.Now, asked, p.quiet),
		unclean:   !clean && !(p.tidy.ok && ours),
		rechecked: p.Now(),
	}
	if err := s.forgetUnmapped(ctx); err != nil {
		return nil, ofLedger(err)
	}
	s.loads = newLoads(s)
	if err := s.recall(ctx); err != nil {
		return nil, err
	}
	if err := s.recallHolds(ctx); err != nil {
		return nil, err
	}
	s.redoing.Store(true)
	s.saved.Store(uint64(state.Checkpoint))
	s.bound.Store(uint64(state.Bound))
	s.queue.Start(state.Checkpoint)
	s.queue.SetBound(state.Bound)
	stream.Confirm(state.Checkpoint)
	p.Log.Info("slot_taken", "epoch", state.Epoch, "checkpoint", state.Checkpoint.String(),
		"redo_to", s.redoTo.String(), "server_flushed", server.FlushedEnd.String())
	if d := s.lease.quietFor(); d > 0 {
		p.Log.Info("lease_of_the_last_instance", "nothing_is_sent_for", d.Round(time.Millisecond),
			"reason", "it did not stop cleanly, and may send that long; changes are read meanwhile")
	}
	p.enter(Redoing, nil)
	return s, nil
}

// instance is this set-up on the server that answers.
func (p *Pipeline) instance(server Server) ledger.Instance {
	in := p.Instance
	in.SystemID, in.Timeline, in.Database = server.SystemID, server.Timeline, server.Database
	in.TimelineEnds, in.FlushedEnd = server.TimelineEnds, server.FlushedEnd
	return in
}

// plausible refuses positions that cannot belong together.
func plausible(state ledger.State, server Server) error {
	switch {
	case state.Checkpoint > server.FlushedEnd:
		return &PositionError{fmt.Sprintf(
			"the checkpoint %s lies beyond the end of the server's log %s: this server was restored from a backup or is another one; changes may be missing in the CRM. "+
				"Run `pgcrm migrate --recreate-slot`, then `pgcrm backfill --all`", state.Checkpoint, server.FlushedEnd)}
	case server.Confirmed > state.Checkpoint:
		return &PositionError{fmt.Sprintf(
			"the slot was confirmed up to %s, beyond the stored checkpoint %s: the state schema comes from a backup, or something else reads this slot; changes between the two cannot be read again. "+
				"Run `pgcrm migrate --recreate-slot`, then `pgcrm backfill --all`", server.Confirmed, state.Checkpoint)}
	}
	return nil
}

// PositionError says that the ledger, the slot and the server contradict each
// other, and what to do.
type PositionError struct{ message string }

func (e *PositionError) Error() string { return e.message }

// Problems says the same in the form of a configuration problem.
func (e *PositionError) Problems() []string { return []string{e.message} }

// leavesNothing reports whether no request may still take effect that the ledger
// does not know of: neither one of this session, nor one of an instance that did
// not stop cleanly before it, whose records are sent once more by redo.
func (s *session) leavesNothing() bool {
	return !s.abandoned.Load() && (!s.unclean || change.LSN(s.saved.Load()) >= s.redoTo)
}

// close confirms what is saved and leaves the stream. A stop is clean where nothing
// is left, and the lease of whoever was there before is over.
func (s *session) close(ctx context.Context, clean bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if clean && s.lease.quietFor() <= 0 {
		err := failpoint.Around("stop", func() error { return s.Ledger.Stop(ctx, change.LSN(s.saved.Load())) })
		if err != nil {
			s.Log.Warn("clean_stop_not_saved", "error", err)
		}
	}
	if err := s.stream.Close(ctx); err != nil {
		s.Log.Debug("stream_close", "error", err)
	}
}

// tidy tells whether a session of this process left nothing.
type tidy struct {
	epoch int64
	ok    bool
}

// holds remembers which targets wait for a configuration to be mended.
type holds struct {
	mu  sync.Mutex
	why map[string]string
}

func (h *holds) set(object, why string) (news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == nil {
		h.why = map[string]string{}
	}
	news = h.why[object] != why
	h.why[object] = why
	return news
}

func (h *holds) clear(object string) (was bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, was = h.why[object]
	delete(h.why, object)
	return was
}

func (h *holds) reasons() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := make(map[string]string, len(h.why))
	for k, v := range h.why {
		m[k] = v
	}
	return m
}
