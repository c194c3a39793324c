package cdc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

// TestPartitionsComeUnderTheirRoot covers roots and partitions with columns in
// another order, rows that move between partitions, attaching and detaching.
func TestPartitionsComeUnderTheirRoot(t *testing.T) {
	d := newDatabase(t)
	d.exec(
		`CREATE TABLE root (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`,
		`CREATE TABLE eu PARTITION OF root FOR VALUES IN ('eu')`,
		`CREATE TABLE us (v text, dropped int, region text NOT NULL, id int NOT NULL, PRIMARY KEY (id, region))`,
		`ALTER TABLE us DROP dropped`,
		`ALTER TABLE root ATTACH PARTITION us FOR VALUES IN ('us')`,
	)
	d.publish("root")
	s := d.open(0)
	d.tx(
		`INSERT INTO root VALUES (1, 'eu', 'a'), (2, 'us', 'b')`,
		`UPDATE root SET v = 'c' WHERE id = 2`,
		`UPDATE root SET region = 'us' WHERE id = 1`,
		`UPDATE us SET id = 3 WHERE id = 2`,
		`DELETE FROM us WHERE id = 1`,
		`TRUNCATE root`,
	)
	got, _ := d.transaction(s)
	want := []string{
		`1 insert public.root (1,eu,a)`,
		`2 insert public.root (2,us,b)`,
		`3 update public.root (2,us,c)`,
		`4 delete public.root key(1,eu,_)`,
		`5 insert public.root (1,us,a)`,
		`6 update public.root key(2,us,_) (3,us,c)`,
		`7 delete public.root key(1,us,_)`,
		`8 truncate public.root`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A partition that is attached later comes under the root as well.
	d.exec(`CREATE TABLE asia (LIKE root INCLUDING ALL)`, `ALTER TABLE root ATTACH PARTITION asia FOR VALUES IN ('asia')`,
		`INSERT INTO asia VALUES (7, 'asia', 'd')`)
	if got, _ := d.until(s, "(7"); got[len(got)-1] != `1 insert public.root (7,asia,d)` {
		t.Error(got)
	}
	if got := d.readAll(d.describe("root")[0], 1, ""); !cmp.Equal(got, []string{"(7,asia,d)"}) {
		t.Error(got)
	}
}

// TestValuesOfEverySize reads values around and beyond the read buffer's size.
func TestValuesOfEverySize(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	s := d.open(0)
	sizes := []int{0, 1, gulpBytes - 100, gulpBytes - 40, gulpBytes, gulpBytes + 1, 2*gulpBytes + 7, 40 << 20, 3}
	for i, n := range sizes {
		d.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, repeat(chr(97 + %d), %d))`, i, i, n))
	}
	for i, n := range sizes {
		if ev := d.next(s); ev.Kind != change.Begin {
			t.Fatal(ev.Kind)
		}
		ev := d.next(s)
		if v := ev.New[1].Text; len(v) != n || strings.Trim(string(v), string(rune('a'+i))) != "" {
			t.Errorf("row %d: %d bytes, want %d", i, len(v), n)
		}
		d.next(s)
	}
	// The large buffer goes once all in it was taken.
	d.exec(`INSERT INTO t VALUES (-1, '')`)
	d.transaction(s)
	if len(s.frames.buf) != gulpBytes {
		t.Errorf("the buffer still has %d bytes", len(s.frames.buf))
	}
}

func TestGeneratedColumnsAreInChunks(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)`)
	d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1, 21)`)
	if got, _ := d.transaction(s); got[0] != "1 insert public.t (1,21)" {
		t.Error(got)
	}
	if got := d.readAll(d.describe("t")[0], 1, ""); !cmp.Equal(got, []string{"(1,21,42)"}) {
		t.Error(got)
	}
}

func TestSeveralSchemasAndDomains(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE SCHEMA "Sales"`, `CREATE DOMAIN "Sales".email AS text CHECK (VALUE LIKE '%@%')`,
		`CREATE TYPE "Sales".stage AS ENUM ('new', 'won')`,
		`CREATE TABLE "Sales"."Lead" (id int PRIMARY KEY, mail "Sales".email, stage "Sales".stage, tags text[])`)
	rels, err := Describe(d.ctx, d.conn, []Name{{"Sales", "Lead"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, rels, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureSlot(d.ctx, d.cfg); err != nil {
		t.Fatal(err)
	}
	s := d.open(0)
	d.exec(`INSERT INTO "Sales"."Lead" VALUES (1, 'a@b', 'won', '{x,"y z"}')`)
	if got, _ := d.transaction(s); got[0] != `1 insert "Sales"."Lead" (1,a@b,won,{x,"y z"})` {
		t.Error(got)
	}
	ev := rels[0]
	streamed := s.dec.relations[ev.OID]
	for i, c := range streamed.Columns {
		if c.Name != ev.Columns[i].Name || c.Type.OID != ev.Columns[i].Type.OID || c.Type.Modifier != ev.Columns[i].Type.Modifier {
			t.Errorf("the stream announces %+v, the catalog has %+v", c, ev.Columns[i])
		}
	}
	// A value added while streaming changes nothing but the value.
	d.exec(`ALTER TYPE "Sales".stage ADD VALUE 'lost'`, `UPDATE "Sales"."Lead" SET stage = 'lost'`)
	if got, _ := d.until(s, "lost"); got[0] != `1 update "Sales"."Lead" (1,a@b,lost,{x,"y z"})` {
		t.Error(got)
	}
}
