package sink

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
