package sink

import (
	"context"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// Open lets versions be taken: redo has passed what may ever have been sent.
func (q *Queue) Open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
	notify(q.wake)
}

// SetBound raises the send-ahead bound to what is now on disk.
func (q *Queue) SetBound(bound change.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bound = max(q.bound, bound)
	notify(q.wake)
}

// BoundWanted tells that the oldest ready version lies at or beyond the bound:
// it must be raised now, since no settle may ever come.
func (q *Queue) BoundWanted() <-chan struct{} { return q.boundWanted }

// Drain takes what is ready without gathering any longer.
func (q *Queue) Drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = true
	notify(q.wake)
}

// Take waits for the oldest ready versions of one target, at most a batch of
// them, and hands them out. gather tells how long a change is held to gather
// company, and linger for how long even company does not let it go, so that newer
// changes of its record merge into it; both are asked anew each time. Call it from
// one goroutine at a time.
func (q *Queue) Take(ctx context.Context, gather, linger func() time.Duration) ([]*Entry, error) {
	for {
		batch, wait := q.take(gather(), linger())
		if len(batch) > 0 {
			return batch, nil
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.wake:
		case <-timer:
		}
	}
}

// lookAgain is after how long a linger is asked for anew, which may be over by then.
const lookAgain = 20 * time.Millisecond

// take returns a batch, or how long to wait for one; zero is until woken.
func (q *Queue) take(gather, linger time.Duration) ([]*Entry, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open {
		return nil, 0
	}
	now := q.now()
	loads := q.turn%loadTurn == loadTurn-1
	var (
		oldest *lane
		wait   time.Duration
	)
	for i := range q.lanes {
		l := &q.lanes[i]
		l.ready.setAside()
		if l.ready.len() == 0 {
			continue
		}
		left := l.heldUntil.Sub(now)
		if left <= 0 && l.ready.len() < q.batch && !q.draining {
			left = gather - now.Sub(l.ready.first(loads).queued)
		}
		if left <= 0 && linger > 0 && !q.draining && !q.full.Load() {
			left = min(linger-now.Sub(l.ready.first(loads).queued), lookAgain)
		}
		if left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		if oldest == nil || sooner(l.ready.first(loads), oldest.ready.first(loads), loads) {
			oldest = l
		}
	}
	if oldest == nil {
		return nil, wait
	}
	batch := q.pick(oldest, q.batch, loads)
	if len(batch) > 0 {
		q.turn++
	}
	return batch, wait
}

// pick hands out the oldest ready versions of a lane, at most n; with loads, those
// of backfills first.
func (q *Queue) pick(l *lane, n int, loads bool) []*Entry {
	var batch, unread []*Entry
	for len(batch) < n && len(unread) <= q.batch && l.ready.len() > 0 {
		if l.ready.first(loads).Newest.LSN >= q.bound {
			notify(q.boundWanted)
			break
		}
		e := l.ready.pop(loads)
		if q.early(e) {
			unread = append(unread, e)
			l.ready.setAside()
			continue
		}
		e.state = taken
		batch = append(batch, e)
		l.ready.setAside()
	}
	for _, e := range unread {
		l.ready.push(e)
	}
	return batch
}

// More hands out further ready versions of a target, at most n, for a call that
// is about to be made and has room: however young they are, they cost nothing.
func (q *Queue) More(target *change.Target, n int) []*Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.lanes[target.Index]
	if !q.open || l.heldUntil.After(q.now()) {
		return nil
	}
	l.ready.setAside()
	return q.pick(l, n, false)
}

// early reports whether the version archives a record in a transaction that is
// not read whole: an insert may follow that takes the archiving back, as when a
// row moves between partitions. A full queue cannot wait for that.
func (q *Queue) early(e *Entry) bool {
	return e.Archives() && e.Newest.LSN >= q.lastEnd && q.bytes < q.limit
}

// Return gives versions back that could not be delivered, and holds their
// target for a while.
func (q *Queue) Return(entries []*Entry, hold time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		lane := &q.lanes[e.Source.Target.Index]
		e.state, e.returned = waiting, true
		lane.ready.push(e)
		lane.heldUntil = q.now().Add(hold)
	}
	notify(q.wake)
}
