package cli

import (
	"context"
	"errors"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/pipeline"
)

const (
	// resyncEvery keeps a slot that is lost again and again from being made anew
	// without end: somebody has to look at that.
	resyncEvery = time.Minute
	// resyncPoll is how long to wait for what is in the way of a new slot.
	resyncPoll = 2 * time.Second
)

// workThrough works, and where PGCRM_ON_SLOT_LOSS says so, makes a slot that was
// lost anew and works on.
func (r *runner) workThrough(ctx context.Context, stop <-chan struct{}) error {
	var last time.Time
	for {
		err := r.work(ctx, stop)
		switch {
		case err == nil, ctx.Err() != nil, isClosed(stop):
			return err
		case r.cfg.Source.OnSlotLoss != "resync" || r.cfg.Mapping.DryRun || !slotLoss(err):
			return err
		case !last.IsZero() && time.Since(last) < resyncEvery:
			r.log.Error("slot_lost_again", "note", "it was made anew a moment ago: see what takes it away, such as max_slot_wal_keep_size")
			return err
		}
		r.log.Warn("slot_lost", "error", err, "note", "PGCRM_ON_SLOT_LOSS=resync: it is made anew, and every mapped row is sent again")
		r.status.lost(err)
		made, err := r.resync(ctx, stop, err)
		switch {
		case isClosed(stop) && ctx.Err() == nil:
			return nil
		case err != nil:
			return err
		case made:
			last = time.Now()
		}
	}
}

// slotLoss reports an error that a new slot may mend: recreateSlot decides.
func slotLoss(err error) bool {
	var (
		lost     *cdc.SlotLostError
		missing  *cdc.SlotMissingError
		position *cdc.PositionError
		apart    *pipeline.PositionError
		state    *ledger.Error
	)
	return errors.As(err, &lost) || errors.As(err, &missing) || errors.As(err, &position) || errors.As(err, &apart) || errors.As(err, &state) && state.Gap
}

// resync makes the slot anew, or reports that somebody else did. It waits for a
// server or a connection that is down meanwhile, as a stream would.
func (r *runner) resync(ctx context.Context, stop <-chan struct{}, why error) (made bool, err error) {
	beat := r.beats.Loop("setup")
	defer beat.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go keepTurning(ctx, beat)
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()

	var lost *cdc.SlotLostError
	m := &migrateCommand{
		desk:  &desk{cfg: r.cfg, log: r.log, now: time.Now, db: databaseConfig(r.cfg, r.log)},
		force: errors.As(why, &lost) && lost.Undecodable,
	}
	for {
		done, err := m.again(ctx)
		var active *instanceRunsError
		switch {
		case err == nil:
			r.log.Warn("slot_recreated", "slot", done.Slot, "at", done.SlotLSN, "loads", done.Loads, "gone_rows_of", done.Gone, "distrusted", done.Distrusted)
			return true, nil
		case errors.Is(err, errSound):
			r.log.Info("slot_mended", "note", "another instance has made the slot anew")
			return false, nil
		case ctx.Err() != nil:
			return false, err
		case errors.As(err, &active):
			// Another instance has it, or the session that lost it has not ended yet.
			r.log.Info("slot_in_use", "error", err, "retry_in", resyncPoll)
			wait(ctx, resyncPoll)
			return false, ctx.Err()
		case cdc.Transient(err):
			r.log.Warn("resync_waits", "error", err, "retry_in", resyncPoll)
		default:
			return false, err
		}
		if !wait(ctx, resyncPoll) {
			return false, ctx.Err()
		}
	}
}

// again makes the slot anew.
func (m *migrateCommand) again(ctx context.Context) (done migrated, err error) {
	file, err := mapping.Parse(m.cfg.Mapping.Document.Name, []byte(m.cfg.Mapping.Document.Text))
	if err != nil {
		return done, err
	}
	conn, err := cdc.Connect(ctx, m.db)
	if err != nil {
		return done, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	relations, err := describe(ctx, conn, file)
	if err != nil {
		return done, err
	}
	book, err := m.ledger(ctx)
	if err != nil {
		return done, err
	}
	defer book.Close()
	done = migrated{Schema: m.cfg.Source.Schema, Publication: m.db.Publication, Slot: m.db.Slot}
	return done, m.recreateSlot(ctx, conn, book, file, relations, &done)
}
