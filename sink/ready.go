package sink

import "slices"

// ready holds the versions of one target that may be taken: what people change
// goes before the rows of backfills, of which every loadTurn-th batch begins with
// the oldest all the same, lest they wait for ever and the log with them.
type ready struct{ live, load order }

const loadTurn = 8

func (r *ready) len() int { return r.live.len() + r.load.len() }

func (r *ready) push(e *Entry) {
	if e.load {
		r.load.push(e)
		return
	}
	r.live.push(e)
}

// promote is for a version of a backfill's row that a live change has merged
// into. It stays among the others until it comes to their top.
func (r *ready) promote(e *Entry) {
	e.load = false
	if e.blocked == 0 && !e.aside {
		r.live.push(e)
	}
}

// next is what to take from next. With loads that is the backfills', if there are
// any.
func (r *ready) next(loads bool) *order {
	if r.load.len() > 0 && (loads || r.live.len() == 0) {
		return &r.load
	}
	return &r.live
}

func (r *ready) first(loads bool) *Entry { return r.next(loads).first() }

func (r *ready) pop(loads bool) *Entry { return r.next(loads).pop() }

func (r *ready) sweep() {
	r.live.sweep()
	r.load.sweep()
}

// setAside takes those off the tops that must not be taken, or have gone over to
// the live ones.
func (r *ready) setAside() {
	r.live.setAside()
	for r.load.len() > 0 {
		switch top := r.load.first(); {
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

// order holds the versions of one target that may be taken, the oldest first.
// Nearly all come in their order and stand in line. Those that were blocked, or
// come back, find their place among the others by a heap. Were they put first, a
// few hot records could keep all others waiting, and the checkpoint with them.
type order struct {
	line []*Entry
	head int // of line; what is before it has left
	late lateHeap
}

func (o *order) len() int { return len(o.line) - o.head + len(o.late) }

// inLine reports whether the oldest is the head of the line.
func (o *order) inLine() bool {
	return o.head < len(o.line) && (len(o.late) == 0 || o.line[o.head].First.Before(o.late[0].First))
}

func (o *order) first() *Entry {
	if o.inLine() {
		return o.line[o.head]
	}
	return o.late[0]
}

func (o *order) push(e *Entry) {
	if n := len(o.line); n > o.head && e.First.Before(o.line[n-1].First) {
		o.late.push(e)
		return
	}
	if o.head > len(o.line)/2 { // copying so costs each entry one move at most
		n := copy(o.line, o.line[o.head:])
		clear(o.line[n:])
		o.line, o.head = o.line[:n], 0
	}
	o.line = append(o.line, e)
}

func (o *order) pop() *Entry {
	if !o.inLine() {
		return o.late.pop()
	}
	e := o.line[o.head]
	o.line[o.head] = nil
	o.head++
	return e
}

// sweep takes out what is gone.
func (o *order) sweep() {
	gone := func(e *Entry) bool { return e.state == gone }
	o.line = slices.DeleteFunc(o.line[o.head:], gone)
	o.head = 0
	o.late = slices.DeleteFunc(o.late, gone)
	for i := len(o.late)/2 - 1; i >= 0; i-- {
		o.late.sink(i)
	}
}

// lateHeap is a heap by first position.
type lateHeap []*Entry

func (h lateHeap) before(i, j int) bool { return h[i].First.Before(h[j].First) }

func (h *lateHeap) push(e *Entry) {
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

func (h *lateHeap) pop() *Entry {
	s := *h
	oldest, last := s[0], len(s)-1
	s[0], s[last] = s[last], nil
	*h = s[:last]
	h.sink(0)
	return oldest
}

func (h lateHeap) sink(i int) {
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
