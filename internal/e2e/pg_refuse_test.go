package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const (
	pgSchema  = `CREATE TABLE accounts (id int PRIMARY KEY, name text, filler text)`
	pgMapping = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name}
`
)

// newServerWorld has a server for itself, which a test may stop and restore.
func newServerWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a server")
	}
	limits := hubspotsim.Unthrottled()
	return newWorldOn(t, pgtest.New(t, settings...), pgSchema, pgMapping, hubspotsim.Options{
		Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": {hubspotsim.Unique("account_id")}},
	})
}

// pgcrm runs a command to its end, which must be this exit code, and returns
// what it wrote.
func (w *world) pgcrm(want int, args ...string) string {
	w.t.Helper()
	code, stdout, stderr := run(w.t, w.environ(), args...)
	if code != want {
		w.t.Fatalf("pgcrm %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, stdout, stderr)
	}
	return stdout + stderr
}

// refusesToRun wants a start to end with exit code 2, one line, and these words.
func (w *world) refusesToRun(words ...string) {
	w.t.Helper()
	out := w.pgcrm(2, "run")
	for _, word := range words {
		if !strings.Contains(out, word) {
			w.t.Errorf("%q is not in\n%s", word, out)
		}
	}
}

// stopped runs what is to be done while the server is down, and starts it again.
func (w *world) stopped(do func(data string)) {
	w.t.Helper()
	ctx := context.Background()
	data := w.query("SHOW data_directory")
	if err := w.server.Stop(ctx, pgtest.Fast); err != nil {
		w.t.Fatal(err)
	}
	do(data)
	if err := w.server.Restart(ctx); err != nil {
		w.t.Fatal(err)
	}
	w.reconnect()
}

func (w *world) reconnect() {
	w.t.Helper()
	_ = w.conn.Close(context.Background())
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	w.conn = conn
}

// promote has the server begin a new timeline at its next start, as a standby
// does that takes over.
func (w *world) promote(data string) {
	w.t.Helper()
	touch := exec.Command("cp", "--preserve=all", filepath.Join(data, "PG_VERSION"), filepath.Join(data, "recovery.signal"))
	if out, err := touch.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

// promoted waits until it has.
func (w *world) promoted(timeline string) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		return w.query("SELECT 'still in recovery' WHERE pg_is_in_recovery()")
	})
	w.exec("CHECKPOINT")
	if got := w.query("SELECT timeline_id::text FROM pg_control_checkpoint()"); got != timeline {
		w.t.Fatalf("the server is on timeline %s", got)
	}
}

func TestPGAFailoverThatKeptTheLogIsFollowed(t *testing.T) {
	t.Parallel()
	w := newServerWorld(t, "restore_command", "false")
	w.seed(3)
	w.exec(`INSERT INTO accounts SELECT i, 'before' FROM generate_series(1, 3) i`)
	p := w.start()
	w.arrives(p, 3, "name=before")
	p.stop()
	w.exec(`UPDATE accounts SET name = 'last on the old timeline' WHERE id = 1`)
	w.stopped(w.promote)
	w.promoted("2")
	w.exec(`UPDATE accounts SET name = 'first on the new one' WHERE id = 2`)
	p = w.start()
	w.arrives(p, 1, "name=last on the old timeline")
	w.arrives(p, 2, "name=first on the new one")
	w.settles(p)
	// A failover while it runs is no more than a reconnect.
	w.stopped(w.promote)
	w.promoted("3")
	w.exec(`UPDATE accounts SET name = 'on the third' WHERE id = 3`)
	w.arrives(p, 3, "name=on the third")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGAStandbyIsWaitedFor: while one server takes over from another the address
// may lead to a standby, or every host that is named may be one.
func TestPGAStandbyIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ option, says string }{
		"one address": {"", "the server is a standby: wait until it is promoted"},
		// The state's connection, which has the same address, meets it first.
		"target_session_attrs": {"&target_session_attrs=read-write", "read only connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newServerWorld(t, "restore_command", "false")
			w.env["PGCRM_DATABASE_URL"] += c.option
			// A slot that is gone must not be made anew on a standby.
			w.env["PGCRM_ON_SLOT_LOSS"] = "resync"
			url := w.listening()
			w.seed(1)
			w.exec(`INSERT INTO accounts VALUES (1, 'before')`)
			p := w.start()
			w.arrives(p, 1, "name=before")
			w.settles(p)
			w.stopped(func(data string) {
				touch := exec.Command("cp", "--preserve=all", filepath.Join(data, "PG_VERSION"), filepath.Join(data, "standby.signal"))
				if out, err := touch.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			})
			w.says(p, url+"/api/status", 200, `"reconnecting"`, c.says)
			w.query("SELECT pg_promote()::text")
			w.promoted("2")
			w.exec(`UPDATE accounts SET name = 'after' WHERE id = 1`)
			w.arrives(p, 1, "name=after")
			w.settles(p)
			if code := p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestPGARestoreFromThePastIsRefused keeps the state elsewhere, so that the
// restore of the source leaves it, and has the restored log grow beyond the
// checkpoint: by its length alone it would pass.
func TestPGARestoreFromThePastIsRefused(t *testing.T) {
	t.Parallel()
	w := newServerWorld(t, "restore_command", "false")
	w.env["PGCRM_STATE_DATABASE_URL"] = pgtest.Shared(t).NewDatabase(t)
	w.seed(2)
	w.exec(`INSERT INTO accounts VALUES (1, 'one'), (2, 'two')`)
	p := w.start()
	w.arrives(p, 2, "name=two")
	w.settles(p)
	p.stop()

	backup := filepath.Join(t.TempDir(), "backup")
	w.stopped(func(data string) {
		if out, err := exec.Command("cp", "--archive", data, backup).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	p = w.start()
	w.exec(`UPDATE accounts SET name = 'lost in the restore', filler = repeat('x', 100000) WHERE id = 1`)
	w.arrives(p, 1, "name=lost in the restore")
	w.settles(p)
	p.stop()

	w.stopped(func(data string) {
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "--archive", backup, data).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		w.promote(data)
	})
	w.promoted("2")
	w.refusesToRun("migrate --recreate-slot", "backfill --all")
	w.exec(`INSERT INTO accounts SELECT i, 'n', md5(i::text) || repeat(md5((i * 7)::text), 20) FROM generate_series(10, 3000) i`)
	w.refusesToRun("left timeline 1 at", "which this server does not have", "migrate --recreate-slot")
	if out := w.pgcrm(2, "check"); !strings.Contains(out, "✗ state") || !strings.Contains(out, "left timeline 1 at") {
		t.Errorf("check says\n%s", out)
	}

	w.pgcrm(0, "migrate", "--recreate-slot")
	p = w.start()
	w.arrives(p, 1, "name=one")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestPGASlotThatSomebodyElseMovedIsRefused(t *testing.T) {
	t.Parallel()
	w := newServerWorld(t)
	w.seed(1)
	w.exec(`INSERT INTO accounts VALUES (1, 'one')`)
	p := w.start()
	w.arrives(p, 1, "name=one")
	p.stop()
	w.exec(`UPDATE accounts SET name = 'read by somebody else' WHERE id = 1`)
	w.exec(`SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, w.name)
	w.refusesToRun("beyond the stored", "another program used the slot", "migrate --recreate-slot")
	w.pgcrm(0, "migrate", "--recreate-slot")
	p = w.start()
	w.arrives(p, 1, "name=read by somebody else")
	p.stop()
}

