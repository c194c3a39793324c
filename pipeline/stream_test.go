package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
)

var errSevered = errors.New("the server closed the connection")

// stream is a replication connection. It implements pipeline.Stream.
type stream struct {
	*client
	events  []change.Event // of the transaction that is under way
	next    int            // transaction in the log
	sent    change.LSN     // commits below it were sent
	lent    *change.Event
	confirm change.LSN    // goes out with the next status update
	ask     chan struct{} // for a keepalive
	lost    chan struct{} // closed when the client notices that the server is gone
	severed bool          // the server is gone
	updates int           // chances that the stream had to send a status update
}

func (c *client) Transient(err error) bool {
	return errors.Is(err, errNetwork) || errors.Is(err, errSevered) || errors.Is(err, context.DeadlineExceeded)
}

func (c *client) Open(ctx context.Context, start change.LSN) (pipeline.Stream, error) {
	var s *stream
	err := c.call(ctx, "open", func() error {
		if c.pg.holder != nil {
			return fmt.Errorf("%w: pid 1", pipeline.ErrStandby)
		}
		start = max(start, c.pg.confirmed)
		s = &stream{client: c, sent: start, ask: make(chan struct{}, 1), lost: make(chan struct{})}
		for s.next < len(c.pg.log) && c.pg.log[s.next].commit < start {
			s.next++
		}
		c.pg.holder = s
		c.streaming = s
		c.trace.add("%s streams from %v", c.name, start)
		return nil
	})
	if err != nil {
		if s != nil {
			s.sever() // it was opened, but nobody heard
		}
		return nil, err
	}
	return s, nil
}

// sever ends the server's side of the connection: the slot is free.
func (s *stream) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.severLocked()
}

func (s *stream) severLocked() {
	s.severed = true
	if s.pg.holder == s {
		s.pg.holder = nil
	}
}

// notice has the client's side learn that the server is gone.
func (s *stream) notice() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.severLocked()
	select {
	case <-s.lost:
	default:
		close(s.lost)
	}
}

// status is a status update on its way to the server.
func (s *stream) status() {
	if s.severed || s.dead || s.confirm <= s.pg.confirmed {
		return
	}
	s.pg.confirmed = s.confirm
	if s.dice.chance(0.3) {
		s.pg.durable = s.confirm
	}
}

func (s *stream) Next(ctx context.Context) (*change.Event, error) {
	s.poison()
	if err := pause(ctx, s.dice.upTo(s.delay/4)); err != nil {
		return nil, err
	}
	for {
		s.mu.Lock()
		s.status()
		ev := s.event()
		if ev != nil && s.onEvent != nil {
			s.onEvent(s.process, ev)
		}
		changed := s.pg.changed
		dead := s.dead
		s.mu.Unlock()
		if dead {
			return nil, errDead
		}
		if ev != nil {
			s.lent = ev
			return ev, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.lost:
			return nil, errSevered
		case <-changed:
		case <-s.ask:
			s.mu.Lock()
			quiet := s.severed
			if !quiet {
				s.askAgain()
			}
			s.mu.Unlock()
		}
	}
}

func (s *stream) askAgain() {
	select {
	case s.ask <- struct{}{}:
	default:
	}
}

// event is the next message of the stream, nil where there is none now. All it
// points at is made for it, so that it can be spoiled when its time is over.
func (s *stream) event() *change.Event {
	if s.severed {
		return nil
	}
	asked := false
	select {
	case <-s.ask:
		asked = true
	default:
	}
	if asked || s.dice.chance(0.05) {
		// A keepalive says that commits below its position were sent, and no
		// more: one may start exactly there. In the middle of a transaction it
		// says nothing.
		ev := &change.Event{Kind: change.Progress, End: s.sent, InTransaction: len(s.events) > 0}
		switch {
		case ev.InTransaction:
			ev.End = s.pg.end
		case s.next < len(s.pg.log):
			ev.End = s.pg.log[s.next].commit
		default:
			ev.End = s.pg.end
		}
		return ev
	}
	if len(s.events) == 0 && s.next < len(s.pg.log) {
		s.begin(s.pg.log[s.next])
		s.next++
	}
	if len(s.events) == 0 {
		return nil
	}
	ev := s.events[0]
	s.events = s.events[1:]
	return &ev
}

func (s *stream) begin(tx *txn) {
	at := change.Position{LSN: tx.commit}
	emit := func(ev change.Event) {
		ev.Pos.LSN, ev.XID, ev.CommitTime = tx.commit, tx.xid, tx.at
		s.events = append(s.events, ev)
	}
	emit(change.Event{Kind: change.Begin, Pos: at})
	for _, c := range tx.changes {
		at.Ordinal++
		ev := change.Event{Pos: at, Relation: s.pg.tables[c.id().table]}
		switch {
		case c.before == nil:
			ev.Kind, ev.New = change.Insert, columns(c.after, c.carries)
		case c.after == nil:
			ev.Kind, ev.Old = change.Delete, s.old(c.before)
			ev.OldIsKey = !s.full
		default:
			ev.Kind, ev.New = change.Update, columns(c.after, [2]bool{c.carries[0], c.carries[1] && !c.toasted})
			if s.full {
				ev.Old = columns(c.before, [2]bool{true, true})
			}
		}
		emit(ev)
	}
	if tx.truncated {
		at.Ordinal++
		emit(change.Event{Kind: change.Truncate, Pos: at, Truncated: s.pg.tables[:1]})
	}
	if tx.mark != "" {
		emit(change.Event{Kind: change.Mark, Pos: at, Prefix: "pgcrm", Content: []byte(tx.mark), Transactional: true})
	}
	emit(change.Event{Kind: change.Commit, Pos: at, End: tx.end})
	s.sent = tx.end
}

func (s *stream) old(r *row) []change.Value {
	old := columns(r, [2]bool{true, true})
	if !s.full {
		for i := range old[1:] {
			old[1+i] = change.Value{}
		}
	}
	return old
}

// poison spoils the event that was lent: it was valid only until now.
func (s *stream) poison() {
	if s.lent == nil {
		return
	}
	for _, values := range [][]change.Value{s.lent.New, s.lent.Old} {
		for i := range values {
			for j := range values[i].Text {
				values[i].Text[j] = '#'
			}
		}
	}
	for j := range s.lent.Content {
		s.lent.Content[j] = '#'
	}
	*s.lent = change.Event{}
	s.lent = nil
}

// Confirm checks the first law: save, then confirm.
func (s *stream) Confirm(at change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at > s.state.checkpoint {
		s.fault("%v confirmed to the slot while %v is saved", at, s.state.checkpoint)
	}
	s.confirm = max(s.confirm, at)
}

func (s *stream) RequestProgress() { s.askAgain() }

func (s *stream) KeepAlive(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.lost:
		return 0, errSevered
	default:
	}
	if s.dead {
		return 0, errDead
	}
	s.status()
	s.updates++
	return 10 * time.Second, ctx.Err()
}

func (s *stream) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dead {
		s.status()
		s.severLocked()
	}
	return nil
}
