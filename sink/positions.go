package sink

import "github.com/pgcrm/pgcrm/change"

// BeginTransaction notes that the changes of a transaction follow, which commits
// at that position: all that committed below was read.
func (q *Queue) BeginTransaction(commit change.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inTx = true
	q.withhold, q.holding = false, nil
	q.reading = max(q.reading, commit)
	q.horizon = max(q.horizon, commit)
}

// EndTransaction notes that a transaction was read whole; end is the end of its
// commit record.
func (q *Queue) EndTransaction(end change.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inTx = false
	q.withhold, q.holding = false, nil
	q.lastEnd = max(q.lastEnd, end)
	q.horizon = max(q.horizon, end)
	if q.archives {
		q.archives = false
		notify(q.wake)
	}
}

// Progress notes a keepalive: all that committed below end was read, unless it
// arrived between BEGIN and COMMIT, where it says nothing.
func (q *Queue) Progress(end change.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.inTx {
		q.horizon = max(q.horizon, end)
	}
}

// Start sets the position from which the stream is read.
func (q *Queue) Start(at change.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastEnd, q.horizon, q.reading = at, at, at
}

// Horizon is the position below which every commit has been read.
func (q *Queue) Horizon() change.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.horizon
}

// Reading is the commit position of the newest change seen.
func (q *Queue) Reading() change.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(q.reading, q.horizon)
}

// Ceiling keeps the safe position from passing at: what lies beyond was left
// out of the queue and must be read again. The lowest call counts.
func (q *Queue) Ceiling(at change.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ceiling == 0 || at < q.ceiling {
		q.ceiling = at
	}
}

// Safe is the position up to which everything is settled, given that the
// entries whose outcome is on its way to disk will be. It is the place of the
// oldest other entry; with none left, the end of the last transaction read
// whole; and only with nothing in the queue at all and outside a transaction, a
// keepalive's position.
func (q *Queue) Safe() change.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.safe()
}

func (q *Queue) safe() change.LSN {
	safe := q.lastEnd
	switch e := q.head; {
	case e == nil && !q.inTx:
		safe = q.horizon
	default:
		for e != nil && e.state == settling {
			e = e.next
		}
		if e != nil {
			safe = e.safe
		}
	}
	if q.ceiling != 0 {
		safe = min(safe, q.ceiling)
	}
	return safe
}

// Settling marks entries whose outcomes go into the next settle, and returns
// the position that is safe once that settle is on disk.
func (q *Queue) Settling(entries []*Entry) change.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		e.state = settling
	}
	return q.safe()
}

// LastEnd is the end of the last transaction read whole.
func (q *Queue) LastEnd() change.LSN {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lastEnd
}
