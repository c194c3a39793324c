package cdc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

func TestSlotActiveElsewhere(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	d.cfg.ApplicationName = "the other one"
	first := d.open(0)
	d.cfg.ApplicationName = ""

	_, err := Open(d.ctx, d.cfg, 0)
	var active *SlotActiveError
	if !errors.As(err, &active) {
		t.Fatalf("got %v", err)
	}
	if uint32(active.PID) != first.PID() || active.Application != "the other one" || active.Since.IsZero() || !Transient(err) {
		t.Errorf("got %+v", active)
	}
	if err := DropSlot(d.ctx, d.conn, d.cfg.Slot); !errors.As(err, &active) || active.PID == 0 {
		t.Errorf("dropping a slot in use: %v", err)
	}
	// Close frees the slot before it returns.
	d.close(first)
	d.close(d.open(0))
	if err := DropSlot(d.ctx, d.conn, d.cfg.Slot); err != nil {
		t.Error(err)
	}
	if err := DropSlot(d.ctx, d.conn, d.cfg.Slot); err != nil {
		t.Errorf("dropping it again: %v", err)
	}
}

func TestSlotMissing(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	if err := DropSlot(d.ctx, d.conn, d.cfg.Slot); err != nil {
		t.Fatal(err)
	}
	_, err := Open(d.ctx, d.cfg, 0)
	var missing *SlotMissingError
	if !errors.As(err, &missing) || Transient(err) || !strings.Contains(err.Error(), "--recreate-slot") {
		t.Errorf("got %v", err)
	}
}

func TestSlotOfAnotherKind(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, d.describe("t"), nil); err != nil {
		t.Fatal(err)
	}
	d.exec(`SELECT pg_create_logical_replication_slot('` + d.cfg.Slot + `', 'test_decoding')`)
	for name, call := range map[string]func() error{
		"Open":       func() error { _, err := Open(d.ctx, d.cfg, 0); return err },
		"EnsureSlot": func() error { _, err := EnsureSlot(d.ctx, d.cfg); return err },
	} {
		if err := call(); !isProblem(err, "test_decoding") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// isProblem reports whether err has a Problems line that holds the text.
func isProblem(err error, text string) bool {
	var p interface{ Problems() []string }
	return errors.As(err, &p) && strings.Contains(strings.Join(p.Problems(), "\n"), text)
}

// TestSlotLost invalidates the slot while it is read: the server then ends the
// stream with the words of a restart, and only the slot's row tells.
func TestSlotLost(t *testing.T) {
	server := pgtest.New(t, "max_slot_wal_keep_size", "1MB", "min_wal_size", "32MB", "max_wal_size", "64MB")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	s := d.open(0)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Next(d.ctx); err != nil {
				ended <- err
				return
			}
		}
	}()
	for i := 0; !func() bool { s := d.slot(); return s.Lost() }(); i++ {
		d.exec(`SELECT pg_logical_emit_message(true, 'filler', repeat('x', 1000000)) FROM generate_series(1, 20)`, `SELECT pg_switch_wal()`, `CHECKPOINT`)
		if i > 50 {
			t.Fatalf("the slot holds on: %+v", d.slot())
		}
	}
	if err := <-ended; !Transient(err) {
		t.Errorf("stream: %v", err)
	}
	_, err := Open(d.ctx, d.cfg, 0)
	var lost *SlotLostError
	if !errors.As(err, &lost) || Transient(err) || !strings.Contains(err.Error(), "max_slot_wal_keep_size") {
		t.Errorf("Open: %v", err)
	}
	if _, err := EnsureSlot(d.ctx, d.cfg); !errors.As(err, &lost) {
		t.Errorf("EnsureSlot: %v", err)
	}
	if err := Preflight(d.ctx, d.cfg, d.describe("t"), nil); !isProblem(err, "pgcrm migrate --recreate-slot") {
		t.Errorf("Preflight: %v", err)
	}
}

// TestLogRemovedFromUnderAStream: a server may take up a later place to keep its
// log from while a new session still reads what lies before it. The next stream
// begins there, and nothing is lost. Where there is no such place the slot is.
func TestLogRemovedFromUnderAStream(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	s := d.open(0)
	for _, c := range []struct{ code, message string }{
		{"XX000", "requested WAL segment 00000001000000000000000A has already been removed"}, // 14
		{"58P01", "das angeforderte WAL-Segment 00000001000000000000000A wurde schon entfernt"},
	} {
		refused := &pgconn.PgError{Code: c.code, Message: c.message}
		var lost *SlotLostError
		if err := s.refusal(refused); !errors.As(err, &lost) || Transient(err) {
			t.Errorf("%s where the slot is where it was: %v", c.code, err)
		}
		before := d.slot().RestartLSN
		for d.slot().RestartLSN == before {
			d.exec(`INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t`, `CHECKPOINT`)
			_, commit := d.transaction(s)
			s.Confirm(commit.End)
			d.progress(s)
		}
		if err := s.refusal(refused); errors.As(err, &lost) || !Transient(err) {
			t.Errorf("%s where the slot has moved on: %v", c.code, err)
		}
		s.restart = d.slot().RestartLSN
	}
	if err := s.refusal(&pgconn.PgError{Code: "XX000", Message: "invalid memory alloc request size"}); Transient(err) || !strings.Contains(err.Error(), "latest minor version") {
		t.Errorf("another internal error: %v", err)
	}
}

