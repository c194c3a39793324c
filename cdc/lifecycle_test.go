package cdc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// TestKeepAliveHoldsTheSlotWhileNothingIsRead does not read for several times
// wal_sender_timeout, with more rows waiting than socket buffers hold.
func TestKeepAliveHoldsTheSlotWhileNothingIsRead(t *testing.T) {
	d := newDatabase(t)
	d.cfg.WALSenderTimeout = time.Second
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t SELECT g, repeat('x', 2000) FROM generate_series(1, 20000) g`)
	begin := d.next(s)
	if begin.Kind != change.Begin {
		t.Fatal(begin.Kind)
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		wait, err := s.KeepAlive(d.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if wait > time.Second/3 {
			t.Fatalf("asked to wait %s", wait)
		}
		time.Sleep(wait)
	}
	rows := 0
	for ev := d.next(s); ev.Kind != change.Commit; ev = d.next(s) {
		rows++
	}
	if rows != 20000 {
		t.Errorf("%d rows", rows)
	}
}

// TestSilenceEndsTheStream is the counterpart: without KeepAlive the server
// gives the slot to others.
func TestSilenceEndsTheStream(t *testing.T) {
	d := newDatabase(t)
	d.cfg.WALSenderTimeout = 300 * time.Millisecond
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	s := d.open(0)
	for d.slot().Active {
		if d.ctx.Err() != nil {
			t.Fatal("the slot stayed active")
		}
	}
	for {
		_, err := s.Next(d.ctx)
		if err == nil {
			continue
		}
		if !Transient(err) {
			t.Errorf("not transient: %v", err)
		}
		if _, again := s.Next(d.ctx); again != err {
			t.Errorf("the second call says %v", again)
		}
		break
	}
	d.open(0)
}

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
	if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, d.describe("t")); err != nil {
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
	if err := Preflight(d.ctx, d.cfg, d.describe("t")); !isProblem(err, "pgcrm migrate --recreate-slot") {
		t.Errorf("Preflight: %v", err)
	}
}

func TestServerRestartIsTransient(t *testing.T) {
	server := pgtest.New(t)
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1)`)
	_, commit := d.transaction(s)
	s.Confirm(commit.End)
	before := s.Server()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Next(d.ctx); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := server.Stop(d.ctx, pgtest.Immediate); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !Transient(err) {
		t.Errorf("stream: %v", err)
	}
	if _, err := Open(d.ctx, d.cfg, commit.End); !Transient(err) || !isProblem(err, "PGCRM_DATABASE_URL") {
		t.Errorf("while it is down: %v", err)
	}
	if err := server.Restart(d.ctx); err != nil {
		t.Fatal(err)
	}
	d.conn = d.connect()
	d.exec(`INSERT INTO t VALUES (2)`)
	s = d.open(commit.End)
	if got, _ := d.transaction(s); got[0] != "1 insert public.t (2)" {
		t.Error(got)
	}
	if after := s.Server(); after.SystemID != before.SystemID || after.Timeline != before.Timeline {
		t.Errorf("the server was %+v and is %+v", before, after)
	}
}

func TestPublicationMissing(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	if _, err := EnsureSlot(d.ctx, d.cfg); !isProblem(err, "PGCRM_PUBLICATION") {
		t.Errorf("a slot before its publication: %v", err)
	}
	d.publish("t")
	s := d.open(0)
	if err := DropPublication(d.ctx, d.conn, d.cfg.Publication); err != nil {
		t.Fatal(err)
	}
	d.exec(`INSERT INTO t VALUES (1)`)
	if d.version() < 180000 { // from 18 on the server says nothing
		for {
			_, err := s.Next(d.ctx)
			if err == nil {
				continue
			}
			if Transient(err) || !isProblem(err, "does not exist") {
				t.Errorf("stream: %v", err)
			}
			break
		}
	}
	d.close(s)
	if _, err := Open(d.ctx, d.cfg, 0); !isProblem(err, "PGCRM_PUBLICATION") {
		t.Errorf("Open: %v", err)
	}
}

func (d *database) version() int {
	d.Helper()
	s, err := Identify(d.ctx, d.cfg)
	if err != nil {
		d.Fatal(err)
	}
	return s.Version
}

func TestMark(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	s := d.open(0)
	lsn, err := EmitMark(d.ctx, d.conn, "pgcrm", []byte("chunk \x00\xff 1"))
	if err != nil {
		t.Fatal(err)
	}
	flushed, err := FlushLSN(d.ctx, d.conn)
	if err != nil || flushed < lsn {
		t.Fatalf("flushed %s, %v; the mark is at %s", flushed, err, lsn)
	}
	if ev := d.next(s); ev.Kind != change.Begin {
		t.Fatal(ev.Kind)
	}
	ev := d.next(s)
	if ev.Kind != change.Mark || ev.Prefix != "pgcrm" || string(ev.Content) != "chunk \x00\xff 1" || !ev.Transactional || ev.Pos.LSN < lsn {
		t.Errorf("got %+v, written at %s", ev, lsn)
	}
}

func TestCloseInTheMiddleOfATransaction(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (0, '')`)
	_, commit := d.transaction(s)
	d.exec(`INSERT INTO t SELECT g, repeat('x', 2000) FROM generate_series(1, 20000) g`)
	d.next(s)
	s.Confirm(commit.End)
	d.close(s)
	if _, err := s.Next(d.ctx); err == nil {
		t.Error("a closed stream gives events")
	}
	for { // the server may notice late
		s, err := Open(d.ctx, d.cfg, commit.End)
		if err == nil {
			d.close(s)
			return
		}
		if !Transient(err) {
			t.Fatal(err)
		}
	}
}

func TestContextEndsWaiting(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	d.cfg.StatusInterval = patience
	s := d.open(0)
	ctx, cancel := context.WithCancel(d.ctx)
	cancel()
	for {
		_, err := s.Next(ctx)
		if err == nil {
			continue
		}
		if !errors.Is(err, context.Canceled) || Transient(err) {
			t.Errorf("got %v", err)
		}
		break
	}
	if _, err := s.KeepAlive(d.ctx); err != nil {
		t.Error(err)
	}
}

// TestShutdownOfTheServerDoesNotWaitForUs: a fast shutdown waits until every WAL
// sender's peer has confirmed all that was sent, which we cannot while the CRM
// has not answered.
func TestShutdownOfTheServerDoesNotWaitForUs(t *testing.T) {
	server := pgtest.New(t)
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	slot := d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1)`)
	d.transaction(s) // and confirm nothing
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Next(d.ctx); err != nil {
				s.Close(d.ctx)
				ended <- err
				return
			}
		}
	}()
	if err := server.Stop(d.ctx, pgtest.Fast); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !Transient(err) {
		t.Errorf("stream: %v", err)
	} else {
		t.Log(err)
	}
	if err := server.Restart(d.ctx); err != nil {
		t.Fatal(err)
	}
	d.conn = d.connect()
	s = d.open(slot.ConsistentPoint)
	if got, _ := d.transaction(s); got[0] != "1 insert public.t (1)" {
		t.Error(got)
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
