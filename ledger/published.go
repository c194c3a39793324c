package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Published remembers how a table is published, by a token that differs after
// every break. Where it differs from the one remembered, it files the loads that
// this asks for, in the same transaction: changes may be missing that were
// committed in between. It returns what it filed. It needs no Begin; of two that see the same break
// one files.
//
// first is the token at the start of the process, for a table of which none is
// remembered: its first load began after that. The token must have been read
// before the call: a load that is filed then reads the table once it is published
// again.
func (l *Ledger) Published(ctx context.Context, table, first, token string, loads func(before string) []Backfill) (filed []Backfill, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		filed = nil
		rows, _ := tx.Query(ctx, "SELECT published FROM source WHERE table_name = $1 ORDER BY id FOR UPDATE", table)
		remembered, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			return err
		}
		changed, before := false, token
		for _, r := range remembered {
			changed = changed || r == nil || *r != token
			if r == nil {
				r = &first
			}
			if *r != token {
				before = *r
			}
		}
		if !changed {
			return nil
		}
		if _, err := tx.Exec(ctx, "UPDATE source SET published = $2 WHERE table_name = $1", table, token); err != nil {
			return err
		}
		if before == token {
			return nil
		}
		for _, b := range loads(before) {
			if _, err := addBackfill(ctx, tx, b); err != nil {
				return err
			}
			filed = append(filed, b)
		}
		return nil
	})
	if err != nil {
		return nil, explain("remember how "+table+" is published", err)
	}
	return filed, nil
}