func TestTemporarySlotLeavesNothing(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	lasting := d.publish("t")
	first, err := OpenTemporary(d.ctx, d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenTemporary(d.ctx, d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.exec(`INSERT INTO t VALUES (1)`)
	for _, s := range []*Stream{first, second} {
		got, commit := d.transaction(s)
		if got[0] != "1 insert public.t (1)" {
			t.Error(got)
		}
		s.Confirm(commit.End)
		d.close(s)
	}
	if slot := d.slot(); slot.ConfirmedFlush != lasting.ConfirmedFlush {
		t.Errorf("the lasting slot moved to %s", slot.ConfirmedFlush)
	}
	for {
		var n int
		if err := d.conn.QueryRow(d.ctx, `SELECT count(*) FROM pg_replication_slots WHERE database = current_database()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
	}
}

func TestFailoverSlot(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	slot := d.publish("t")
	if knows := d.version() >= 170000; slot.Failover != knows {
		t.Errorf("failover is %v", slot.Failover)
	}
	d.exec(`SELECT pg_create_logical_replication_slot('` + d.cfg.Slot + `_plain', 'pgoutput')`)
	d.cfg.Slot += "_plain"
	changed, err := EnsureFailover(d.ctx, d.cfg)
	if err != nil || changed != (d.version() >= 170000) || d.slot().Failover != changed {
		t.Errorf("changed %v, %v: %+v", changed, err, d.slot())
	}
	if changed, err := EnsureFailover(d.ctx, d.cfg); changed || err != nil {
		t.Errorf("again: %v, %v", changed, err)
	}
}

// TestAStandbyThatIsAwayHoldsChangesBack: the server waits for it, says nothing
// else of it than in its own log, and is not taken for dead.
func TestAStandbyThatIsAwayHoldsChangesBack(t *testing.T) {
	server := pgtest.New(t)
	d := databaseOn(t, server)
	if d.version() < 170000 {
		t.Skip("synchronized_standby_slots came with 17")
	}
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`, `SELECT pg_create_physical_replication_slot('standby_1', true)`)
	d.publish("t")
	d.exec(`ALTER SYSTEM SET synchronized_standby_slots = standby_1`, `SELECT pg_reload_conf()`)
	s := d.open(0)
	s.silence.bound = time.Second
	ctx, cancel := context.WithCancel(d.ctx)
	ended := make(chan error, 1)
	changes := 0
	go func() {
		for {
			ev, err := s.Next(ctx)
			if err != nil {
				ended <- err
				return
			}
			if ev.Kind == change.Insert {
				changes++
			}
		}
	}()
	for seen := 0; seen < 300; { // through several times the bound
		d.exec(`INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t`)
		if slot := d.slot(); slot.WaitsForStandby && strings.Contains(slot.Health(), "held back") {
			seen++
		}
		time.Sleep(10 * time.Millisecond)
	}
	expect(t, d.check(nil, "t"), "failover", Note, "no standby uses standby_1, which synchronized_standby_slots names")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	before := changes
	d.exec(`ALTER SYSTEM RESET synchronized_standby_slots`, `SELECT pg_reload_conf()`, `INSERT INTO t VALUES (-1)`)
	all, _ := d.until(s, "(-1)")
	var rows int
	if err := d.conn.QueryRow(d.ctx, `SELECT count(*) FROM t`).Scan(&rows); err != nil || before+len(all) != rows {
		t.Errorf("%d and %d changes of %d rows, %v", before, len(all), rows, err)
	}
	expect(t, d.check(nil, "t"), "failover", Note, "synchronized_standby_slots = 'standby_1'")
}

func TestSpilledBytesAreTold(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`, `ALTER DATABASE `+d.conn.Config().Database+` SET logical_decoding_work_mem = '64kB'`)
	d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (0, 'small')`)
	d.transaction(s)
	if got := d.slot().SpilledBytes; got != 0 {
		t.Errorf("%d bytes of a small transaction", got)
	}
	d.exec(`INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 2000) g`)
	d.transaction(s)
	d.close(s)
	for d.slot().SpilledBytes == 0 {
		if d.ctx.Err() != nil {
			t.Fatal("nothing is told of a large transaction")
		}
	}
}

func TestSetupSQL(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE SCHEMA "Sales"`, `CREATE TABLE "Sales"."Acc" (id int PRIMARY KEY)`, `CREATE TABLE t (id int PRIMARY KEY)`)
	names := []Name{{"public", "t"}, {"Sales", "Acc"}}
	sql, err := SetupSQL(d.ctx, d.conn, d.cfg, names, "follower_x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(sql[0], `CREATE ROLE "follower_x" LOGIN`) {
		t.Errorf("%q", sql)
	}
	d.exec(sql...)
	defer d.exec(`DROP OWNED BY follower_x`, `DROP ROLE follower_x`)
	if again, err := SetupSQL(d.ctx, d.conn, d.cfg, names, "follower_x", nil); err != nil || len(again) > 0 {
		t.Errorf("nothing lacks, and yet %q, %v", again, err)
	}
	var may bool
	if err := d.conn.QueryRow(d.ctx, `SELECT rolreplication AND has_schema_privilege(oid, 'Sales', 'USAGE')
		AND has_table_privilege(oid, '"Sales"."Acc"', 'SELECT') AND has_table_privilege(oid, 't', 'SELECT')
		FROM pg_roles WHERE rolname = 'follower_x'`).Scan(&may); err != nil || !may {
		t.Errorf("the role may not: %v", err)
	}
	if _, err := SetupSQL(d.ctx, d.conn, d.cfg, []Name{{"public", "nope"}}, "follower_x", nil); !isProblem(err, "public.nope does not exist") {
		t.Error(err)
	}
}