// TestPGASlotThatIsLostWhileStreaming has the CRM hang while more log is written
// than the server keeps. The server says no more than that it ends the
// connection; pgcrm must look why.
func TestPGASlotThatIsLostWhileStreaming(t *testing.T) {
	t.Parallel()
	w := newServerWorld(t, "max_slot_wal_keep_size", "16MB", "max_wal_size", "32MB")
	w.seed(1)
	w.exec(`INSERT INTO accounts VALUES (1, 'one')`)
	p := w.start()
	w.arrives(p, 1, "name=one")
	w.settles(p)
	if err := w.portal.AddFaults(hubspotsim.Fault{Op: "update", Effect: hubspotsim.Hang}); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE accounts SET name = 'never confirmed' WHERE id = 1`)
	w.loseSlot()
	if code := p.wait(patience); code != 2 {
		t.Errorf("exit code %d", code)
	}
	for _, words := range []string{"replication slot " + w.name + " is lost", "migrate --recreate-slot"} {
		if !p.log.contains(words) {
			t.Errorf("%q is not in\n%s", words, p.log)
		}
	}
	w.portal.ClearFaults()
	w.refusesToRun("is lost", "migrate --recreate-slot")
	w.pgcrm(0, "migrate", "--recreate-slot")
	p = w.start()
	w.arrives(p, 1, "name=never confirmed")
	p.stop()
}
