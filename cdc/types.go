package cdc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// typeRow is what is needed of pg_type.
type typeRow struct {
	schema, name string
	kind         byte
	base         uint32 // of a domain
	baseModifier int32
	elem         uint32 // of a true array
	labels       []string
}

// completeTypes fills in the types of all columns: names, what is under domains,
// the elements of arrays, the labels of enums.
func completeTypes(ctx context.Context, conn *pgx.Conn, rels []*change.Relation) error {
	known := map[uint32]typeRow{}
	wanted := map[uint32]bool{}
	for _, rel := range rels {
		for _, c := range rel.Columns {
			wanted[c.Type.OID] = true
		}
	}
	// Each round reads the types that those of the round before point at.
	for len(wanted) > 0 {
		oids := make([]uint32, 0, len(wanted))
		for oid := range wanted {
			oids = append(oids, oid)
		}
		if err := readTypes(ctx, conn, oids, known); err != nil {
			return err
		}
		wanted = map[uint32]bool{}
		for _, oid := range oids {
			t, ok := known[oid]
			if !ok {
				return fmt.Errorf("type %d is not in pg_type", oid)
			}
			for _, next := range []uint32{t.base, t.elem} {
				if _, have := known[next]; next != 0 && !have {
					wanted[next] = true
				}
			}
		}
	}
	for _, rel := range rels {
		for i := range rel.Columns {
			t := &rel.Columns[i].Type
			*t = *buildType(known, t.OID, t.Modifier)
		}
	}
	return nil
}

func readTypes(ctx context.Context, conn *pgx.Conn, oids []uint32, known map[uint32]typeRow) error {
	rows, err := conn.Query(ctx, `
		SELECT t.oid, n.nspname::text, t.typname::text, t.typtype::text, t.typbasetype, t.typtypmod,
			coalesce((SELECT e.oid FROM pg_type e WHERE e.typarray = t.oid), 0::oid),
			coalesce((SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid), '{}')
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE t.oid = ANY ($1)`, oids)
	if err != nil {
		return err
	}
	var oid uint32
	var kind string
	var t typeRow
	_, err = pgx.ForEachRow(rows, []any{&oid, &t.schema, &t.name, &kind, &t.base, &t.baseModifier, &t.elem, &t.labels}, func() error {
		t.kind = kind[0]
		known[oid] = t
		t.labels = nil // the next row gets a slice of its own
		return nil
	})
	return err
}

// buildType assembles a type. A domain's modifier is the column's, and its
// base's is what the domains say: numeric(12,2) under a domain keeps its scale.
func buildType(known map[uint32]typeRow, oid uint32, modifier int32) *change.Type {
	row := known[oid]
	t := &change.Type{OID: oid, Modifier: modifier, Schema: row.schema, Name: row.name, Kind: row.kind}
	if len(row.labels) > 0 {
		t.Labels = row.labels
	}
	if row.kind == 'd' {
		base, baseModifier := row.base, row.baseModifier
		for known[base].kind == 'd' {
			if baseModifier == -1 {
				baseModifier = known[base].baseModifier
			}
			base = known[base].base
		}
		t.Base = buildType(known, base, baseModifier)
	}
	if row.elem != 0 {
		t.Elem = buildType(known, row.elem, modifier)
	}
	return t
}
