package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// world is everything outside of pgcrm that outlives a process: the database
// with its log, the state schema and the CRM, with the journals that the checks
// read. One lock guards all of it; nothing waits while it holds the lock.
//
// It lives inside a testing/synctest bubble: time is virtual. Each actor draws
// its delays from a source of its own, which is seeded by the actor's name.
type world struct {
	traits

	mu      sync.Mutex
	pg      postgres
	state   store
	crm     portal
	history history

	// What a test has in mind for single calls; each may be nil. They are called
	// with the lock held.
	onRequest func(p *process, jobs []sink.Job) (fate string)
	onCall    func(p *process, what string) callFate
	onEvent   func(p *process, ev *change.Event) // is about to be lent

	// waitsFor is why all mappings wait for the CRM's properties; empty where they do not.
	waitsFor string
	rehash   string // of all mappings

	// alter changes how processes are put together; it may be nil.
	alter func(cfg *pipeline.Config)

	calm   bool // nothing fails any more
	faults []string
	trace  *trace
}

// callFate is what becomes of a call.
type callFate struct {
	err     error
	happens bool // although err is returned
}

// traits are what a world is like.
type traits struct {
	seed      uint64
	tables    int
	policy    change.Missing
	full      bool    // REPLICA IDENTITY FULL
	step      int     // bytes of log between two commits, at most
	invisible float64 // how often a commit becomes visible late
	netFaults float64 // of the database's calls
	crmFaults float64 // of the CRM's requests
	delay     time.Duration
	lease     time.Duration
}

func newWorld(tr traits) *world {
	w := &world{traits: tr, trace: &trace{}}
	w.pg.init(w)
	w.state.init(w)
	w.crm.init(w)
	w.history.init(w)
	return w
}

// dice returns the actor's own source of chance.
func (w *world) dice(actor string) *dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(actor))
	return &dice{r: rand.New(rand.NewPCG(w.seed, h.Sum64()))}
}

// dice is a source of chance that several goroutines may use.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}

// upTo draws a time, to the nanosecond so that few things happen at once.
func (d *dice) upTo(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.r.Int64N(int64(limit)) + 1)
}

// pause lets virtual time pass.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errNetwork = errors.New("connection reset by peer")

// fault notes that a promise was broken. Call it with the lock held.
func (w *world) fault(format string, args ...any) {
	f := fmt.Sprintf(format, args...)
	w.trace.add("FAULT %s", f)
	if len(w.faults) < 10 {
		w.faults = append(w.faults, f)
	}
}

// trace is what happened, for people who look at a failed seed.
type trace struct {
	mu    sync.Mutex
	began time.Time
	lines []string
	off   bool
}

// all is what happened so far.
func (t *trace) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}

func (t *trace) add(format string, args ...any) {
	if t.off {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = time.Now()
	}
	t.lines = append(t.lines, fmt.Sprintf("%12v  ", time.Since(t.began).Round(time.Microsecond))+fmt.Sprintf(format, args...))
}
