package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/cdc"
)

// left counts what is there under the world's names.
func (w *world) left() string {
	w.t.Helper()
	return w.text(`SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1) || ' ' || (SELECT count(*) FROM pg_publication WHERE pubname = $1)
		|| ' ' || (SELECT count(*) FROM pg_namespace WHERE nspname = $1)`, w.name)
}

func TestUninstall(t *testing.T) {
	w := newWorld(t)
	if out := w.ok("uninstall"); !strings.Contains(out, "nothing of pgcrm is here") {
		t.Error(out)
	}
	stop := w.start()
	w.refused("an instance runs: process", "uninstall", "--yes")
	stop()
	w.refused("nobody answered", "uninstall")
	if got := w.left(); got != "1 1 1" {
		t.Fatalf("left: %s", got)
	}
	out := w.ok("uninstall", "--yes")
	for _, want := range []string{"slot         " + w.name, "schema       " + w.name + ", with 2 parked records", "slot removed", "publication removed", "schema removed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if got := w.left(); got != "0 0 0" {
		t.Errorf("left: %s", got)
	}
	if got := w.text(`SELECT count(*)::text FROM accounts`); got != "12" {
		t.Errorf("%s accounts are left", got)
	}
	w.start()() // and all over again
}

func TestUninstallLeavesWhatIsOthers(t *testing.T) {
	w := newWorld(t)
	w.exec(`CREATE PUBLICATION ` + w.name + ` FOR TABLE accounts`)
	w.ok("migrate")
	w.exec(`CREATE VIEW parked AS SELECT * FROM ` + w.name + `.letter`)
	w.refused("view parked depends on table "+w.name+".letter", "uninstall", "--yes")
	w.exec(`DROP VIEW parked; CREATE TABLE ` + w.name + `.mine (id int)`)
	out := w.ok("uninstall", "--yes")
	for _, want := range []string{"is not pgcrm's own and stays", "state removed; schema \"" + w.name + "\" stays"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if got := w.left(); got != "0 1 1" {
		t.Errorf("left: %s", got)
	}
	if got := w.text(`SELECT string_agg(tablename::text, ',') FROM pg_tables WHERE schemaname = $1`, w.name); got != "mine" {
		t.Errorf("tables left: %s", got)
	}
	w.exec(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, w.name)
	w.refused("is not pgcrm's", "uninstall", "--yes")
}

func TestUninstallByForce(t *testing.T) {
	w := newWorld(t)
	w.ok("migrate")
	url := w.env["PGCRM_DATABASE_URL"]
	stream, err := cdc.Open(t.Context(), cdc.Config{URL: func(context.Context) (string, error) { return url, nil }, Slot: w.name, Publication: w.name}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close(t.Context())
	w.refused("say --force", "uninstall", "--yes")
	w.ok("uninstall", "--yes", "--force")
	if got := w.left(); got != "0 0 0" {
		t.Errorf("left: %s", got)
	}
}
