package sink

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// Queue holds the records that have changed and are not settled. See the
// package comment for what it guarantees.
type Queue struct {
	limit int // bytes
	batch int // records in a call
	now   func() time.Time

	wake        chan struct{} // something may be ready to be taken
	room        chan struct{} // something was removed
	boundWanted chan struct{} // the oldest ready version lies beyond the bound

	full atomic.Bool // bytes has reached the limit

	mu         sync.Mutex
	head, tail *Entry
	count      int
	bytes      int
	merged     change.Props // scratch
	lanes      []lane
	turn       int // batches taken
	left       uint64

	lastEnd change.LSN // end of the last transaction read whole
	horizon change.LSN // as lastEnd, or a keepalive's position outside a transaction
	reading change.LSN // commit position of the newest change seen
	ceiling change.LSN // safe never passes it, unless zero
	inTx    bool
	// archives is set while the transaction that is being read archives records.
	archives bool

	withhold bool  // what the transaction being read changes waits
	holding  *Hold // what it has changed; nil for nothing yet
	regained bool  // see Regained

	open     bool
	draining bool
	bound    change.LSN // exclusive, on disk
}

// lane is the queue of one target.
type lane struct {
	last      map[string]*Entry // per key, the last entry that holds it
	rows      rows
	ready     ready
	heldUntil time.Time
}

// NewQueue makes a queue for that many targets that reports itself full from
// limit bytes on and hands out at most batch records at once.
func NewQueue(targets, limit, batch int, now func() time.Time) *Queue {
	q := &Queue{
		limit:       limit,
		batch:       batch,
		now:         now,
		wake:        make(chan struct{}, 1),
		room:        make(chan struct{}, 1),
		boundWanted: make(chan struct{}, 1),
		lanes:       make([]lane, targets),
	}
	for i := range q.lanes {
		q.lanes[i].last = map[string]*Entry{}
		q.lanes[i].rows = rows{}
	}
	return q
}

// Add is a change on its way into the queue.
type Add struct {
	Patch  *change.Patch
	Pos    change.Position
	Commit time.Time
	Doubt  Doubt
	// Chunk is set for a row of a backfill.
	Chunk *Chunk
	// MergeOnly leaves the change out unless it merges into a waiting entry.
	MergeOnly bool
}

// Add merges the change into the waiting version of its record, or opens a new
// version at the tail. It copies what it keeps. It reports whether the change is
// now in the queue, which fails only with MergeOnly, and whether it merged.
func (q *Queue) Add(a Add) (added, merged bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := a.Patch
	lane := &q.lanes[p.Source.Target.Index]
	q.reading = max(q.reading, a.Pos.LSN)
	q.archives = q.archives || p.Gone

	if p.Rejection == nil && len(p.OldKey) == 0 {
		if e := lane.last[string(p.Key)]; e != nil && e.state == waiting && e.Key == string(p.Key) && e.Rejection == nil {
			q.merge(lane, e, &a)
			return true, true
		}
	}
	if a.MergeOnly {
		return false, false
	}
	q.append(lane, &a)
	return true, false
}

func (q *Queue) merge(lane *lane, e *Entry, a *Add) {
	p := a.Patch
	q.merged = change.Merge(q.merged[:0], e.Props, p.Props)
	if len(q.merged) <= cap(e.Props) {
		e.Props = append(e.Props[:0], q.merged...)
	} else {
		e.Props = slices.Clone(q.merged)
	}
	lane.rows.leave(e)
	e.complete(p)
	e.GoneOwn = p.Gone && !e.GoneOnly && e.holds(p)
	e.from(p.Source, p.Row)
	lane.rows.enter(e)
	e.Creates = e.Creates || creates(p)
	e.Gone, e.GoneOnly = p.Gone, e.GoneOnly && p.Gone
	if e.Newest.Before(a.Pos) {
		e.Newest = a.Pos
	}
	q.keep(e, a)
	e.Doubt |= a.Doubt
	if a.Chunk != nil {
		e.Chunks = append(e.Chunks, a.Chunk)
		a.Chunk.open++
	} else if e.load {
		lane.ready.promote(e)
	}
	size := e.measure()
	q.grow(size - e.size)
	e.size = size
}

