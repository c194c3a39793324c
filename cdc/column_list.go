package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// listsSince is the first version whose publications list columns.
const listsSince = 150000

// columnLists tells of each table which of its columns a publication is to list,
// in table order: those that are read, and those of the replica identity, of the
// partitions too, without which the application's own UPDATE and DELETE would
// fail. It is nil for a table that must be published whole: under REPLICA
// IDENTITY FULL every column is part of the identity, one that is added later
// included.
//
// Generated columns are left out: the stream does not carry them.
func columnLists(ctx context.Context, conn *pgx.Conn, rels []*change.Relation, columns func(Name) []string) (map[uint32][]string, error) {
	if columns == nil {
		return nil, nil
	}
	oids := make([]uint32, len(rels))
	byOID := map[uint32]*change.Relation{}
	for i, rel := range rels {
		oids[i], byOID[rel.OID] = rel.OID, rel
	}
	rows, err := conn.Query(ctx, `
		SELECT root.oid, a.attname::text, a.attgenerated <> '', identity.full, a.attname = ANY (identity.names)
		FROM pg_class root
		CROSS JOIN LATERAL (
			SELECT bool_or(c.relreplident = 'f') AS full, array_agg(k.attname) FILTER (WHERE k.attname IS NOT NULL) AS names
			FROM (SELECT relid FROM pg_partition_tree(root.oid) UNION SELECT root.oid) AS tree(relid)
			JOIN pg_class c ON c.oid = tree.relid
			LEFT JOIN pg_index x ON x.indrelid = c.oid AND (x.indisprimary OR x.indisreplident AND c.relreplident = 'i')
			LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (x.indkey::int2[])
		) AS identity
		JOIN pg_attribute a ON a.attrelid = root.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE root.oid = ANY ($1) ORDER BY root.oid, a.attnum`, oids)
	if err != nil {
		return nil, fmt.Errorf("look at the columns of the mapped tables: %w", err)
	}
	lists := map[uint32][]string{}
	var (
		oid             uint32
		name            string
		generated, full bool
		identity        *bool
	)
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &generated, &full, &identity}, func() error {
		rel := byOID[oid]
		read := slices.Contains(columns(Name{rel.Schema, rel.Name}), name)
		if !full && !generated && (read || identity != nil && *identity) {
			lists[oid] = append(lists[oid], name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the columns of the mapped tables: %w", err)
	}
	return lists, nil
}

// published writes a table as a publication names it, with its column list.
func published(rel *change.Relation, list []string) string {
	if list == nil {
		return quoteTable(rel)
	}
	quoted := make([]string, len(list))
	for i, col := range list {
		quoted[i] = quote(col)
	}
	return quoteTable(rel) + " (" + strings.Join(quoted, ", ") + ")"
}

// relist reports whether a published table's list is to be changed. Of another's
// publication more than is needed will do.
func relist(t *PublishedTable, want []string, ours bool) bool {
	switch {
	case ours && want == nil:
		return t.Listed
	case ours:
		return !t.Listed || !sameSet(t.Columns, want)
	case !t.Listed:
		return false
	}
	return slices.ContainsFunc(want, func(col string) bool { return !slices.Contains(t.Columns, col) })
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// listsSuit tells what a publication that lists columns forbids the application.
func (c *checks) listsSuit(ctx context.Context) error {
	const name = "publish_columns"
	if !c.cfg.ListColumns {
		return nil
	}
	if c.server.Version < listsSince {
		c.bad(name, "unset it, which publishes whole tables, or move to Postgres 15 or later",
			"PGCRM_PUBLISH_COLUMNS=mapped: Postgres %d has no column lists", c.server.Version/10000)
		return nil
	}
	if c.columns == nil {
		return nil
	}
	lists, err := columnLists(ctx, c.conn, c.rels, c.names)
	if err != nil {
		return err
	}
	for _, rel := range c.rels {
		list := lists[rel.OID]
		if list == nil {
			c.note(name, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY DEFAULT, if nothing else needs FULL", rel),
				"%s is published whole: under REPLICA IDENTITY FULL a list of columns would make the application's own UPDATE and DELETE fail", rel)
			continue
		}
		c.note(name, "unset PGCRM_PUBLISH_COLUMNS if that is too much",
			"%s is published as (%s): while it is, the application can neither drop nor retype these columns; and from REPLICA IDENTITY FULL, or a new replica identity, "+
				"on others its UPDATE and DELETE fail until pgcrm has seen it, within seconds while it runs", rel, names(list))
	}
	return nil
}

// names is c.columns by name; nil where it is not known.
func (c *checks) names(name Name) []string {
	for _, rel := range c.rels {
		if rel.Schema == name.Schema && rel.Name == name.Table {
			return c.columns(rel)
		}
	}
	return nil
}

// listed are the columns to list, nil for whole tables.
func (c *checks) listed() func(Name) []string {
	if !c.cfg.ListColumns || c.columns == nil || c.server.Version < listsSince {
		return nil
	}
	return c.names
}
