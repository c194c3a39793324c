package sink

import "time"

// Full reports whether the queue has reached its limit. It may be gone over by
// one row's patches.
func (q *Queue) Full() bool { return q.full.Load() }

// Room tells that entries were removed.
func (q *Queue) Room() <-chan struct{} { return q.room }

// Ahead counts the versions that could be taken now, and those that have left the
// queue so far.
func (q *Queue) Ahead() (ready int, left uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for i := range q.lanes {
		if l := &q.lanes[i]; q.open && !l.heldUntil.After(now) {
			ready += l.ready.len()
		}
	}
	return ready, q.left
}

// Empty reports whether nothing waits, is in flight or is being settled.
func (q *Queue) Empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == nil
}

// Waiting returns the versions that are not taken, oldest first. It is for redo,
// when nothing is taken and the caller alone adds and removes.
func (q *Queue) Waiting() []*Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries := make([]*Entry, 0, q.count)
	for e := q.head; e != nil; e = e.next {
		if e.state == waiting {
			entries = append(entries, e)
		}
	}
	return entries
}

// Forget takes waiting versions out whose changes the ledger shows as
// accounted for.
func (q *Queue) Forget(entries []*Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(entries)
}

func (q *Queue) forget(entries []*Entry) {
	for _, e := range entries {
		e.state = gone
	}
	for _, e := range entries {
		q.remove(e)
	}
	for i := range q.lanes {
		q.lanes[i].ready.sweep()
	}
	notify(q.room)
}

// Stats are the queue's figures.
type Stats struct {
	Records int
	Bytes   int
	// Oldest is the commit time of the oldest change that is not settled, zero
	// where there is none.
	Oldest time.Time
	// Open is since when the oldest version that is not settled waits, zero where
	// there is none.
	Open time.Time
}

// Stats reads the figures.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Records: q.count, Bytes: q.bytes}
	if q.head != nil {
		s.Oldest, s.Open = q.head.Since, q.head.queued
	}
	return s
}

// ChunkDone reports whether every row of the chunk is settled. Ask only once
// the chunk was added whole.
func (q *Queue) ChunkDone(c *Chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return c.open == 0
}
