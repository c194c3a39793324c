package cdc

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

func TestStreamTellsEveryKindOfChange(t *testing.T) {
	d := newDatabase(t)
	d.exec(
		`CREATE TABLE "Accounts" (id bigint PRIMARY KEY, "Full Name" text, note text)`,
		`CREATE TABLE full_identity (id int PRIMARY KEY, note text)`,
		`ALTER TABLE full_identity REPLICA IDENTITY FULL`,
		`CREATE TABLE other (id int PRIMARY KEY)`,
	)
	d.publish("Accounts", "full_identity")
	s := d.open(0)

	d.tx(
		`INSERT INTO "Accounts" VALUES (1, 'a', NULL), (2, '', 'x')`,
		`INSERT INTO other VALUES (1)`,
		`UPDATE "Accounts" SET "Full Name" = NULL WHERE id = 1`,
		`UPDATE "Accounts" SET id = 3 WHERE id = 2`,
		`DELETE FROM "Accounts" WHERE id = 1`,
		`SELECT pg_logical_emit_message(true, 'p', 'inside')`,
		`INSERT INTO full_identity VALUES (1, 'n')`,
		`UPDATE full_identity SET note = 'm'`,
		`DELETE FROM full_identity`,
		`TRUNCATE full_identity, "Accounts"`,
	)
	got, commit := d.transaction(s)
	want := []string{
		`1 insert public."Accounts" (1,a,NULL)`,
		`2 insert public."Accounts" (2,,x)`,
		`3 update public."Accounts" (1,NULL,NULL)`,
		`4 update public."Accounts" key(2,_,_) (3,,x)`,
		`5 delete public."Accounts" key(1,_,_)`,
		`5 mark p inside`,
		`6 insert public.full_identity (1,n)`,
		`7 update public.full_identity old(1,n) (1,m)`,
		`8 delete public.full_identity old(1,m)`,
		`9 truncate public.full_identity public."Accounts"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if commit.End <= commit.Pos.LSN || commit.CommitTime.IsZero() || commit.Pos.Ordinal != 9 {
		t.Errorf("commit %+v", commit)
	}

	var lsn string
	if err := d.conn.QueryRow(d.ctx, `SELECT pg_logical_emit_message(false, 'q', 'outside')::text`).Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	// Nothing flushes a message that is not transactional; the next commit does.
	d.exec(`INSERT INTO "Accounts" VALUES (9, 'z', NULL)`)
	ev := d.next(s)
	if show(ev) != "0 mark q outside" || ev.End.String() != lsn || ev.Transactional || ev.Pos != (change.Position{}) {
		t.Errorf("got %s %+v, want a mark at %s", show(ev), ev, lsn)
	}
	if got, _ := d.transaction(s); got[0] != `1 insert public."Accounts" (9,z,NULL)` {
		t.Error(got)
	}
}

// TestAPreparedTransactionComesWhenItIsCommitted, also where a keepalive from in
// between was confirmed and the stream began anew.
func TestAPreparedTransactionComesWhenItIsCommitted(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	s := d.open(0)
	d.exec(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '` + d.cfg.Slot + `'`)
	d.exec(`INSERT INTO t VALUES (2)`)
	if got, _ := d.transaction(s); len(got) != 1 || got[0] != "1 insert public.t (2)" {
		t.Error(got)
	}
	confirmed := d.progress(s)
	s.Confirm(confirmed)
	d.close(s)
	s = d.open(confirmed)
	d.exec(`COMMIT PREPARED '` + d.cfg.Slot + `'`)
	if got, _ := d.transaction(s); len(got) != 1 || got[0] != "1 insert public.t (1)" {
		t.Error(got)
	}
}

