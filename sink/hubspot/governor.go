package hubspot

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RateLimit is a number of calls in a rolling window. Zero means that the
// headers of the API decide.
type RateLimit struct {
	Calls int
	Per   time.Duration
}

// Until a header has told better, an account's smallest window is assumed.
const (
	assumedCalls  = 100
	assumedWindow = 10 * time.Second
)

// slack is how much later than it was sent a call may reach HubSpot and be
// counted there: a call is taken to leave the window that much later.
const slack = 100 * time.Millisecond

// governor keeps the calls of this process within the windows as HubSpot counts
// them: the times of the last calls, not a bucket, which would allow double at
// the seam. The API's headers correct it.
type governor struct {
	now func() time.Time
	mu  sync.Mutex
	// ceiling is the operator's window, api the one that headers tell. A window
	// of limit 0 bounds nothing.
	ceiling window
	api     window
	// seq counts the calls ever entered into api, phantoms included.
	seq     uint64
	blocked time.Time // no call before
	day     day
}

// ticket remembers the state of the window when a call was let go.
type ticket struct {
	seq   uint64
	alive int
}

func newGovernor(cfg Config) *governor {
	g := &governor{
		now: cfg.Now,
		api: window{limit: assumedCalls, interval: assumedWindow},
		day: day{share: cfg.QuotaShare, ceiling: cfg.DailyLimit, rand: cfg.Rand},
	}
	if cfg.RateLimit.Calls > 0 {
		g.ceiling = window{limit: cfg.RateLimit.Calls, interval: cfg.RateLimit.Per}
		g.api.limit = 0 // the operator's word holds until a header lowers it
	}
	return g
}

// acquire waits until a call may be made, and counts it.
func (g *governor) acquire(ctx context.Context) (ticket, error) {
	for {
		t, wait := g.take()
		if wait <= 0 {
			return t, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return ticket{}, err
		}
	}
}

func (g *governor) take() (ticket, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if wait := g.wait(now); wait > 0 {
		return ticket{}, wait
	}
	at := now.Add(slack)
	g.ceiling.add(at)
	g.api.add(at)
	g.seq++
	g.day.spend(now)
	return ticket{seq: g.seq, alive: g.api.count(now)}, 0
}

// wait says how long until a call may be made.
func (g *governor) wait(now time.Time) time.Duration {
	return max(g.blocked.Sub(now), g.ceiling.wait(now), g.api.wait(now), g.day.wait(now))
}

// observe takes in the headers of an answer.
func (g *governor) observe(t ticket, h http.Header) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if limit, ok := number(h, "X-Hubspot-Ratelimit-Daily"); ok {
		remaining, ok := number(h, "X-Hubspot-Ratelimit-Daily-Remaining")
		g.day.observe(now, limit, remaining, ok)
	}
	limit, ok := number(h, "X-Hubspot-Ratelimit-Max")
	if !ok || limit <= 0 {
		return
	}
	g.api.limit = limit
	if ms, ok := number(h, "X-Hubspot-Ratelimit-Interval-Milliseconds"); ok && ms > 0 && ms <= 3_600_000 {
		g.api.interval = time.Duration(ms) * time.Millisecond
	}
	remaining, ok := number(h, "X-Hubspot-Ratelimit-Remaining")
	if !ok {
		return
	}
	// What HubSpot has counted beyond the calls that were in the window when this
	// one left and those that have left since, others have made with this token.
	foreign := limit - remaining - t.alive - int(g.seq-t.seq) //nolint:gosec // a small difference
	g.phantoms(now, foreign)
}

// phantoms enters calls that this process has not made. When they were made is
// not known; taking them for new is the safe side.
func (g *governor) phantoms(now time.Time, n int) {
	for range min(n, g.api.limit-g.api.count(now)) {
		g.api.add(now.Add(slack))
		g.seq++
	}
}

// refused takes in a 429.
func (g *governor) refused(policy, message string, after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if after > 0 {
		g.blockUntil(now.Add(after))
	}
	switch {
	case policy == "DAILY" || policy == "" && strings.Contains(message, "daily limit"):
		g.day.exhaust(now)
	case strings.HasPrefix(policy, "SECONDLY") || policy == "" && strings.Contains(message, "secondly limit"):
		g.blockUntil(now.Add(time.Second))
	case g.api.limit > 0 && g.api.count(now) > 0:
		// The window is full, by calls that this process does not know of: it has
		// room again when the oldest of its own calls leaves.
		g.phantoms(now, g.api.limit)
	case after == 0:
		g.blockUntil(now.Add(max(g.api.interval, assumedWindow)))
	}
}

// block lets no call go for d.
func (g *governor) block(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blockUntil(g.now().Add(d))
}

func (g *governor) blockUntil(t time.Time) {
	if t.After(g.blocked) {
		g.blocked = t
	}
}

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

// wait says how long until the window has room for one more call.
func (w *window) wait(now time.Time) time.Duration {
	n := w.count(now)
	if w.limit <= 0 || n < w.limit {
		return 0
	}
	return w.times[w.head+n-w.limit].Add(w.interval).Sub(now)
}

func number(h http.Header, name string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(h.Get(name)))
	return n, err == nil && n >= 0
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
