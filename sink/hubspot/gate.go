package hubspot

import (
	"context"
	"strings"
	"sync"
	"time"
)

// How long a closed gate waits before one call tries again: the first time, and
// at most.
const (
	firstProbe = 5 * time.Second
	lastProbe  = 5 * time.Minute
)

// gates close when HubSpot refuses the credentials: for every call after a 401,
// for the calls of one object after a 403, since scopes are granted by object.
// While a gate is closed its callers wait, and one of them at a time tries now
// and then, so that work resumes by itself. No goroutine is needed.
type gates struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*gate
}

// everyCall is the gate of all objects.
const everyCall = ""

type gate struct {
	reason string
	since  time.Time
	next   time.Time     // of the next probe
	wait   time.Duration // between probes
	opened chan struct{} // closed when the gate opens
	probe  chan struct{} // holds the right to probe
}

func newGates(now func() time.Time) gates {
	return gates{now: now, all: make(map[string]*gate)}
}

func (g *gates) get(key string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all[key]
}

// enter waits until the gate of the key and that of every call are open, or
// until this caller is the one to probe. leave must be called when its attempt
// is over, after close or open.
func (g *gates) enter(ctx context.Context, key string) (leave func(), err error) {
	var held []*gate
	leave = func() {
		for _, h := range held {
			<-h.probe
		}
	}
	for _, k := range []string{everyCall, key} {
		for {
			closed := g.get(k)
			if closed == nil {
				break
			}
			probing, err := g.wait(ctx, closed)
			if err != nil {
				leave()
				return nil, err
			}
			if probing {
				held = append(held, closed)
				break
			}
		}
		if key == everyCall {
			break
		}
	}
	return leave, nil
}

// wait returns when the gate has opened, or with the right to probe it.
func (g *gates) wait(ctx context.Context, closed *gate) (probing bool, err error) {
	select {
	case <-closed.opened:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case closed.probe <- struct{}{}:
	}
	g.mu.Lock()
	d := closed.next.Sub(g.now())
	g.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-closed.opened:
		<-closed.probe
		return false, nil
	case <-ctx.Done():
		<-closed.probe
		return false, ctx.Err()
	case <-t.C:
		return true, nil
	}
}

// shut closes the gate, or notes that a probe of it has failed. It reports
// whether the gate was open before.
func (g *gates) shut(key, reason string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	closed, ok := g.all[key]
	if !ok {
		g.all[key] = &gate{
			reason: reason, since: now, next: now.Add(firstProbe), wait: firstProbe,
			opened: make(chan struct{}), probe: make(chan struct{}, 1),
		}
		return true
	}
	closed.reason = reason
	if !now.Before(closed.next) { // calls that were in flight when it closed change nothing
		closed.wait = min(2*closed.wait, lastProbe)
		closed.next = now.Add(closed.wait)
	}
	return false
}

// open opens the gate. It reports for how long it was closed.
func (g *gates) open(key string) (time.Duration, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed, ok := g.all[key]
	if !ok {
		return 0, false
	}
	delete(g.all, key)
	close(closed.opened)
	return g.now().Sub(closed.since), true
}

// Paused reports whether HubSpot's refusal of the credentials holds calls back,
// why, and since when. The reason is fit for a log and a metric label's help.
func (c *Client) Paused() (reason string, since time.Time, ok bool) {
	c.gates.mu.Lock()
	defer c.gates.mu.Unlock()
	var reasons []string
	for _, closed := range c.gates.all {
		reasons = append(reasons, closed.reason)
		if since.IsZero() || closed.since.Before(since) {
			since = closed.since
		}
	}
	return strings.Join(reasons, "; "), since, len(reasons) > 0
}
