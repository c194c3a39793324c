package cdc

import (
	"fmt"
	"strings"
	"testing"
)

// watch looks at table t, of which id and v are read.
func (d *database) watch() Watched {
	d.Helper()
	w, err := WatchPublication(d.ctx, d.conn, d.cfg, []Name{{"public", "t"}}, func(Name) []string { return []string{"id", "v"} })
	if err != nil {
		d.Fatal(err)
	}
	return w
}

func TestWatchPublication(t *testing.T) {
	const table = `CREATE TABLE t (id int PRIMARY KEY, v text)`
	d := newDatabase(t)
	d.exec(table, `CREATE TABLE other (id int PRIMARY KEY)`)
	d.publish("t", "other")
	name := Name{"public", "t"}
	pub := quote(d.cfg.Publication)
	before := d.watch()
	if len(before.Problems)+len(before.Restored) > 0 || before.Tables[name] == "" {
		t.Fatalf("%+v", before)
	}
	for _, c := range []struct {
		name     string
		do       []string
		restored string // part of a statement; empty for nothing
		problem  string
		renewed  bool // the table is published anew
		deletes  bool // a row of it may have been deleted without a word
	}{
		{"nothing", nil, "", "", false, false},
		{"a new column", []string{`ALTER TABLE t ADD w int`}, "", "", false, false},
		{"other tables come and go", []string{`CREATE TABLE third (id int PRIMARY KEY)`, `ALTER PUBLICATION ` + pub + ` ADD TABLE third`, `ALTER PUBLICATION ` + pub + ` DROP TABLE other`}, "", "", false, false},
		{"taken out", []string{`ALTER PUBLICATION ` + pub + ` DROP TABLE t`}, `ADD TABLE "public"."t"`, "", true, true},
		{"taken out and put back", []string{`ALTER PUBLICATION ` + pub + ` DROP TABLE t`, `ALTER PUBLICATION ` + pub + ` ADD TABLE t`}, "", "", true, true},
		{"made anew", []string{`DROP TABLE t`, table}, `ADD TABLE "public"."t"`, "", true, false},
		{"deletes not published", []string{`ALTER PUBLICATION ` + pub + ` SET (publish = 'insert')`}, `SET (publish`, "", true, true},
		{"the publication made anew", []string{`DROP PUBLICATION ` + pub}, `CREATE PUBLICATION`, "", true, true},
		{"the table gone", []string{`DROP TABLE t`}, "", "table public.t is gone", false, false},
		{"a view in its place", []string{`CREATE VIEW t AS SELECT 1 AS id`}, "", "public.t is a view", false, false},
		{"back without a column", []string{`DROP VIEW t`, `CREATE TABLE t (id int PRIMARY KEY)`}, `ADD TABLE`, "table public.t has no column v any more", false, false},
		{"the column back", []string{`ALTER TABLE t ADD v text`}, "", "", true, false},
		{"a column renamed", []string{`ALTER TABLE t RENAME v TO u`}, "", "table public.t has no column v any more", false, false},
		{"and back", []string{`ALTER TABLE t RENAME u TO v`}, "", "", false, false},
		{"a column made anew", []string{`ALTER TABLE t DROP v, ADD v text`}, "", "", true, false},
		{"a column retyped", []string{`ALTER TABLE t ALTER v TYPE int USING length(v)`}, "", "", true, false},
		{"without a key", []string{`ALTER TABLE t DROP CONSTRAINT t_pkey`}, "", "table public.t has no replica identity that can be published: its changes are not followed until it has one; ALTER TABLE public.t ADD PRIMARY KEY", false, false},
		{"still without", []string{`UPDATE t SET v = 1`}, "", "has no replica identity", false, false},
		{"with a key again", []string{`ALTER TABLE t ADD PRIMARY KEY (id)`}, `ADD TABLE "public"."t"`, "", true, true},
		{"values rewritten in place", []string{`ALTER TABLE t ALTER v TYPE int USING v + 1`}, "", "", true, false},
		{"defined otherwise", []string{`ALTER TABLE t ALTER v SET STATISTICS 7`, `ALTER TABLE t ALTER v SET NOT NULL`, `ALTER TABLE t ALTER v DROP NOT NULL`}, "", "", false, false},
		{"rewritten", []string{`VACUUM FULL t`}, "", "", false, false},
		{"and truncated", []string{`TRUNCATE t`}, "", "", false, false},
	} {
		d.exec(c.do...)
		w := d.watch()
		if got := strings.Join(w.Restored, "; "); (got == "") != (c.restored == "") || !strings.Contains(got, c.restored) {
			t.Errorf("%s: restored %q", c.name, got)
		}
		if got := strings.Join(w.Problems, "; ") + w.Absent[name]; (got == "") != (c.problem == "") || !strings.Contains(got, c.problem) {
			t.Errorf("%s: problems %q", c.name, got)
		}
		token := w.Tables[name]
		if (token == "") != (c.problem != "") {
			t.Errorf("%s: membership %q", c.name, token)
		}
		if token != "" {
			if since := token.Since(before.Tables[name]); since.Rows != c.renewed || since.Deletes != c.deletes {
				t.Errorf("%s: since then %+v", c.name, since)
			}
			before = w
		}
	}
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1)`)
	d.until(s, "insert public.t (1,NULL)")
}

// TestLabelsOfEnums: a renamed label changes rows that the log says nothing of.
func TestLabelsOfEnums(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TYPE plan AS ENUM ('free', 'paid')`, `CREATE DOMAIN tier AS plan`, `CREATE TYPE unread AS ENUM ('a')`)
	name := Name{"public", "t"}
	for _, column := range []string{`v plan`, `v plan[]`, `v tier`} {
		d.exec(`CREATE TABLE t (id int PRIMARY KEY, ` + column + `, w unread)`)
		d.publish("t")
		before := d.watch().Tables[name]
		for _, c := range []struct {
			do   string
			rows bool
		}{
			{`ALTER TYPE plan ADD VALUE 'trial' BEFORE 'paid'`, false},
			{`ALTER TYPE plan RENAME VALUE 'trial' TO 'test'`, true},
			{`ALTER TYPE unread RENAME VALUE 'a' TO 'b'`, false},
			{`ALTER TYPE plan RENAME TO plans`, false},
			{`ALTER TYPE plans RENAME TO plan`, false},
		} {
			d.exec(c.do)
			now := d.watch().Tables[name]
			if since := now.Since(before); since.Rows != c.rows || since.Deletes || len(since.Attached) > 0 {
				t.Errorf("%s, %s: %+v", column, c.do, since)
			}
			before = now
		}
		d.exec(`DROP TABLE t`, `DROP DOMAIN tier`, `DROP TYPE plan, unread`,
			`CREATE TYPE plan AS ENUM ('free', 'paid')`, `CREATE DOMAIN tier AS plan`, `CREATE TYPE unread AS ENUM ('a')`)
	}
}

