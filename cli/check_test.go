package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// checked runs `pgcrm check -o json`.
func (w *world) checked() (list []finding, code int) {
	w.t.Helper()
	o := w.run("check", "-o", "json")
	if err := json.Unmarshal([]byte(o.stdout), &list); err != nil {
		w.t.Fatalf("%v\n%s%s", err, o.stdout, o.stderr)
	}
	return list, o.code
}

// finds looks for a finding of the name and status that holds the text.
func (w *world) finds(list []finding, name, status, text string) {
	w.t.Helper()
	var all strings.Builder
	for _, f := range list {
		if f.Name == name && f.Status == status && f.OK == (status != "wrong") && strings.Contains(f.Detail+": "+f.Mend, text) {
			return
		}
		fmt.Fprintf(&all, "%s %s: %s: %s\n", f.Status, f.Name, f.Detail, f.Mend)
	}
	w.t.Errorf("no finding %s that is %s with %q in\n%s", name, status, text, &all)
}

func TestCheckBeforeTheFirstRun(t *testing.T) {
	w := newWorld(t)
	list, code := w.checked()
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	for name, text := range map[string]string{
		"configuration": "every variable can be read", "mapping": "1 mapping of 1 table, which suit", "scope": "companies can be written",
		"portal": "time zone", "quota": "calls are left today", "wal_level": "logical", "slot": "can be created", "publication": "can be created",
		"table": "public.accounts can be followed", "state": "can be created in database", "replica_identity": "FULL would add the old name, plan, seats",
	} {
		w.finds(list, name, "ok", text)
	}
	if got := w.text(`SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1) || ' '
		|| (SELECT count(*) FROM pg_publication) || ' ' || (SELECT count(*) FROM pg_namespace WHERE nspname = $1)`, w.name); got != "0 0 0" {
		t.Errorf("it left slots, publications, schemas: %s", got)
	}
	if calls := w.portal.Stats().Calls; calls["companies/batch/create"] > 0 {
		t.Errorf("it created: %v", calls)
	}
	o := w.run("check")
	if o.code != exitDone || !strings.Contains(o.stdout, "✓ wal_level ") || strings.Contains(o.stdout, "✗") || strings.Contains(o.stdout, "\x1b") {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

func TestCheckNamesAllThatIsWrongAtOnce(t *testing.T) {
	w := newWorld(t)
	w.exec(`CREATE TABLE loose (id int); CREATE ROLE ` + w.name + ` LOGIN PASSWORD 'pw'; GRANT SELECT ON accounts TO ` + w.name)
	t.Cleanup(func() { w.exec(`DROP OWNED BY ` + w.name + `; DROP ROLE ` + w.name) })
	w.env["PGCRM_DATABASE_URL"] = strings.Replace(w.env["PGCRM_DATABASE_URL"], w.env["PGCRM_DATABASE_URL"][len("postgres://"):strings.Index(w.env["PGCRM_DATABASE_URL"], "@")], w.name+":pw", 1)
	w.env["PGCRM_MAPPING"] = strings.Replace(worldMapping, "tables:\n", "tables:\n  public.loose: {match: {account_id: id}, properties: {name: id}}\n  public.nowhere: {match: {account_id: id}, properties: {name: id}}\n", 1)
	w.env["HUBSPOT_ACCESS_TOKEN"] = "pat-na1-wrong"
	list, code := w.checked()
	if code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	w.finds(list, "token", "wrong", "HUBSPOT_ACCESS_TOKEN")
	w.finds(list, "table", "wrong", "table public.nowhere does not exist")
	w.finds(list, "table", "wrong", "GRANT SELECT ON public.loose TO "+w.name)
	w.finds(list, "table", "ok", "public.accounts can be followed")
	w.finds(list, "replication", "wrong", "ALTER ROLE "+w.name+" REPLICATION")
	w.finds(list, "publication", "wrong", "let an owner run CREATE PUBLICATION")
	w.finds(list, "state", "wrong", "CREATE SCHEMA "+w.name+" AUTHORIZATION "+w.name)
	o := w.run("check")
	if o.code != exitWrong || !strings.Contains(o.stdout, "✗ replication ") || !strings.Contains(o.stderr, "must be mended before pgcrm run starts") {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if all := o.stdout + o.stderr; strings.Contains(all, "pat-na1-wrong") || strings.Contains(all, ":pw@") {
		t.Errorf("a secret is in\n%s", all)
	}
}

func TestCheckWithLittle(t *testing.T) {
	w := newWorld(t)
	delete(w.env, "HUBSPOT_ACCESS_TOKEN")
	w.env["PGCRM_BATCH"] = "1"
	list, code := w.checked()
	if code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	w.finds(list, "configuration", "wrong", "HUBSPOT_ACCESS_TOKEN")
	w.finds(list, "configuration", "note", "PGCRM_BATCH")
	w.finds(list, "table", "ok", "public.accounts can be followed")

	// What does not suit the tables is said without the portal too, and the other
	// way round.
	w.env["PGCRM_MAPPING"] = "version: 1\ntables: {public.accounts: {match: {account_id: idd}, properties: {nane: name}}}"
	list, _ = w.checked()
	w.finds(list, "mapping", "wrong", "no column idd; did you mean id?")
	w.env["HUBSPOT_ACCESS_TOKEN"] = hubspotsim.DefaultToken
	url := w.env["PGCRM_DATABASE_URL"]
	w.env["PGCRM_DATABASE_URL"] = "postgres://127.0.0.1:1/none"
	list, _ = w.checked()
	w.finds(list, "connection", "wrong", "cannot connect to the database")
	w.finds(list, "mapping", "wrong", "no property nane; did you mean name?")
	w.env["PGCRM_DATABASE_URL"] = url
	w.env["PGCRM_MAPPING"] = strings.Replace(worldMapping, "tables:", "tables:\n  public.none: {match: {account_id: id}, properties: {city: city}}", 1)
	list, _ = w.checked()
	w.finds(list, "table", "wrong", "table public.none does not exist")
	if n := strings.Count(string(mustJSON(t, list)), "public.none does not exist"); n != 1 {
		t.Errorf("that a table does not exist is said %d times", n)
	}
	delete(w.env, "HUBSPOT_ACCESS_TOKEN")

	delete(w.env, "PGCRM_DATABASE_URL")
	w.env["PGCRM_MAPPING"] = "version: 1\ntables: {public.accounts: {match: {account_id: id}, propertys: {}}}"
	list, code = w.checked()
	if code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	w.finds(list, "configuration", "wrong", "PGCRM_DATABASE_URL")
	w.finds(list, "mapping", "wrong", "propertys")

	w.env["PGCRM_BATCH_SIZE"] = "many"
	list, code = w.checked()
	if code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	w.finds(list, "configuration", "wrong", "PGCRM_BATCH_SIZE")
}

func TestCheckBesideARunningInstance(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	list, code := w.checked()
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	w.finds(list, "slot", "ok", "in use by process")
	w.finds(list, "publication", "ok", "publishes the mapped tables")
	w.finds(list, "state", "ok", "accounted for up to")
	stop()

	w.exec(`UPDATE ` + w.name + `.owner SET portal_id = '42', timeline = 7`)
	list, code = w.checked()
	if code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	w.finds(list, "state", "wrong", "the state belongs to the HubSpot portal 42")
	w.finds(list, "state", "wrong", "does not know timeline 7")
	w.exec(`UPDATE ` + w.name + `.owner SET portal_id = '', timeline = 1`)
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	list, _ = w.checked()
	w.finds(list, "state", "wrong", "replication slot "+w.name+" does not exist")
	w.exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, w.name)
	list, _ = w.checked()
	w.finds(list, "state", "wrong", "beyond the stored position")
}
