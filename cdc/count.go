package cdc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// countUpTo is how many rows CountEstimate counts where the server has no
// estimate yet.
const countUpTo = 100_000

// CountEstimate is about how many rows the table has, partitions included: the
// planner's estimate, or, for a table that was never analysed, a count that
// stops at 100,000.
func CountEstimate(ctx context.Context, conn *pgx.Conn, rel *change.Relation) (int64, error) {
	var rows float64
	var unknown bool
	err := conn.QueryRow(ctx, `
		SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::float8, coalesce(bool_or(c.reltuples < 0), true)
		FROM (SELECT relid FROM pg_partition_tree($1::oid::regclass) WHERE isleaf
			UNION SELECT oid FROM pg_class WHERE oid = $1::oid AND relkind = 'r') t
		JOIN pg_class c ON c.oid = t.relid`, rel.OID).Scan(&rows, &unknown)
	if err != nil {
		return 0, fmt.Errorf("estimate the rows of %s: %w", rel, err)
	}
	if !unknown {
		return int64(rows), nil
	}
	var n int64
	sql := fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s LIMIT %d) t", quoteTable(rel), countUpTo)
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the rows of %s: %w", rel, err)
	}
	return max(n, int64(rows)), nil
}
