package cli

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// asRole has the commands connect as a new role, which may do no more than what
// is granted to it.
func (w *world) asRole(attributes string) (role string) {
	w.t.Helper()
	role = w.name + "_role"
	w.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'pw' ` + attributes)
	w.t.Cleanup(func() { w.exec(`DROP OWNED BY ` + role + ` CASCADE; DROP ROLE ` + role) })
	url := w.env["PGCRM_DATABASE_URL"]
	w.env["PGCRM_DATABASE_URL"] = "postgres://" + role + ":pw" + url[strings.Index(url, "@"):]
	return role
}

func TestMigrateMakesWhatRunNeeds(t *testing.T) {
	w := newWorld(t)
	first := read[migrated](w, "migrate")
	if !first.PublicationCreated || !first.SlotCreated || first.Slot != w.name || first.SlotLSN == "0/0" || len(first.Loads) > 0 {
		t.Errorf("first %+v", first)
	}
	if first.Failover != (pgtest.Shared(t).Version() >= 17) {
		t.Errorf("failover is %v", first.Failover)
	}
	if again := read[migrated](w, "migrate"); again.PublicationCreated || again.SlotCreated || again.SlotLSN != first.SlotLSN {
		t.Errorf("again %+v", again)
	}
	if got := w.text("SELECT count(*)::text FROM " + w.name + ".owner"); got != "0" {
		t.Errorf("%s owners before the first run", got)
	}
	stop := w.start()
	w.settles()
	stop()
	if out := w.ok("migrate"); !strings.Contains(out, "slot         "+w.name+" is there") {
		t.Error(out)
	}
	w.refused("--adopt is for --recreate-slot", "migrate", "--adopt")
	w.refused("--role is for --sql", "migrate", "--role", "x")
	w.refused("there is nothing to recreate", "migrate", "--recreate-slot")
}

// TestMigrateSQLSufficesForALeastPrivilegedRole has a DBA run what is printed,
// and pgcrm do the rest with a role that has nothing else.
func TestMigrateSQLSufficesForALeastPrivilegedRole(t *testing.T) {
	w := newWorld(t)
	role := w.asRole("")
	w.refused("GRANT SELECT ON public.accounts TO "+role, "migrate")
	sql := w.ok("migrate", "--sql")
	w.exec(sql)
	if again := w.ok("migrate", "--sql"); strings.Contains(again, "CREATE") || strings.Contains(again, "ALTER") || !strings.Contains(again, "GRANT SELECT, INSERT") {
		t.Errorf("nothing but grants is left to do:\n%s", again)
	}
	if out := w.ok("migrate"); !strings.Contains(out, "slot         "+w.name+" created") || !strings.Contains(out, "publication  "+w.name+" is there") {
		t.Error(out)
	}
	w.ok("check")
	stop := w.start()
	w.exec(`UPDATE accounts SET name = 'Renamed' WHERE id = 3`)
	w.settles()
	stop()
	w.holds("3", "name", "Renamed")
	if got := w.text(`SELECT coalesce(string_agg(nspname::text, ','), '') FROM pg_namespace WHERE pg_get_userbyid(nspowner) = $1`, role); got != "" {
		t.Errorf("the role owns %s", got)
	}
}

// holds looks into the CRM.
func (w *world) holds(account, property, want string) {
	w.t.Helper()
	if r, ok := w.portal.Find("companies", "account_id", account); ok {
		if got := r.Properties[property]; got != want {
			w.t.Errorf("company %s: %s is %q, want %q", account, property, got, want)
		}
		return
	}
	w.t.Errorf("there is no company %s", account)
}

func TestRecreateSlotAfterItWasDropped(t *testing.T) {
	for name, clean := range map[string]bool{"after a clean stop": true, "after a crash": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stop := w.start()
			w.refused("an instance runs: replication slot "+w.name+" is held by process", "migrate", "--recreate-slot")
			w.exec(`UPDATE accounts SET seats = 77 WHERE id = 2`)
			w.settles()
			stop()
			if !clean {
				w.exec(`UPDATE ` + w.name + `.state SET clean = false`)
			}
			w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
			w.exec(`UPDATE accounts SET name = 'Missed', seats = NULL WHERE id = 2`)

			w.refused("replication slot "+w.name+" does not exist", "run")
			w.refused("migrate --recreate-slot", "migrate")
			// Somebody makes it anew by hand: still nobody guesses.
			w.exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, w.name)
			w.refused("made anew", "run")

			done := read[migrated](w, "migrate", "--recreate-slot")
			if !done.SlotCreated || len(done.Loads) != 1 || done.Loads[0] != "public.accounts" || (done.Distrusted > 0) == clean {
				t.Errorf("%+v", done)
			}
			if got := w.text(`SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, w.name); got != done.SlotLSN {
				t.Errorf("the slot begins at %s, not %s", got, done.SlotLSN)
			}
			if got := w.text("SELECT checkpoint::text || ' ' || bound FROM " + w.name + ".state"); got != done.SlotLSN+" "+done.SlotLSN {
				t.Errorf("checkpoint and bound are %s, not %s", got, done.SlotLSN)
			}
			w.refused("nothing to recreate", "migrate", "--recreate-slot")
			// What an instance may have sent before it was killed.
			three, _ := w.portal.Find("companies", "account_id", "3")
			if err := w.portal.Edit("companies", three.ID, map[string]string{"name": "Sent, and never settled"}); err != nil {
				t.Fatal(err)
			}
			stop = w.start()
			w.settles()
			stop()
			w.holds("2", "name", "Missed")
			w.holds("2", "seats", "")
			if clean {
				w.holds("3", "name", "Sent, and never settled") // somebody's edit: only differences are sent
			} else {
				w.holds("3", "name", "Company 3")
			}
		})
	}
}

func TestRecreateSlotIsForItsOwner(t *testing.T) {
	w := newWorld(t)
	w.start()()
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	w.exec(`UPDATE ` + w.name + `.owner SET system_id = '7300000000000000001'`)
	w.refused("the state belongs to another Postgres server", "migrate", "--recreate-slot")
	if done := read[migrated](w, "migrate", "--recreate-slot", "--adopt"); !done.SlotCreated {
		t.Errorf("%+v", done)
	}
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	w.exec(`UPDATE ` + w.name + `.owner SET timeline = 9`)
	w.exec(`UPDATE ` + w.name + `.state SET checkpoint = 'FF/0', bound = 'FF/0'`)
	w.refused("does not exist", "run")
	w.ok("migrate", "--recreate-slot")
	w.ok("check")
}
