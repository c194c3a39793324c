package sink

// Hold is the versions that a transaction has changed and that must not be taken
// yet: first since it is not read whole, and then, where it changes more than is
// let go unasked, until somebody says so. They stay where they are in the list
// and keep the safe position where it is, as what is in flight does; newer
// changes merge into them.
//
// Whoever adds to the queue owns its Holds; they are made, read and released by
// that one goroutine.
type Hold struct {
	entries []*Entry // each once; some may be gone
}

// Withhold has the versions that the transaction changes wait, whose beginning
// was noted last, until Release. Rows of chunks do not wait.
func (q *Queue) Withhold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.withhold = true
}

// Withheld is what the transaction that is being read has changed so far; nil
// where that is nothing, or does not wait.
func (q *Queue) Withheld() *Hold {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.holding
}

// keep has the entry wait with the transaction that is being read.
func (q *Queue) keep(e *Entry, a *Add) {
	if e.waits > 0 && e.hold != q.holding {
		q.regained = true
	}
	if !q.withhold || a.Chunk != nil {
		return
	}
	if q.holding == nil {
		q.holding = &Hold{}
	}
	if e.hold == q.holding {
		return
	}
	e.hold = q.holding
	e.waits++
	q.holding.entries = append(q.holding.entries, e)
}

// Entries lists the versions that wait with it and are not gone. None of them can
// be taken, so that they may be read as long as nothing is added.
func (q *Queue) Entries(h *Hold) []*Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries := make([]*Entry, 0, len(h.entries))
	for _, e := range h.entries {
		if e.state != gone {
			entries = append(entries, e)
		}
	}
	return entries
}

// Len counts the versions, those included that are gone by now.
func (h *Hold) Len() int {
	if h == nil {
		return 0
	}
	return len(h.entries)
}

// Release lets the versions go. Of a transaction that is not read whole, the
// changes that follow do not wait either.
func (q *Queue) Release(h *Hold) {
	if h == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if h == q.holding {
		q.withhold, q.holding = false, nil
	}
	q.letGo(h.entries)
	h.entries = nil
}

// ReleaseSome lets the versions go that the function names, of a transaction that
// is being read: what it does to them later waits again.
func (q *Queue) ReleaseSome(h *Hold, some func(*Entry) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var kept, free []*Entry
	for _, e := range h.entries {
		switch {
		case e.state == gone:
		case some(e):
			e.hold = nil
			free = append(free, e)
		default:
			kept = append(kept, e)
		}
	}
	h.entries = kept
	q.letGo(free)
}

func (q *Queue) letGo(entries []*Entry) {
	for _, e := range entries {
		if e.state == gone {
			continue
		}
		if e.waits--; e.waits == 0 && e.aside {
			e.aside = false
			q.lanes[e.Source.Target.Index].ready.push(e)
		}
	}
	notify(q.wake)
}

// Regained reports whether, since it was last asked, a change went into a version
// that waits with an earlier transaction: what that one comes to has changed.
func (q *Queue) Regained() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.regained
	q.regained = false
	return was
}

// Stuck reports whether nothing in the queue can leave it before something is
// released: whatever is not blocked waits.
func (q *Queue) Stuck() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.head; e != nil; e = e.next {
		if e.state != waiting || e.blocked == 0 && e.waits == 0 {
			return false
		}
	}
	return q.head != nil
}

// setAside takes those off the top that must not be taken yet. They come back when
// they are released.
func (o *order) setAside() {
	for o.len() > 0 && o.first().waits > 0 {
		o.pop().aside = true
	}
}
