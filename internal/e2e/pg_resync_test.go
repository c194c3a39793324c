package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// newResyncWorld has PGCRM_ON_SLOT_LOSS=resync, on_delete: archive, and rows 1 to
// n delivered, which a clean stop has left.
func newResyncWorld(t *testing.T, w *world, n int) {
	t.Helper()
	w.env["PGCRM_ON_SLOT_LOSS"] = "resync"
	w.env["PGCRM_MAPPING"] = strings.Replace(pgMapping, "    properties:", "    on_delete: archive\n    properties:", 1)
	w.seed(n)
	w.exec(`INSERT INTO accounts SELECT i, 'first' FROM generate_series(1, $1::int) i`, n)
}

// loaded waits until every backfill is over.
func (w *world) loaded(p *process) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		return w.query(`SELECT string_agg(id || ' ' || reason || ' ' || state, ', ') FROM ` + w.name + `.backfill WHERE state NOT IN ('done', 'cancelled')`)
	})
}

// slotIsFree waits until the server has noticed that who had the slot was killed.
func (w *world) slotIsFree() {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		return w.query(`SELECT 'the slot is in use' FROM pg_replication_slots WHERE slot_name = $1 AND active`, w.name)
	})
}

// TestPGAResyncThatIsKilledGoesOn stops a resync at each of its steps and kills
// it there. Whatever is left is enough for the next start.
func TestPGAResyncThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	newResyncWorld(t, w, 6)
	p := w.start()
	w.arrives(p, 6, "name=first")
	w.loaded(p)
	p.kill() // nothing says how things stood
	w.exec(`UPDATE accounts SET name = 'missed' WHERE id = 1`)
	w.exec(`DELETE FROM accounts WHERE id = 2`)
	w.slotIsFree()
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)

	other := connect(t, w.url)
	for _, step := range []struct {
		name, hold string // by another session, which stops the resync there
		there      func() string
	}{
		{
			"before anything is done", `SELECT pg_advisory_lock(hashtextextended('pgcrm slot ` + w.name + `', 0))`,
			func() string {
				return w.query(`SELECT 'nobody waits' WHERE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)`)
			},
		},
		{
			"while the slot is being made", `UPDATE accounts SET filler = 'an open transaction' WHERE id = 6`,
			func() string {
				return w.query(`SELECT 'the slot is not being made' WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`, w.name)
			},
		},
		{
			"before the state begins anew", `LOCK TABLE ` + w.name + `.backfill IN EXCLUSIVE MODE`,
			func() string {
				return w.query(`SELECT 'nobody waits' WHERE NOT EXISTS (SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted)`, w.name+".backfill")
			},
		},
	} {
		tx, err := other.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(context.Background(), step.hold); err != nil {
			t.Fatal(err)
		}
		p = w.start()
		eventually(t, patience, func() string {
			p.alive()
			if why := step.there(); why != "" {
				return step.name + ": " + why
			}
			return ""
		})
		p.kill()
		_ = tx.Rollback(context.Background())
		if _, err := other.Exec(context.Background(), "SELECT pg_advisory_unlock_all()"); err != nil {
			t.Fatal(err)
		}
		w.slotIsFree()
		// Who does not resync is told, whatever state it is left in.
		w.with("PGCRM_ON_SLOT_LOSS=").refusesToRun("migrate --recreate-slot")
	}

	// And behind it, and while it loads, when what was sent is not settled.
	p = w.start()
	eventually(t, patience, func() string {
		p.alive()
		if !p.log.contains("msg=slot_recreated") {
			return "the slot is not made anew"
		}
		return ""
	})
	p.kill()
	w.exec(`UPDATE accounts SET name = 'missed', filler = 'once more' WHERE id = 1`)
	tx, err := other.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), `LOCK TABLE `+w.name+`.record IN EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	p = w.start()
	eventually(t, patience, func() string {
		p.alive()
		return w.query(`SELECT 'no settle waits' WHERE NOT EXISTS (SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted)`, w.name+".record")
	})
	p.kill()
	_ = tx.Rollback(context.Background())

	p = w.start()
	w.arrives(p, 1, "name=missed")
	w.archived(p, 2)
	w.loaded(p)
	w.exec(`UPDATE accounts SET name = 'live' WHERE id = 3`)
	w.arrives(p, 3, "name=live")
	w.settles(p)
	if p.log.contains("msg=slot_recreated") {
		t.Error("the slot was made anew though the resync was past that")
	}
	for id := 3; id <= 6; id++ {
		if w.company(id) == nil {
			t.Errorf("company %d was archived", id)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGAResyncOfASlotThatIsLostWhileStreaming goes on within the process. Rows
// that move while it does are not taken for gone.
func TestPGAResyncOfASlotThatIsLostWhileStreaming(t *testing.T) {
	t.Parallel()
	w := newServerWorld(t, "max_slot_wal_keep_size", "16MB", "max_wal_size", "32MB")
	newResyncWorld(t, w, 6)
	url := w.listening()
	p := w.start()
	w.arrives(p, 6, "name=first")
	w.settles(p)
	if err := w.portal.AddFaults(hubspotsim.Fault{Op: "write", Effect: hubspotsim.Hang}); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE accounts SET name = 'never confirmed' WHERE id = 1`)
	w.exec(`DELETE FROM accounts WHERE id = 2`)
	w.loseSlot()
	w.exec(`DELETE FROM accounts WHERE id = 3`)
	w.exec(`INSERT INTO accounts VALUES (2, 'back again')`)
	eventually(t, patience, func() string {
		p.alive()
		w.exec(`DELETE FROM accounts WHERE id = 4; INSERT INTO accounts VALUES (4, 'moving')`)
		if !p.log.contains("msg=slot_recreated") {
			return "the slot is not made anew"
		}
		return ""
	})
	w.portal.ClearFaults()
	w.arrives(p, 1, "name=never confirmed")
	w.arrives(p, 2, "name=back again")
	w.archived(p, 3)
	w.loaded(p)
	w.arrives(p, 4, "name=moving")
	eventually(t, patience, func() string {
		if code, body, err := get(t.Context(), url+"/readyz"); err != nil || code != 200 {
			return body
		}
		return ""
	})
	w.exec(`DELETE FROM accounts WHERE id = 5`)
	w.archived(p, 5)
	for _, e := range w.portal.Journal(0) {
		if e.Source == "archive" && (e.ID == w.company(2)["hs_object_id"] || e.ID == w.company(4)["hs_object_id"]) {
			t.Error("the company of a row that is there was archived")
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// loseSlot writes more log than the server keeps for a slot, until it gives the
// slot up.
func (w *world) loseSlot() {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		w.exec(`SELECT pg_logical_emit_message(false, 'filler', repeat('x', 4000000)) FROM generate_series(1, 4)`)
		w.exec(`SELECT pg_switch_wal()`)
		w.exec(`CHECKPOINT`)
		return w.query(`SELECT 'the slot is ' || wal_status FROM pg_replication_slots WHERE slot_name = $1 AND wal_status <> 'lost'`, w.name)
	})
}
