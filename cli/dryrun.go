package cli

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// dryRun streams on a temporary slot and counts what would be delivered. Neither
// the CRM nor the ledger nor a lasting slot is written; the publication is made
// if it is missing, since nothing can be streamed without one.
func (r *runner) dryRun(ctx context.Context, stop <-chan struct{}, db cdc.Config, crm *hubspot.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	found, err := look(ctx, r.cfg, db, crm, r.log)
	if err != nil {
		return unlessDone(ctx, err)
	}
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		return unlessDone(ctx, err)
	}
	_, err = cdc.EnsurePublication(ctx, conn, db.Publication, found.relations, listed(db, found.mapping))
	_ = conn.Close(context.WithoutCancel(ctx)) // nothing was left undone on it
	if err != nil {
		return unlessDone(ctx, err)
	}
	known := &memory{}
	if r.cfg.Mapping.HoldAbove != nil {
		if known, err = (&desk{cfg: r.cfg, log: r.log, db: db}).recall(ctx, &view{survey: *found}); err != nil {
			return unlessDone(ctx, err)
		}
		defer known.Close()
	}
	stream, err := cdc.OpenTemporary(ctx, db)
	if err != nil {
		return unlessDone(ctx, err)
	}
	r.status.dry(found, crm)
	r.announce(found)
	r.log.Info("dry_run", "note", "changes are counted and nothing is written", "tables", tableNames(found.relations),
		"portal", found.portal, "account_type", found.account.Type)

	loop := r.beats.Loop("reader")
	defer loop.End()
	dry := &pipeline.Dry{
		Stream: stream, Mapper: found.mapping.Mapper(), Sources: found.mapping.Sources(),
		Recorder: r.recorder, Beat: func(string) { loop.Turn() }, Log: r.log, HoldAbove: r.cfg.Mapping.HoldAbove,
	}
	if known.known {
		dry.Memory = known
	}
	var loads sync.WaitGroup
	loads.Go(func() { r.weighLoads(ctx, db, found, known, dry) })
	err = dry.Run(ctx)
	cancel()
	loads.Wait()
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if closeErr := stream.Close(closing); closeErr != nil {
		r.log.Debug("stream_close", "error", closeErr)
	}
	return err
}

// weighLoads says which loads a run would begin with would wait for a person.
func (r *runner) weighLoads(ctx context.Context, db cdc.Config, found *survey, known *memory, dry *pipeline.Dry) {
	if dry.HoldAbove == nil || !r.cfg.Mapping.Backfill {
		return
	}
	var loaded []ledger.SourceHash
	if known.known {
		var err error
		if loaded, err = known.SourceHashes(ctx); err != nil {
			r.log.Warn("loads_not_counted", "error", err)
			return
		}
	}
	count := countLoad(db, found, known)
	for _, src := range found.mapping.Sources() {
		if slices.Contains(loaded, ledger.SourceHash{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Hash: found.mapping.SourceHash(src)}) {
			continue
		}
		t, err := count(ctx, ledger.Backfill{Table: src.Table}, src)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.Warn("load_not_counted", "table", src.Table, "object", src.Target.Object, "error", err)
		default:
			r.log.Info("dry_run_load", "table", src.Table, "object", src.Target.Object, "records", t.Records)
			dry.Weigh("the load of "+src.Table, t, false)
		}
	}
}
