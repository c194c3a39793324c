package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestOneBadValueParksAlone: an option was taken away in the portal while the
// program runs. Of a hundred records the one that has it lacks that property
// alone, until a good value comes.
func TestOneBadValueParksAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneTable, oneMapping, hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "free", "team", "old"), hubspotsim.Number("seats"))
	w.seed(100)
	url := w.listening()
	p := w.start()
	w.streams(p)
	if err := w.portal.Define("companies", hubspotsim.Enum("plan", "free", "team")); err != nil {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO accounts SELECT i, 'Account ' || i, CASE i WHEN 42 THEN 'old' ELSE 'free' END, i FROM generate_series(1, 100) i`)
	for id := 1; id <= 100; id++ {
		plan := "free"
		if id == 42 {
			plan = ""
		}
		w.arrives(p, id, "name=Account "+strconv.Itoa(id), "plan="+plan, "seats="+strconv.Itoa(id))
	}
	w.settles(p)
	if diff := cmp.Diff([]string{"public.accounts 42 plan invalid_option"}, w.letters()); diff != "" {
		t.Errorf("letters -want +got\n%s", diff)
	}
	eventually(t, patience, func() string { // it is counted now and then
		if got := metric(t, url, `pgcrm_parked_records{reason="invalid_option"}`); got != "1" {
			return "parked_records is " + got
		}
		return ""
	})
	w.exec(`UPDATE accounts SET seats = 1042 WHERE id = 42`)
	w.arrives(p, 42, "seats=1042", "plan=")
	w.settles(p)
	if got := w.letters(); len(got) != 1 {
		t.Errorf("another property's change closed the letter: %q", got)
	}
	w.exec(`UPDATE accounts SET plan = 'team' WHERE id = 42`)
	w.arrives(p, 42, "plan=team")
	w.settles(p)
	if got := w.letters(); len(got) != 0 {
		t.Errorf("letters are open: %q", got)
	}
}

// TestMissingRecordIsParked and delivered whole once it exists.
func TestMissingRecordIsParked(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	w.env["PGCRM_RECHECK_MISSING"] = "1s"
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1), (2, 'Two', 'team', 2)`)
	p := w.start()
	w.arrives(p, 1, "name=One")
	eventually(t, patience, func() string {
		p.alive()
		return cmp.Diff([]string{"public.accounts 2 - not_found"}, w.letters())
	})
	if n := w.portal.Count("companies"); n != 1 {
		t.Errorf("%d companies: one was created", n)
	}
	w.exec(`UPDATE accounts SET seats = 22 WHERE id = 2`)
	w.settles(p)
	w.seed2("account_id", "2")
	w.arrives(p, 2, "name=Two", "plan=team", "seats=22")
	eventually(t, patience, func() string { p.alive(); return strings.Join(w.letters(), "\n") })
}

// seed2 makes one company.
func (w *world) seed2(pairs ...string) string {
	w.t.Helper()
	company := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		company[pair[0]] = pair[1]
	}
	ids, err := w.portal.Seed("companies", company)
	if err != nil {
		w.t.Fatal(err)
	}
	return ids[0]
}

// TestNull: what the CRM held before is left alone, what was delivered is
// cleared.
func TestNull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE accounts (id bigint PRIMARY KEY, a text, b text, c text)`, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {a: a, b: {column: b, on_null: keep}, c: {column: c, on_null: overwrite}}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("a"), hubspotsim.Text("b"), hubspotsim.Text("c"))
	w.seed2("account_id", "1", "a", "held", "b", "held", "c", "held")
	w.exec(`INSERT INTO accounts VALUES (1)`)
	p := w.start()
	w.arrives(p, 1, "a=held", "b=held", "c=")
	w.exec(`UPDATE accounts SET a = 'x', b = 'x', c = 'x'`)
	w.arrives(p, 1, "a=x", "b=x", "c=x")
	w.exec(`UPDATE accounts SET a = NULL, b = NULL, c = NULL`)
	w.arrives(p, 1, "a=", "b=x", "c=")
}

// TestWhatCostsNoCall: changes that alter no mapped property, and TRUNCATE.
func TestWhatCostsNoCall(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.exec(`ALTER TABLE accounts ADD seen timestamptz`)
	w.seed(2)
	url := w.listening()
	p := w.start()
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1), (2, 'Two', 'team', 2)`)
	w.arrives(p, 1, "name=One")
	w.arrives(p, 2, "name=Two")
	w.settles(p)
	calls, since := w.calls("update"), w.portal.Stats().Journal
	w.exec(`UPDATE accounts SET seen = now()`)
	w.exec(`UPDATE accounts SET name = name, plan = plan`)
	w.exec(`TRUNCATE accounts`)
	w.exec(`INSERT INTO accounts VALUES (2, 'Two', 'team', 3)`)
	w.arrives(p, 2, "name=Two", "plan=team", "seats=3")
	w.settles(p)
	if got := w.calls("update") - calls; got != 1 {
		t.Errorf("%d calls, not 1", got)
	}
	if diff := cmp.Diff([]string{"seats=3"}, w.writes(2, since)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := w.writes(1, since); got != nil {
		t.Errorf("company 1 was written: %q", got)
	}
	if why := w.lacks(1, "name=One", "plan=free", "seats=1"); why != "" {
		t.Error(why)
	}
	for series, want := range map[string]string{
		`pgcrm_changes_total{op="truncate",table="public.accounts"}`: "1",
		`pgcrm_changes_total{op="update",table="public.accounts"}`:   "4",
	} {
		if got := metric(t, url, series); got != want {
			t.Errorf("%s is %q, not %s", series, got, want)
		}
	}
}

