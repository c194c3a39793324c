package cdc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Publication is what a publication lets through.
type Publication struct {
	Name      string
	AllTables bool
	Insert    bool
	Update    bool
	Delete    bool
	Truncate  bool
	ViaRoot   bool
	// Ours is set where the comment says that pgcrm manages it; Owned where the
	// current role has the rights of its owner.
	Ours, Owned bool
	// Tables are sorted by schema and name.
	Tables []PublishedTable
}

// PublishedTable is one table of a publication. With ViaRoot a partitioned table
// stands for its partitions.
type PublishedTable struct {
	Name
	OID uint32
	// Columns lists the published columns (15 and later); nil where the server
	// does not say, which means all. Listed is set where the publication names
	// them: columns that are added later are not published.
	Columns []string
	Listed  bool
	// RowFilter is the WHERE of the publication (15 and later).
	RowFilter string
}

// DescribePublication looks a publication up. ok is false where there is none.
func DescribePublication(ctx context.Context, conn *pgx.Conn, name string) (p Publication, ok bool, err error) {
	p.Name = name
	err = conn.QueryRow(ctx, `
		SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
			coalesce(obj_description(oid, 'pg_publication') = $2, false), pg_has_role(pubowner, 'USAGE')
		FROM pg_publication WHERE pubname = $1`, name, Marker).
		Scan(&p.AllTables, &p.Insert, &p.Update, &p.Delete, &p.Truncate, &p.ViaRoot, &p.Ours, &p.Owned)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("look up publication %s: %w", quote(name), err)
	}
	// The view has more columns from version to version; the first ones stay.
	rows, err := conn.Query(ctx, `
		SELECT t.schemaname::text, t.tablename::text, c.oid, to_jsonb(t) -> 'attnames', to_jsonb(t) ->> 'rowfilter',
			EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
				WHERE p.pubname = t.pubname AND r.prrelid = c.oid AND to_jsonb(r) ->> 'prattrs' IS NOT NULL)
		FROM pg_publication_tables t
		JOIN pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = $1 ORDER BY 1, 2`, name)
	if err != nil {
		return p, false, fmt.Errorf("look up the tables of publication %s: %w", quote(name), err)
	}
	var t PublishedTable
	var columns []byte
	var filter *string
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Table, &t.OID, &columns, &filter, &t.Listed}, func() error {
		t.Columns, t.RowFilter = nil, ""
		if filter != nil {
			t.RowFilter = *filter
		}
		if columns != nil {
			if err := json.Unmarshal(columns, &t.Columns); err != nil {
				return err
			}
		}
		p.Tables = append(p.Tables, t)
		return nil
	})
	if err != nil {
		return p, false, fmt.Errorf("look up the tables of publication %s: %w", quote(name), err)
	}
	return p, true, nil
}

// Table finds a published table, or nil.
func (p *Publication) Table(oid uint32) *PublishedTable {
	for i := range p.Tables {
		if p.Tables[i].OID == oid {
			return &p.Tables[i]
		}
	}
	return nil
}

// Hash is the same for two publications that let the same changes through, so
// that ordinals within a transaction mean the same.
func (p *Publication) Hash() string {
	h := sha256.New()
	fmt.Fprintln(h, p.AllTables, p.Insert, p.Update, p.Delete, p.Truncate, p.ViaRoot)
	for _, t := range p.Tables {
		fmt.Fprintf(h, "%d %q\n", t.OID, t.RowFilter)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// PublicationHash is the [Publication.Hash] of the named publication. One that
// does not exist is an error with Problems.
func PublicationHash(ctx context.Context, conn *pgx.Conn, name string) (string, error) {
	p, ok, err := DescribePublication(ctx, conn, name)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", problem("PGCRM_PUBLICATION: publication %s does not exist: run pgcrm migrate", quote(name))
	}
	return p.Hash(), nil
}

// DropPublication removes the publication. One that does not exist is no error.
func DropPublication(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+quote(name)); err != nil {
		return fmt.Errorf("drop publication %s: %w", quote(name), err)
	}
	return nil
}
