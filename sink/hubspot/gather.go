package hubspot

import (
	"context"
	"time"
)

// The part of the window that may be in use while calls count as plentiful, and
// the part from which on a change is held for the longest.
const (
	plentiful = 0.5
	scarce    = 0.9
)

// Gather says how long a change should be held, from when it was first seen, to
// gather company: 0 while calls are plentiful, up to most as the window gets
// scarce, and past it where the calls of the day would not last to midnight
// otherwise. If most is 0 nothing is ever held.
func (c *Client) Gather(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	g := c.gov
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	used := max(g.ceiling.used(now, 0), g.api.used(now, g.others.room()))
	held := min(max((used-plentiful)/(scarce-plentiful), 0), 1)
	return max(time.Duration(held*float64(most)), g.day.hold(now))
}

// Ready waits until a call could be made at once: no gate of the object is
// closed, or it is time to probe it, and the windows have room. A sender that
// waits here before it takes work from its queue leaves the work where it still
// gathers company. Nothing is reserved. The error is ctx's.
func (c *Client) Ready(ctx context.Context, object string) error {
	leave, err := c.gates.enter(ctx, object)
	if err != nil {
		return err
	}
	leave()
	for {
		c.gov.mu.Lock()
		wait := c.gov.wait(c.gov.now())
		c.gov.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Quota is what the governor knows at one moment.
type Quota struct {
	// WindowLimit and WindowRemaining are those of the rolling window; the
	// narrower one where the operator has set a ceiling.
	WindowLimit, WindowRemaining int
	// DailyLimit and DailyRemaining are the account's, known after the first
	// answer that told them.
	DailyLimit, DailyRemaining int
	DailyKnown                 bool
	// DailyLeft is what this process may still use of the day; without
	// DailyBounded there is no bound.
	DailyLeft    int
	DailyBounded bool
	// BlockedUntil is in the future while no call is made at all.
	BlockedUntil time.Time
}

// Quota gives a snapshot for metrics and status.
func (c *Client) Quota() Quota {
	g := c.gov
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.day.turn(now)
	var q Quota
	narrower := func(w *window, others int) {
		if left := max(w.limit-w.count(now)-others, 0); w.limit > 0 && (q.WindowLimit == 0 || left < q.WindowRemaining) {
			q.WindowLimit, q.WindowRemaining = w.limit, left
		}
	}
	narrower(&g.api, g.others.room())
	narrower(&g.ceiling, 0)
	q.DailyLimit, q.DailyRemaining, q.DailyKnown = g.day.limit, max(g.day.remaining, 0), g.day.known
	left, bounded := g.day.left()
	q.DailyLeft, q.DailyBounded = max(left, 0), bounded
	q.BlockedUntil = g.blocked
	if wait := g.day.wait(now); wait > 0 {
		q.BlockedUntil = now.Add(wait)
	}
	return q
}
