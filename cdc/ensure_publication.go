package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// EnsurePublication makes the publication let every change of the tables through,
// partitions under their root's name: whole tables, or with columns, which tells
// what is read of a table, only those and the replica identity. It creates one that is
// missing, and extends one that carries [Marker]. Any other is used as it is if
// it suits, whoever owns it; otherwise, and where the rights do not suffice, the
// error has [Problems] with the statements to run.
func EnsurePublication(ctx context.Context, conn *pgx.Conn, name string, rels []*change.Relation, columns func(Name) []string) (created bool, err error) {
	return ensurePublication(ctx, conn, name, rels, columns, 0)
}

// ensurePublication waits for locks no longer than patience, 0 for as long as it
// takes.
func ensurePublication(ctx context.Context, conn *pgx.Conn, name string, rels []*change.Relation, columns func(Name) []string, patience time.Duration) (created bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = "+milliseconds(patience)); err != nil {
			return err
		}
		// Two instances that start together take turns.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "pgcrm publication "+name); err != nil {
			return err
		}
		plan, err := planPublication(ctx, tx.Conn(), name, rels, columns)
		if err != nil {
			return err
		}
		if err := problemsError(plan.problems); err != nil {
			return err
		}
		for _, sql := range plan.statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return publicationRefused(err, plan.statements)
			}
		}
		created = plan.create
		return nil
	})
	var p *Problems
	if err != nil && !errors.As(err, &p) {
		err = fmt.Errorf("set up publication %s: %w", quote(name), err)
	}
	return created && err == nil, err
}

// publicationPlan is what has to be done to a publication.
type publicationPlan struct {
	create     bool
	statements []string
	problems   []string // why it cannot be done here, with what to run
}

// PublicationSQL returns the statements that would make the publication suit, for
// a DBA to run. It is empty where it does already.
func PublicationSQL(ctx context.Context, conn *pgx.Conn, name string, rels []*change.Relation, columns func(Name) []string) ([]string, error) {
	plan, err := planPublication(ctx, conn, name, rels, columns)
	return plan.statements, err
}

func planPublication(ctx context.Context, conn *pgx.Conn, name string, rels []*change.Relation, columns func(Name) []string) (publicationPlan, error) {
	if columns != nil && conn.PgConn().ParameterStatus("server_version") < "15" { // as text: 14 is the only one below
		return publicationPlan{}, problem("PGCRM_PUBLISH_COLUMNS=mapped: Postgres 14 has no column lists: unset it, which publishes whole tables, or move to Postgres 15 or later")
	}
	p, exists, err := DescribePublication(ctx, conn, name)
	if err != nil {
		return publicationPlan{}, err
	}
	facts, err := readTableFacts(ctx, conn, rels)
	if err != nil {
		return publicationPlan{}, err
	}
	lists, err := columnLists(ctx, conn, rels, columns)
	if err != nil {
		return publicationPlan{}, err
	}
	if !exists {
		return planCreate(name, rels, facts, lists), nil
	}
	return planExtend(&p, rels, facts, lists, columns != nil), nil
}

func planCreate(name string, rels []*change.Relation, facts tableFacts, lists map[uint32][]string) publicationPlan {
	plan := publicationPlan{create: true, statements: []string{
		fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)",
			quote(name), quotedTables(rels, lists)),
		fmt.Sprintf("COMMENT ON PUBLICATION %s IS %s", quote(name), literal(Marker)),
	}}
	var lacks []string
	if !facts.mayCreate {
		lacks = append(lacks, "CREATE on database "+change.QuoteName(facts.database))
	}
	if foreign := facts.notOwned(rels); len(foreign) > 0 {
		lacks = append(lacks, "ownership of "+tableList(foreign))
	}
	if len(lacks) > 0 {
		plan.problems = []string{fmt.Sprintf("publication %s does not exist, and user %s may not create it (it lacks %s): let an owner run %s",
			quote(name), change.QuoteName(facts.user), strings.Join(lacks, " and "), plan.statements[0])}
	}
	return plan
}

func planExtend(p *Publication, rels []*change.Relation, facts tableFacts, lists map[uint32][]string, listing bool) (plan publicationPlan) {
	// step adds statements, or says that somebody else has to run them.
	step := func(allowed bool, what string, changes ...string) {
		sql := make([]string, len(changes))
		for i, change := range changes {
			sql[i] = "ALTER PUBLICATION " + quote(p.Name) + " " + change
		}
		plan.statements = append(plan.statements, sql...)
		if !allowed {
			plan.problems = append(plan.problems, fmt.Sprintf("publication %s %s: let its owner run %s", quote(p.Name), what, strings.Join(sql, "; ")))
		}
	}
	ours := p.Ours && p.Owned
	var absent, otherwise []*change.Relation
	viaRoot := p.ViaRoot
	for _, rel := range rels {
		fact := facts.byOID[rel.OID]
		switch {
		case p.Table(rel.OID) != nil:
			if (listing || ours) && relist(p.Table(rel.OID), lists[rel.OID], ours) {
				otherwise = append(otherwise, rel)
			}
		case fact.root != 0 && p.ViaRoot && p.Table(fact.root) != nil:
			plan.problems = append(plan.problems, fmt.Sprintf(
				"table %s is a partition of %s, under whose name publication %s publishes it: map %s", rel, fact.rootName, quote(p.Name), fact.rootName))
		default:
			viaRoot = viaRoot || fact.partitioned
			if !fact.listed(p.Name) && !p.AllTables {
				absent = append(absent, rel)
			}
		}
	}
	if !p.Insert || !p.Update || !p.Delete || !p.Truncate {
		step(ours, "does not publish all of insert, update, delete and truncate", "SET (publish = 'insert, update, delete, truncate')")
	}
	if viaRoot && !p.ViaRoot {
		step(ours, "publishes partitions under their own names", "SET (publish_via_partition_root = true)")
	}
	if len(absent) > 0 {
		step(ours && len(facts.notOwned(absent)) == 0, "lacks "+tableList(absent), "ADD TABLE "+quotedTables(absent, lists))
	}
	for _, rel := range otherwise {
		t, list := p.Table(rel.OID), lists[rel.OID]
		if !ours && list != nil { // what others read of it stays
			list = slices.Concat(t.Columns, slices.DeleteFunc(slices.Clone(list), func(col string) bool { return slices.Contains(t.Columns, col) }))
		}
		add := "ADD TABLE " + published(rel, list)
		if t.RowFilter != "" {
			add += " WHERE (" + t.RowFilter + ")"
		}
		// In one transaction no change is left out in between.
		step(ours && len(facts.notOwned([]*change.Relation{rel})) == 0, "publishes other columns of "+rel.String()+" than are read", "DROP TABLE "+quoteTable(rel), add)
	}
	return plan
}

func quotedTables(rels []*change.Relation, lists map[uint32][]string) string {
	names := make([]string, len(rels))
	for i, rel := range rels {
		names[i] = published(rel, lists[rel.OID])
	}
	return strings.Join(names, ", ")
}

// publicationRefused adds to the server's refusal what a DBA can run instead.
func publicationRefused(err error, statements []string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return problemBecause(err, "the publication cannot be set up (%s): let an owner run %s", pg.Message, strings.Join(statements, "; "))
	}
	return err
}