func TestUnchangedTOASTIsNeitherNullNorEmpty(t *testing.T) {
	d := newDatabase(t)
	d.exec(
		`CREATE TABLE t (id int PRIMARY KEY, big text, small text)`,
		`ALTER TABLE t ALTER big SET STORAGE EXTERNAL`,
		`CREATE TABLE f (id int PRIMARY KEY, big text, small text)`,
		`ALTER TABLE f ALTER big SET STORAGE EXTERNAL`,
		`ALTER TABLE f REPLICA IDENTITY FULL`,
	)
	d.publish("t", "f")
	s := d.open(0)
	for _, table := range []string{"t", "f"} {
		d.tx(
			`INSERT INTO `+table+` VALUES (1, repeat('x', 9000), 'a')`,
			`UPDATE `+table+` SET small = 'b'`,
			`UPDATE `+table+` SET id = 2`,
			`UPDATE `+table+` SET big = NULL`,
		)
	}
	got, _ := d.transaction(s)
	want := []string{
		`1 insert public.t (1,xxxx..9000,a)`,
		`2 update public.t (1,_,b)`,
		`3 update public.t key(1,_,_) (2,_,b)`,
		`4 update public.t (2,NULL,b)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, _ = d.transaction(s)
	want = []string{
		`1 insert public.f (1,xxxx..9000,a)`,
		`2 update public.f old(1,xxxx..9000,a) (1,_,b)`,
		`3 update public.f old(1,xxxx..9000,b) (2,_,b)`,
		`4 update public.f old(2,xxxx..9000,b) (2,NULL,b)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRelationChangesOnlyWhenTheTableDoes(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, a text)`)
	d.publish("t")
	s := d.open(0)
	relation := func() *change.Relation {
		t.Helper()
		for {
			if ev := d.next(s); ev.Kind == change.Insert {
				return ev.Relation
			}
		}
	}
	d.exec(`INSERT INTO t VALUES (1, 'a')`)
	first := relation()
	d.exec(`ALTER TABLE t ALTER a SET DEFAULT 'x'`, `ANALYZE t`, `CREATE INDEX ON t (a)`, `INSERT INTO t VALUES (2, 'b')`)
	if again := relation(); again != first {
		t.Errorf("the relation changed from %+v to %+v", first, again)
	}
	d.tx(`INSERT INTO t VALUES (3, 'c')`, `ALTER TABLE t ADD b int`, `ALTER TABLE t RENAME a TO c`, `INSERT INTO t VALUES (4, 'd', 5)`,
		`ALTER TABLE t DROP b`, `ALTER TABLE t ALTER c TYPE varchar(9)`, `INSERT INTO t VALUES (5, 'e')`)
	before, middle, after := relation(), relation(), relation()
	if before != first || len(middle.Columns) != 3 || middle.Column("c") != 1 || len(after.Columns) != 2 {
		t.Errorf("in the middle of a transaction: %+v, %+v, %+v", before, middle, after)
	}
	if c := after.Columns[1].Type; c.OID != 1043 || c.Modifier != 13 {
		t.Errorf("type %+v, want varchar(9)", c)
	}
	d.exec(`ALTER TABLE t REPLICA IDENTITY FULL`, `INSERT INTO t VALUES (6, 'f')`)
	if full := relation(); full == after || full.Identity != change.IdentityFull || !full.Columns[1].InIdentity {
		t.Errorf("replica identity: %+v", full)
	}
}

func TestTextDoesNotDependOnTheRole(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, ts timestamptz, iv interval, f float8, b bytea, d date, m money, n numeric, c char(6))`)
	d.publish("t")
	database := d.conn.Config().Database
	for _, set := range []string{
		`DateStyle = 'SQL, DMY'`, `TimeZone = 'Asia/Tokyo'`, `IntervalStyle = 'sql_standard'`, `extra_float_digits = 0`,
		`bytea_output = 'escape'`, `client_encoding = 'LATIN1'`, `statement_timeout = '1ms'`, `standard_conforming_strings = off`,
	} {
		d.exec(`ALTER DATABASE ` + database + ` SET ` + set)
	}
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1, '2024-03-04 23:02:03+00', '1 mon 2 days 03:00', 0.1 + 0.2::float8, '\xff00', '2024-03-04', 1234.5, 1.50, 'ab')`)
	got, _ := d.transaction(s)
	want := `1 insert public.t (1,2024-03-04 23:02:03+00,1 mon 2 days 03:00:00,0.30000000000000004,\xff00,2024-03-04,$1,234.50,1.50,ab    )`
	if got[0] != want {
		t.Errorf("stream: %s\nwant    %s", got[0], want)
	}
	conn := d.connect()
	chunk, err := ReadChunk(d.ctx, conn, d.describe("t")[0], Range{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if row := "1 insert public.t " + showRow(chunk.Rows[0]); row != want {
		t.Errorf("chunk: %s\nwant   %s", row, want)
	}
}
