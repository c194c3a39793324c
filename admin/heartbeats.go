package admin

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// StaleAfter is how long a loop may go without turning before /healthz fails.
const StaleAfter = 60 * time.Second

// Heartbeats watches the loops of the process. A loop turns also while it waits
// for work, for the CRM or for the database: a turn says that it is not stuck,
// not that it gets anywhere.
type Heartbeats struct {
	now   func() time.Time
	mu    sync.Mutex
	loops map[*Loop]struct{}
}

// NewHeartbeats takes the clock, time.Now outside of tests.
func NewHeartbeats(now func() time.Time) *Heartbeats {
	return &Heartbeats{now: now, loops: map[*Loop]struct{}{}}
}

// Loop is one loop that is watched.
type Loop struct {
	name string
	of   *Heartbeats
	last atomic.Int64 // Unix nanoseconds
}

// Loop starts to watch a loop. Call Turn at least every few seconds, and End
// when the loop returns.
func (h *Heartbeats) Loop(name string) *Loop {
	l := &Loop{name: name, of: h}
	l.Turn()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loops[l] = struct{}{}
	return l
}

// Turn notes that the loop is alive. It may be called from any goroutine and
// costs a look at the clock.
func (l *Loop) Turn() { l.last.Store(l.of.now().UnixNano()) }

// End ceases to watch the loop: it returned as it should.
func (l *Loop) End() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	delete(l.of.loops, l)
}

// Beat is a loop and the time since its last turn.
type Beat struct {
	Name string
	Age  time.Duration
}

// Beats lists the loops that are watched, by name.
func (h *Heartbeats) Beats() []Beat {
	now := h.now().UnixNano()
	h.mu.Lock()
	defer h.mu.Unlock()
	beats := make([]Beat, 0, len(h.loops))
	for l := range h.loops {
		beats = append(beats, Beat{l.name, time.Duration(now - l.last.Load())})
	}
	slices.SortFunc(beats, func(a, b Beat) int { return strings.Compare(a.Name, b.Name) })
	return beats
}

// Stale lists the loops that have not turned for StaleAfter.
func (h *Heartbeats) Stale() []Beat {
	return slices.DeleteFunc(h.Beats(), func(b Beat) bool { return b.Age < StaleAfter })
}
