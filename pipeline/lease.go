package pipeline

import (
	"context"
	"sync"
	"time"
)

// lease is the right to begin requests. Nothing fences the CRM, so an instance
// that was overtaken must stop by itself: it begins no request later than the
// lease's length after its last successful write to the ledger, where it would
// have learnt of the other; and the one that overtakes it begins none before that
// time is over. What was begun in time and is slow on its way is a late request,
// which no lease can stop.
//
// A write is asked for when a request wants to begin, never by the clock: an idle
// instance writes nothing. The zero length is no lease.
type lease struct {
	length time.Duration
	now    func() time.Time
	// quiet is the end of the lease of an instance that did not stop cleanly.
	quiet time.Time

	mu      sync.Mutex
	from    time.Time     // when the last successful write began
	renewed chan struct{} // closed by the next one
	wanted  chan struct{} // asks for one
}

func newLease(length time.Duration, now func() time.Time, from, quiet time.Time) *lease {
	return &lease{
		length: length, now: now, from: from, quiet: quiet,
		renewed: make(chan struct{}), wanted: make(chan struct{}, 1),
	}
}

// await returns when a request may begin now. The error is ctx's.
func (l *lease) await(ctx context.Context) error {
	if l.length <= 0 {
		return nil
	}
	if d := l.quietFor(); d > 0 {
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
	for {
		l.mu.Lock()
		age, renewed := elapsed(l.from, l.now()), l.renewed
		l.mu.Unlock()
		if age > l.length/2 {
			select {
			case l.wanted <- struct{}{}:
			default: // it is asked for already
			}
		}
		if age < l.length {
			return nil
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// quietFor is how long nothing may be sent yet.
func (l *lease) quietFor() time.Duration { return l.quiet.Sub(l.now()) }

// renew notes that a write which began at the time has succeeded.
func (l *lease) renew(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.After(l.from) {
		l.from = at
	}
	close(l.renewed)
	l.renewed = make(chan struct{})
}

// elapsed is the longer of the times that the monotonic and the wall clock tell:
// the one stands still while the machine sleeps, the other may be set back.
func elapsed(from, now time.Time) time.Duration {
	return max(now.Sub(from), now.Round(0).Sub(from.Round(0)))
}
