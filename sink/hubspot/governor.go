package hubspot

import (
	"context"
	"math"
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
	// part is how much of each window this process uses.
	part float64
	mu   sync.Mutex
	// ceiling is the operator's window, api the one that headers tell. A window
	// of limit 0 bounds nothing.
	ceiling window
	api     window
	// others is how much of the api's window is taken by calls that this process
	// has not made: another one with the same token.
	others level
	// seq counts the calls ever made.
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
		now:  cfg.Now,
		part: cfg.Part,
		api:  window{limit: assumedCalls, interval: assumedWindow},
		day:  day{share: cfg.QuotaShare, ceiling: cfg.DailyLimit, part: cfg.Part, rand: cfg.Rand},
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
	return max(g.blocked.Sub(now), g.ceiling.wait(now, g.left(&g.ceiling)), g.api.wait(now, max(g.others.room(), g.left(&g.api))), g.day.wait(now))
}

// left is how much of a window is left to another process of this program.
func (g *governor) left(w *window) int { return w.limit - int(math.Ceil(g.part*float64(w.limit))) }

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
		g.others.see(now, 0)
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
	g.others.see(now, limit-remaining-t.alive-int(g.seq-t.seq)) //nolint:gosec // a small difference
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
	case g.api.limit > 0:
		// The window is full: what this process has not called, others have. It has
		// room again when the oldest of its own calls leave.
		g.others.raise(g.api.limit - g.api.count(now))
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
