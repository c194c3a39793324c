package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// progress reads keepalives until one says that the server has read its log up to
// where it ends now.
func (d *database) progress(s *Stream) change.LSN {
	d.Helper()
	for flushed := d.flushed(); ; {
		s.RequestProgress()
		ev, err := s.Next(d.ctx)
		if err != nil {
			d.Fatal(err)
		}
		if ev.Kind == change.Progress && ev.End >= flushed {
			if ev.InTransaction {
				d.Fatal("a keepalive between two transactions counts as inside one")
			}
			return ev.End
		}
	}
}

// reread connects again, trusting the slot, and returns the keys of all that is
// delivered.
func (d *database) reread() (keys []string) {
	d.Helper()
	d.exec(`INSERT INTO t VALUES (-1)`)
	s := d.open(0)
	changes, _ := d.until(s, "(-1")
	for _, c := range changes[:len(changes)-1] {
		_, row, _ := strings.Cut(c, "(")
		key, _, _ := strings.Cut(row, ",")
		keys = append(keys, key)
	}
	d.close(s)
	return keys
}

// TestWhatAStreamConfirmsLosesNothing is the table of [TestWhatAcknowledgementsLose]
// for what a user of [Stream] does: confirm the end of a commit, or a keepalive's
// position while nothing is open.
func TestWhatAStreamConfirmsLosesNothing(t *testing.T) {
	server := pgtest.New(t, "autovacuum", "off", "bgwriter_delay", "10s", "checkpoint_timeout", "1h")
	for _, c := range []struct {
		name string
		act  func(d *database, s *Stream) (owed []string)
	}{
		{"the first of two adjacent commits", func(d *database, s *Stream) []string {
			for n := 1; ; n += 2 {
				d.adjacent(n)
				_, first := d.transaction(s)
				_, second := d.transaction(s)
				if second.Pos.LSN == first.End {
					s.Confirm(first.End)
					return []string{fmt.Sprint(n + 1)}
				}
				s.Confirm(second.End)
			}
		}},
		{"nothing while rows that were received wait, whatever keepalives say", func(d *database, s *Stream) []string {
			d.exec(`INSERT INTO t VALUES (1)`)
			d.transaction(s)
			d.progress(s)
			return []string{"1"}
		}},
		{"a keepalive while another transaction is open whose commit comes next", func(d *database, s *Stream) []string {
			writer := d.connect()
			exec := func(sql string) {
				if _, err := writer.Exec(context.WithoutCancel(d.ctx), sql); err != nil {
					d.Fatal(err)
				}
			}
			for i := 1; ; i++ {
				exec(fmt.Sprintf(`BEGIN; INSERT INTO t VALUES (%d)`, i))
				d.exec(`SELECT pg_logical_emit_message(true, 'flush', '')`)
				keepalive := d.progress(s)
				exec(`COMMIT`)
				_, commit := d.transaction(s)
				if commit.Pos.LSN == keepalive {
					s.Confirm(keepalive)
					return []string{fmt.Sprint(i)}
				}
				s.Confirm(commit.End)
			}
		}},
		{"the commit of a huge value that compresses well", func(d *database, s *Stream) (owed []string) {
			d.exec(`INSERT INTO t VALUES (1, repeat('x', 1600000))`)
			_, commit := d.transaction(s)
			owed = d.more(30)
			s.Confirm(commit.End)
			return owed
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := databaseOn(t, server)
			d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
			d.publish("t")
			s := d.open(0)
			owed := c.act(d, s)
			d.close(s)
			if got := d.reread(); !slices.Equal(got, owed) {
				t.Errorf("delivered %q, not %q", got, owed)
			}
		})
	}
}

// TestACleanRestartOfTheServer may take the slot back: up to Postgres 16 what was
// confirmed is not on disk until a checkpoint writes it. Our own position is.
func TestACleanRestartOfTheServer(t *testing.T) {
	server := pgtest.New(t)
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	s := d.open(0)
	var stored change.LSN
	for id := 1; id <= 3; id++ {
		d.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, id))
		_, commit := d.transaction(s)
		stored = commit.End
	}
	s.Confirm(stored)
	d.close(s)
	if err := server.Stop(d.ctx, pgtest.Fast); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(d.ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.conn, err = pgx.Connect(d.ctx, d.url); err != nil {
		t.Fatal(err)
	}
	defer d.conn.Close(context.Background())
	d.exec(`INSERT INTO t VALUES (4)`)
	s = d.open(stored)
	if got, _ := d.transaction(s); !slices.Equal(got, []string{"1 insert public.t (4,NULL)"}) {
		t.Errorf("from the stored position: %q", got)
	}
	d.close(s)
	if got := d.reread(); len(got) == 0 || got[len(got)-1] != "4" {
		t.Errorf("from the slot's position: %q", got)
	}
}
