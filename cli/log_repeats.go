package cli

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// repeatEvery is how often the same warning is written at most.
const repeatEvery = time.Minute

// aboutKeys tell warnings with the same message apart; what else a line holds,
// such as the error's words or the wait, differs from one time to the next.
var aboutKeys = []string{"object", "table", "endpoint", "operation", "backfill", "problem", "digest", "what", "warning", "sql"}

// repeats holds back warnings and errors that were written a moment ago, and
// says once a minute how many there were. What is new is written at once.
type repeats struct {
	slog.Handler
	seen *repeatLog
}

type repeatLog struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*repeated
}

type repeated struct {
	first slog.Record // since it was last written
	next  slog.Handler
	at    time.Time
	held  int
}

func newRepeats(next slog.Handler, now func() time.Time) *repeats {
	return &repeats{next, &repeatLog{now: now, all: map[string]*repeated{}}}
}

// Handle implements slog.Handler.
func (r *repeats) Handle(ctx context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		return r.Handler.Handle(ctx, record)
	}
	what := record.Message
	record.Attrs(func(a slog.Attr) bool {
		if slices.Contains(aboutKeys, a.Key) {
			what += "\x00" + a.Key + "=" + a.Value.String()
		}
		return true
	})
	r.seen.mu.Lock()
	now := r.seen.now()
	last := r.seen.all[what]
	if last != nil && now.Sub(last.at) < repeatEvery {
		last.held++
		last.first, last.next = record.Clone(), r.Handler
		r.seen.mu.Unlock()
		return nil
	}
	r.seen.all[what] = &repeated{at: now}
	r.seen.mu.Unlock()
	if last != nil && last.held > 0 {
		record = record.Clone()
		record.Add("repeated", last.held)
	}
	return r.Handler.Handle(ctx, record)
}

// flush writes what was held back for a minute, with how often it came, and
// forgets what has not come again. Call it now and then.
func (r *repeats) flush(ctx context.Context) {
	var due []*repeated
	r.seen.mu.Lock()
	now := r.seen.now()
	for what, last := range r.seen.all {
		switch {
		case now.Sub(last.at) < repeatEvery:
		case last.held == 0:
			delete(r.seen.all, what)
		default:
			due = append(due, last)
			r.seen.all[what] = &repeated{at: now}
		}
	}
	r.seen.mu.Unlock()
	slices.SortFunc(due, func(a, b *repeated) int { return a.first.Time.Compare(b.first.Time) })
	for _, d := range due {
		d.first.Add("repeated", d.held)
		_ = d.next.Handle(ctx, d.first) // a log that cannot be written is nobody's to report
	}
}

// WithAttrs implements slog.Handler.
func (r *repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &repeats{r.Handler.WithAttrs(attrs), r.seen}
}

// WithGroup implements slog.Handler.
func (r *repeats) WithGroup(name string) slog.Handler {
	return &repeats{r.Handler.WithGroup(name), r.seen}
}
