package pipeline

import (
	"context"
	"errors"
	"time"
)

// Loop is told that a loop of the pipeline turns, and that it has ended as it
// should. A turn says that the loop is not stuck, not that it gets anywhere: it
// turns while it waits for the CRM, for the database or for work, too.
type Loop interface {
	Turn()
	End()
}

// The names of the loops.
const (
	loopPipeline   = "pipeline" // between two sessions
	loopReader     = "reader"
	loopDispatcher = "dispatcher"
	loopSettler    = "settler"
	loopLoader     = "loader"
	loopHolder     = "holder"
)

// turnWithin is how long a loop waits at most before it turns.
const turnWithin = 10 * time.Second

// noLoop is watched by nobody.
type noLoop struct{}

func (noLoop) Turn() {}
func (noLoop) End()  {}

type loopKey struct{}

// watched runs a loop under the eyes of whoever watches. What the loop calls
// finds it in the context: whatever takes long says there that it turns.
func (p *Pipeline) watched(ctx context.Context, name string, run func(context.Context) error) error {
	loop := p.Loop(name)
	defer loop.End()
	return run(context.WithValue(ctx, loopKey{}, loop))
}

// turn notes that the loop to which the context belongs has come by.
func turn(ctx context.Context) {
	if loop, ok := ctx.Value(loopKey{}).(Loop); ok {
		loop.Turn()
	}
}

// turning does what takes as long as the database likes, and turns meanwhile:
// another start would not make it quicker.
func turning(ctx context.Context, do func() error) error {
	turn(ctx)
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(turnWithin)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				turn(ctx)
			}
		}
	}()
	return do()
}

// patiently waits with an operation that ends with its context, for as long as
// it takes, and turns meanwhile.
func patiently(ctx context.Context, wait func(context.Context) error) error {
	for {
		turn(ctx)
		some, cancel := context.WithTimeout(ctx, turnWithin)
		err := wait(some)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}
