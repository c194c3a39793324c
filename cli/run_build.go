package cli

import (
	"context"
	"errors"
	"time"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/migrations"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// build looks at the neighbours, sets up what is missing, and wires the rooms.
func (r *runner) build(ctx context.Context, stop <-chan struct{}, db cdc.Config, crm *hubspot.Client) (*pipeline.Pipeline, *propertyWatch, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	beat := r.beats.Loop("setup")
	defer beat.End()
	go keepTurning(ctx, beat)

	found, err := look(ctx, r.cfg, db, crm, r.log)
	if err != nil {
		return nil, nil, nil, err
	}
	stateURL, err := r.cfg.Source.StateURL.Value(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := reachState(ctx, r.cfg.Source); err != nil {
		return nil, nil, nil, err
	}
	if err := migrations.Apply(ctx, stateURL, r.cfg.Source.Schema, r.log); err != nil {
		return nil, nil, nil, err
	}
	book, err := ledger.Open(ctx, ledger.Config{
		URL:    r.cfg.Source.StateURL.Value,
		Schema: r.cfg.Source.Schema,
		// A lookup for each call in flight, the settle, and one for the status.
		Connections: int32(r.cfg.Delivery.MaxInFlight) + 2, //nolint:gosec // at most 100
		Logger:      r.log,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	instance := ledger.Instance{
		SystemID: found.server.SystemID, Database: found.server.Database,
		Slot: db.Slot, Publication: db.Publication,
		MappingHash: found.mapping.Hash(), PortalID: found.portal,
	}
	if err := establish(ctx, db, book, found, &instance, r.log); err != nil {
		book.Close()
		return nil, nil, nil, err
	}
	db.OnRelation = r.status.tableAnnounced
	src := newSource(db)
	closeTraces := func() {}
	var traceBatch func(context.Context, *change.Target, []*sink.Entry) (context.Context, func(map[string]int, error))
	if r.traces {
		traces, err := newTraces(ctx, r.log, found.server.SystemID)
		if err != nil {
			src.Close(context.WithoutCancel(ctx))
			book.Close()
			return nil, nil, nil, &wrongError{lines: []string{"OTEL_EXPORTER_OTLP_*: " + err.Error() + "; mend the setting, or set OTEL_SDK_DISABLED=true"}}
		}
		traceBatch, closeTraces = traces.batch, func() { traces.close(ctx) }
	}
	properties := &propertyWatch{r: r, crm: crm, found: found, every: r.cfg.Delivery.RecheckProperties.Duration, refused: make(chan struct{}, 1)}
	p := pipeline.New(pipeline.Config{
		Source:          src,
		Ledger:          book,
		Mapper:          found.mapping.Mapper(),
		ChunkMapper:     found.mapping.Mapper(),
		Deliverer:       deliverer{sink.NewDeliverer(crm, r.log), crm, properties.refuse},
		Recorder:        r.recorder,
		Log:             r.log,
		Instance:        instance,
		Targets:         found.mapping.Targets(),
		Sources:         found.mapping.Sources(),
		SourceHash:      found.mapping.SourceHash,
		Tables:          found.relations,
		BatchSize:       r.cfg.Delivery.BatchSize,
		MaxInFlight:     r.cfg.Delivery.MaxInFlight,
		BufferBytes:     int(r.cfg.Delivery.BufferBytes),
		ShutdownTimeout: r.cfg.Process.ShutdownTimeout.Duration,
		Gather:          func() time.Duration { return crm.Gather(r.cfg.Delivery.FlushInterval.Duration) },
		Linger:          r.cfg.Delivery.FlushInterval.Duration,
		Plentiful:       func() bool { return crm.Gather(time.Second) < 10*time.Millisecond },
		Ready:           func(ctx context.Context) error { return crm.Ready(ctx, "") },
		Backfill:        r.cfg.Mapping.Backfill,
		ChunkRows:       chunkRows,
		HoldAbove:       r.cfg.Mapping.HoldAbove,
		CountLoad:       countLoad(db, found, &memory{Ledger: book, known: true}),
		RecheckMissing:  r.cfg.Delivery.RecheckMissing.Duration,
		LetterRetention: r.cfg.Delivery.DLQRetention.Duration,
		LateWindow:      r.cfg.Delivery.LateWindow.Duration,
		Until:           sending,
		Lease:           lease,
		Now:             time.Now,
		Loop:            func(name string) pipeline.Loop { return r.beats.Loop(name) },
		OnDelivery:      r.delivered(),
		Trace:           traceBatch,
	})
	r.status.built(p, src, book, crm, found)
	cleanup := func() {
		closeTraces()
		leave(func() {
			src.Close(context.WithoutCancel(ctx))
			book.Close()
		})
	}
	if err := r.status.rememberPublication(ctx); err != nil {
		cleanup()
		return nil, nil, nil, err
	}
	r.announce(found)
	if end, soon := supportEndsSoon(r.cfg.CRM.APIVersion, time.Now()); soon {
		r.log.Warn("api_version", "version", r.cfg.CRM.APIVersion, "support_ends", end.Format(time.DateOnly), "mend", "set HUBSPOT_API_VERSION to a newer one")
	}
	r.firstContact(ctx, db, book, crm, found)
	position := instance.InitialCheckpoint
	if state, known, err := book.Peek(ctx); err == nil && known {
		position = state.Checkpoint
	}
	r.log.Info("set_up", "version", thisBuild().Version, "slot", db.Slot, "position", position.String(), "publication", db.Publication,
		"schema", r.cfg.Source.Schema, "tables", tableNames(found.relations), "portal", found.portal,
		"account_type", found.account.Type, "api", r.cfg.CRM.APIVersion)
	return p, properties, cleanup, nil
}

// lease is how long an instance may send without word from the ledger. A standby
// waits that long after it has taken over from one that did not stop cleanly.
const lease = 2 * time.Second

// sending bounds the calls of a session.
func sending(ctx, front context.Context, permit func(context.Context) error) context.Context {
	return hubspot.WithPermit(hubspot.WithStopping(ctx, front), permit)
}

// goodbye is how long connections that nothing depends on any more may take to
// close: on a network that is frozen they would not.
const goodbye = 2 * time.Second

func leave(closing func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		closing()
	}()
	select {
	case <-done:
	case <-time.After(goodbye):
	}
}

// deliverer lends the client to delivery.
type deliverer struct {
	*sink.Deliverer
	crm *hubspot.Client
	// held is told what holds a mapping back.
	held func(*sink.HoldError)
}

// Deliver implements pipeline.Deliverer.
func (d deliverer) Deliver(ctx context.Context, target *change.Target, jobs []sink.Job) ([]sink.Verdict, error) {
	verdicts, err := d.Deliverer.Deliver(ctx, target, jobs)
	var hold *sink.HoldError
	if errors.As(err, &hold) {
		d.held(hold)
	}
	return verdicts, err
}

// Archive implements pipeline.Deliverer.
func (d deliverer) Archive(ctx context.Context, target *change.Target, jobs []sink.Job) ([]sink.Verdict, error) {
	return d.Deliverer.Archive(ctx, d.crm, target, jobs)
}

// announce has the series of mapped tables and objects start at zero.
func (r *runner) announce(found *survey) {
	var tables, objects []string
	for _, t := range found.relations {
		tables = append(tables, t.String())
	}
	for _, t := range found.mapping.Targets() {
		objects = append(objects, t.Object)
	}
	r.recorder.Announce(tables, objects)
}

// delivered tells the status page of deliveries, and whoever else wants to know.
func (r *runner) delivered() func(pipeline.Delivery) {
	note := noted(r.deliveries, r.cfg.Admin.ShowValues)
	if r.onDelivery == nil {
		return note
	}
	return func(d pipeline.Delivery) { note(d); r.onDelivery(d) }
}

// chunkRows is how many rows of a backfill are read between two marks at most.
const chunkRows = 5000

// keepTurning turns the loop of the set-up, which waits for others most of the time.
func keepTurning(ctx context.Context, loop *admin.Loop) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			loop.Turn()
		}
	}
}