// TestShapesOfMappings: several tables for one record, names that need quotes,
// the record id as match, a dated API version, a mapping in JSON, and libpq's
// variables.
func TestShapesOfMappings(t *testing.T) {
	t.Parallel()
	properties := []hubspotsim.Property{hubspotsim.Unique("account_id"), hubspotsim.Text("plan"), hubspotsim.Number("seats"), hubspotsim.Number("mrr")}
	t.Run("several tables, one record", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, `CREATE TABLE accounts (id bigint PRIMARY KEY, name text); CREATE SCHEMA billing;
			CREATE TABLE billing.subscriptions (account bigint PRIMARY KEY, mrr numeric)`, `
version: 1
tables:
  accounts: {match: {account_id: id}, properties: {name: name}}
  billing.subscriptions: {match: {account_id: account}, properties: {mrr: mrr}}
`, properties...)
		w.seed(2)
		w.exec(`INSERT INTO accounts VALUES (1, 'One'); INSERT INTO billing.subscriptions VALUES (1, 12.50)`)
		p := w.start()
		w.arrives(p, 1, "name=One", "mrr=12.50")
		w.exec(`INSERT INTO accounts VALUES (2, 'Two'); INSERT INTO billing.subscriptions VALUES (2, 7); UPDATE billing.subscriptions SET mrr = 13 WHERE account = 1`)
		w.arrives(p, 1, "name=One", "mrr=13")
		w.arrives(p, 2, "name=Two", "mrr=7")
	})
	t.Run("quoted names", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, `CREATE SCHEMA "My App"; CREATE TABLE "My App"."Account ""s""" ("Id" bigint PRIMARY KEY, "Full Name" text, "select" text)`, `
version: 1
tables:
  '"My App"."Account ""s"""':
    match: {account_id: Id}
    properties: {name: Full Name, plan: select}
`, properties...)
		w.seed(2)
		w.exec(`INSERT INTO "My App"."Account ""s""" VALUES (1, 'One', 'free')`)
		p := w.start()
		w.arrives(p, 1, "name=One", "plan=free")
		w.exec(`INSERT INTO "My App"."Account ""s""" VALUES (2, 'Zwei', 'größer')`)
		w.arrives(p, 2, "name=Zwei", "plan=größer")
	})
	t.Run("record id", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, `CREATE TABLE accounts (id int PRIMARY KEY, hubspot_id bigint, plan text)`, `
version: 1
tables:
  accounts: {match: {hs_object_id: hubspot_id}, properties: {plan: plan}}
`, properties...)
		a, b := w.seed2("account_id", "1"), w.seed2("account_id", "2")
		w.exec(`INSERT INTO accounts VALUES (10, $1::text::bigint, 'free')`, a)
		p := w.start()
		w.arrives(p, 1, "plan=free")
		w.exec(`INSERT INTO accounts VALUES (11, $1::text::bigint, 'team'), (12, NULL, 'none')`, b)
		w.arrives(p, 2, "plan=team")
		w.settles(p)
		if got := w.letters(); len(got) != 0 {
			t.Errorf("letters: %q", got)
		}
	})
	t.Run("dated version, JSON, PG variables", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, oneTable, `{"version": 1, "tables": {"accounts": {"match": {"account_id": "id"}, "properties": {"plan": "plan"}}}}`, properties...)
		w.seed(1)
		_, rest, _ := strings.Cut(w.url, "@127.0.0.1:")
		port, rest, _ := strings.Cut(rest, "/")
		database, _, _ := strings.Cut(rest, "?")
		w.env = w.with("PGCRM_DATABASE_URL=", "HUBSPOT_API_VERSION=2026-03", "PGHOST=127.0.0.1", "PGPORT="+port, "PGUSER=postgres",
			"PGPASSWORD="+passwordOf(w.url), "PGDATABASE="+database, "PGSSLMODE=disable").env
		p := w.start()
		w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
		w.arrives(p, 1, "plan=free")
	})
	t.Run("files", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, oneTable, oneMapping, properties...)
		w.seed(1)
		dir := t.TempDir()
		for name, value := range map[string]string{"PGCRM_DATABASE_URL": w.url, "PGCRM_MAPPING": oneMapping, "HUBSPOT_ACCESS_TOKEN": hubspotsim.DefaultToken, "HUBSPOT_BASE_URL": w.crm} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			w.env = w.with(name+"=", name+"_FILE="+path).env
		}
		p := w.start()
		w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
		w.arrives(p, 1, "plan=free")
	})
}

