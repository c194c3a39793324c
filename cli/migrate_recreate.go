package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/pipeline"
)

// slotRecreated is the reason of loads that stand in for a part of the log that
// cannot be read any more.
const slotRecreated = "slot_recreated"

// instanceRunsError says that the slot is in use, so that nobody else may touch
// it.
type instanceRunsError struct {
	slot string
	pid  int
}

func (e *instanceRunsError) Error() string {
	return fmt.Sprintf("an instance runs: replication slot %s is held by process %d; stop it first", e.slot, e.pid)
}

// Problems makes it an error of the environment.
func (e *instanceRunsError) Problems() []string { return []string{e.Error()} }

// recreateSlot drops the slot, makes it anew, and lets the state begin again
// there. Its order is that of [ledger.Ledger.Rebase]: whatever it is cut off
// after, no start takes the gap for read, and it can be done again.
func (m *migrateCommand) recreateSlot(ctx context.Context, conn *pgx.Conn, book *ledger.Ledger, file *mapping.File, relations []*change.Relation, done *migrated) error {
	server, err := cdc.Identify(ctx, m.db)
	if err != nil {
		return err
	}
	// The portal is not asked: which properties there are decides about no row.
	compiled, err := mapping.Compile(file, relations, nil)
	if err != nil {
		return err
	}
	loads, err := owedLoads(ctx, conn, compiled.Sources(), relations)
	if err != nil {
		return err
	}
	// Two that notice the loss together take turns; the second finds a sound slot.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", "pgcrm slot "+m.db.Slot); err != nil {
		return err
	}
	in := m.instance(server)
	state, known, err := book.Peek(ctx)
	if err != nil {
		return err
	}
	slot, exists, err := cdc.SlotInfo(ctx, conn, m.db.Slot)
	switch {
	case err != nil:
		return err
	case server.InRecovery:
		return &wrongError{lines: []string{"PGCRM_DATABASE_URL: this server is a standby, where no slot is to be made: give the primary's address"}}
	case exists && slot.Active:
		return &instanceRunsError{slot.Name, slot.ActivePID}
	case exists && (slot.Database != server.Database || slot.Plugin != "pgoutput"):
		return &wrongError{lines: []string{fmt.Sprintf("PGCRM_SLOT: replication slot %s is not pgcrm's; choose another name", slot.Name)}}
	case known:
		if err := m.mayBeginAnew(state, in); err != nil {
			return err
		}
	}
	sound := exists && !slot.Lost() && slot.ConfirmedFlush != 0 && (!known || slot.ConfirmedFlush <= state.Checkpoint && state.Admit(in) == nil)
	if sound && !m.force {
		// A slot cannot be read past changes that were made without a publication.
		if _, published, err := cdc.DescribePublication(ctx, conn, m.db.Publication); err != nil {
			return err
		} else if published {
			return errSound
		}
	}
	distrusted := known && !state.CleanStop
	if distrusted {
		if done.Distrusted, err = book.Distrust(ctx); err != nil {
			return err
		}
	}
	if err := cdc.DropSlot(ctx, conn, m.db.Slot); err != nil {
		return err
	}
	if done.PublicationCreated, err = cdc.EnsurePublication(ctx, conn, m.db.Publication, relations, listed(m.db, compiled)); err != nil {
		return err
	}
	if in.PublicationHash, err = cdc.PublicationHash(ctx, conn, m.db.Publication); err != nil {
		return err
	}
	if slot, err = cdc.EnsureSlot(ctx, m.db); err != nil {
		return err
	}
	if !slot.Created {
		return errors.New("another process has made the slot meanwhile; run pgcrm migrate --recreate-slot again")
	}
	done.ofSlot(slot)
	in.InitialCheckpoint = slot.ConsistentPoint
	if _, err := book.Rebase(ctx, in, loads, distrusted); err != nil {
		return err
	}
	if known {
		for _, b := range loads {
			if b.Reason == slotRecreated {
				done.Loads = append(done.Loads, b.Table)
			} else {
				done.Gone = append(done.Gone, b.Table)
			}
		}
	}
	return nil
}

// mayBeginAnew refuses a state that belongs to somebody else, whatever became of
// positions and timelines.
func (m *migrateCommand) mayBeginAnew(state ledger.State, in ledger.Instance) error {
	in.Timeline, in.FlushedEnd = state.Instance.Timeline, state.Checkpoint
	if m.adopt {
		in.SystemID, in.Database = state.Instance.SystemID, state.Instance.Database
	}
	return state.Admit(in)
}

// owedLoads has every mapping's rows sent again, and those found afterwards that
// are gone.
func owedLoads(ctx context.Context, conn *pgx.Conn, sources []*change.Source, relations []*change.Relation) (loads []ledger.Backfill, err error) {
	byName := map[string]*change.Relation{}
	for _, rel := range relations {
		byName[rel.String()] = rel
	}
	for _, src := range sources {
		b := ledger.Backfill{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Reason: slotRecreated}
		if b.Estimate, err = cdc.CountEstimate(ctx, conn, byName[src.Table]); err != nil {
			return nil, err
		}
		loads = append(loads, b)
	}
	for _, src := range sources {
		if src.OnDelete != change.Ignore {
			loads = append(loads, pipeline.GoneLoad(src))
		}
	}
	return loads, nil
}
