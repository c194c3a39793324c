package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Where a slot was lost, the log from the checkpoint on cannot be read any more,
// and the checkpoint means nothing to the slot that takes its place. Two calls
// lead to a new beginning without breaking what the ledger promises:
//
//   - Distrust, before the new slot is made. An instance that did not stop
//     cleanly may have sent changes between the checkpoint and the bound whose
//     answers are stored nowhere; usually they are read and sent again. As that
//     part of the log is lost, what the CRM holds of any record is Unknown from
//     here on, and nothing will be dropped as unchanged.
//   - Rebase, after. In one transaction it sets checkpoint and bound to where the
//     new slot begins, and files a load of every table: what changed between the
//     two slots is owed by these loads, as durably as by the log before.
//
// A crash between the two leaves a slot that has confirmed more than the stored
// checkpoint, which every start refuses, and both can be called again.

// distrustRows is how many records one transaction of Distrust takes.
const distrustRows = 5000

// Distrust fences off whatever instance may still run, and marks everything that
// was ever delivered as Unknown. It takes many transactions; what is done stays
// done where it ends early, and costs no more than needless calls. It returns
// the number of records.
func (l *Ledger) Distrust(ctx context.Context) (int64, error) {
	if err := l.fence(ctx); err != nil {
		return 0, err
	}
	var (
		target int16
		key    = []byte{}
		n      int64
	)
	for {
		more, err := l.distrust(ctx, &target, &key)
		if err != nil {
			return n, explain("mark what the CRM holds as unknown", err)
		}
		if n += more; more < distrustRows {
			return n, nil
		}
	}
}

// fence raises the epoch, so that every write of an older instance fails.
func (l *Ledger) fence(ctx context.Context) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	raise := func() error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '3s'"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "UPDATE state SET epoch = epoch + 1, clean = false")
			return err
		})
	}
	err := raise()
	if locked(err) {
		if err = l.evict(ctx); err == nil {
			err = raise()
		}
	}
	if err != nil {
		return explain("fence off an older instance", err)
	}
	return nil
}

// distrust takes the records after target and key, and moves these on.
func (l *Ledger) distrust(ctx context.Context, target *int16, key *[]byte) (n int64, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT target, key, facts FROM record WHERE (target, key) > ($1, $2) ORDER BY target, key LIMIT $3`,
			*target, *key, distrustRows)
		var (
			targets     []int16
			keys, facts [][]byte
			f           []byte
		)
		n = 0
		_, err := pgx.ForEachRow(rows, []any{target, key, &f}, func() error {
			n++
			unknown, err := forgetValues(f)
			if err != nil {
				return err
			}
			targets, keys, facts = append(targets, *target), append(keys, *key), append(facts, unknown)
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE record r SET facts = u.facts
			FROM unnest($1::int2[], $2::bytea[], $3::bytea[]) AS u(target, key, facts)
			WHERE r.target = u.target AND r.key = u.key AND r.facts <> u.facts`, targets, keys, facts)
		return err
	})
	return n, err
}

// forgetValues makes every Known fact of a record Unknown.
func forgetValues(packed []byte) ([]byte, error) {
	var out []byte
	for len(packed) > 0 {
		head, n := binary.Uvarint(packed)
		if n <= 0 || head>>1 == 0 {
			return nil, errFacts
		}
		packed = packed[n:]
		if head&1 == 0 {
			if len(packed) < 8 {
				return nil, errFacts
			}
			packed = packed[8:]
		}
		out = binary.AppendUvarint(out, head|1)
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}

// Rebase lets the state begin anew at in.InitialCheckpoint, where the slot of in
// begins, on the server of in, and files loads, which must be of every mapped
// table. Loads of whole tables that were under way are given up for them. It
// reports false, and does nothing, where there is no state yet: a first run then
// loads everything anyway.
//
// The state must be clean, or Distrust must have come before; else it refuses.
func (l *Ledger) Rebase(ctx context.Context, in Instance, loads []Backfill, distrusted bool) (bool, error) {
	l.settle.Lock()
	defer l.settle.Unlock()
	known := false
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		st, _, err := scanState(tx.QueryRow(ctx, selectState+" FOR UPDATE"))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if known = true; !st.CleanStop && !distrusted {
			return errors.New("the last instance did not stop cleanly: what it sent last is not known")
		}
		return rebase(ctx, tx, in, loads)
	})
	if err != nil {
		return known, explain("begin anew", err)
	}
	return known, nil
}

// rebase is Rebase's transaction.
func rebase(ctx context.Context, tx pgx.Tx, in Instance, loads []Backfill) error {
	start := in.InitialCheckpoint.String()
	for _, s := range []struct {
		sql  string
		args []any
	}{
		{
			`UPDATE owner SET system_id = $1, timeline = $2, database = $3, slot = $4, publication = $5, publication_hash = $6, started_at = now()`,
			[]any{in.SystemID, in.Timeline, in.Database, in.Slot, in.Publication, in.PublicationHash},
		},
		{`UPDATE state SET epoch = epoch + 1, checkpoint = $1::text::pg_lsn, bound = $1::text::pg_lsn, ordinals_since = $1::text::pg_lsn,
			clean = true, saved_at = now()`, []any{start}},
		// On a server that was restored the log is shorter than before; a position
		// beyond the new beginning would have changes dropped that were never seen.
		{`UPDATE record SET lsn = '0/0', ordinal = 0 WHERE lsn >= $1::text::pg_lsn`, []any{start}},
		{`UPDATE letter SET lsn = '0/0', ordinal = 0 WHERE lsn >= $1::text::pg_lsn`, []any{start}},
		{`UPDATE backfill SET state = 'cancelled', message = 'the slot was made anew, and every row is sent again', finished_at = now()
			WHERE state IN ('waiting', 'running') AND keys IS NULL`, nil},
	} {
		if _, err := tx.Exec(ctx, s.sql, s.args...); err != nil {
			return err
		}
	}
	for _, b := range loads {
		if _, err := addBackfill(ctx, tx, b); err != nil {
			return fmt.Errorf("file a load of %s: %w", b.Table, err)
		}
	}
	return nil
}
