package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/ledger"
)

const (
	// followEvery is how often the progress is looked at.
	followEvery = 500 * time.Millisecond
	// lineEvery is how often it is printed where lines pile up.
	lineEvery = 5 * time.Second
)

// followAll shows the progress of requests, one after the other, until all are
// over. Closing stop ends the following alone.
func (b *backfillCommand) followAll(ctx context.Context, book *ledger.Ledger, ids []int64) error {
	var failed error
	ended := []progress{}
	for _, id := range ids {
		p, err := b.followOne(ctx, book, id)
		if err != nil {
			return err
		}
		ended = append(ended, p)
		if !p.over() {
			b.line("no longer followed; the load goes on (pgcrm backfill --cancel %d ends it)", id)
			break
		}
		if p.State != ledger.Done && failed == nil {
			failed = fmt.Errorf("backfill %d: %s", id, p.ending())
		}
	}
	if b.format.json() {
		if err := b.out.json(ended); err != nil {
			return err
		}
	}
	return failed
}

// line prints a line for people; with --output json there are none.
func (b *backfillCommand) line(format string, args ...any) {
	if !b.format.json() {
		b.out.printf(format+"\n", args...)
	}
}

func (b *backfillCommand) followOne(ctx context.Context, book *ledger.Ledger, id int64) (progress, error) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var meter meter
	var printed time.Time
	var last string
	for {
		found, ok, err := book.Backfill(ctx, id)
		if err != nil {
			return progress{}, err
		}
		if !ok {
			return progress{}, fmt.Errorf("backfill %d is gone; the state was removed meanwhile", id)
		}
		p := progressOf(found, meter.rate(b.now(), found.Rows))
		switch text := p.String(); {
		case b.format.json():
		case b.out.terminal && p.over():
			b.out.printf("\r\x1b[K%s\n", text)
		case b.out.terminal:
			b.out.overwrite(p.bar() + text)
		case p.over() || text != last && b.now().Sub(printed) >= lineEvery:
			b.out.println(text)
			printed, last = b.now(), text
		}
		if p.over() {
			return p, nil
		}
		select {
		case <-b.stop:
			if b.out.terminal && !b.format.json() {
				b.out.println()
			}
			return p, nil
		case <-ctx.Done():
			return p, ctx.Err()
		case <-tick.C:
		}
	}
}

// progress is how far a backfill is, as -o json prints it.
type progress struct {
	ID       int64                `json:"id"`
	Table    string               `json:"table"`
	Object   string               `json:"object"`
	State    ledger.BackfillState `json:"state"`
	Rows     int64                `json:"rows"`
	Estimate int64                `json:"estimate,omitempty"`
	// Rate is in rows a second; zero where it is not known yet.
	Rate    float64 `json:"rate,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Message string  `json:"message,omitempty"`
}

func progressOf(b ledger.Backfill, rate float64) progress {
	p := progress{
		ID: b.ID, Table: b.Table, Object: b.Object, State: b.State, Rows: b.Rows, Estimate: b.Estimate, Rate: rate, Message: b.Message,
	}
	if !b.FinishedAt.IsZero() && !b.StartedAt.IsZero() {
		p.Seconds = b.FinishedAt.Sub(b.StartedAt).Seconds()
	}
	return p
}

func (p progress) over() bool { return p.State != ledger.Waiting && p.State != ledger.Running }

// String is the progress on one line.
func (p progress) String() string {
	head := fmt.Sprintf("backfill %d of %s: ", p.ID, p.Table)
	switch {
	case p.over():
		return head + p.ending()
	case p.State == ledger.Waiting:
		return head + "waiting to begin"
	}
	return head + howFar(p.Rows, p.Estimate, p.Rate, "row", "rows")
}

// bar is the progress as a picture; empty where the end is not known.
func (p progress) bar() string {
	if p.over() {
		return ""
	}
	return bar(p.Rows, p.Estimate)
}

func (p progress) ending() string {
	switch p.State {
	case ledger.Cancelled:
		return fmt.Sprintf("cancelled after %s", plural(p.Rows, "row", "rows"))
	case ledger.Failed:
		return "failed: " + p.Message
	}
	text := "done, " + plural(p.Rows, "row", "rows")
	if p.Seconds >= 1 {
		text += fmt.Sprintf(" in %s (%s rows/s)", roughly(time.Duration(p.Seconds*float64(time.Second))), thousands(int64(float64(p.Rows)/p.Seconds)))
	}
	return text
}
