package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Chunk is some rows of a table in the order of its primary key.
type Chunk struct {
	// Rows hold the values in the order of the relation's columns.
	Rows [][]change.Value
	// Last is the primary key of the last row, as text, in key order: where the
	// next chunk starts. Nil where there are no rows.
	Last []string
	// Snapshot says which transactions the rows include.
	Snapshot Snapshot
	// Done is set where no row is left after these.
	Done bool

	// Cut is set where rows were passed over, since those before are large.
	Cut bool
}

// Range says which rows of a table to read. The zero value but for Limit is the
// start of the table.
type Range struct {
	After []string // primary key, as text, that the rows come behind; nil for the first row on
	UpTo  []string // primary key that they end with; nil for all
	Limit int      // rows
	Bytes int      // of values, after which the chunk ends; 16 MiB if zero
	Where string   // SQL condition; empty for all rows
}

// chunkBytes is how much a chunk holds unless told otherwise.
const chunkBytes = 16 << 20

// bound is how much of an answer is kept. The rows that follow are passed over: how
// large rows are is known only once they are there.
type bound struct{ rows, bytes int }

// ReadChunk reads the first rows of the range in the order of the primary key.
// rel must come from [Describe]. Values are text as in the stream, generated
// columns included.
//
// It takes one round trip and one short read-only transaction; no lock is kept
// and Where cannot write. conn must not be in a transaction.
func ReadChunk(ctx context.Context, conn *pgx.Conn, rel *change.Relation, r Range) (Chunk, error) {
	key, err := readKey(ctx, conn, rel)
	if err != nil {
		return Chunk{}, err
	}
	for _, position := range [][]string{r.After, r.UpTo} {
		if position != nil && len(position) != len(key) {
			return Chunk{}, fmt.Errorf("table %s: the position %q does not fit its primary key of %d columns: start the table anew", rel, position, len(key))
		}
	}
	sql, args := chunkSQL(rel, key, r)

	if r.Bytes == 0 {
		r.Bytes = chunkBytes
	}
	chunk, err := readInOne(ctx, conn, rel, sql, args, bound{r.Limit, r.Bytes})
	if err != nil {
		return Chunk{}, chunkError(rel, r.Where, err)
	}
	chunk.Done = !chunk.Cut && len(chunk.Rows) < r.Limit
	if n := len(chunk.Rows); n > 0 {
		for _, k := range rel.PrimaryKey {
			chunk.Last = append(chunk.Last, string(chunk.Rows[n-1][k].Text))
		}
	}
	return chunk, nil
}

// catalogGreater is how the types of pg_catalog compare.
const catalogGreater = "OPERATOR(pg_catalog.>)"

// keyColumn is a column of the primary key, as a statement needs it.
type keyColumn struct {
	name, typ string // quoted
	greater   string // the operator that the key's index orders by, with its schema
}

