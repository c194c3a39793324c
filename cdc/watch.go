package cdc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Watched is what a look at the publication of a running stream has found.
type Watched struct {
	// Tables tells, by name, how each table is published. A table with a problem
	// is left out.
	Tables map[Name]Membership
	// Restored are the statements that were run to publish again what was not.
	Restored []string
	// Released are the statements that took tables out which, while published, have
	// the application's own UPDATE and DELETE fail.
	Released []string
	// Problems keep tables from being followed: one line each, with its mend.
	Problems []string
	// Absent says of tables that columns are missing which are read, and what
	// mends it. They are left out of Tables.
	Absent map[Name]string
}

// Membership stands for the time since when a table is published without a
// break, and the way it is. Where it differs from one seen before, changes in
// between may not be in the stream: the table was dropped and made anew, or left
// the publication and came back, or the publication itself did; or a column that
// is read was dropped and made anew, or given another type or other values by an
// ALTER ... USING, or a label of its enum was renamed, which changes rows without
// a word in the log; or a partition was attached, with rows of before. Other
// differences mean nothing by themselves: ask Since.
type Membership string

// Break is what may be missing of a table since a membership seen before.
type Break struct {
	// Rows tells that changes of any row may be missing.
	Rows bool
	// Deletes tells that rows may be gone whose deletion is missing. It is false
	// for a table that was made anew, whose rows of before went with it as
	// TRUNCATE takes them, and for one that is partitioned: rows that went with a
	// detached partition were not deleted either, and nobody can tell them apart.
	Deletes bool
	// Attached are the partitions, by oid, that were attached since then, or were
	// away for a while. Where Rows is set they are not told.
	Attached []string
}

// Since compares with a membership seen before.
func (m Membership) Since(before Membership) Break {
	was, leavesThen, _ := strings.Cut(string(before), "/")
	is, leaves, _ := strings.Cut(string(m), "/")
	// Table, listing, columns; and the files, the definitions of the columns and
	// the labels of their enums, of which tokens of older versions say nothing.
	then, now := strings.Fields(was), strings.Fields(is)
	if len(then) < 3 || len(now) < 3 || !slices.Equal(then[:3], now[:3]) {
		sameTable := len(then) >= 3 && len(now) >= 3 && then[0] == now[0]
		return Break{Rows: true, Deletes: sameTable && then[1] != now[1] && leavesThen+leaves == ""}
	}
	if len(then) == 6 && len(now) == 6 && (then[3] != now[3] && then[4] != now[4] || renamed(then[5], now[5])) {
		return Break{Rows: true}
	}
	var b Break
	known := strings.Split(leavesThen, ",")
	for leaf := range strings.SplitSeq(leaves, ",") {
		if leaf != "" && !slices.Contains(known, leaf) {
			oid, _, _ := strings.Cut(leaf, ".")
			b.Attached = append(b.Attached, oid)
		}
	}
	return b
}

// renamed reports whether a label of an enum is another than before. Labels that
// were added change no row.
func renamed(then, now string) bool {
	before := map[string]string{}
	for label := range strings.SplitSeq(then, ",") {
		oid, text, _ := strings.Cut(label, ".")
		before[oid] = text
	}
	for label := range strings.SplitSeq(now, ",") {
		oid, text, _ := strings.Cut(label, ".")
		if was, ok := before[oid]; ok && was != text {
			return true
		}
	}
	return false
}

// restorePatience bounds the wait for a table's lock: whoever wants one on it
// queues behind.
const restorePatience = 2 * time.Second

// WatchPublication looks whether the tables are still published, all columns that
// are read among them. The stream does not tell: a table that was dropped and
// made anew is no longer in the publication, and from Postgres 18 on not even a
// publication that is gone stops it. What is missing is restored where the
// publication is pgcrm's own or is gone altogether, as [EnsurePublication] would;
// else it is a problem. So is a table that has lost its replica identity, which is
// taken out until it has one again.
func WatchPublication(ctx context.Context, conn *pgx.Conn, cfg Config, tables []Name, columns func(Name) []string) (Watched, error) {
	w := Watched{Tables: map[Name]Membership{}, Absent: map[Name]string{}}
	found, err := findTables(ctx, conn, tables)
	if err != nil {
		return w, err
	}
	var rels []*change.Relation
	for _, name := range tables {
		t, ok := found[name]
		switch {
		case !ok:
			w.Problems = append(w.Problems, fmt.Sprintf("table %s is gone: its changes cannot be followed; bring it back, or take it out of the mapping", name))
		case t.kind != "r" && t.kind != "p":
			w.Problems = append(w.Problems, t.problems(name)...)
		default:
			rels = append(rels, &change.Relation{OID: t.oid, Schema: name.Schema, Name: name.Table})
		}
	}
	if rels, err = w.release(ctx, conn, cfg, rels); err != nil || len(rels) == 0 {
		return w, err
	}
	listed := columns
	if !cfg.ListColumns {
		listed = nil
	}
	if err := w.restore(ctx, conn, cfg, rels, listed); err != nil {
		return w, err
	}
	return w, w.members(ctx, conn, cfg, rels, columns)
}

