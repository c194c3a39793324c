package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

func (c *checks) publicationSuits(ctx context.Context) error {
	const name = "publication"
	if len(c.rels) == 0 {
		return nil // none of the tables is there
	}
	plan, err := planPublication(ctx, c.conn, c.cfg.Publication, c.rels, c.listed())
	if err != nil {
		return err
	}
	for _, p := range plan.problems {
		c.bad(name, "", "%s", p)
	}
	p, exists, err := DescribePublication(ctx, c.conn, c.cfg.Publication)
	if err != nil {
		return err
	}
	switch {
	case len(plan.problems) > 0:
	case plan.create:
		c.good(name, "%s can be created", quote(c.cfg.Publication))
	case len(plan.statements) > 0:
		c.good(name, "%s can be extended by %s", quote(c.cfg.Publication), strings.Join(plan.statements, "; "))
	default:
		c.good(name, "%s publishes the mapped tables", quote(c.cfg.Publication))
	}
	if !exists {
		return nil
	}
	for _, rel := range c.rels {
		t := p.Table(rel.OID)
		if t == nil {
			continue
		}
		if missing := unpublished(rel, t, c.columns); len(missing) > 0 && c.listed() == nil { // else the plan says so
			c.bad(name, fmt.Sprintf("let its owner publish them too (ALTER PUBLICATION %s SET TABLE ...), or take them out of the mapping", quote(p.Name)),
				"publication %s leaves out columns of %s that the mapping reads: %s", quote(p.Name), rel, names(missing))
		}
		if t.RowFilter != "" {
			c.note(name, "", "publication %s has a row filter on %s, WHERE %s: a row that leaves it counts as deleted", quote(p.Name), rel, t.RowFilter)
		}
	}
	// Another mapping may share the publication, so nothing leaves it by itself.
	for _, t := range p.Tables {
		if p.Ours && !slices.ContainsFunc(c.rels, func(rel *change.Relation) bool { return rel.OID == t.OID }) {
			c.note(name, fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s", quote(p.Name), t.Name),
				"publication %s has %s, which this mapping does not read: its rows leave the database for nothing, and it cannot be without a replica identity", quote(p.Name), t.Name)
		}
	}
	return nil
}

// unpublished lists the columns that are read and not published.
func unpublished(rel *change.Relation, t *PublishedTable, columns func(*change.Relation) []string) (missing []string) {
	if columns == nil || t.Columns == nil {
		return nil
	}
	for _, col := range columns(rel) {
		if i := rel.Column(col); !slices.Contains(t.Columns, col) && i >= 0 && !rel.Columns[i].Generated {
			missing = append(missing, col)
		}
	}
	return missing
}

// names writes a list of columns for people.
func names(columns []string) string {
	list := make([]string, len(columns))
	for i, col := range columns {
		list[i] = change.QuoteName(col)
	}
	return strings.Join(list, ", ")
}

func (c *checks) tablesSuit(ctx context.Context) error {
	facts, err := readTableFacts(ctx, c.conn, c.rels)
	if err != nil {
		return err
	}
	for _, rel := range c.rels {
		fact, ok := facts.byOID[rel.OID]
		if !ok {
			c.bad("table", "check its name in the mapping", "table %s is gone", rel)
			continue
		}
		for _, t := range fact.unidentified {
			c.bad("replica_identity", fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (...), or ALTER TABLE %s REPLICA IDENTITY FULL", t, t),
				"table %s has no replica identity, so that once published the application's own UPDATE and DELETE would fail", t)
		}
		for _, t := range fact.generated {
			c.bad("replica_identity", fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY DEFAULT, or an index without such columns", t),
				"the replica identity of table %s has generated columns, so that once published the application's own UPDATE and DELETE would fail", t)
		}
		for _, t := range fact.unlogged {
			c.note("table", fmt.Sprintf("ALTER TABLE %s SET LOGGED", t),
				"partition %s of %s is unlogged: its rows are loaded once, and their changes do not reach the log", t, rel)
		}
		if fact.children {
			c.bad("table", "map the tables beneath it, or partition it",
				"table %s has tables that inherit from it (INHERITS), whose rows it shows as its own while the log keeps them apart", rel)
		}
		if fact.policies == hidesRows {
			user := change.QuoteName(c.server.User)
			c.bad("row_security", fmt.Sprintf("CREATE POLICY pgcrm ON %s FOR SELECT TO %s USING (true), or ALTER ROLE %s BYPASSRLS", rel, user, user),
				"row level security may hide rows of %s from user %s: loads would miss them, while the log carries every row", rel, user)
		} else if fact.policies == secured {
			c.note("row_security", "", "table %s has row level security, which does not hold for the log: pgcrm reads every row", rel)
		}
		if len(fact.unidentified) == 0 && len(fact.generated) == 0 && !fact.children {
			c.good("table", "%s can be followed", rel)
			c.identity(rel)
		}
	}
	return nil
}

// identity compares what the log tells of a row before its change with what the
// mapping reads.
func (c *checks) identity(rel *change.Relation) {
	var in, out []string
	read := map[string]bool{}
	if c.columns != nil {
		for _, col := range c.columns(rel) {
			read[col] = true
		}
	}
	for _, col := range rel.Columns {
		if col.InIdentity {
			in = append(in, col.Name)
		} else if read[col.Name] && !col.Generated {
			out = append(out, col.Name)
		}
	}
	what := map[change.ReplicaIdentity]string{change.IdentityDefault: "the primary key", change.IdentityIndex: "an index"}[rel.Identity]
	switch {
	case rel.Identity == change.IdentityFull:
		c.good("replica_identity", "%s: full, the log has the whole row before each change", rel)
	case len(out) == 0:
		c.good("replica_identity", "%s: %s (%s)", rel, what, names(in))
	default:
		c.good("replica_identity", "%s: %s (%s), which suffices; FULL would add the old %s to each change, at the price of a larger log",
			rel, what, names(in), names(out))
	}
}