// TestNoBackfill: rows that exist are not sent before they change.
func TestNoBackfill(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(2)
	w.env["PGCRM_BACKFILL"] = "false"
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
	p := w.start()
	w.streams(p)
	w.exec(`INSERT INTO accounts VALUES (2, 'Two', 'team', 2)`)
	w.arrives(p, 2, "name=Two")
	w.settles(p)
	if why := w.lacks(1, "name=", "plan=", "seats="); why != "" {
		t.Error(why)
	}
	w.exec(`UPDATE accounts SET seats = 5 WHERE id = 1`)
	w.arrives(p, 1, "seats=5")
}

// TestMappingGrows: a property that is added is sent for the rows that exist, and
// nothing else of them.
func TestMappingGrows(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(3)
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1), (2, 'Two', 'team', NULL), (3, 'Three', NULL, 3)`)
	full := w.env["PGCRM_MAPPING"]
	mapped("      seats: seats\n", "")(w)
	p := w.start()
	for id, name := range map[int]string{1: "One", 2: "Two", 3: "Three"} {
		w.arrives(p, id, "name="+name, "seats=")
	}
	eventually(t, patience, func() string {
		if !p.log.contains("backfill_finished") {
			return "still loading"
		}
		return ""
	})
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	since := w.portal.Stats().Journal
	w.env["PGCRM_MAPPING"] = full
	p = w.start()
	w.arrives(p, 1, "seats=1")
	w.arrives(p, 3, "seats=3")
	eventually(t, patience, func() string {
		if !p.log.contains("backfill_finished") {
			return "still loading"
		}
		return ""
	})
	for id, want := range map[int][]string{1: {"seats=1"}, 2: nil, 3: {"seats=3"}} {
		if diff := cmp.Diff(want, w.writes(id, since)); diff != "" {
			t.Errorf("company %d -want +got\n%s", id, diff)
		}
	}
}

// TestStateElsewhere keeps the state on another server.
func TestStateElsewhere(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	other := pgtest.New(t, "shared_buffers", "16MB", "wal_level", "replica")
	w.env["PGCRM_STATE_DATABASE_URL"] = other.URL("postgres")
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
	p := w.start()
	w.arrives(p, 1, "name=One")
	w.exec(`UPDATE accounts SET name = 'Eins'`)
	w.arrives(p, 1, "name=Eins")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := w.query(`SELECT nspname::text FROM pg_namespace WHERE nspname = $1`, w.name); got != "" {
		t.Error("there is a state schema in the source as well")
	}
	var n int
	err := connect(t, other.URL("postgres")).QueryRow(t.Context(), fmt.Sprintf("SELECT count(*) FROM %s.record", w.name)).Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d records in the state (%v)", n, err)
	}
	since := w.portal.Stats().Journal
	p = w.start()
	w.streams(p)
	w.exec(`UPDATE accounts SET name = 'Uno'`)
	w.arrives(p, 1, "name=Uno")
	if diff := cmp.Diff([]string{"name=Uno"}, w.writes(1, since)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
