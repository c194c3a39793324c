package cli

import (
	"context"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
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
		Recorder: r.recorder, Beat: func(string) { loop.Turn() }, Log: r.log,
	}
	err = dry.Run(ctx)
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if closeErr := stream.Close(closing); closeErr != nil {
		r.log.Debug("stream_close", "error", closeErr)
	}
	return err
}
