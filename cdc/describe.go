package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// ErrNoTable says that a table is not there.
var ErrNoTable = errors.New("no such table")

// Describe reads the tables from the catalog, in the order of names, with full
// types, primary key, replica identity and generated columns. Partitioned tables
// are described by their root. What is missing, is no table or may not be read
// is reported for all names at once, as [*Problems], which is [ErrNoTable] where
// a table is missing.
//
// Columns stand in table order, dropped ones left out, as the stream and
// [ReadChunk] have them; the stream leaves out generated columns.
func Describe(ctx context.Context, conn *pgx.Conn, names []Name) ([]*change.Relation, error) {
	return describeTables(ctx, conn, names, false)
}

// DescribeUnread is [Describe] for tables that nobody has to be able to read yet.
func DescribeUnread(ctx context.Context, conn *pgx.Conn, names []Name) ([]*change.Relation, error) {
	return describeTables(ctx, conn, names, true)
}

func describeTables(ctx context.Context, conn *pgx.Conn, names []Name, unread bool) ([]*change.Relation, error) {
	tables, err := findTables(ctx, conn, names)
	if err != nil {
		return nil, err
	}
	var problems []string
	var cause error
	rels := make([]*change.Relation, len(names))
	oids := make([]uint32, 0, len(names))
	for i, name := range names {
		t, ok := tables[name]
		if !ok {
			problems = append(problems, noTable(name, conn))
			cause = ErrNoTable
			continue
		}
		if unread {
			t.usage, t.selects = true, true
		}
		problems = append(problems, t.problems(name)...)
		rels[i] = &change.Relation{OID: t.oid, Schema: name.Schema, Name: name.Table, Identity: change.ReplicaIdentity(t.identity[0])}
		oids = append(oids, t.oid)
	}
	if len(problems) > 0 {
		return nil, &Problems{list: problems, cause: cause}
	}
	if err := readColumns(ctx, conn, oids, rels); err != nil {
		return nil, fmt.Errorf("read the columns of the mapped tables: %w", err)
	}
	return rels, nil
}

func noTable(name Name, conn *pgx.Conn) string {
	return fmt.Sprintf("table %s does not exist in database %s: check its name and schema in the mapping", name, change.QuoteName(conn.Config().Database))
}

// table is a row of pg_class, and what the current role may do with it.
type table struct {
	oid         uint32
	kind        string // relkind
	persistence string // relpersistence
	identity    string // relreplident
	user        string
	usage       bool // of its schema
	selects     bool // all of its columns
}

func findTables(ctx context.Context, conn *pgx.Conn, names []Name) (map[Name]table, error) {
	schemas, tables := make([]string, len(names)), make([]string, len(names))
	for i, n := range names {
		schemas[i], tables[i] = n.Schema, n.Table
	}
	rows, err := conn.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, c.oid, c.relkind::text, c.relpersistence::text, c.relreplident::text,
			current_user::text, has_schema_privilege(n.oid, 'USAGE'),
			has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
				SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
				AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT'))
		FROM unnest($1::text[], $2::text[]) AS w(s, t)
		JOIN pg_namespace n ON n.nspname = w.s
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.t`, schemas, tables)
	if err != nil {
		return nil, fmt.Errorf("look up the mapped tables: %w", err)
	}
	found := map[Name]table{}
	var name Name
	var t table
	_, err = pgx.ForEachRow(rows, []any{
		&name.Schema, &name.Table, &t.oid, &t.kind, &t.persistence, &t.identity, &t.user, &t.usage, &t.selects,
	}, func() error {
		found[name] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up the mapped tables: %w", err)
	}
	return found, nil
}

func (t table) problems(name Name) (list []string) {
	what := map[string]string{
		"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index",
		"I": "an index", "c": "a composite type", "t": "a TOAST table",
	}
	if t.kind != "r" && t.kind != "p" {
		return []string{fmt.Sprintf("%s is %s: only tables are written to the log; map the tables beneath it", name, what[t.kind])}
	}
	switch t.persistence {
	case "u":
		list = append(list, fmt.Sprintf("table %s is unlogged, so its changes are not in the log: ALTER TABLE %s SET LOGGED", name, name))
	case "t":
		list = append(list, fmt.Sprintf("table %s is temporary: only lasting tables can be mapped", name))
	}
	if !t.usage {
		list = append(list, fmt.Sprintf("table %s cannot be read: GRANT USAGE ON SCHEMA %s TO %s",
			name, change.QuoteName(name.Schema), change.QuoteName(t.user)))
	}
	if !t.selects {
		list = append(list, fmt.Sprintf("table %s cannot be read: GRANT SELECT ON %s TO %s", name, name, change.QuoteName(t.user)))
	}
	return list
}

// readColumns fills in columns and keys.
func readColumns(ctx context.Context, conn *pgx.Conn, oids []uint32, rels []*change.Relation) error {
	rows, err := conn.Query(ctx, `
		SELECT a.attrelid, a.attname::text, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated <> '',
			coalesce(array_position(pk.indkey::int2[], a.attnum), -1),
			CASE c.relreplident
				WHEN 'f' THEN true
				WHEN 'd' THEN a.attnum = ANY (pk.indkey::int2[])
				WHEN 'i' THEN a.attnum = ANY (ri.indkey::int2[])
			END IS TRUE
		FROM pg_attribute a
		JOIN pg_class c ON c.oid = a.attrelid
		LEFT JOIN pg_index pk ON pk.indrelid = a.attrelid AND pk.indisprimary
		LEFT JOIN pg_index ri ON ri.indrelid = a.attrelid AND ri.indisreplident
		WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attrelid, a.attnum`, oids)
	if err != nil {
		return err
	}
	byOID := map[uint32][]*change.Relation{} // a table may be asked for twice
	for _, rel := range rels {
		byOID[rel.OID] = append(byOID[rel.OID], rel)
	}
	keys := map[uint32]map[int]int{} // place in the key -> column
	var oid uint32
	var c change.Column
	var place int // int2vector counts from 0
	_, err = pgx.ForEachRow(rows, []any{
		&oid, &c.Name, &c.Type.OID, &c.Type.Modifier, &c.NotNull, &c.Generated, &place, &c.InIdentity,
	}, func() error {
		for _, rel := range byOID[oid] {
			if place >= 0 {
				if keys[oid] == nil {
					keys[oid] = map[int]int{}
				}
				keys[oid][place] = len(rel.Columns)
			}
			rel.Columns = append(rel.Columns, c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rel := range rels {
		places := make([]int, 0, 4)
		for p := range keys[rel.OID] {
			places = append(places, p)
		}
		slices.Sort(places)
		for _, p := range places {
			rel.PrimaryKey = append(rel.PrimaryKey, keys[rel.OID][p])
		}
	}
	return completeTypes(ctx, conn, rels)
}
