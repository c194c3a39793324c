package e2e

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const (
	holdSchema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan text, seats int);
CREATE TABLE places (id bigint PRIMARY KEY, city text);
INSERT INTO accounts SELECT g, 'Account ' || g, 'free', g FROM generate_series(1, 9) AS g;
INSERT INTO places VALUES (1, 'Bonn')`
	holdMapping = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    on_delete: archive
    properties: {name: name, plan: plan, seats: seats}
  places:
    match: {account_id: id}
    properties: {city: city}
`
)

func newHoldWorld(t *testing.T) *world {
	w := newWorld(t, holdSchema, holdMapping, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"), hubspotsim.Number("seats"))
	w.seed(9)
	return w
}

// says waits until a page of the running program answers with the status and all
// the words.
func (w *world) says(p *process, url string, status int, words ...string) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		got, body, err := get(w.t.Context(), url)
		if err != nil {
			return err.Error()
		}
		if got != status {
			return url + " answers " + strconv.Itoa(got) + ": " + body
		}
		for _, word := range words {
			if !strings.Contains(body, word) {
				return word + " is not in " + body
			}
		}
		return ""
	})
}

// TestPGAMappingWaitsForItsColumn takes a column away while rows change. The
// mapping waits and says so, all else goes on, the log is let go; and when the
// column is back the mapping goes on without a further change, nothing lost and
// nothing cleared.
func TestPGAMappingWaitsForItsColumn(t *testing.T) {
	t.Parallel()
	w := newHoldWorld(t)
	url := w.listening()
	p := w.start()
	w.arrives(p, 9, "name=Account 9", "plan=free", "seats=9")
	w.arrives(p, 1, "city=Bonn")
	w.streams(p)
	for i, c := range []struct{ name, away, column, back, seats string }{
		{"renamed", `ALTER TABLE accounts RENAME plan TO tier`, "plan", `ALTER TABLE accounts RENAME tier TO plan`, "1"},
		{
			"retyped", `ALTER TABLE accounts ALTER seats TYPE date USING date '2026-01-01' + seats`, "seats",
			`ALTER TABLE accounts ALTER seats TYPE int USING seats - date '2026-01-01'`, "1",
		},
		{"key renamed", `ALTER TABLE accounts RENAME id TO number`, "id", `ALTER TABLE accounts RENAME number TO id`, "1"},
		{
			"dropped", `ALTER TABLE accounts DROP seats`, "seats",
			`ALTER TABLE accounts ADD seats int; UPDATE accounts SET seats = 70`, "70",
		},
	} {
		name := "while " + c.name
		w.exec(c.away)
		w.exec(`UPDATE accounts SET name = $1 WHERE name = 'Account 1' OR name LIKE 'while%'`, name)
		w.exec(`UPDATE places SET city = $1`, name)
		w.arrives(p, 1, "city="+name)
		w.settles(p)
		w.says(p, url+"/readyz", 200)
		w.says(p, url+"/readyz?strict", 503, "public.accounts", c.column)
		w.says(p, url+"/api/status", 200, "public.accounts", c.column)
		if v := metric(t, url, `pgcrm_paused{reason="mapping"}`); v != "1" {
			t.Errorf("%s: paused is %s", c.name, v)
		}
		if out := w.pgcrm(0, "status"); !strings.Contains(out, c.column) {
			t.Errorf("%s: status says\n%s", c.name, out)
		}
		if why := w.lacks(1, "plan=free", "seats=1"); why != "" {
			t.Errorf("%s: %s", c.name, why)
		}
		if c.column != "id" { // a deletion takes no more than the key
			w.exec(`DELETE FROM accounts WHERE id = $1`, 9-i)
			w.archived(p, 9-i)
		}
		w.exec(c.back)
		w.arrives(p, 1, "name="+name, "plan=free", "seats="+c.seats)
		w.says(p, url+"/readyz?strict", 200)
	}
	w.exec(`UPDATE accounts SET plan = 'enterprise' WHERE id = 2`)
	w.arrives(p, 2, "plan=enterprise", "name=Account 2", "seats=70")
	for _, e := range w.portal.Journal(0) {
		for _, prop := range e.Properties {
			if prop.Value == "" && prop.Name == "plan" {
				t.Errorf("%s of %s was cleared", prop.Name, e.ID)
			}
		}
	}
	if got := w.letters(); len(got) > 0 {
		t.Errorf("letters %q", got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGAMappingWaitsThroughARestart: what is owed is in the ledger. A start
// without the column is refused as any mapping that does not fit.
func TestPGAMappingWaitsThroughARestart(t *testing.T) {
	t.Parallel()
	w := newHoldWorld(t)
	p := w.start()
	w.arrives(p, 9, "name=Account 9")
	w.streams(p)
	w.exec(`ALTER TABLE accounts RENAME plan TO tier`)
	w.exec(`UPDATE accounts SET name = 'owed', tier = 'enterprise' WHERE id = 1`)
	w.exec(`UPDATE places SET city = 'Köln'`)
	w.arrives(p, 1, "city=Köln")
	w.settles(p)
	p.kill()
	w.refusesToRun("column plan", "accounts")
	w.exec(`UPDATE accounts SET name = 'in the log', tier = 'trial' WHERE id = 2`)
	w.exec(`ALTER TABLE accounts RENAME tier TO plan`)
	p = w.start()
	w.arrives(p, 1, "name=owed", "plan=enterprise", "seats=1")
	w.arrives(p, 2, "name=in the log", "plan=trial", "seats=2")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGValuesThatChangeWithoutAWordInTheLog: an ALTER rewrites a column in its own
// type, a label of an enum is renamed; while pgcrm runs, and while it does not.
func TestPGValuesThatChangeWithoutAWordInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TYPE tier AS ENUM ('free', 'paid');
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan tier);
INSERT INTO accounts VALUES (1, 'One', 'free'), (2, 'Two', 'paid')`, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, plan: plan}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(2)
	p := w.start()
	w.arrives(p, 2, "name=Two", "plan=paid")
	w.streams(p)
	w.loaded(p)
	w.exec(`ALTER TABLE accounts ALTER name TYPE text USING upper(name)`)
	w.arrives(p, 1, "name=ONE", "plan=free")
	w.arrives(p, 2, "name=TWO", "plan=paid")
	w.loaded(p)
	w.exec(`ALTER TYPE tier RENAME VALUE 'free' TO 'gratis'`)
	w.arrives(p, 1, "plan=gratis")
	w.loaded(p)
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w.exec(`ALTER TYPE tier ADD VALUE 'trial'`)
	w.exec(`ALTER TYPE tier RENAME VALUE 'paid' TO 'premium'; ALTER TABLE accounts ALTER name TYPE text USING lower(name)`)
	p = w.start()
	w.arrives(p, 1, "name=one", "plan=gratis")
	w.arrives(p, 2, "name=two", "plan=premium")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGColumnsComeAndGoInOneTransaction: each row is read by the columns that
// it had when it was written.
func TestPGColumnsComeAndGoInOneTransaction(t *testing.T) {
	t.Parallel()
	w := newHoldWorld(t)
	p := w.start()
	w.arrives(p, 9, "name=Account 9")
	w.streams(p)
	w.exec(`
UPDATE accounts SET name = 'before', seats = 10 WHERE id < 9;
ALTER TABLE accounts ADD junk text DEFAULT 'x';
UPDATE accounts SET seats = 11 WHERE id IN (1, 2);
ALTER TABLE accounts ALTER seats TYPE numeric;
UPDATE accounts SET seats = 12.5 WHERE id = 2;
ALTER TABLE accounts RENAME plan TO tier;
UPDATE accounts SET name = 'without', tier = 'trial' WHERE id IN (3, 4);
ALTER TABLE accounts RENAME tier TO plan;
UPDATE accounts SET name = 'after' WHERE id = 4;
ALTER TABLE accounts DROP junk`)
	w.arrives(p, 1, "name=before", "seats=11", "plan=free")
	w.arrives(p, 2, "name=before", "seats=12.5", "plan=free")
	w.arrives(p, 3, "name=without", "plan=trial")
	w.arrives(p, 4, "name=after", "plan=trial")
	w.arrives(p, 5, "name=before", "plan=free")
	w.settles(p)
	if got := w.letters(); len(got) > 0 {
		t.Errorf("letters %q", got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
