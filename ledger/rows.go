package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// DeliveredRows lists rows from which records of a mapping were last delivered,
// by primary key, as letters and Backfill.Keys have it: those of at most limit
// records behind the cursor after, which is empty at first. It returns the cursor
// to go on behind, empty where nothing is left. Rows under a key too long to be
// stored are left out.
func (l *Ledger) DeliveredRows(ctx context.Context, table, object, match, after string, limit int) (rows []string, next string, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	found, _ := l.pool.Query(ctx, `WITH s AS (
			SELECT s.target, s.id FROM source s JOIN target t ON t.id = s.target
			WHERE t.object = $2 AND t.match = $3 AND s.table_name = $1)
		SELECT encode(key, 'hex'), row_key FROM (
			(SELECT r.key, CASE WHEN r.row_key = '' THEN r.key ELSE r.row_key END AS row_key
				FROM s JOIN record r ON r.target = s.target AND r.source = s.id
				WHERE r.key > decode($4, 'hex') ORDER BY r.key LIMIT $5)
			UNION ALL
			(SELECT f.key, f.row_key FROM s JOIN feeder f ON f.target = s.target AND f.source = s.id
				WHERE f.key > decode($4, 'hex') ORDER BY f.key LIMIT $5)
		) AS fed ORDER BY key LIMIT $5`, table, object, match, after, limit)
	var row []byte
	_, err = pgx.ForEachRow(found, []any{&next, &row}, func() error {
		// A zero byte begins what stands for a long key, and for no row at all.
		if len(row) > 0 && row[0] != 0 {
			rows = append(rows, string(row))
		}
		return nil
	})
	if err != nil {
		return nil, "", explain("list what was delivered", err)
	}
	return rows, next, nil
}
