package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// Config is what a Pipeline is made of.
type Config struct {
	Source Source
	Ledger Ledger
	Mapper Mapper
	// ChunkMapper maps the rows of backfills, in another goroutine than Mapper.
	ChunkMapper Mapper
	Deliverer   Deliverer
	Recorder    Recorder
	Log         *slog.Logger

	// Instance says who this set-up is; the server's part is filled in when the
	// slot is held.
	Instance ledger.Instance
	Targets  []*change.Target
	Sources  []*change.Source
	// SourceHash is a hash of the mapping behind a source: where it differs from
	// what the ledger holds, the rows are sent again. It may change at any time.
	SourceHash func(source *change.Source) string
	// Tables are the mapped tables as the catalog has them.
	Tables []*change.Relation

	BatchSize       int
	MaxInFlight     int
	BufferBytes     int
	ShutdownTimeout time.Duration
	// Linger is the longest that a change which is late already is held for newer
	// ones of its record, while a backlog is read that has many.
	Linger time.Duration
	// Plentiful tells that calls need not be saved. It may be nil, for never.
	Plentiful func() bool
	// Ready waits until a call could be made. It may be nil.
	Ready func(ctx context.Context) error
	// Until returns a context for the CRM's calls with which no attempt is made
	// once front has ended, and none before permit has returned nil. It may be
	// nil where calls are not tried again.
	Until func(ctx, front context.Context, permit func(context.Context) error) context.Context
	// Lease is how long after its last successful write to the ledger an instance
	// may begin requests, and how long one waits that follows another which did
	// not stop cleanly. 0 is for tests of other rules.
	Lease time.Duration
	// LateWindow is how long a request without an answer may still take effect.
	// Records of such requests are sent once more after it. 0 is never.
	LateWindow time.Duration
	// Gather tells how long a change may be held now to gather company.
	Gather func() time.Duration
	// Backfill sends the rows that exist when a table is first mapped.
	Backfill bool
	// HoldAbove has a transaction or a load that nobody asked for wait for a person
	// where it would change more records; nil is never.
	HoldAbove *int64
	// CountLoad counts what a load would change, through all of its rows. Where it
	// is nil no load waits.
	CountLoad func(ctx context.Context, b ledger.Backfill, source *change.Source) (Tally, error)
	// RecheckMissing is how often records that were missing are looked for again,
	// LetterRetention how long letters are kept; 0 is never, and for ever.
	RecheckMissing  time.Duration
	LetterRetention time.Duration
	// ChunkRows is how many rows of a backfill are read at once.
	ChunkRows int

	Now func() time.Time
	// Loop begins to watch a loop. It may be nil.
	Loop func(name string) Loop
	// OnDelivery is told of each delivered record. It may be nil, and must not
	// block or keep the entry.
	OnDelivery func(Delivery)
	// Trace is told when a batch is taken, gives the context for its calls, and is
	// told by end what became of it. It may be nil, and must not keep the entries.
	Trace func(ctx context.Context, target *change.Target, batch []*sink.Entry) (traced context.Context, end func(outcomes map[string]int, err error))
}

// Pipeline keeps the road open: it runs one session after the other until it is
// told to stop.
type Pipeline struct {
	Config
	state   atomic.Pointer[Phase]
	session atomic.Pointer[session]
	// tidy is how the last session ended; Run's goroutine alone uses it.
	tidy tidy
	// progressed is when a record was last accounted for, in Unix nanoseconds.
	progressed atomic.Int64
	// quiet is when the lease of an instance ends that did not stop cleanly: it
	// may send until then, and this one must not. Run's goroutine alone uses it.
	quiet time.Time
	// passed is where the changes begin that the last pass of redo left out:
	// all before it are settled. Only Run's goroutine and the reader use it, one
	// after the other.
	passed change.Position
}

// New makes a Pipeline.
func New(cfg Config) *Pipeline {
	if cfg.Loop == nil {
		cfg.Loop = func(string) Loop { return noLoop{} }
	}
	if cfg.Until == nil {
		cfg.Until = func(ctx, _ context.Context, _ func(context.Context) error) context.Context { return ctx }
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) error { return nil }
	}
	if cfg.OnDelivery == nil {
		cfg.OnDelivery = func(Delivery) {}
	}
	p := &Pipeline{Config: cfg}
	p.enter(Starting, nil)
	return p
}

// How long to wait before the next session.
const (
	standbyPoll  = 2 * time.Second
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 30 * time.Second
	// steadyAfter is how long a session must last for its end to be no part of a
	// series of failures.
	steadyAfter = time.Minute
)

// Run streams until stop is closed, and then finishes what is in flight within
// the shutdown timeout and returns nil. Cancelling ctx ends everything at once.
// Other errors are those that waiting cannot mend.
func (p *Pipeline) Run(ctx context.Context, stop <-chan struct{}) error {
	retry := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstBackoff),
		backoff.WithMaxInterval(lastBackoff),
		backoff.WithMaxElapsedTime(0),
	)
	for {
		began := p.Now()
		err := p.runSession(ctx, stop)
		if p.Now().Sub(began) > steadyAfter {
			retry.Reset()
		}
		var wait time.Duration
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case stopped(stop):
			if errors.Is(err, errStopping) || p.passing(err) {
				err = nil
			}
			p.enter(Stopped, err)
			return err
		case errors.Is(err, errRedoAgain):
			p.Log.Info("redo_again", "reason", "the buffer was too small to hold every record that changed; a queue full was delivered")
		case errors.Is(err, ErrStandby):
			p.enter(Standby, err)
			wait = standbyPoll
		case errors.Is(err, ledger.ErrFenced):
			p.Log.Warn("fenced", "error", err)
			p.enter(Standby, err)
			wait = standbyPoll
		case err != nil && p.transient(err):
			wait = retry.NextBackOff()
			p.Log.Warn("session_ended", "error", err, "retry_in", wait.Round(time.Millisecond))
			p.enter(Reconnecting, err)
		default:
			p.enter(Stopped, err)
			return err
		}
		if !p.pause(ctx, stop, wait) {
			p.enter(Stopped, nil)
			return context.Cause(ctx)
		}
	}
}

// passing reports whether Run would have gone on after the error.
func (p *Pipeline) passing(err error) bool {
	return errors.Is(err, errRedoAgain) || errors.Is(err, ErrStandby) || errors.Is(err, ledger.ErrFenced) || err != nil && p.transient(err)
}

// transient reports whether a new session may mend the error. The source is
// asked first: a server that is down is a problem to an operator, and passes.
// Whatever the ledger's database says is waited out, unless it says that the
// set-up is wrong.
func (p *Pipeline) transient(err error) bool {
	if p.Source.Transient(err) {
		return true
	}
	var wrong interface{ Problems() []string }
	if errors.As(err, &wrong) {
		return false
	}
	var l *ledgerError
	return errors.As(err, &l)
}

// pause waits, turning its loop. It reports false when the process is to stop.
func (p *Pipeline) pause(ctx context.Context, stop <-chan struct{}, wait time.Duration) bool {
	loop := p.Loop(loopPipeline)
	defer loop.End()
	for {
		loop.Turn()
		some := min(wait, turnWithin)
		wait -= some
		timer := time.NewTimer(some)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-stop:
			timer.Stop()
			return false
		case <-timer.C:
		}
		if wait <= 0 {
			return true
		}
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// ledgerError marks an error of the ledger's database.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return "state database: " + e.err.Error() }
func (e *ledgerError) Unwrap() error { return e.err }

func ofLedger(err error) error {
	if err == nil {
		return nil
	}
	return &ledgerError{err}
}
