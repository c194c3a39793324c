package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Published remembers how a table is published, by a token that differs after
// every break. Where it differs from the one remembered, it files the loads, in
// the same transaction: changes may be missing that were committed in between.
// It reports whether it did. It needs no Begin; of two that see the same break
// one files.
//
// first is the token at the start of the process, for a table of which none is
// remembered: its first load began after that. The token must have been read
// before the call: a load that is filed then reads the table once it is published
// again.
func (l *Ledger) Published(ctx context.Context, table, first, token string, loads []Backfill) (filed bool, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		filed = false
		rows, _ := tx.Query(ctx, "SELECT published FROM source WHERE table_name = $1 ORDER BY id FOR UPDATE", table)
		remembered, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			return err
		}
		changed := false
		for _, r := range remembered {
			changed = changed || r == nil || *r != token
			if r == nil {
				r = &first
			}
			filed = filed || *r != token
		}
		if !changed {
			return nil
		}
		if _, err := tx.Exec(ctx, "UPDATE source SET published = $2 WHERE table_name = $1", table, token); err != nil {
			return err
		}
		if !filed {
			return nil
		}
		for _, b := range loads {
			if _, err := addBackfill(ctx, tx, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, explain("remember how "+table+" is published", err)
	}
	return filed, nil
}
