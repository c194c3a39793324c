package sink

// ready holds the versions of one target that may be taken: what people change
// goes before the rows of backfills, of which every loadTurn-th batch begins with
// the oldest all the same, lest they wait for ever and the log with them.
type ready struct{ live, load readyHeap }

const loadTurn = 8

func (r *ready) len() int { return len(r.live) + len(r.load) }

func (r *ready) push(e *Entry) {
	if e.load {
		r.load.push(e)
		return
	}
	r.live.push(e)
}

// promote is for a version of a backfill's row that a live change has merged
// into. It stays in the other heap until it comes to its top.
func (r *ready) promote(e *Entry) {
	e.load = false
	if e.blocked == 0 && !e.aside {
		r.live.push(e)
	}
}

// heap is the one to take from next. With loads that is the backfills', if there
// are any.
func (r *ready) heap(loads bool) *readyHeap {
	if len(r.load) > 0 && (loads || len(r.live) == 0) {
		return &r.load
	}
	return &r.live
}

func (r *ready) first(loads bool) *Entry { return (*r.heap(loads))[0] }

func (r *ready) pop(loads bool) *Entry { return r.heap(loads).pop() }

func (r *ready) sweep() {
	r.live.sweep()
	r.load.sweep()
}

// setAside takes those off the tops that must not be taken, or have gone over to
// the live ones.
func (r *ready) setAside() {
	r.live.setAside()
	for len(r.load) > 0 {
		switch top := r.load[0]; {
		case !top.load:
			r.load.pop()
		case top.waits > 0:
			r.load.pop().aside = true
		default:
			return
		}
	}
}

// sooner reports whether a goes before b.
func sooner(a, b *Entry, loads bool) bool {
	if a.load != b.load {
		return a.load == loads
	}
	return a.First.Before(b.First)
}

// readyHeap holds the versions of one target that may be taken, the oldest
// first. Nearly all are pushed in their order, which costs one comparison; those
// that were blocked, or come back, find their place among the others. Were they
// put first, a few hot records could keep all others waiting, and the checkpoint
// with them.
type readyHeap []*Entry

func (h readyHeap) before(i, j int) bool { return h[i].First.Before(h[j].First) }

func (h *readyHeap) push(e *Entry) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.before(i, parent) {
			break
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *readyHeap) pop() *Entry {
	s := *h
	oldest, last := s[0], len(s)-1
	s[0], s[last] = s[last], nil
	*h = s[:last]
	h.sink(0)
	return oldest
}

func (h readyHeap) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h.before(right, child) {
			child = right
		}
		if !h.before(child, i) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// sweep takes out what is gone.
func (h *readyHeap) sweep() {
	kept := (*h)[:0]
	for _, e := range *h {
		if e.state != gone {
			kept = append(kept, e)
		}
	}
	clear((*h)[len(kept):])
	*h = kept
	for i := len(kept)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
}
