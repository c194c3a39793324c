package cdc

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// ReadRows reads single rows by primary key, as [ReadChunk] reads a range. Rows
// that are not there are left out. Done is always set; Last is nil. Where it is
// Cut, rows are left out that are there: ask for fewer at once. bytes is as in
// [Range], without a bound if zero.
func ReadRows(ctx context.Context, conn *pgx.Conn, rel *change.Relation, keys [][]string, bytes int) (Chunk, error) {
	if bytes == 0 {
		bytes = math.MaxInt
	}
	if len(rel.PrimaryKey) == 0 {
		return Chunk{}, problem("table %s has no primary key, by which it would be read: ALTER TABLE %s ADD PRIMARY KEY (...)", rel, rel)
	}
	sql, args, err := rowsSQL(rel, keys)
	if err != nil {
		return Chunk{}, err
	}
	chunk, err := readInOne(ctx, conn, rel, sql, args, bound{len(keys), bytes})
	chunk.Done = true
	return chunk, err
}

// rowsSQL writes the keys as arrays of text, one a column, and lets the server
// read each as the column's type.
func rowsSQL(rel *change.Relation, keys [][]string) (string, [][]byte, error) {
	columns := make([][]string, len(rel.PrimaryKey))
	for _, key := range keys {
		if len(key) != len(columns) {
			return "", nil, fmt.Errorf("table %s: the key %q does not fit its primary key of %d columns", rel, key, len(columns))
		}
		for i := range key {
			columns[i] = append(columns[i], key[i])
		}
	}
	var arrays, names, conditions []string
	var args [][]byte
	for i, k := range rel.PrimaryKey {
		c := &rel.Columns[k]
		args = append(args, textArray(columns[i]))
		arrays = append(arrays, fmt.Sprintf("$%d::text[]", i+1))
		names = append(names, fmt.Sprintf("k%d", i))
		conditions = append(conditions, fmt.Sprintf("t.%s = wanted.k%d::%s.%s", quote(c.Name), i, quote(c.Type.Schema), quote(c.Type.Name)))
	}
	selected := make([]string, len(rel.Columns))
	for i := range rel.Columns {
		selected[i] = "t." + quote(rel.Columns[i].Name)
	}
	return fmt.Sprintf("SELECT %s FROM unnest(%s) AS wanted(%s) JOIN %s AS t ON %s",
		strings.Join(selected, ", "), strings.Join(arrays, ", "), strings.Join(names, ", "),
		quoteTable(rel), strings.Join(conditions, " AND ")), args, nil
}

// textArray writes an array of text as Postgres reads it.
func textArray(values []string) []byte {
	b := []byte{'{'}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)...)
		b = append(b, '"')
	}
	return append(b, '}')
}

// readInOne runs a query for rows of rel in a short read-only transaction and in
// one round trip, together with the snapshot that it sees.
func readInOne(ctx context.Context, conn *pgx.Conn, rel *change.Relation, sql string, args [][]byte, most bound) (Chunk, error) {
	var batch pgconn.Batch
	exec := func(sql string, args [][]byte) { batch.ExecParams(sql, args, nil, nil, nil) }
	exec("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil)
	exec("SELECT pg_current_snapshot()", nil)
	exec(sql, args)
	exec("COMMIT", nil)

	chunk, err := readBatch(conn.PgConn().ExecBatch(ctx, &batch), rel, most)
	if err != nil && conn.PgConn().TxStatus() != 'I' && !conn.IsClosed() {
		_, _ = conn.Exec(ctx, "ROLLBACK")
	}
	return chunk, err
}