// TestTokensOfOlderVersions say less, which is no break.
func TestTokensOfOlderVersions(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	now := d.watch().Tables[Name{"public", "t"}]
	fields := strings.Fields(string(now))
	if len(fields) != 6 {
		t.Fatal(now)
	}
	older := Membership(strings.Join(fields[:3], " ") + "/")
	if since := now.Since(older); since.Rows || since.Deletes || len(since.Attached) > 0 {
		t.Errorf("%q since %q: %+v", now, older, since)
	}
}

// TestDeletesOfAPartitionedTable: rows that went with a detached partition were
// not deleted, and cannot be told from those that were.
func TestDeletesOfAPartitionedTable(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)`, `CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (10)`)
	d.publish("t")
	name := Name{"public", "t"}
	before := d.watch().Tables[name]
	d.exec(`CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)`)
	attached := d.watch().Tables[name]
	if since := attached.Since(before); since.Rows || since.Deletes || len(since.Attached) != 1 {
		t.Errorf("a partition attached: %+v", since)
	}
	d.exec(`ALTER PUBLICATION `+quote(d.cfg.Publication)+` DROP TABLE t`, `ALTER PUBLICATION `+quote(d.cfg.Publication)+` ADD TABLE t`)
	if since := d.watch().Tables[name].Since(attached); !since.Rows || since.Deletes {
		t.Errorf("taken out and put back: %+v", since)
	}
}

func TestWatchPublicationOfOthers(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text, w text)`, `CREATE TABLE other (id int PRIMARY KEY)`,
		`CREATE PUBLICATION `+quote(d.cfg.Publication)+` FOR TABLE t, other`)
	before := d.watch()
	d.exec(`ALTER TABLE t DROP CONSTRAINT t_pkey`)
	if w := d.watch(); len(w.Released) > 0 || len(w.Problems) != 1 || !strings.Contains(w.Problems[0], `fail (ALTER PUBLICATION "My ""pub""" DROP TABLE "public"."t" ends that)`) {
		t.Errorf("%+v", w)
	}
	d.exec(`ALTER TABLE t ADD PRIMARY KEY (id)`)
	if w := d.watch(); len(w.Problems) > 0 || w.Tables[Name{"public", "t"}] != before.Tables[Name{"public", "t"}] {
		t.Errorf("%+v", w)
	}
	d.exec(`ALTER PUBLICATION ` + quote(d.cfg.Publication) + ` DROP TABLE t`)
	if w := d.watch(); len(w.Restored) > 0 || len(w.Problems) != 1 || !strings.Contains(w.Problems[0], `let its owner run ALTER PUBLICATION "My ""pub""" ADD TABLE "public"."t"`) {
		t.Errorf("%+v", w)
	}
	if d.version() >= 150000 {
		d.exec(`ALTER PUBLICATION ` + quote(d.cfg.Publication) + ` ADD TABLE t (id, w)`)
		if w := d.watch(); len(w.Problems) != 1 || !strings.Contains(w.Problems[0], "leaves out columns of public.t that the mapping reads: v;") || len(w.Tables) > 0 {
			t.Errorf("%+v", w)
		}
		d.exec(`ALTER PUBLICATION ` + quote(d.cfg.Publication) + ` DROP TABLE t`)
	}
	d.exec(`ALTER PUBLICATION ` + quote(d.cfg.Publication) + ` ADD TABLE t`)
	if w := d.watch(); len(w.Problems) > 0 || w.Tables[Name{"public", "t"}] == before.Tables[Name{"public", "t"}] {
		t.Errorf("%+v", w)
	}
}

// TestRestoringWaitsForNobodyLong has the application hold its table.
func TestRestoringWaitsForNobodyLong(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	d.exec(`DROP TABLE t`, `CREATE TABLE t (id int PRIMARY KEY, v text)`)
	app := d.connect()
	if _, err := app.Exec(d.ctx, `BEGIN; LOCK TABLE t`); err != nil {
		t.Fatal(err)
	}
	if w := d.watch(); len(w.Problems) != 1 || !strings.Contains(w.Problems[0], "cannot be restored now (canceling statement due to lock timeout)") {
		t.Errorf("%+v", w)
	}
	if _, err := app.Exec(d.ctx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if w := d.watch(); len(w.Problems) > 0 || len(w.Restored) != 1 {
		t.Errorf("%+v", w)
	}
}

func TestOnRelationIsToldOfEachAnnouncement(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	told := 0
	d.cfg.OnRelation = func() { told++ }
	s := d.open(0)
	for n := range 3 {
		d.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, n))
		d.until(s, fmt.Sprintf("insert public.t (%d", n))
		if n == 1 {
			d.exec(`ALTER TABLE t ADD v text`)
		}
	}
	if told != 2 {
		t.Errorf("told %d times", told)
	}
}