// release takes out of a publication of pgcrm's own the tables that cannot be
// published without disturbing the application, and returns the others.
func (w *Watched) release(ctx context.Context, conn *pgx.Conn, cfg Config, rels []*change.Relation) (kept []*change.Relation, err error) {
	facts, err := readTableFacts(ctx, conn, rels)
	if err != nil {
		return nil, err
	}
	p, _, err := DescribePublication(ctx, conn, cfg.Publication)
	if err != nil {
		return nil, err
	}
	for _, rel := range rels {
		fact := facts.byOID[rel.OID]
		failing := slices.Concat(fact.unidentified, fact.generated)
		if len(failing) == 0 {
			kept = append(kept, rel)
			continue
		}
		sql := fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s", quote(p.Name), quoteTable(rel))
		published := p.Table(rel.OID) != nil
		if published && p.Ours && p.Owned {
			switch err := patiently(ctx, conn, sql); {
			case err == nil:
				w.Released, published = append(w.Released, sql), false
			case !errors.As(err, new(*pgconn.PgError)):
				return nil, err
			}
		}
		now := "its changes are not followed until it has one"
		if published {
			now = "the application's own UPDATE and DELETE of it fail (" + sql + " ends that)"
		}
		w.Problems = append(w.Problems, fmt.Sprintf("table %s has no replica identity that can be published: %s; ALTER TABLE %s ADD PRIMARY KEY (...), or REPLICA IDENTITY FULL where no column is generated",
			failing[0], now, failing[0]))
	}
	return kept, nil
}

// patiently runs a statement that waits for no lock long.
func patiently(ctx context.Context, conn *pgx.Conn, sql string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = "+milliseconds(restorePatience)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sql)
		return err
	})
}

// restore makes the publication suit, or says what would.
func (w *Watched) restore(ctx context.Context, conn *pgx.Conn, cfg Config, rels []*change.Relation, columns func(Name) []string) error {
	plan, err := planPublication(ctx, conn, cfg.Publication, rels, columns)
	if err != nil || len(plan.problems) == 0 && len(plan.statements) == 0 {
		return err
	}
	if len(plan.problems) == 0 {
		_, err = ensurePublication(ctx, conn, cfg.Publication, rels, columns, restorePatience)
		if err == nil {
			w.Restored = plan.statements
			return nil
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			return err
		}
		plan.problems = []string{fmt.Sprintf("publication %s cannot be restored now (%s); it is tried again, or run %s",
			quote(cfg.Publication), pg.Message, strings.Join(plan.statements, "; "))}
	}
	w.Problems = append(w.Problems, plan.problems...)
	return nil
}

// members reads how the tables are published, of a publication that there is.
func (w *Watched) members(ctx context.Context, conn *pgx.Conn, cfg Config, rels []*change.Relation, columns func(Name) []string) error {
	p, ok, err := DescribePublication(ctx, conn, cfg.Publication)
	if err != nil || !ok {
		return err
	}
	tokens, live, err := memberships(ctx, conn, cfg.Publication, rels)
	if err != nil {
		return err
	}
	for _, rel := range rels {
		name := Name{rel.Schema, rel.Name}
		published := p.Table(rel.OID)
		if published == nil {
			continue // the plan says so
		}
		var absent, hidden []string
		read, defined := sha256.New(), sha256.New()
		var labels []string
		for _, col := range columns(name) {
			c, ok := live[rel.OID][col]
			switch {
			case !ok:
				absent = append(absent, col)
			case published.Columns != nil && !c.generated && !slices.Contains(published.Columns, col):
				hidden = append(hidden, col)
			}
			fmt.Fprintf(read, "%s %d %d\n", quote(col), c.number, c.typ)
			fmt.Fprintf(defined, "%s %s\n", quote(col), c.definition)
			if c.labels != "" {
				labels = append(labels, c.labels)
			}
		}
		if len(absent) > 0 {
			w.Absent[name] = fmt.Sprintf("table %s has no column %s any more, which the mapping reads; bring it back, or change the mapping and restart", rel, names(absent))
		}
		if len(hidden) > 0 {
			w.Problems = append(w.Problems, fmt.Sprintf("publication %s leaves out columns of %s that the mapping reads: %s; let its owner publish them too",
				quote(cfg.Publication), rel, names(hidden)))
		}
		if len(absent)+len(hidden) == 0 {
			t := tokens[rel.OID]
			w.Tables[name] = Membership(fmt.Sprintf("%d %s %.8x %s %.8x %s/%s",
				rel.OID, t.options, read.Sum(nil), t.files, defined.Sum(nil), cmp.Or(strings.Join(labels, ","), "-"), t.leaves))
		}
	}
	return nil
}

