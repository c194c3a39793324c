package ledger

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Options remembers the options of the properties that a source writes, by a
// token. Where it differs from the one remembered, or none is, it files the
// requests in the same transaction, and reports so. It needs no Begin; of two that see the same
// change one files.
func (l *Ledger) Options(ctx context.Context, table, object, match, token string, requests []Backfill) (news bool, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		news = false
		var id int16
		var before *string
		err := tx.QueryRow(ctx, `SELECT s.id, s.options FROM source s JOIN target t ON t.id = s.target
			WHERE s.table_name = $1 AND t.object = $2 AND t.match = $3 FOR UPDATE OF s`, table, object, match).Scan(&id, &before)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil // nothing was sent of it, and nothing parked
		case err != nil:
			return err
		case before != nil && *before == token:
			return nil
		}
		if _, err := tx.Exec(ctx, "UPDATE source SET options = $2 WHERE id = $1", id, token); err != nil {
			return err
		}
		news = true
		for _, r := range requests {
			if _, err := addBackfill(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, explain("remember the options of the properties of "+table, err)
	}
	return news, nil
}
