package cdc

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// tableFacts is what publishing tables depends on.
type tableFacts struct {
	user, database string
	superuser      bool
	mayCreate      bool // publications in this database
	byOID          map[uint32]tableFact
}

// tableFact is what publishing one table depends on.
type tableFact struct {
	owned        bool
	partitioned  bool     // the root, or an inner node, of a partition tree
	root         uint32   // of the partition tree that the table belongs to as a part, or 0
	rootName     string   // as SQL writes it
	children     bool     // other tables inherit from it, though it is not partitioned
	publications []string // that list it by name
	// unidentified names the tables, itself or its partitions, whose UPDATEs would
	// fail once published.
	unidentified []string
	// generated names those whose UPDATEs would fail, from 18 on, because their
	// replica identity has generated columns, which are not published.
	generated []string
	// unlogged names partitions whose changes do not reach the log. Foreign ones,
	// which would be as silent, cannot be where the root has a primary key.
	unlogged []string
	policies policies
}

// policies says what row level security does to what the current role selects.
type policies string

const (
	unsecured policies = ""
	secured   policies = "secured"    // it is on, and hides nothing from the role
	hidesRows policies = "hides rows" // or may do so
)

func (f tableFact) listed(publication string) bool {
	return slices.Contains(f.publications, publication)
}

// notOwned picks the tables that the current role does not own.
func (f tableFacts) notOwned(rels []*change.Relation) (list []*change.Relation) {
	for _, rel := range rels {
		if !f.superuser && !f.byOID[rel.OID].owned {
			list = append(list, rel)
		}
	}
	return list
}

func readTableFacts(ctx context.Context, conn *pgx.Conn, rels []*change.Relation) (tableFacts, error) {
	f := tableFacts{byOID: map[uint32]tableFact{}}
	err := conn.QueryRow(ctx, `
		SELECT current_user::text, current_database()::text, rolsuper, has_database_privilege(current_database(), 'CREATE')
		FROM pg_roles WHERE rolname = current_user`).Scan(&f.user, &f.database, &f.superuser, &f.mayCreate)
	if err != nil {
		return f, fmt.Errorf("ask for the user's rights: %w", err)
	}
	oids := make([]uint32, len(rels))
	for i, rel := range rels {
		oids[i] = rel.OID
	}
	rows, err := conn.Query(ctx, `
		WITH readers AS (SELECT p.*, pg_get_expr(p.polqual, p.polrelid) AS says FROM pg_policy p
			WHERE p.polcmd IN ('r', '*') AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))
		SELECT c.oid, pg_has_role(c.relowner, 'USAGE'), c.relkind = 'p',
			CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid ELSE 0 END,
			CASE WHEN c.relispartition THEN (SELECT format('%I.%I', rn.nspname, r.relname) FROM pg_class r
				JOIN pg_namespace rn ON rn.oid = r.relnamespace WHERE r.oid = pg_partition_root(c.oid)) ELSE '' END,
			c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
			ARRAY(SELECT p.pubname::text FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid WHERE pr.prrelid = c.oid),
			ARRAY(SELECT format('%I.%I', ln.nspname, l.relname)
				FROM (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf UNION SELECT c.oid WHERE c.relkind = 'r') t
				JOIN pg_class l ON l.oid = t.relid JOIN pg_namespace ln ON ln.oid = l.relnamespace
				WHERE CASE l.relreplident
					WHEN 'f' THEN false
					WHEN 'd' THEN NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = l.oid AND x.indisprimary)
					WHEN 'i' THEN NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = l.oid AND x.indisreplident)
					ELSE true END
				ORDER BY 1),
			ARRAY(SELECT format('%I.%I', ln.nspname, l.relname)
				FROM (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf UNION SELECT c.oid WHERE c.relkind = 'r') t
				JOIN pg_class l ON l.oid = t.relid JOIN pg_namespace ln ON ln.oid = l.relnamespace
				WHERE current_setting('server_version_num')::int >= 180000 AND EXISTS (
					SELECT FROM pg_attribute a WHERE a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''
					AND (l.relreplident = 'f' OR EXISTS (SELECT FROM pg_index x WHERE x.indrelid = l.oid AND a.attnum = ANY (x.indkey::int2[])
						AND CASE l.relreplident WHEN 'd' THEN x.indisprimary WHEN 'i' THEN x.indisreplident END)))
				ORDER BY 1),
			ARRAY(SELECT format('%I.%I', ln.nspname, l.relname)
				FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid JOIN pg_namespace ln ON ln.oid = l.relnamespace
				WHERE t.isleaf AND l.relpersistence = 'u' ORDER BY 1),
			CASE WHEN NOT c.relrowsecurity THEN ''
				WHEN NOT row_security_active(c.oid) THEN 'secured'
				WHEN EXISTS (SELECT FROM readers r WHERE r.polrelid = c.oid AND r.polpermissive AND r.says = 'true')
					AND NOT EXISTS (SELECT FROM readers r WHERE r.polrelid = c.oid AND NOT r.polpermissive) THEN 'secured'
				ELSE 'hides rows' END
		FROM pg_class c WHERE c.oid = ANY ($1)`, oids)
	if err != nil {
		return f, fmt.Errorf("look at the mapped tables: %w", err)
	}
	var oid uint32
	var t tableFact
	_, err = pgx.ForEachRow(rows, []any{
		&oid, &t.owned, &t.partitioned, &t.root, &t.rootName, &t.children, &t.publications, &t.unidentified, &t.generated, &t.unlogged, &t.policies,
	}, func() error {
		f.byOID[oid] = t
		t.publications, t.unidentified, t.generated, t.unlogged = nil, nil, nil, nil
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("look at the mapped tables: %w", err)
	}
	return f, nil
}
