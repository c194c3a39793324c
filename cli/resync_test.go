package cli

import (
	"strings"
	"testing"
)

// TestResyncMakesALostSlotGood loses the slot in several ways while changes,
// deletions among them, go on.
func TestResyncMakesALostSlotGood(t *testing.T) {
	for name, lose := range map[string]string{
		"dropped":               `SELECT pg_drop_replication_slot('NAME')`,
		"dropped and made anew": `SELECT pg_drop_replication_slot('NAME'); SELECT pg_create_logical_replication_slot('NAME', 'pgoutput')`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, worldSchema, strings.Replace(worldMapping, "    properties:", "    on_delete: archive\n    properties:", 1))
			w.start()()
			w.exec(`DELETE FROM accounts WHERE id = 4`)
			w.exec(`UPDATE accounts SET name = 'Missed' WHERE id = 2`)
			for _, sql := range strings.Split(strings.ReplaceAll(lose, "NAME", w.name), "; ") {
				w.exec(sql)
			}
			w.exec(`DELETE FROM accounts WHERE id = 5`)
			w.exec(`INSERT INTO accounts VALUES (4, 'Back again')`)
			w.refused("migrate --recreate-slot", "run")
			w.env["PGCRM_ON_SLOT_LOSS"] = "resync"
			stop := w.start()
			w.eventually(func() string {
				if _, there := w.portal.Find("companies", "account_id", "5"); there {
					return "company 5 is still there"
				}
				return ""
			})
			w.settles()
			stop()
			w.holds("2", "name", "Missed")
			w.holds("4", "name", "Back again")
			w.holds("3", "name", "Company 3")
			if got := w.text(`SELECT string_agg(reason || ' ' || coalesce(array_to_string(keys, ','), 'all'), '; ' ORDER BY id) FROM ` + w.name + `.backfill`); got != "first_load all; slot_recreated all; gone_rows all; row_gone 5" {
				t.Errorf("loads: %s", got)
			}
		})
	}
}

func TestResyncOfAnEmptyTableDeletesNothing(t *testing.T) {
	w := newWorldWith(t, worldSchema, strings.Replace(worldMapping, "    properties:", "    on_delete: archive\n    properties:", 1))
	w.start()()
	w.exec(`TRUNCATE accounts`)
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	if done := read[migrated](w, "migrate", "--recreate-slot"); len(done.Gone) != 1 || len(done.Loads) != 1 {
		t.Errorf("%+v", done)
	}
	stop := w.start()
	w.exec(`INSERT INTO accounts VALUES (1, 'After')`)
	w.settles()
	stop()
	w.holds("1", "name", "After")
	w.holds("5", "name", "Company 5")
}

// TestARowThatTookARecordOverKeepsIt: the row that had the record before is gone,
// and the record is another row's now, though nothing of it was to be sent.
func TestARowThatTookARecordOverKeepsIt(t *testing.T) {
	mapping := strings.NewReplacer("{account_id: id}", "{account_id: seats}", "      seats: seats\n", "", "    properties:", "    on_delete: archive\n    properties:").Replace(worldMapping)
	w := newWorldWith(t, worldSchema, mapping)
	w.exec(`DELETE FROM accounts WHERE id > 10`) // which would leave letters
	w.start()()
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	w.exec(`DELETE FROM accounts WHERE id IN (5, 6)`)
	w.exec(`INSERT INTO accounts VALUES (105, 'Company 5', NULL, 'free', 5)`)
	w.ok("migrate", "--recreate-slot")
	stop := w.start()
	w.eventually(func() string {
		if w.company(6) != nil {
			return "company 6 is still there"
		}
		return ""
	})
	w.settles()
	w.holds("5", "name", "Company 5")
	w.exec(`DELETE FROM accounts WHERE id = 105`)
	w.eventually(func() string {
		if w.company(5) != nil {
			return "company 5 is still there"
		}
		return ""
	})
	stop()
}

// TestResyncIsNoWayIntoAnothersState: the option concerns a lost slot, and no
// more.
func TestResyncIsNoWayIntoAnothersState(t *testing.T) {
	w := newWorld(t)
	w.start()()
	w.env["PGCRM_ON_SLOT_LOSS"] = "resync"
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	w.exec(`UPDATE ` + w.name + `.owner SET system_id = '7300000000000000001'`)
	w.refused("the state belongs to another Postgres server", "run")
	w.exec(`UPDATE ` + w.name + `.owner SET portal_id = '42', system_id = (SELECT system_identifier::text FROM pg_control_system())`)
	w.refused("the state belongs to the HubSpot portal 42", "run")
	if got := w.text(`SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = $1`, w.name); got != "0" {
		t.Error("a slot was made")
	}
}