// readKey prepares the key. Operators are named with their schema: which one an
// unqualified > means depends on the search path, and with another one than the
// index orders by rows would be skipped. For the types of pg_catalog, and for
// enums and other types made of them, it is pg_catalog's; for those that an
// extension brings, citext say, the catalog is asked.
func readKey(ctx context.Context, conn *pgx.Conn, rel *change.Relation) ([]keyColumn, error) {
	if len(rel.PrimaryKey) == 0 {
		return nil, problem("table %s has no primary key, by which it would be read: ALTER TABLE %s ADD PRIMARY KEY (...)", rel, rel)
	}
	key := make([]keyColumn, len(rel.PrimaryKey))
	var foreign []string
	for i, k := range rel.PrimaryKey {
		c := &rel.Columns[k]
		key[i] = keyColumn{name: quote(c.Name), typ: quote(c.Type.Schema) + "." + quote(c.Type.Name), greater: catalogGreater}
		base := &c.Type
		if base.Base != nil {
			base = base.Base
		}
		if base.Schema != "pg_catalog" && base.Kind == 'b' && base.Elem == nil {
			foreign = append(foreign, c.Name)
		}
	}
	if len(foreign) == 0 {
		return key, nil
	}
	rows, err := conn.Query(ctx, `
		SELECT k.place, format('OPERATOR(%I.%s)', n.nspname, o.oprname)
		FROM pg_index x
		CROSS JOIN unnest(x.indclass::oid[]) WITH ORDINALITY AS k(class, place)
		JOIN pg_opclass oc ON oc.oid = k.class
		JOIN pg_amop a ON a.amopfamily = oc.opcfamily AND a.amoplefttype = oc.opcintype AND a.amoprighttype = oc.opcintype
			AND a.amopstrategy = 5
		JOIN pg_operator o ON o.oid = a.amopopr
		JOIN pg_namespace n ON n.oid = o.oprnamespace
		WHERE x.indrelid = $1 AND x.indisprimary`, rel.OID)
	if err != nil {
		return nil, fmt.Errorf("look up the order of the primary key of %s: %w", rel, err)
	}
	var place int
	var operator string
	_, err = pgx.ForEachRow(rows, []any{&place, &operator}, func() error {
		if place < 1 || place > len(key) {
			return errors.New("the primary key has changed")
		}
		key[place-1].greater = operator
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up the order of the primary key of %s: %w", rel, err)
	}
	return key, nil
}

// chunkSQL writes the statement and its parameters.
func chunkSQL(rel *change.Relation, key []keyColumn, r Range) (string, [][]byte) {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i := range rel.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(rel.Columns[i].Name))
	}
	fmt.Fprintf(&b, " FROM %s", quoteTable(rel))
	conditions := make([]string, 0, 2)
	var args [][]byte
	bind := func(position []string) (first int) {
		first = len(args) + 1
		for _, v := range position {
			args = append(args, []byte(v))
		}
		return first
	}
	if r.After != nil {
		conditions = append(conditions, keysetCondition(key, bind(r.After)))
	}
	if r.UpTo != nil {
		conditions = append(conditions, endCondition(key, bind(r.UpTo)))
	}
	if r.Where != "" {
		// The line break ends a comment that the condition may end with.
		conditions = append(conditions, "("+r.Where+"\n)")
	}
	if len(conditions) > 0 {
		b.WriteString(" WHERE " + strings.Join(conditions, " AND "))
	}
	b.WriteString(" ORDER BY ")
	for i, k := range key {
		if i > 0 {
			b.WriteString(", ")
		}
		// Qualified, so that it is the column and not a name in the select list.
		b.WriteString(quoteTable(rel) + "." + k.name)
	}
	fmt.Fprintf(&b, " LIMIT %d", r.Limit)
	return b.String(), args
}

// keysetCondition is true for rows behind the position in the parameters from
// first on. It compares rows where one operator serves all columns, which an
// index scan can use as it is, and spells the comparison out otherwise.
func keysetCondition(key []keyColumn, first int) string {
	if operator, ok := oneOperator(key); ok {
		return rowComparison(key, first, operator)
	}
	// a >= x AND (a > x OR a = x AND (...)), written without >= and =.
	condition := ""
	for i := len(key) - 1; i >= 0; i-- {
		param := fmt.Sprintf("$%d::%s", first+i, key[i].typ)
		greater := fmt.Sprintf("%s %s %s", key[i].name, key[i].greater, param)
		if condition == "" {
			condition = greater
			continue
		}
		less := fmt.Sprintf("%s %s %s", param, key[i].greater, key[i].name)
		condition = fmt.Sprintf("(%s OR NOT (%s) AND %s)", greater, less, condition)
	}
	return condition
}

// endCondition is true for rows up to the position in the parameters from first
// on. With the operators of pg_catalog an index scan can end there.
func endCondition(key []keyColumn, first int) string {
	if operator, ok := oneOperator(key); ok && operator == catalogGreater {
		return rowComparison(key, first, "OPERATOR(pg_catalog.<=)")
	}
	return "NOT (" + keysetCondition(key, first) + ")"
}

