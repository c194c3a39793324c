package cdc

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// reopen opens the slot as soon as the server has let go of it.
func (d *database) reopen(start change.LSN) *Stream {
	d.Helper()
	for {
		s, err := Open(d.ctx, d.cfg, start)
		var active *SlotActiveError
		switch {
		case err == nil:
			d.Cleanup(func() { s.Close(context.Background()) })
			return s
		case !errors.As(err, &active):
			d.Fatal(err)
		}
	}
}

// ends reads until the stream ends.
func ends(ctx context.Context, s *Stream) error {
	for {
		if _, err := s.Next(ctx); err != nil {
			return err
		}
	}
}

// TestASilentConnectionIsTakenForDead: what stands between acknowledges all and
// passes nothing, in either direction or both. The server would bear with it for
// ever.
func TestASilentConnectionIsTakenForDead(t *testing.T) {
	for name, shut := range map[string]direction{"down": {down: true}, "up": {up: true}, "both": {up: true, down: true}} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
			slot := d.publish("t")
			direct := d.cfg
			g := d.through("")
			d.cfg.WALSenderTimeout = time.Hour
			s := d.open(0)
			s.silence.bound = time.Second
			g.close(shut)
			d.exec(`INSERT INTO t VALUES (1)`)
			err := ends(d.ctx, s)
			var silent *SilentError
			if !errors.As(err, &silent) || !Transient(err) || silent.What != "its session waits for us" {
				t.Errorf("the stream ended with %v", err)
			}
			t.Log(err)
			d.cfg = direct
			s = d.reopen(slot.ConsistentPoint)
			if got, _ := d.until(s, "(1)"); len(got) != 1 {
				t.Error(got)
			}
		})
	}
}

// TestASilentServerThatCannotBeAskedIsTakenForDead: no other connection is
// answered either.
func TestASilentServerThatCannotBeAskedIsTakenForDead(t *testing.T) {
	server := pgtest.New(t)
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	g := d.through("")
	s := d.open(0)
	s.silence.bound = time.Second
	g.close(direction{up: true, down: true})
	g.listener.Close()
	var silent *SilentError
	if err := ends(d.ctx, s); !errors.As(err, &silent) || silent.Unwrap() == nil || !Transient(err) {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestAnIdleServerIsNotSilent: it has nothing to say and answers when it is asked,
// whatever its wal_sender_timeout is.
func TestAnIdleServerIsNotSilent(t *testing.T) {
	for _, timeout := range []time.Duration{3 * time.Second, time.Hour} {
		d := newDatabase(t)
		d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
		d.publish("t")
		d.cfg.WALSenderTimeout = timeout
		s := d.open(0)
		s.silence.bound = time.Second
		ctx, cancel := context.WithTimeout(d.ctx, 4*time.Second)
		defer cancel()
		if err := ends(ctx, s); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
			t.Errorf("%s: %v", timeout, err)
		}
		if _, err := s.KeepAlive(d.ctx); err != nil {
			t.Errorf("%s: %v", timeout, err)
		}
	}
}

// TestNotReadingIsNoSilence: a stream held back for longer than the server may be
// silent, with and without something that waits to be read, goes on.
func TestNotReadingIsNoSilence(t *testing.T) {
	for _, rows := range []int{0, 20000} {
		d := newDatabase(t)
		d.cfg.WALSenderTimeout = 2 * time.Second
		d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
		d.publish("t")
		s := d.open(0)
		s.silence.bound = time.Second
		d.exec(`INSERT INTO t SELECT g, repeat('x', 2000) FROM generate_series(1, ` + strconv.Itoa(rows) + `) g`)
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
			wait, err := s.KeepAlive(d.ctx)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait)
		}
		d.exec(`INSERT INTO t VALUES (0, 'last')`)
		if got, _ := d.until(s, "(0,last)"); len(got) != rows+1 {
			t.Errorf("%d of %d rows", len(got), rows+1)
		}
	}
}

// TestAServerAtWorkIsWaitedFor: it decodes for longer than it may be silent, and
// answers nobody meanwhile. To connect anew would have it begin again, for ever.
func TestAServerAtWorkIsWaitedFor(t *testing.T) {
	d := newDatabase(t)
	n, condition := d.hardWork(4 * time.Second)
	d.exec(`CREATE TABLE t (id bigint PRIMARY KEY)`, `CREATE PUBLICATION "My ""pub""" FOR TABLE t WHERE (`+condition+`)`)
	if _, err := EnsureSlot(d.ctx, d.cfg); err != nil {
		t.Fatal(err)
	}
	s := d.open(0)
	s.silence.bound = 300 * time.Millisecond
	d.exec(`INSERT INTO t VALUES (` + n + `)`)
	if _, commit := d.until(s, n); commit.End == 0 {
		t.Error("no commit")
	}
	if !s.silence.looked.After(time.Time{}) {
		t.Error("the server was never asked whether it is at work: the test is too small")
	}
}

