package cli

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/admin"
)

// minutely writes one line a minute about how things stand, until ctx ends, and
// what repeated itself meanwhile.
func (r *runner) minutely(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	before := r.recorder.Records()
	for {
		select {
		case <-ctx.Done():
			r.flushRepeats(ctx)
			return
		case <-tick.C:
		}
		now := r.recorder.Records()
		snap := r.status.snapshot()
		r.log.LogAttrs(ctx, slog.LevelInfo, "status", minuteOf(&snap, before, now)...)
		r.flushRepeats(ctx)
		before = now
	}
}

func (r *runner) flushRepeats(ctx context.Context) {
	if h, ok := r.log.Handler().(*repeats); ok {
		h.flush(context.WithoutCancel(ctx))
	}
}

// minuteOf puts the line together. Counts are of the last minute.
func minuteOf(snap *admin.Snapshot, before, now map[string]int64) []slog.Attr {
	line := []slog.Attr{slog.String("state", string(snap.State))}
	if snap.Log.CheckpointLSN != 0 {
		line = append(line, slog.String("position", snap.Log.CheckpointLSN.String()))
	}
	if snap.Log.LagBytes != nil {
		line = append(line, slog.Int64("lag_bytes", *snap.Log.LagBytes))
	}
	if snap.Slot.RetainedWALBytes != nil {
		line = append(line, slog.Int64("retained_wal_bytes", *snap.Slot.RetainedWALBytes))
	}
	line = append(line, slog.Int("waiting", snap.Queue.Records), slog.Int64("oldest_unsent_ms", int64(1000*snap.Queue.OldestUnsentSeconds)))
	for _, outcome := range slices.Sorted(maps.Keys(now)) {
		if n := now[outcome] - before[outcome]; n > 0 {
			line = append(line, slog.Int64(outcome, n))
		}
	}
	var parked int64
	for _, n := range snap.Parked {
		parked += n
	}
	line = append(line, slog.Int64("parked_now", parked))
	for _, q := range snap.CRM.Quota {
		line = append(line, slog.Int64("calls_left_"+q.Window, q.Remaining))
	}
	for _, p := range snap.CRM.Paused {
		line = append(line, slog.String("paused", p.Reason))
	}
	if n := len(snap.Held); n > 0 {
		line = append(line, slog.Int("held", n))
	}
	if n := len(snap.Backfills); n > 0 {
		line = append(line, slog.Int("backfills", n))
	}
	return line
}
