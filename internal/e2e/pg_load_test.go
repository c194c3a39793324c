package e2e

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

var hugeRows = flag.Int("huge-rows", 0, "rows of the huge transaction, which then fills the default buffer many times over; 0 for 40,000 large ones and a small buffer")

var busyLog = flag.Int("busy-log", 100_000_000, "bytes of log that the neighbours of a mapped table write")

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

// plainly has the test run the program as it is released. The race detector's
// memory is not the program's.
func (w *world) plainly() {
	w.t.Helper()
	if raceFlag == "" {
		return
	}
	w.program = filepath.Join(w.t.TempDir(), "pgcrm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", w.program, "github.com/pgcrm/pgcrm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

// TestPGHugeTransactionFitsInLittleMemory has one transaction of many rows with a
// hundred savepoints, every third of them rolled back. The rows are several times
// what the process may hold.
func TestPGHugeTransactionFitsInLittleMemory(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.plainly()
	n, long, limit := *hugeRows, 0, int64(128<<20)
	if n == 0 {
		n, long, limit = 40_000, 1500, 72<<20
		w.env["PGCRM_BUFFER_BYTES"] = "8MiB"
	}
	w.seed(n)
	p := w.start()
	w.streams(p)
	ctx := context.Background()
	want := func(id int) string { return fmt.Sprintf("row %d", id) + strings.Repeat(".", long) }
	err := pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		insert := func(from, to int, name string) error {
			_, err := tx.Exec(ctx, `INSERT INTO accounts SELECT i, $3 || i || repeat('.', $4), repeat('f', 200) FROM generate_series($1::int, $2::int) i
				ON CONFLICT (id) DO UPDATE SET name = excluded.name`, from, to, name, long)
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
	peak := p.peakMemory()
	t.Logf("%d rows in %s, at most %d MiB", n, time.Since(began).Round(time.Second), peak>>20)
	if peak > limit {
		t.Errorf("it held %d MiB, more than %d", peak>>20, limit>>20)
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
	behind := 0
	for {
		w.exec(`INSERT INTO noise (filler) SELECT repeat('x', 8000) FROM generate_series(1, 400)`)
		if w.query("SELECT (pg_current_wal_lsn() - $1::pg_lsn > $2)::text", start, *busyLog) == "true" {
			break
		}
		gap, err := strconv.Atoi(w.query("SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::text FROM pg_replication_slots WHERE slot_name = $1", w.name))
		if err != nil {
			t.Fatal(err)
		}
		behind = max(behind, gap)
	}
	t.Logf("the slot was at most %d MiB behind while %d MB were written", behind>>20, *busyLog/1e6)
	gaps := func() string {
		return w.query(`SELECT 'confirmed gap ' || pg_current_wal_lsn() - confirmed_flush_lsn || ', restart gap ' || pg_current_wal_lsn() - restart_lsn
			FROM pg_replication_slots WHERE slot_name = $1 AND (pg_current_wal_lsn() - confirmed_flush_lsn > 1e6 OR pg_current_wal_lsn() - restart_lsn > 20e6)`, w.name)
	}
	eventually(t, patience, func() string {
		p.alive()
		w.exec(`CHECKPOINT`) // which logs what runs: only then can the slot's start move on
		return gaps()
	})
	// The silence after: the last position is saved, and that write is no reason for
	// another one.
	seen := map[string]bool{}
	before := w.query("SELECT pg_current_wal_insert_lsn()::text")
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		seen[w.query(fmt.Sprintf("SELECT checkpoint::text FROM %s.state", w.name))] = true
	}
	if len(seen) > 2 {
		t.Errorf("while nothing happened the positions %v were saved", slices.Collect(maps.Keys(seen)))
	}
	if got := w.query("SELECT CASE WHEN pg_current_wal_insert_lsn() - $1::pg_lsn > 64000 THEN pg_current_wal_insert_lsn() - $1::pg_lsn END::text", before); got != "" {
		t.Errorf("%s bytes of log were written while nothing happened", got)
	}
	w.exec(`UPDATE accounts SET name = 'awake' WHERE id = 1`)
	w.arrives(p, 1, "name=awake")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGALoadOfLargeRowsFitsInLittleMemory has rows of a megabyte, nothing of which
// is mapped, many times what the process may hold: as they are loaded, named one by
// one, and looked for by a resync.
func TestPGALoadOfLargeRowsFitsInLittleMemory(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.plainly()
	const rows = 200
	w.env["PGCRM_BUFFER_BYTES"] = "16MiB"
	newResyncWorld(t, w, rows)
	w.exec(`UPDATE accounts SET filler = repeat('f', 1 << 20)`)
	holdsLittle := func(p *process) {
		t.Helper()
		peak := p.peakMemory()
		t.Logf("at most %d MiB", peak>>20)
		if limit := int64(96 << 20); peak > limit {
			t.Errorf("it held %d MiB, more than %d", peak>>20, limit>>20)
		}
	}
	p := w.start()
	w.arrives(p, rows, "name=first")
	w.loaded(p)
	var keys []string
	for id := 1; id <= rows; id++ {
		if why := w.lacks(id, "name=first"); why != "" {
			t.Error(why)
		}
		keys = append(keys, fmt.Sprint(id))
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("public.accounts done %d", rows)}, w.followed("accounts", "--keys", strings.Join(keys, ","))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	holdsLittle(p)
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	w.exec(`DELETE FROM accounts WHERE id = 7`)
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	p = w.start()
	w.archived(p, 7)
	w.loaded(p)
	if n := w.portal.Count("companies"); n != rows-1 {
		t.Errorf("%d companies are left of %d", n, rows)
	}
	holdsLittle(p)
}
