package hubspot

import (
	"math"
	"time"
)

// window is a rolling window of calls: their times, oldest first.
type window struct {
	limit    int
	interval time.Duration
	times    []time.Time
	head     int
}

func (w *window) add(t time.Time) {
	if w.interval <= 0 {
		return
	}
	if w.head > len(w.times)/2 {
		w.times = append(w.times[:0], w.times[w.head:]...)
		w.head = 0
	}
	w.times = append(w.times, t)
}

// count drops what has left the window and counts the rest.
func (w *window) count(now time.Time) int {
	for w.head < len(w.times) && !w.times[w.head].Add(w.interval).After(now) {
		w.head++
	}
	return len(w.times) - w.head
}

// wait says how long until the window has room for one more call beside those
// of others. It never waits for a window that is empty.
func (w *window) wait(now time.Time, others int) time.Duration {
	n := w.count(now)
	limit := max(w.limit-others, 1)
	if w.limit <= 0 || n < limit {
		return 0
	}
	return w.times[w.head+n-limit].Add(w.interval).Sub(now)
}

// used is the part of the window that is in use, by others too.
func (w *window) used(now time.Time, others int) float64 {
	if w.limit <= 0 {
		return 0
	}
	return float64(w.count(now)+others) / float64(w.limit)
}

// level is an estimate of how many calls of others are in the window. What an
// answer tells of them is never too much but often too little, since it is not
// known which of this process's own calls HubSpot had counted by then: so the
// estimate rises at once and falls slowly.
type level struct {
	n  float64
	at time.Time
}

// fading is how long the estimate takes to fall by two thirds.
const fading = 30 * time.Second

func (l *level) see(now time.Time, n int) {
	seen := math.Max(float64(n), 0)
	if seen < l.n {
		seen += (l.n - seen) * math.Exp(-now.Sub(l.at).Seconds()/fading.Seconds())
	}
	l.n, l.at = seen, now
}

// raise takes in that HubSpot has refused a call: n others at least.
func (l *level) raise(n int) { l.n = math.Max(l.n, float64(n)) + 1 }

// room is what to leave free for them: those that are there, and those of the
// next half second that no answer has told of yet.
func (l *level) room() int {
	if l.n < 0.5 {
		return 0
	}
	return int(math.Ceil(l.n*1.05)) + 1
}
