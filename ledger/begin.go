package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Instance is the set-up that takes the state over.
type Instance struct {
	SystemID string // IDENTIFY_SYSTEM's systemid
	Timeline int32
	// TimelineEnds says where the server left each earlier timeline of its own.
	// It proves that a failover has kept the log: what lies below is the same on
	// both sides. Not stored.
	TimelineEnds    map[int32]change.LSN
	Database        string
	Slot            string
	Publication     string
	PublicationHash string // of what the publication publishes
	MappingHash     string // of the mapping's plan
	// PortalID is HubSpot's hubId; empty where the CRM could not be asked, and
	// then neither checked nor changed.
	PortalID string
	// FlushedEnd is the end of the server's flushed log, read after the slot was
	// acquired.
	FlushedEnd change.LSN
	// InitialCheckpoint is where the slot starts, used where there is no state.
	InitialCheckpoint change.LSN
}

// State is how far things stood when they were read.
type State struct {
	// Epoch counts the instances that have run.
	Epoch int64
	// Checkpoint is the position to start the stream at: everything that
	// committed before it is accounted for.
	Checkpoint change.LSN
	// Bound is the position that no version handed over so far has reached.
	Bound change.LSN
	// First is set where there was no state before. Bound is then the end of
	// the log: what a lost state may have sent cannot be known.
	First bool
	// CleanStop is set where the predecessor left nothing unanswered.
	CleanStop bool
	// OrdinalsSince is where the present numbering of changes begins: accounted
	// positions below it must not be used to drop changes.
	OrdinalsSince change.LSN
	// Instance is the set-up as stored, without FlushedEnd and
	// InitialCheckpoint.
	Instance Instance
	// SavedAt is the server's time of the last write of a running instance.
	SavedAt time.Time
}

const selectState = `SELECT s.epoch, s.checkpoint::text, s.bound::text, s.ordinals_since::text, s.clean, s.saved_at,
	o.fingerprint_key, o.system_id, o.timeline, o.database, o.slot, o.publication, o.publication_hash, o.mapping_hash, o.portal_id
	FROM state s, owner o`

// Peek reads the state without taking it over: where to start the stream, before
// the slot is ours. It reports false where there is none yet.
func (l *Ledger) Peek(ctx context.Context) (State, bool, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	st, key, err := scanState(l.pool.QueryRow(ctx, selectState))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return State{}, false, nil
	case err != nil:
		return State{}, false, explain("read the state", err)
	}
	l.setKey(key)
	return st, true, nil
}

func scanState(row pgx.Row) (st State, key []byte, err error) {
	var checkpoint, bound, since string
	in := &st.Instance
	err = row.Scan(&st.Epoch, &checkpoint, &bound, &since, &st.CleanStop, &st.SavedAt,
		&key, &in.SystemID, &in.Timeline, &in.Database, &in.Slot, &in.Publication, &in.PublicationHash, &in.MappingHash, &in.PortalID)
	if err != nil {
		return State{}, nil, err
	}
	var errs [3]error
	st.Checkpoint, errs[0] = change.ParseLSN(checkpoint)
	st.Bound, errs[1] = change.ParseLSN(bound)
	st.OrdinalsSince, errs[2] = change.ParseLSN(since)
	return st, key, errors.Join(errs[:]...)
}

func (l *Ledger) setKey(key []byte) {
	l.key.Store(&[2]uint64{binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])})
}

// Begin takes the state over, once the slot is this instance's: from its return
// on every write of an older instance fails. It creates the state where there is
// none, and refuses a set-up that the state does not belong to.
//
// It gives targets their numbers; Lookup and Settle take these targets only. It
// may be called again, by an instance that starts over.
func (l *Ledger) Begin(ctx context.Context, in Instance, targets []*change.Target) (State, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	l.settle.Lock()
	defer l.settle.Unlock()
	l.names.reset()
	st, err := l.takeOver(ctx, in, targets)
	if locked(err) {
		if err = l.evict(ctx); err == nil {
			st, err = l.takeOver(ctx, in, targets)
		}
	}
	if err != nil {
		l.names.reset() // numbers that were not committed
		var refusal *Error
		if errors.As(err, &refusal) {
			return State{}, refusal
		}
		return State{}, explain("take over the state", err)
	}
	l.epoch.Store(st.Epoch)
	return st, nil
}