// grow accounts for bytes. Whether the queue is full is asked for each row, and
// answered without a lock.
func (q *Queue) grow(n int) {
	q.bytes += n
	full := q.bytes >= q.limit
	q.full.Store(full)
	if full && q.archives {
		notify(q.wake) // records whose transaction is not read whole may now be archived
	}
}

func (q *Queue) append(lane *lane, a *Add) {
	p := a.Patch
	key := string(p.Key)
	row := key // most often they share one text
	if row != string(p.Row) {
		row = string(p.Row)
	}
	e := &Entry{
		Source:    p.Source,
		Key:       key,
		OldKey:    string(p.OldKey),
		Row:       row,
		Props:     append(change.Props(nil), p.Props...),
		Rejection: p.Rejection,
		Partial:   !p.Whole,
		Creates:   creates(p),
		Gone:      p.Gone,
		GoneOnly:  p.Gone,
		Reread:    p.Reread,
		First:     a.Pos,
		Newest:    a.Pos,
		Since:     a.Commit,
		Doubt:     a.Doubt,
		load:      a.Chunk != nil,
		queued:    q.now(),
		safe:      q.lastEnd,
		prev:      q.tail,
	}
	if e.Rejection != nil {
		e.Key = unaddressed(p.Source.Table, e.Row)
	}
	if a.Chunk != nil {
		e.Chunks = a.Chunk.alone()
		a.Chunk.open++
	}
	if q.tail == nil {
		q.head = e
	} else {
		q.tail.next = e
	}
	q.tail = e
	q.count++
	e.size = e.measure()
	q.grow(e.size)
	q.keep(e, a)

	lane.rows.enter(e)
	lane.hold(e, e.Key)
	if e.OldKey != "" && e.OldKey != e.Key {
		lane.hold(e, e.OldKey)
	}
	if e.blocked == 0 {
		lane.ready.push(e)
		if n := lane.ready.len(); n == 1 || n == q.batch {
			notify(q.wake)
		}
	}
}

func creates(p *change.Patch) bool { return p.Whole && p.Source.OnMissing == change.Create }

// unaddressed is the key of a row that addresses no record. Postgres text holds
// no zero byte, so it is no match value.
func unaddressed(table, row string) string { return "\x00" + table + "\x00" + row }

// hold makes e the last holder of the key, behind the one before.
func (l *lane) hold(e *Entry, key string) {
	if before := l.last[key]; before != nil {
		if e.OldKey != "" {
			before.reused()
		}
		before.followers = append(before.followers, e)
		e.blocked++
	}
	l.last[key] = e
}

// Reused tells that a change which is left out renames the record, or another one to
// its key.
func (q *Queue) Reused(target *change.Target, key []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.lanes[target.Index].last[string(key)]; e != nil {
		e.reused()
	}
}

// Remove takes entries out whose settle has been confirmed, or that needed none
// because the CRM holds them already.
func (q *Queue) Remove(entries []*Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.remove(e)
	}
	notify(q.room)
	notify(q.wake)
}

func (q *Queue) remove(e *Entry) {
	if e.prev == nil {
		q.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		q.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	e.state = gone
	q.count--
	q.left++
	q.grow(-e.size)
	for _, c := range e.Chunks {
		c.open--
	}

	lane := &q.lanes[e.Source.Target.Index]
	lane.rows.leave(e)
	for _, key := range [...]string{e.Key, e.OldKey} {
		if lane.last[key] == e {
			delete(lane.last, key)
		}
	}
	for _, f := range e.followers {
		if f.blocked--; f.blocked == 0 && f.state != gone {
			lane.ready.push(f)
		}
	}
	e.followers = nil
}

// notify sends without waiting; one notice is as good as many.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
