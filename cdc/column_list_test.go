package cdc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

// idAndV reads id and v of every table.
func idAndV(Name) []string { return []string{"id", "v"} }

func TestColumnLists(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE a (other int, v text, id int PRIMARY KEY, secret text, twice int GENERATED ALWAYS AS (other * 2) STORED)`,
		`CREATE TABLE wide (id int PRIMARY KEY, v text, secret text)`, `ALTER TABLE wide REPLICA IDENTITY FULL`,
		`CREATE TABLE indexed (id int PRIMARY KEY, v text, code text NOT NULL UNIQUE)`, `ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_code_key`,
		`CREATE TABLE root (region text, id int, v text, secret text, PRIMARY KEY (region, id)) PARTITION BY LIST (region)`,
		`CREATE TABLE part PARTITION OF root DEFAULT`)
	rels := d.describe("a", "wide", "indexed", "root")
	ensure := func(columns func(Name) []string) map[string][]string {
		t.Helper()
		if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, rels, columns); err != nil {
			t.Fatal(err)
		}
		p, _, err := DescribePublication(d.ctx, d.conn, d.cfg.Publication)
		if err != nil {
			t.Fatal(err)
		}
		lists := map[string][]string{}
		for _, table := range p.Tables {
			if table.Listed {
				lists[table.Table] = table.Columns
			}
		}
		return lists
	}
	if d.version() < 150000 {
		if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, rels, idAndV); !isProblem(err, "move to Postgres 15") {
			t.Errorf("%v", err)
		}
		d.cfg.ListColumns = true
		if err := Preflight(d.ctx, d.cfg, rels, nil); !isProblem(err, "unset it, which publishes whole tables") {
			t.Errorf("%v", err)
		}
		return
	}
	want := map[string][]string{"a": {"v", "id"}, "indexed": {"id", "v", "code"}, "root": {"region", "id", "v"}}
	if diff := cmp.Diff(want, ensure(idAndV)); diff != "" {
		t.Error(diff)
	}
	if plan, err := PublicationSQL(d.ctx, d.conn, d.cfg.Publication, rels, idAndV); err != nil || len(plan) > 0 {
		t.Errorf("again: %q, %v", plan, err)
	}
	// The application goes on.
	for _, sql := range []string{
		`INSERT INTO a VALUES (1, 'x', 1, 's')`, `UPDATE a SET secret = 't'`, `DELETE FROM a`,
		`INSERT INTO wide VALUES (1)`, `UPDATE wide SET secret = 't'`, `ALTER TABLE wide ADD more int`, `DELETE FROM wide`,
		`INSERT INTO indexed VALUES (1, 'x', 'c')`, `UPDATE indexed SET code = 'd'`,
		`INSERT INTO root VALUES ('eu', 1)`, `UPDATE root SET secret = 't', region = 'us'`, `ALTER TABLE a DROP secret`,
	} {
		d.exec(sql)
	}
	// And this is what it may not; check says so.
	for _, sql := range []string{`ALTER TABLE a DROP v`, `ALTER TABLE a ALTER v TYPE varchar`} {
		if _, err := d.conn.Exec(d.ctx, sql); err == nil {
			t.Errorf("%s is no longer refused: do not say it is", sql)
		}
	}
	d.exec(`ALTER TABLE a DROP twice`, `INSERT INTO a VALUES (1, 'x', 1)`, `ALTER TABLE a REPLICA IDENTITY FULL`)
	if _, err := d.conn.Exec(d.ctx, `UPDATE a SET v = 'y'`); err == nil {
		t.Error("REPLICA IDENTITY FULL does no harm any more: do not say it does")
	}
	d.cfg.ListColumns = true
	w, err := WatchPublication(d.ctx, d.conn, d.cfg, []Name{{"public", "a"}}, idAndV)
	if err != nil || len(w.Problems) > 0 || len(w.Restored) != 2 {
		t.Errorf("%+v, %v", w, err)
	}
	d.exec(`UPDATE a SET v = 'y'`, `ALTER TABLE a REPLICA IDENTITY DEFAULT`)
	// Another mapping, and none.
	more := func(n Name) []string { return append(idAndV(n), "other") }
	if diff := cmp.Diff([]string{"other", "v", "id"}, ensure(more)["a"]); diff != "" {
		t.Error(diff)
	}
	if got := ensure(nil); len(got) > 0 {
		t.Errorf("whole tables again: %v", got)
	}
}

func TestColumnListsOfOthers(t *testing.T) {
	d := newDatabase(t)
	if d.version() < 150000 {
		t.Skip("there are none")
	}
	d.exec(`CREATE TABLE a (id int PRIMARY KEY, v text, w text)`)
	rels := d.describe("a")
	for sql, want := range map[string]string{
		`a`:            "",
		`a (id, v, w)`: "",
		`a (id, v)`:    "",
		`a (w, id) WHERE (id > 0)`: `publishes other columns of public.a than are read: let its owner run ` +
			`ALTER PUBLICATION "theirs" DROP TABLE "public"."a"; ALTER PUBLICATION "theirs" ADD TABLE "public"."a" ("id", "w", "v") WHERE ((id > 0))`,
	} {
		d.exec(`CREATE PUBLICATION theirs FOR TABLE ` + sql)
		_, err := EnsurePublication(d.ctx, d.conn, "theirs", rels, idAndV)
		if want == "" && err != nil || want != "" && !isProblem(err, want) {
			t.Errorf("%s: %v", sql, err)
		}
		if want != "" {
			statements, err := PublicationSQL(d.ctx, d.conn, "theirs", rels, idAndV)
			if err != nil {
				t.Fatal(err)
			}
			d.exec(statements...)
			if _, err := EnsurePublication(d.ctx, d.conn, "theirs", rels, idAndV); err != nil {
				t.Error(err)
			}
		}
		d.exec(`DROP PUBLICATION theirs`)
	}
}

func TestCheckOfColumnLists(t *testing.T) {
	d := newDatabase(t)
	if d.version() < 150000 {
		t.Skip("there are none")
	}
	d.exec(`CREATE TABLE a (id int PRIMARY KEY, v text, w text)`, `CREATE TABLE wide (id int PRIMARY KEY, v text)`, `ALTER TABLE wide REPLICA IDENTITY FULL`)
	d.cfg.ListColumns = true
	rels := d.describe("a", "wide")
	read := func(*change.Relation) []string { return []string{"id", "v"} }
	list, err := Check(d.ctx, d.cfg, rels, read)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range list {
		if f.Name == "publish_columns" {
			lines = append(lines, f.Line())
		}
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{"public.a is published as (id, v): while it is, the application can neither drop nor retype", "public.wide is published whole"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}