// listing is how a table is published, but for its columns: what stands for the
// options, the files that hold its rows, and the leaves of its partition tree.
type listing struct{ options, files, leaves string }

// liveColumn is a column that there is. A number is given once in a table's life.
// The definition differs after each ALTER of the column: where the files do too,
// its values may have been rewritten.
type liveColumn struct {
	generated  bool
	number     int16
	typ        uint32
	definition string
	labels     string // of its enum
}

// memberships reads, by table, what changes when a table comes into the
// publication anew, or what is published of it changes: the publication's oid
// with the transaction that last set its options, and the rows that list it or
// one of its partition roots, with filter and column list. And it reads which
// columns there are.
func memberships(ctx context.Context, conn *pgx.Conn, publication string, rels []*change.Relation) (map[uint32]listing, map[uint32]map[string]liveColumn, error) {
	oids := make([]uint32, len(rels))
	for i, rel := range rels {
		oids[i] = rel.OID
	}
	schemas := "''"
	if conn.PgConn().ParameterStatus("server_version") >= "15" { // as text: 14 is the only one below
		schemas = `(SELECT string_agg(to_jsonb(n)::text, ' ' ORDER BY n.oid) FROM pg_publication_namespace n
			WHERE n.pnpubid = p.oid AND n.pnnspid IN (SELECT a.relnamespace FROM pg_class a WHERE a.oid = c.oid OR a.oid IN (SELECT pg_partition_ancestors(c.oid))))`
	}
	rows, err := conn.Query(ctx, `
		SELECT c.oid, md5(concat_ws(' ', p.oid, p.xmin,
				(SELECT string_agg(to_jsonb(r)::text, ' ' ORDER BY r.oid) FROM pg_publication_rel r
					WHERE r.prpubid = p.oid AND (r.prrelid = c.oid OR r.prrelid IN (SELECT pg_partition_ancestors(c.oid)))),
				`+schemas+`)),
			(SELECT left(md5(string_agg(f.relfilenode::text, ' ' ORDER BY f.oid)), 16) FROM pg_class f
				WHERE f.oid = c.oid OR f.oid IN (SELECT relid FROM pg_partition_tree(c.oid))),
			coalesce((SELECT string_agg(i.inhrelid || '.' || i.xmin, ',' ORDER BY i.inhrelid)
				FROM pg_partition_tree(c.oid) p JOIN pg_inherits i ON i.inhrelid = p.relid WHERE p.isleaf AND p.relid <> c.oid), ''),
			ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
			ARRAY(SELECT a.attgenerated <> '' FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
			ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
			ARRAY(SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
			ARRAY(SELECT a.xmin::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
			ARRAY(SELECT coalesce((SELECT string_agg(e.oid || '.' || left(md5(e.enumlabel), 8), ',' ORDER BY e.oid) FROM pg_enum e
					WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype)), '')
				FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		FROM pg_class c, pg_publication p WHERE c.oid = ANY ($1) AND p.pubname = $2`, oids, publication)
	if err != nil {
		return nil, nil, fmt.Errorf("look at what publication %s publishes: %w", quote(publication), err)
	}
	tokens, live := map[uint32]listing{}, map[uint32]map[string]liveColumn{}
	var (
		oid         uint32
		token       listing
		columns     []string
		generated   []bool
		numbers     []int16
		types       []uint32
		definitions []string
		labels      []string
	)
	_, err = pgx.ForEachRow(rows, []any{
		&oid, &token.options, &token.files, &token.leaves, &columns, &generated, &numbers, &types, &definitions, &labels,
	}, func() error {
		tokens[oid] = token
		live[oid] = map[string]liveColumn{}
		for i, col := range columns {
			live[oid][col] = liveColumn{generated[i], numbers[i], types[i], definitions[i], labels[i]}
		}
		columns, generated, numbers, types, definitions, labels = nil, nil, nil, nil, nil, nil
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look at what publication %s publishes: %w", quote(publication), err)
	}
	return tokens, live, nil
}