// oneOperator is the operator that compares every column of the key, if there is
// one.
func oneOperator(key []keyColumn) (operator string, ok bool) {
	for _, k := range key {
		if k.greater != key[0].greater {
			return "", false
		}
	}
	return key[0].greater, true
}

// rowComparison compares the key with the parameters from first on.
func rowComparison(key []keyColumn, first int, operator string) string {
	names, params := make([]string, len(key)), make([]string, len(key))
	for i, k := range key {
		names[i] = k.name
		params[i] = fmt.Sprintf("$%d::%s", first+i, k.typ)
	}
	return fmt.Sprintf("(%s) %s (%s)", strings.Join(names, ", "), operator, strings.Join(params, ", "))
}

// readBatch takes the answers to BEGIN, the snapshot, the rows and COMMIT.
func readBatch(results *pgconn.MultiResultReader, rel *change.Relation, most bound) (chunk Chunk, err error) {
	size := 0
	defer func() { err = errors.Join(err, results.Close()) }()
	for n := 0; results.NextResult(); n++ {
		r := results.ResultReader()
		if n == 2 && !asDescribed(rel, r.FieldDescriptions()) {
			return chunk, problem("table %s has changed since it was looked at; it is looked at again", rel)
		}
		for r.NextRow() {
			values := r.Values()
			switch {
			case n == 1:
				if chunk.Snapshot, err = ParseSnapshot(string(values[0])); err != nil {
					return chunk, err
				}
			case len(values) != len(rel.Columns):
				return chunk, fmt.Errorf("%d columns instead of %d", len(values), len(rel.Columns))
			case size >= most.bytes:
				chunk.Cut = true
			default:
				if chunk.Rows == nil {
					chunk.Rows = make([][]change.Value, 0, min(most.rows, 10_000))
				}
				for _, v := range values {
					size += len(v)
				}
				chunk.Rows = append(chunk.Rows, copyRow(values))
			}
		}
		if _, err := r.Close(); err != nil {
			return chunk, err
		}
	}
	return chunk, nil
}

// asDescribed reports whether the columns have the types that they were described
// with.
func asDescribed(rel *change.Relation, fields []pgconn.FieldDescription) bool {
	if len(fields) != len(rel.Columns) {
		return false
	}
	for i := range fields {
		t := &rel.Columns[i].Type
		for t.Base != nil { // rows come with the types under their domains
			t = t.Base
		}
		if fields[i].DataTypeOID != t.OID {
			return false
		}
	}
	return true
}

// copyRow takes a row out of the read buffer, in two allocations.
func copyRow(values [][]byte) []change.Value {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	text := make([]byte, 0, size)
	row := make([]change.Value, len(values))
	for i, v := range values {
		if v == nil {
			row[i].Kind = change.Null
			continue
		}
		from := len(text)
		text = append(text, v...)
		row[i] = change.Value{Kind: change.Text, Text: text[from:len(text):len(text)]}
	}
	return row
}

func chunkError(rel *change.Relation, where string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("read rows of %s: %w", rel, err)
	}
	switch {
	case pg.Code == "42501":
		return problemBecause(err, "table %s cannot be read: %s; GRANT SELECT ON %s to the user of PGCRM_DATABASE_URL", rel, pg.Message, rel)
	case where != "" && pg.Code == "08P01":
		return problemBecause(err, "the condition cannot be used on table %s: it has a parameter such as $1; write the value", rel)
	case where != "" && (strings.HasPrefix(pg.Code, "42") || strings.HasPrefix(pg.Code, "22") || pg.Code == "25006"):
		return problemBecause(err, "the condition cannot be used on table %s: %s", rel, pg.Message)
	case pg.Code == "42P01" || pg.Code == "42703":
		return problemBecause(err, "table %s has changed: %s; adapt the mapping", rel, pg.Message)
	}
	return fmt.Errorf("read rows of %s: %w", rel, err)
}
