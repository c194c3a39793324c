package cdc

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

func TestDescribe(t *testing.T) {
	d := newDatabase(t)
	d.exec(
		`CREATE SCHEMA "S p"`,
		`CREATE TYPE mood AS ENUM ('sad', 'ok')`,
		`ALTER TYPE mood ADD VALUE 'so so' BEFORE 'ok'`,
		`CREATE DOMAIN price AS numeric(12,2)`,
		`CREATE DOMAIN high_price AS price CHECK (VALUE > 100)`,
		`CREATE TYPE pair AS (a int, b text)`,
		`CREATE TABLE "S p"."T" (dropped int, "Id" bigint, tenant text, m mood, p high_price, tags varchar(9)[], c pair, moods mood[],
			double numeric GENERATED ALWAYS AS (1) STORED, PRIMARY KEY (tenant, "Id"))`,
		`ALTER TABLE "S p"."T" DROP dropped`,
		`CREATE TABLE by_index (a int NOT NULL, b int)`,
		`CREATE UNIQUE INDEX by_a ON by_index (a)`,
		`ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_a`,
		`CREATE TABLE root (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)`,
	)
	rels, err := Describe(d.ctx, d.conn, []Name{{"S p", "T"}, {"public", "by_index"}, {"public", "root"}})
	if err != nil {
		t.Fatal(err)
	}
	rel := rels[0]
	if rel.String() != `"S p"."T"` || rel.Identity != change.IdentityDefault || !cmp.Equal(rel.PrimaryKey, []int{1, 0}) {
		t.Errorf("%s, identity %q, key %v", rel, rel.Identity, rel.PrimaryKey)
	}
	column := func(name string) change.Column { return rel.Columns[rel.Column(name)] }
	if c := rel.Columns[0]; c.Name != "Id" || !c.InIdentity || !c.NotNull || c.Type.Name != "int8" || c.Type.Schema != "pg_catalog" || c.Type.Kind != 'b' {
		t.Errorf("first column %+v", c)
	}
	if c := column("m"); c.Type.Kind != 'e' || !cmp.Equal(c.Type.Labels, []string{"sad", "so so", "ok"}) || c.InIdentity || c.NotNull {
		t.Errorf("enum %+v", c)
	}
	if c := column("p"); c.Type.Kind != 'd' || c.Type.Name != "high_price" || c.Type.Base == nil || c.Type.Base.Name != "numeric" ||
		c.Type.Base.Modifier != (12<<16|2)+4 {
		t.Errorf("domain %+v %+v", c, c.Type.Base)
	}
	if c := column("tags"); c.Type.Elem == nil || c.Type.Elem.Name != "varchar" || c.Type.Elem.Modifier != 13 {
		t.Errorf("array %+v", c)
	}
	if c := column("moods"); c.Type.Elem == nil || len(c.Type.Elem.Labels) != 3 {
		t.Errorf("array of enum %+v", c)
	}
	if c := column("c"); c.Type.Kind != 'c' || c.Type.Name != "pair" {
		t.Errorf("composite %+v", c)
	}
	if c := column("double"); !c.Generated {
		t.Errorf("generated %+v", c)
	}
	if rel := rels[1]; rel.Identity != change.IdentityIndex || !rel.Columns[0].InIdentity || rel.Columns[1].InIdentity || len(rel.PrimaryKey) != 0 {
		t.Errorf("by index: %+v", rel)
	}
	if rel := rels[2]; len(rel.PrimaryKey) != 2 {
		t.Errorf("partitioned: %+v", rel)
	}
}

func TestDescribeReportsAllProblemsAtOnce(t *testing.T) {
	server := pgtest.Shared(t)
	d := databaseOn(t, server)
	d.exec(
		`CREATE TABLE secret (id int PRIMARY KEY)`, `CREATE TABLE partly (id int PRIMARY KEY, v int)`, `CREATE VIEW v AS SELECT 1`,
		`CREATE UNLOGGED TABLE u (id int PRIMARY KEY)`, `CREATE SCHEMA hidden`, `CREATE TABLE hidden.t (id int)`,
		`CREATE TABLE open (id int, v int)`,
	)
	d.role(server, "Reader")
	d.exec(`GRANT SELECT (id) ON partly TO "Reader"`, `GRANT SELECT (id, v) ON open TO "Reader"`, `GRANT SELECT ON hidden.t, u, v TO "Reader"`)
	_, err := Describe(d.ctx, d.connect(), []Name{
		{"public", "secret"}, {"public", "partly"}, {"public", "v"}, {"public", "u"}, {"hidden", "t"}, {"public", "open"}, {"public", "Nope"},
	})
	want := []string{
		`table public.secret cannot be read: GRANT SELECT ON public.secret TO "Reader"`,
		`table public.partly cannot be read: GRANT SELECT ON public.partly TO "Reader"`,
		`public.v is a view: only tables are written to the log; map the tables beneath it`,
		`table public.u is unlogged, so its changes are not in the log: ALTER TABLE public.u SET LOGGED`,
		`table hidden.t cannot be read: GRANT USAGE ON SCHEMA hidden TO "Reader"`,
		`table public."Nope" does not exist in database ` + d.conn.Config().Database + `: check its name and schema in the mapping`,
	}
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p.Problems()); diff != "" {
		t.Error(diff)
	}
}