// TestTimeoutsOfTheRoleDoNotEndAStream: decoding takes longer than what the
// database allows a transaction, and a query more than it allows a statement.
func TestTimeoutsOfTheRoleDoNotEndAStream(t *testing.T) {
	d := newDatabase(t)
	n, condition := d.hardWork(2 * time.Second)
	d.exec(`CREATE TABLE t (id bigint PRIMARY KEY)`, `CREATE PUBLICATION "My ""pub""" FOR TABLE t WHERE (`+condition+`)`)
	if _, err := EnsureSlot(d.ctx, d.cfg); err != nil {
		t.Fatal(err)
	}
	database := d.conn.Config().Database
	for _, set := range []string{`transaction_timeout = '500ms'`, `statement_timeout = '500ms'`, `idle_in_transaction_session_timeout = '1ms'`, `default_transaction_read_only = on`, `default_transaction_isolation = serializable`} {
		if !strings.HasPrefix(set, "transaction_timeout") || d.version() >= 170000 {
			d.exec(`ALTER DATABASE ` + database + ` SET ` + set)
		}
	}
	conn := d.connect()
	if _, err := conn.Exec(d.ctx, `SELECT pg_sleep(1)`); err != nil {
		t.Error(err)
	}
	if _, err := conn.Exec(d.ctx, `CREATE TABLE made ()`); err != nil {
		t.Error(err)
	}
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (` + n + `)`)
	if got, _ := d.until(s, n); len(got) != 1 {
		t.Error(got)
	}
}

// TestASessionThatVanishesHoldsNoLockForLong: what a chunk has locked is the
// application's again soon after our host has gone.
func TestASessionThatVanishesHoldsNoLockForLong(t *testing.T) {
	d := newDatabase(t)
	for name, want := range map[string]string{
		"idle_in_transaction_session_timeout": "1min", "tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "30000",
	} {
		var got string
		if err := d.conn.QueryRow(d.ctx, `SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, not %s (%v)", name, got, want, err)
		}
	}
}

// hardWork gives a number, and a condition on a column id that keeps this machine
// at work for about that long where the column has the number.
func (d *database) hardWork(long time.Duration) (n, condition string) {
	d.Helper()
	if d.version() < 150000 {
		d.Skip("row filters, which keep a server at work here, came with 15")
	}
	n = "30000"
	began := time.Now()
	d.exec(`SELECT factorial(` + n + `)`)
	times := int(long/time.Since(began)) + 1
	return n, strings.Repeat(`factorial(id) + `, times) + `0 > 0`
}

// TestTheServersOwnTimeout: where wal_sender_timeout is not ours to set, the
// stream keeps to the server's.
func TestTheServersOwnTimeout(t *testing.T) {
	server := pgtest.New(t, "wal_sender_timeout", "0")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	if s := d.open(0); s.Server().WALSenderTimeout != patience {
		t.Errorf("the session's timeout is %s", s.Server().WALSenderTimeout)
	} else {
		d.close(s)
	}
	g := d.through("wal_sender_timeout")
	s := d.reopen(0)
	if s.Server().WALSenderTimeout != 0 || s.interval != 10*time.Second {
		t.Errorf("a status update every %s under a timeout of %s", s.interval, s.Server().WALSenderTimeout)
	}
	s.silence.bound = time.Second
	g.close(direction{down: true})
	var silent *SilentError
	if err := ends(d.ctx, s); !errors.As(err, &silent) {
		t.Errorf("under no timeout: %v", err)
	}

	d.exec(`ALTER SYSTEM SET wal_sender_timeout = '2s'`, `SELECT pg_reload_conf()`)
	for {
		server, err := Identify(d.ctx, d.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if server.WALSenderTimeout == 2*time.Second {
			break
		}
	}
	s = d.reopen(0)
	pid := s.PID()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		wait, err := s.KeepAlive(d.ctx)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait)
	}
	if slot := d.slot(); slot.ActivePID != int(pid) {
		t.Errorf("the slot is read by %d, not by %d any more", slot.ActivePID, pid)
	}
}

// TestAQueryWhoseAnswerIsLost: the connection ends; a query that takes long, or
// waits for a lock, is waited for.
func TestAQueryWhoseAnswerIsLost(t *testing.T) {
	d := newDatabase(t)
	g := d.through("")
	d.cfg.querySilence = 300 * time.Millisecond
	conn := d.connect()
	if _, err := conn.Exec(d.ctx, `SELECT pg_sleep(2)`); err != nil {
		t.Errorf("a long query: %v", err)
	}
	d.exec(`CREATE TABLE t ()`, `BEGIN; LOCK TABLE t`)
	waited := make(chan error, 1)
	go func() {
		_, err := conn.Exec(d.ctx, `SELECT FROM t`)
		waited <- err
	}()
	other := d.connect()
	var seen time.Time
	for seen.IsZero() || time.Since(seen) < 2*time.Second {
		var blocked bool
		err := other.QueryRow(d.ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock')`, conn.PgConn().PID()).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
		if blocked && seen.IsZero() {
			seen = time.Now()
		}
	}
	d.exec(`COMMIT`)
	if err := <-waited; err != nil {
		t.Errorf("a query that waited for a lock: %v", err)
	}

	for name, shut := range map[string]direction{"down": {down: true}, "up": {up: true}} {
		t.Run(name, func(t *testing.T) {
			conn := d.connect()
			g.close(shut)
			var n int
			err := conn.QueryRow(d.ctx, `SELECT $1::int`, 1).Scan(&n)
			var silent *SilentError
			if !errors.As(err, &silent) || !Transient(err) {
				t.Errorf("an answer that is lost: %v", err)
			}
			if !conn.IsClosed() {
				t.Error("the connection is still used")
			}
			conn = d.connect()
			g.close(shut)
			if _, err := conn.Exec(d.ctx, `SELECT 1`); err == nil || !Transient(err) { // of which pgx says less
				t.Errorf("an answer to the simple protocol that is lost: %v", err)
			}
		})
	}
}
