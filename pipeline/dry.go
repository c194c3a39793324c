package pipeline

import (
	"context"
	"log/slog"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// WouldDeliver is the outcome of a record that a dry run did not deliver.
const WouldDeliver = "would_deliver"

// Dry is a dry run: it maps what a stream carries and counts, and writes nothing
// anywhere. The stream's slot must be one that nobody misses.
type Dry struct {
	Stream   Stream
	Mapper   Mapper
	Sources  []*change.Source
	Recorder Recorder
	Beat     func(loop string)
	Log      *slog.Logger
	// HoldAbove is as in Config: what would wait for a person is told.
	HoldAbove *int64
	// Memory is what was delivered before; nil for nothing.
	Memory Memory

	said   map[string]bool
	weighs dryWeighing
}

// waits says, once, that a mapping does not fit its table.
func (d *Dry) waits(p *change.Patch) {
	if d.said[p.Unfit] {
		return
	}
	if d.said == nil {
		d.said = map[string]bool{}
	}
	d.said[p.Unfit] = true
	d.Log.Error("mapping_waits", "table", p.Source.Table, "object", p.Source.Target.Object, "problem", p.Unfit, "note", "its changes are not counted")
}

// Run counts until ctx ends. A second goroutine asks the server for its position
// now and then, so that an idle stream is known to live.
func (d *Dry) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go d.keepAsking(ctx)
	var (
		patches []change.Patch
		records = map[string]map[string]int{} // by object and outcome
		skipped = make([]uint64, len(d.Sources))
	)
	count := func(object, outcome string, n int) {
		if records[object] == nil {
			records[object] = map[string]int{}
		}
		records[object][outcome] += n
	}
	for {
		d.Beat(loopReader)
		ev, err := d.Stream.Next(ctx)
		if err != nil {
			return unlessEnded(ctx, err)
		}
		switch ev.Kind {
		case change.Insert, change.Update, change.Delete:
			d.Recorder.CountChanges(ev.Relation.String(), ev.Kind.String(), 1)
			if patches, err = d.Mapper.Map(ev, patches[:0]); err != nil {
				return err
			}
			for i := range patches {
				if p := &patches[i]; p.Unfit != "" {
					d.waits(p)
					continue
				}
				count(patches[i].Source.Target.Object, dryOutcome(&patches[i]), 1)
				if err := d.weigh(ctx, &patches[i], ev.Pos); err != nil {
					return unlessEnded(ctx, err)
				}
			}
		case change.Truncate:
			for _, r := range ev.Truncated {
				d.Recorder.CountChanges(r.String(), ev.Kind.String(), 1)
			}
		case change.Commit:
			for i, src := range d.Sources {
				n := d.Mapper.Skipped(src)
				count(src.Target.Object, Skipped, int(n-skipped[i])) //nolint:gosec // rows of one transaction
				skipped[i] = n
			}
			for object, outcomes := range records {
				for outcome, n := range outcomes {
					d.Recorder.CountRecords(object, outcome, n)
				}
			}
			clear(records)
			if err := d.judge(ctx, ev.Pos.LSN); err != nil {
				return unlessEnded(ctx, err)
			}
			d.Stream.Confirm(ev.End)
		case change.Progress:
			if !ev.InTransaction {
				d.Stream.Confirm(ev.End)
			}
		default: // marks and the starts of transactions count for nothing
		}
	}
}

// dryOutcome tells a change whose every value is refused from one that would be
// sent.
func dryOutcome(p *change.Patch) string {
	if p.Rejection != nil {
		return Parked
	}
	for prop := range p.Props.All() {
		if prop.Kind != change.Refused {
			return WouldDeliver
		}
	}
	if p.Props.Len() > 0 {
		return Parked
	}
	return WouldDeliver
}

func (d *Dry) keepAsking(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.Stream.RequestProgress()
		}
	}
}