// takeOver is Begin's transaction.
func (l *Ledger) takeOver(ctx context.Context, in Instance, targets []*change.Target) (st State, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '3s'"); err != nil {
			return err
		}
		first, err := l.create(ctx, tx, in)
		if err != nil {
			return err
		}
		var key []byte
		st, key, err = scanState(tx.QueryRow(ctx, selectState+" FOR UPDATE"))
		if err != nil {
			return err
		}
		st.First = first
		if err := st.Admit(in); err != nil {
			return err
		}
		if err := st.take(ctx, tx, in); err != nil {
			return err
		}
		for _, t := range targets {
			if err := l.internTarget(ctx, tx, t); err != nil {
				return err
			}
		}
		l.setKey(key)
		if err := l.names.loadFeeding(ctx, tx); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT batches FROM state").Scan(&l.batches); err != nil {
			return err
		}
		return l.letters.load(ctx, tx)
	})
	return st, err
}

// locked reports whether an older instance's settle is under way.
func locked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03" // lock_not_available
}

// evict ends the sessions that have held the state row for too long: a stopped
// process can leave a settle half sent for ever. Whoever calls Begin holds the
// slot, so their settle would fail at the next one anyway.
func (l *Ledger) evict(ctx context.Context) error {
	l.logger.WarnContext(ctx, "older_instance_ended",
		"note", "it held the state in a transaction that it did not finish")
	_, err := l.pool.Exec(ctx, `SELECT pg_terminate_backend(k.pid) FROM pg_locks k JOIN pg_stat_activity a ON a.pid = k.pid
		WHERE k.relation = 'state'::regclass AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND k.mode = 'RowExclusiveLock' AND k.granted AND k.pid <> pg_backend_pid() AND a.xact_start < now() - interval '2 s'`)
	if err != nil {
		return fmt.Errorf("end the older instance's session: %w", err)
	}
	return nil
}

// create makes the state rows where they are missing.
func (l *Ledger) create(ctx context.Context, tx pgx.Tx, in Instance) (first bool, err error) {
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM owner)").Scan(&exists); err != nil || exists {
		return false, err
	}
	key := make([]byte, 16)
	if _, err := io.ReadFull(l.config.Rand, key); err != nil {
		return false, fmt.Errorf("make the key of the fingerprints: %w", err)
	}
	tag, err := tx.Exec(ctx, `INSERT INTO owner (fingerprint_key, system_id, timeline, database, slot, publication, publication_hash, mapping_hash, portal_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		key, in.SystemID, in.Timeline, in.Database, in.Slot, in.Publication, in.PublicationHash, in.MappingHash, in.PortalID)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO state (epoch, checkpoint, bound, ordinals_since, clean)
		VALUES (0, $1::text::pg_lsn, $2::text::pg_lsn, '0/0', true)`, in.InitialCheckpoint.String(), in.FlushedEnd.String())
	return true, err
}

// take raises the epoch and stores what may have changed of the set-up.
func (st *State) take(ctx context.Context, tx pgx.Tx, in Instance) error {
	if st.Instance.PublicationHash != in.PublicationHash || st.Instance.MappingHash != in.MappingHash {
		st.OrdinalsSince = max(st.OrdinalsSince, in.FlushedEnd)
	}
	st.Epoch++
	_, err := tx.Exec(ctx, `UPDATE owner SET timeline = $1, publication = $2, publication_hash = $3, mapping_hash = $4,
		portal_id = CASE WHEN $5 = '' THEN portal_id ELSE $5 END, started_at = now()`,
		in.Timeline, in.Publication, in.PublicationHash, in.MappingHash, in.PortalID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE state SET epoch = $1, clean = false, ordinals_since = $2::text::pg_lsn, saved_at = now()",
		st.Epoch, st.OrdinalsSince.String())
	return err
}
