package pipeline_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// watcher knows when each loop has turned last. The clock is the test's.
type watcher struct {
	mu    sync.Mutex
	loops map[*watchedLoop]bool
	seen  map[string]bool
}

type watchedLoop struct {
	of   *watcher
	name string
	last time.Time
}

func (l *watchedLoop) Turn() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.last = time.Now()
}

func (l *watchedLoop) End() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	delete(l.of.loops, l)
}

// watch has the lab's processes watched.
func (l *lab) watch(also func(cfg *pipeline.Config)) *watcher {
	w := &watcher{loops: map[*watchedLoop]bool{}, seen: map[string]bool{}}
	l.alter = func(cfg *pipeline.Config) {
		cfg.Loop = func(name string) pipeline.Loop {
			loop := &watchedLoop{of: w, name: name}
			loop.Turn()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.loops[loop], w.seen[name] = true, true
			return loop
		}
		if also != nil {
			also(cfg)
		}
	}
	return w
}

// stale lists the loops that have not turned for a minute.
func (w *watcher) stale() (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.loops {
		if time.Since(l.last) >= time.Minute {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	return names
}

// turning checks for a while that no loop looks stuck.
func (l *lab) turning(w *watcher, span time.Duration, when string) {
	l.t.Helper()
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(time.Second) {
		if names := w.stale(); len(names) > 0 {
			l.t.Fatalf("%s: %v seem stuck", when, names)
		}
	}
}

// Whatever the neighbours do, the loops turn: another start would mend nothing.
func TestLoopsTurnThroughTroubles(t *testing.T) {
	inLab(t, traits{lease: time.Minute}, func(l *lab) {
		var paused sync.RWMutex
		open := make(chan struct{})
		closed := false
		w := l.watch(func(cfg *pipeline.Config) {
			cfg.Ready = func(ctx context.Context) error {
				paused.RLock()
				wait := closed
				paused.RUnlock()
				if !wait {
					return nil
				}
				select {
				case <-open:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		p := l.run(shape{backfill: true, hold: above(1000)})
		l.until("it streams", func() bool { return p.pipeline.Status().Phase.Name == pipeline.Streaming })
		l.turning(w, 10*time.Minute, "idle")
		want := []string{"dispatcher", "holder", "loader", "pipeline", "reader", "settler"}
		if got := slices.Sorted(maps.Keys(w.seen)); !slices.Equal(got, want) {
			t.Fatalf("watched are %v, want %v", got, want)
		}

		standby := l.run(shape{})
		l.until("the other stands by", func() bool { return standby.pipeline.Status().Phase.Name == pipeline.Standby })
		l.turning(w, 10*time.Minute, "standing by")

		paused.Lock()
		closed = true
		paused.Unlock()
		l.commit(1, "1", "1")
		l.turning(w, 10*time.Minute, "while the CRM accepts nothing")
		close(open)

		l.locked(func() { p.down = true })
		l.commit(2, "2", "2")
		l.turning(w, 10*time.Minute, "without the state database")
		l.locked(func() { p.down = false })
	})
}

// snag is a neighbour that never answers at one place, whatever becomes of the
// caller, until it is let go.
type snag struct {
	at   string
	free chan struct{}
}

func (s *snag) here(at string) {
	if s.at == at {
		<-s.free
	}
}

type snagLedger struct {
	pipeline.Ledger
	*snag
}

func (l snagLedger) Settle(ctx context.Context, s *ledger.Settlement) error {
	l.here("settler")
	return l.Ledger.Settle(ctx, s)
}

func (l snagLedger) Peek(ctx context.Context) (ledger.State, bool, error) {
	l.here("pipeline")
	return l.Ledger.Peek(ctx)
}

type snagSource struct {
	pipeline.Source
	*snag
}

func (s snagSource) Open(ctx context.Context, start change.LSN) (pipeline.Stream, error) {
	stream, err := s.Source.Open(ctx, start)
	return snagStream{stream, s.snag}, err
}

func (s snagSource) Estimate(ctx context.Context, table *change.Relation) (int64, error) {
	s.here("loader")
	return s.Source.Estimate(ctx, table)
}

type snagStream struct {
	pipeline.Stream
	*snag
}

func (s snagStream) Next(ctx context.Context) (*change.Event, error) {
	s.here("reader")
	return s.Stream.Next(ctx)
}

// Each loop that hangs is seen, and it alone. What waits for it may turn.
func TestALoopThatHangsIsSeen(t *testing.T) {
	for _, loop := range []string{"reader", "dispatcher", "settler", "loader", "pipeline"} {
		t.Run(loop, func(t *testing.T) {
			inLab(t, traits{}, func(l *lab) {
				s := &snag{at: loop, free: make(chan struct{})}
				w := l.watch(func(cfg *pipeline.Config) {
					cfg.Ledger, cfg.Source = snagLedger{cfg.Ledger, s}, snagSource{cfg.Source, s}
					cfg.Ready = func(context.Context) error { s.here("dispatcher"); return nil }
				})
				l.run(shape{backfill: true})
				l.commit(1, "1", "1")
				time.Sleep(59 * time.Second)
				if names := w.stale(); len(names) > 0 {
					t.Errorf("too early: %v", names)
				}
				time.Sleep(time.Minute)
				if names := strings.Join(w.stale(), " "); names != loop {
					t.Errorf("seen as stuck: %q", names)
				}
				close(s.free)
			})
		})
	}
}
