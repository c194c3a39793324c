package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var hugeRows = flag.Int("huge-rows", 0, "rows of the huge transaction; 0 for 200,000, or a fifth of it under the race detector")

// peakMemory is the most memory that the process has held so far, in bytes.
func (p *process) peakMemory() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skip("no /proc here")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kb << 10
		}
	}
	p.t.Fatalf("no VmHWM in\n%s", text)
	return 0
}

// TestPGHugeTransactionFitsInLittleMemory has one transaction of many rows with a
// hundred savepoints, every third of them rolled back.
func TestPGHugeTransactionFitsInLittleMemory(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	n := *hugeRows
	if n == 0 {
		if n = 200_000; raceFlag != "" {
			n /= 5
		}
	}
	w.seed(n)
	p := w.start()
	w.streams(p)
	ctx := context.Background()
	want := func(id int) string { return fmt.Sprintf("row %d", id) }
	err := pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		insert := func(from, to int, name string) error {
			_, err := tx.Exec(ctx, `INSERT INTO accounts SELECT i, $3 || i, repeat('f', 200) FROM generate_series($1::int, $2::int) i
				ON CONFLICT (id) DO UPDATE SET name = excluded.name`, from, to, name)
			return err
		}
		const parts = 100
		for part := range parts {
			from, to := part*n/parts+1, (part+1)*n/parts
			if err := insert(from, to, "row "); err != nil {
				return err
			}
			err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
				if err := insert(max(1, from-50), to, "row "); err != nil {
					return err
				}
				if part%3 == 0 {
					if err := insert(from, from+n/parts/4, "rolled back "); err != nil {
						return err
					}
					return errRollBack
				}
				return nil
			})
			if err != nil && err != errRollBack { //nolint:errorlint // as returned
				return err
			}
		}
		return tx.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(w.last)
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	next := 1 // all companies before it have arrived
	eventually(t, patience+time.Duration(n)*time.Millisecond, func() string {
		p.alive()
		for ; next <= n; next++ {
			if why := w.lacks(next, "name="+want(next)); why != "" {
				return why
			}
		}
		return ""
	})
	w.settles(p)
	t.Logf("%d rows in %s, at most %d MiB", n, time.Since(began).Round(time.Second), p.peakMemory()>>20)
	if got := p.peakMemory(); got > 128<<20 && raceFlag == "" {
		t.Errorf("it held %d MiB", got>>20)
	}
	for _, r := range w.letters() {
		t.Errorf("parked: %s", r)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

var errRollBack = fmt.Errorf("roll back")

// TestPGTheSlotKeepsUpWithBusyNeighbours writes far more log to other tables than
// to the mapped one, which rests: neither what is confirmed nor what the server
// keeps may stay behind. And in the silence after it pgcrm must not keep itself
// busy by its own writes.
func TestPGTheSlotKeepsUpWithBusyNeighbours(t *testing.T) {
	t.Parallel()
	w := newServerWorld(t)
	w.seed(1)
	w.exec(`CREATE TABLE noise (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, filler text); ALTER TABLE noise ALTER filler SET STORAGE EXTERNAL`)
	w.exec(`INSERT INTO accounts VALUES (1, 'one')`)
	p := w.start()
	w.arrives(p, 1, "name=one")
	w.settles(p)
	start := w.query("SELECT pg_current_wal_lsn()::text")
	for range 40 {
		w.exec(`INSERT INTO noise (filler) SELECT repeat('x', 8000) FROM generate_series(1, 400)`)
	}
	if got := w.query("SELECT (pg_current_wal_lsn() - $1::pg_lsn > 100e6)::text", start); got != "true" {
		t.Fatal("too little was written")
	}
	gaps := func() string {
		return w.query(`SELECT 'confirmed gap ' || pg_current_wal_lsn() - confirmed_flush_lsn || ', restart gap ' || pg_current_wal_lsn() - restart_lsn
			FROM pg_replication_slots WHERE slot_name = $1 AND (pg_current_wal_lsn() - confirmed_flush_lsn > 1e6 OR pg_current_wal_lsn() - restart_lsn > 20e6)`, w.name)
	}
	eventually(t, patience, func() string {
		p.alive()
		w.exec(`CHECKPOINT`) // which logs what runs: only then can the slot's start move on
		return gaps()
	})
	// The silence after: no more than a heartbeat's worth of log.
	before := w.query("SELECT pg_current_wal_insert_lsn()::text")
	time.Sleep(12 * time.Second)
	if got := w.query("SELECT (pg_current_wal_insert_lsn() - $1::pg_lsn)::text", before); len(got) > 5 {
		t.Errorf("%s bytes of log were written while nothing happened", got)
	}
	w.exec(`UPDATE accounts SET name = 'awake' WHERE id = 1`)
	w.arrives(p, 1, "name=awake")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
