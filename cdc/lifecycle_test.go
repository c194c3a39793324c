package cdc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// TestKeepAliveHoldsTheSlotWhileNothingIsRead does not read for several times
// wal_sender_timeout, with more rows waiting than socket buffers hold.
func TestKeepAliveHoldsTheSlotWhileNothingIsRead(t *testing.T) {
	d := newDatabase(t)
	d.cfg.WALSenderTimeout = 2 * time.Second
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t SELECT g, repeat('x', 2000) FROM generate_series(1, 20000) g`)
	begin := d.next(s)
	if begin.Kind != change.Begin {
		t.Fatal(begin.Kind)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		wait, err := s.KeepAlive(d.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if wait > 2*time.Second/3 {
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
		if _, again := s.Next(d.ctx); !errors.Is(again, err) {
			t.Errorf("the second call says %v", again)
		}
		break
	}
	d.open(0)
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
	d.cfg.WALSenderTimeout = time.Hour
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	slot := d.publish("t")
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1)`)
	d.transaction(s) // and confirm nothing
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Next(d.ctx); err != nil {
				ended <- err // Close comes later, when the rest has been settled
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
