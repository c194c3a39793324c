package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Backfill is a load of existing rows: asked for, under way, or over. Only the
// running instance carries one out.
type Backfill struct {
	ID int64
	// Table, Object and Match name the source.
	Table, Object, Match string
	Reason               string // why it was asked for, a short constant
	Where                string // SQL condition; empty for all rows
	Keys                 []string
	Properties           []string // only these; nil for all
	// SourceHash, on AddBackfill, is remembered for the source in the same
	// transaction; see SourceHashes. Empty leaves the stored one.
	SourceHash string

	State   BackfillState
	Message string // why it failed
	// SentTo and DoneTo are primary keys, column by column: rows up to DoneTo
	// are settled, rows up to SentTo may have been sent. nil before the first.
	SentTo, DoneTo []string
	Rows           int64 // settled so far
	Estimate       int64 // of all its rows; 0 where unknown

	RequestedAt, StartedAt, FinishedAt time.Time // zero where not yet
}

// BackfillState says how far a backfill is.
type BackfillState string

// The states of a backfill.
const (
	Waiting   BackfillState = "waiting"
	Running   BackfillState = "running"
	Done      BackfillState = "done"
	Cancelled BackfillState = "cancelled"
	Failed    BackfillState = "failed"
)

// Backfills lists the backfills that wait or run, oldest first.
func (l *Ledger) Backfills(ctx context.Context) ([]Backfill, error) {
	return l.backfills(ctx, "WHERE state IN ('waiting', 'running') ORDER BY id")
}

// RecentBackfills lists the last n backfills of any state, newest first.
func (l *Ledger) RecentBackfills(ctx context.Context, n int) ([]Backfill, error) {
	return l.backfills(ctx, "ORDER BY id DESC LIMIT $1", n)
}

// Backfill finds one backfill; false where there is none with the id.
func (l *Ledger) Backfill(ctx context.Context, id int64) (Backfill, bool, error) {
	list, err := l.backfills(ctx, "WHERE id = $1", id)
	if err != nil || len(list) == 0 {
		return Backfill{}, false, err
	}
	return list[0], true, nil
}

func (l *Ledger) backfills(ctx context.Context, rest string, args ...any) ([]Backfill, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	rows, _ := l.pool.Query(ctx, `SELECT id, table_name, object, match, reason, condition, keys, properties, state, message,
		sent_to, done_to, rows, estimate, requested_at, started_at, finished_at FROM backfill `+rest, args...)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Backfill, error) {
		var b Backfill
		var started, finished *time.Time
		err := row.Scan(&b.ID, &b.Table, &b.Object, &b.Match, &b.Reason, &b.Where, &b.Keys, &b.Properties, &b.State, &b.Message,
			&b.SentTo, &b.DoneTo, &b.Rows, &b.Estimate, &b.RequestedAt, &started, &finished)
		if started != nil {
			b.StartedAt = *started
		}
		if finished != nil {
			b.FinishedAt = *finished
		}
		return b, err
	})
	if err != nil {
		return nil, explain("list the backfills", err)
	}
	return list, nil
}

// BackfillOpen reports whether a backfill waits or runs: one that was cancelled
// does not.
func (l *Ledger) BackfillOpen(ctx context.Context, id int64) (open bool, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = l.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM backfill WHERE id = $1 AND state IN ('waiting', 'running'))", id).Scan(&open)
	if err != nil {
		return false, explain("look at a backfill", err)
	}
	return open, nil
}

// AddBackfill asks for a backfill and returns its id. It needs no Begin: any
// process may ask.
func (l *Ledger) AddBackfill(ctx context.Context, b Backfill) (int64, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	var id int64
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		id, err = addBackfill(ctx, tx, b)
		return err
	})
	if err != nil {
		return 0, explain("ask for a backfill", err)
	}
	return id, nil
}

func addBackfill(ctx context.Context, tx pgx.Tx, b Backfill) (id int64, err error) {
	if b.SourceHash != "" {
		target, err := internTargetRow(ctx, tx, b.Object, b.Match)
		if err != nil {
			return 0, err
		}
		source, err := internSourceRow(ctx, tx, target, b.Table)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, "UPDATE source SET hash = $2 WHERE id = $1", source, b.SourceHash); err != nil {
			return 0, err
		}
	}
	err = tx.QueryRow(ctx, `INSERT INTO backfill (table_name, object, match, reason, condition, keys, properties, estimate)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
		b.Table, b.Object, b.Match, b.Reason, b.Where, b.Keys, b.Properties, b.Estimate).Scan(&id)
	return id, err
}

var (
	sentStatement = statement{"sent", `UPDATE backfill SET sent_to = $2, state = 'running', started_at = COALESCE(started_at, now())
		WHERE id = $1 AND state IN ('waiting', 'running')`}
	finishStatement = statement{"finish", `UPDATE backfill SET state = $2::text, message = $3::text, finished_at = now()
		WHERE id = $1 AND state IN ('waiting', 'running')`}
)

// FinishBackfill marks a backfill as done. Fenced. One that is over already stays
// as it is.
func (l *Ledger) FinishBackfill(ctx context.Context, id int64) error {
	return l.endBackfill(ctx, id, Done, "")
}

// FailBackfill gives a backfill up, saying why. Fenced.
func (l *Ledger) FailBackfill(ctx context.Context, id int64, message string) error {
	return l.endBackfill(ctx, id, Failed, message)
}

func (l *Ledger) endBackfill(ctx context.Context, id int64, state BackfillState, message string) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	t := l.transaction(0, 0)
	t.add(finishStatement, wireInt8(id), []byte(state), []byte(l.sayable(message)))
	return explainSettle(t.commit(ctx))
}

// CancelBackfill asks the running instance to stop a backfill, and reports
// whether it was still waiting or running. It needs no Begin.
func (l *Ledger) CancelBackfill(ctx context.Context, id int64) (bool, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	tag, err := l.pool.Exec(ctx, `UPDATE backfill SET state = 'cancelled', finished_at = now()
		WHERE id = $1 AND state IN ('waiting', 'running')`, id)
	if err != nil {
		return false, explain("cancel a backfill", err)
	}
	return tag.RowsAffected() > 0, nil
}

// SourceHash is the mapping of a source as it was when a load of its rows was
// last asked for.
type SourceHash struct {
	Table, Object, Match, Hash string
}

// SourceHashes lists the sources for which a load was ever asked for. One that is
// missing is newly mapped; one whose hash differs has a changed mapping.
func (l *Ledger) SourceHashes(ctx context.Context) ([]SourceHash, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	rows, _ := l.pool.Query(ctx, `SELECT s.table_name, t.object, t.match, s.hash
		FROM source s JOIN target t ON t.id = s.target WHERE s.hash IS NOT NULL ORDER BY s.id`)
	hashes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SourceHash])
	if err != nil {
		return nil, explain("read the sources", err)
	}
	return hashes, nil
}

// ForgetSource forgets that a load was ever asked for the rows of a source that is
// mapped no longer: what changes until it is mapped again goes by unseen, and
// then all of it is owed anew. Fenced.
func (l *Ledger) ForgetSource(ctx context.Context, s SourceHash) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	t := l.transaction(0, 0)
	t.add(forgetStatement, []byte(s.Table), []byte(s.Object), []byte(s.Match))
	return explainSettle(t.commit(ctx))
}

var forgetStatement = statement{"forget", `UPDATE source s SET hash = NULL FROM target t
	WHERE t.id = s.target AND s.table_name = $1::text AND t.object = $2::text AND t.match = $3::text`}
