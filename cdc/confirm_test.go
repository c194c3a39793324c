package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// adjacent commits two transactions back to back, so that the second's commit
// record starts where the first's ends, and returns after both. The first
// inserts row n, the second n+1.
func (d *database) adjacent(n int) {
	d.Helper()
	a, b := d.connect(), d.connect()
	for i, conn := range []*pgx.Conn{a, b} {
		if _, err := conn.Exec(d.ctx, fmt.Sprintf("BEGIN; INSERT INTO t VALUES (%d)", n+i)); err != nil {
			d.Fatal(err)
		}
	}
	for _, conn := range []*pgx.Conn{a, b} {
		if _, err := conn.Exec(d.ctx, "COMMIT"); err != nil {
			d.Fatal(err)
		}
	}
}

// TestConfirmTable shows what each position that could be confirmed leads to
// after a reconnect that trusts the slot: the reason why Confirm takes the end
// of a commit as it is.
func TestConfirmTable(t *testing.T) {
	for _, c := range []struct {
		name    string
		confirm func(commit change.Event) change.LSN
		want    []string // after a reconnect
	}{
		{"nothing", func(change.Event) change.LSN { return 0 }, []string{"first", "second"}},
		{"start of the commit record", func(c change.Event) change.LSN { return c.Pos.LSN }, []string{"first", "second"}},
		{"end of the commit record", func(c change.Event) change.LSN { return c.End }, []string{"second"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDatabase(t)
			d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
			d.publish("t")
			s := d.open(0)
			// Other sessions of the shared server write too, so look for a pair that
			// really is adjacent.
			n, first, second := 1, change.Event{}, change.Event{}
			for ; ; n += 2 {
				d.adjacent(n)
				_, first = d.transaction(s)
				_, second = d.transaction(s)
				if second.Pos.LSN == first.End {
					break
				}
				s.Confirm(second.End)
			}
			s.Confirm(c.confirm(first))
			d.close(s)

			d.exec(`INSERT INTO t VALUES (-1)`)
			s = d.open(0)
			changes, _ := d.until(s, "(-1)")
			names := map[string]string{
				fmt.Sprintf("1 insert public.t (%d)", n):   "first",
				fmt.Sprintf("1 insert public.t (%d)", n+1): "second",
			}
			var got []string
			for _, ch := range changes[:len(changes)-1] {
				got = append(got, names[ch])
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("first %+v, second %+v, then %v\n%s", first, second, changes, diff)
			}
		})
	}
}

func TestConfirmNeverGoesBackNorBeyondWhatTheServerSaid(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	slot := d.publish("t")
	s := d.open(0)
	if s.Start() != slot.ConsistentPoint || s.Confirmed() != slot.ConsistentPoint {
		t.Errorf("start %s, confirmed %s, want the consistent point %s", s.Start(), s.Confirmed(), slot.ConsistentPoint)
	}
	d.exec(`INSERT INTO t VALUES (1)`)
	_, commit := d.transaction(s)
	s.Confirm(commit.End)
	s.Confirm(commit.Pos.LSN)
	s.Confirm(0)
	if s.Confirmed() != commit.End {
		t.Errorf("confirmed %s, want %s", s.Confirmed(), commit.End)
	}
	s.Confirm(commit.End + 1<<30)
	d.close(s)
	if got := d.slot().ConfirmedFlush; got < commit.End || got > d.slot().CurrentLSN {
		t.Errorf("the slot confirmed %s, the log ends at %s", got, d.slot().CurrentLSN)
	}
}

func TestConfirmReachesTheSlotWhileNothingIsRead(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	d.cfg.StatusInterval = patience // only the confirmation can move it
	s := d.open(0)
	d.exec(`INSERT INTO t VALUES (1)`)
	_, commit := d.transaction(s)
	s.Confirm(commit.End)
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	read := make(chan error)
	go func() {
		for {
			if _, err := s.Next(ctx); err != nil {
				read <- err
				return
			}
		}
	}()
	for d.slot().ConfirmedFlush != commit.End {
		if d.ctx.Err() != nil {
			t.Fatal("the slot was not moved")
		}
	}
	cancel()
	if err := <-read; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// A cancelled read leaves the stream where it was.
	d.exec(`INSERT INTO t VALUES (2)`)
	if got, _ := d.transaction(s); got[0] != "1 insert public.t (2)" {
		t.Error(got)
	}
}

// TestResumeAtStoredPosition shows that the position decides, not the slot: that
// one may lag behind after a restart of the server.
func TestResumeAtStoredPosition(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	slot := d.publish("t")
	s := d.open(0)
	var ends []change.LSN
	for n := range 3 {
		d.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, n))
		_, commit := d.transaction(s)
		ends = append(ends, commit.End)
	}
	d.close(s)
	if got := d.slot().ConfirmedFlush; got != slot.ConsistentPoint {
		t.Fatalf("the slot moved to %s", got)
	}
	s = d.open(ends[1])
	if got, commit := d.transaction(s); got[0] != "1 insert public.t (2)" || commit.End != ends[2] {
		t.Error(got, commit)
	}
	s.Confirm(ends[2])
	d.close(s)

	var position *PositionError
	if _, err := Open(d.ctx, d.cfg, ends[0]); !errors.As(err, &position) || position.Confirmed != ends[2] || Transient(err) {
		t.Errorf("a position before what the slot confirmed: %v", err)
	}
	if _, err := Open(d.ctx, d.cfg, ends[2]+1<<40); !errors.As(err, &position) || Transient(err) {
		t.Errorf("a position beyond the log: %v", err)
	}
}

// TestPositionsAreTheSameWhenReadAgain is what dropping by position rests on.
func TestPositionsAreTheSameWhenReadAgain(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`, `CREATE TABLE u (id int PRIMARY KEY)`)
	d.publish("t", "u")
	for n := range 5 {
		d.tx(fmt.Sprintf(`INSERT INTO t SELECT %d * 10 + g, 'x' FROM generate_series(1, 9) g`, n), `UPDATE t SET v = 'y'`,
			fmt.Sprintf(`INSERT INTO u VALUES (%d)`, n), `TRUNCATE u`, `SAVEPOINT a`, `DELETE FROM t`, `ROLLBACK TO a`, `DELETE FROM t WHERE id % 7 = 0`)
	}
	// The rows of a COPY share log records.
	if _, err := d.conn.CopyFrom(d.ctx, pgx.Identifier{"t"}, []string{"id", "v"}, pgx.CopyFromSlice(500, func(i int) ([]any, error) {
		return []any{1000 + i, "copied"}, nil
	})); err != nil {
		t.Fatal(err)
	}
	read := func() (list []string) {
		s := d.open(0)
		defer d.close(s)
		for range 6 {
			changes, commit := d.transaction(s)
			for _, c := range changes {
				list = append(list, fmt.Sprintf("%s#%s", commit.Pos.LSN, c))
			}
		}
		return list
	}
	first, second := read(), read()
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	if len(first) < 600 || !slices.IsSorted(first[:9]) {
		t.Errorf("%d changes", len(first))
	}
}

func TestProgressOnRequest(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	d.cfg.StatusInterval = patience
	s := d.open(0)
	d.exec(`CREATE TABLE unpublished (id int)`)
	flushed, err := FlushLSN(d.ctx, d.conn)
	if err != nil {
		t.Fatal(err)
	}
	// The first keepalive may have been sent before; the one that was asked for
	// was not.
	for {
		time.AfterFunc(0, s.RequestProgress) // from another goroutine, while Next waits
		ev, err := s.Next(d.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == change.Progress && !ev.InTransaction && ev.End >= flushed {
			break
		}
	}
}
