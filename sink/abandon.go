package sink

import "slices"

// Abandon takes the rows of a backfill out that nobody wants any more. What may
// have been sent stays, and so does a version that holds anything else: a live
// change, or a row of another backfill. It tells how many rows of each chunk have
// left.
func (q *Queue) Abandon(backfill int64) map[*Chunk]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := map[*Chunk]int{}
	var entries []*Entry
	for e := q.head; e != nil; e = e.next {
		// One that is blocked keeps the order of the versions of its record.
		if e.state != waiting || !e.load || e.returned || e.blocked > 0 ||
			slices.ContainsFunc(e.Chunks, func(c *Chunk) bool { return c.Backfill != backfill }) {
			continue
		}
		entries = append(entries, e)
		for _, c := range e.Chunks {
			left[c]++
		}
	}
	q.forget(entries)
	notify(q.wake)
	return left
}
