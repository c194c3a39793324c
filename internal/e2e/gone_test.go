package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const goneSchema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, notes text, deleted_at timestamptz);
ALTER TABLE accounts ALTER notes SET STORAGE EXTERNAL;
INSERT INTO accounts SELECT g, 'Account ' || g FROM generate_series(1, 4) AS g;
UPDATE accounts SET deleted_at = now() WHERE id = 4;
`

func (w *world) archived(p *process, id any) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		if w.company(id) != nil {
			return "the company is still there"
		}
		return ""
	})
}

func TestARowThatIsGoneArchivesWhatWasDeliveredFromIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    when: "deleted_at == nil"
    on_delete: archive
    properties: {name: name}
`, hubspotsim.Unique("account_id"))
	w.seed(5)
	p := w.start()
	w.streams(p)
	w.arrives(p, 1, "name=Account 1")
	w.arrives(p, 3, "name=Account 3")
	if why := w.lacks(4, "name="); why != "" {
		t.Errorf("a row that never satisfied the condition was delivered: %s", why)
	}

	w.exec("UPDATE accounts SET deleted_at = now() WHERE id = 1")
	w.archived(p, 1)
	w.exec("DELETE FROM accounts WHERE id = 2")
	w.archived(p, 2)
	// Nothing was delivered from 4 and 5: they are not pgcrm's to archive.
	w.exec("DELETE FROM accounts WHERE id = 4")
	w.exec("INSERT INTO accounts VALUES (5, 'Account 5', NULL, now())")
	w.exec("DELETE FROM accounts WHERE id = 5")
	// A row that moves between partitions is deleted and inserted in one transaction.
	w.exec("DELETE FROM accounts WHERE id = 3; INSERT INTO accounts VALUES (3, 'Moved')")
	w.arrives(p, 3, "name=Moved")
	for _, id := range []int{4, 5} {
		if w.company(id) == nil {
			t.Errorf("company %d was archived", id)
		}
	}
	for _, e := range w.portal.Journal(0) {
		if e.Source == "archive" && e.ID == w.company(3)["hs_object_id"] {
			t.Error("the company of the row that moved was archived")
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Two tables feed a record: each deletion counts for the record that was
// delivered from that row, whichever table was the last.
func TestARowThatIsGoneIsOneOfTwoTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TABLE accounts (id bigint PRIMARY KEY, account bigint, name text);
CREATE TABLE billing (id text PRIMARY KEY, account bigint, plan text);
ALTER TABLE billing REPLICA IDENTITY FULL;
INSERT INTO accounts SELECT 100 + g, g, 'Account ' || g FROM generate_series(1, 4) AS g;
`, `
version: 1
tables:
  accounts:
    match: {account_id: account}
    on_delete: {set: {customer_state: churned}}
    properties: {name: name, customer_state: {const: active}}
  billing:
    match: {account_id: account}
    on_delete: {set: {customer_plan: none}}
    properties: {customer_plan: plan}
`, hubspotsim.Unique("account_id"), hubspotsim.Enum("customer_state", "active", "churned"), hubspotsim.Enum("customer_plan", "none", "pro"))
	w.seed(4)
	p := w.start()
	w.streams(p)
	w.exec("INSERT INTO billing SELECT 'b' || g, g, 'pro' FROM generate_series(1, 3) AS g")
	for id := 1; id <= 3; id++ {
		w.arrives(p, id, "customer_state=active", "customer_plan=pro")
	}
	// Billing was the last to deliver 1: its account counts all the same, and only
	// with what its own mapping says.
	w.exec("DELETE FROM accounts WHERE account = 1")
	w.arrives(p, 1, "customer_state=churned", "customer_plan=pro")
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE account = 2")
	w.arrives(p, 2, "name=Renamed")
	w.exec("DELETE FROM billing WHERE id = 'b2'")
	w.arrives(p, 2, "customer_state=active", "customer_plan=none")
	// A row that has another key now is the one that was delivered.
	w.exec("UPDATE accounts SET id = 777 WHERE account = 3")
	w.settles(p)
	w.exec("DELETE FROM accounts WHERE id = 777")
	w.arrives(p, 3, "customer_state=churned", "customer_plan=pro")
	// Nothing was delivered from this one: its value is refused.
	w.exec("INSERT INTO billing VALUES ('b4', 4, 'unheard of')")
	w.settles(p)
	w.exec("DELETE FROM billing WHERE id = 'b4'")
	w.settles(p)
	if why := w.lacks(4, "customer_plan="); why != "" {
		t.Errorf("a row that nothing was delivered from counts as delivered: %s", why)
	}
}

func TestARowThatIsGoneSetsWhatTheMappingSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    when: "deleted_at == nil"
    on_delete: {set: {customer_state: churned}}
    properties: {name: name, customer_state: {const: active}}
`, hubspotsim.Unique("account_id"), hubspotsim.Enum("customer_state", "active", "churned"))
	w.seed(4)
	p := w.start()
	w.streams(p)
	w.arrives(p, 1, "customer_state=active", "name=Account 1")
	w.exec("UPDATE accounts SET deleted_at = now() WHERE id = 1")
	w.arrives(p, 1, "customer_state=churned", "name=Account 1")
	w.exec("DELETE FROM accounts WHERE id = 2")
	w.arrives(p, 2, "customer_state=churned")
	w.exec("UPDATE accounts SET deleted_at = NULL, name = 'Back' WHERE id = 1")
	w.arrives(p, 1, "customer_state=active", "name=Back")
	if why := w.lacks(4, "customer_state="); why != "" {
		t.Error(why)
	}
}

func TestARowFirstSeenInAnUpdateIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, account_notes: notes}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("account_notes")).with("PGCRM_BACKFILL=false")
	w.seed(4)
	notes := strings.Repeat("long and out of line ", 200)
	w.exec("UPDATE accounts SET notes = $1 WHERE id = 1", notes)
	p := w.start()
	w.streams(p)
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 1")
	w.arrives(p, 1, "name=Renamed", "account_notes="+notes)
	if why := w.lacks(2, "name="); why != "" {
		t.Errorf("PGCRM_BACKFILL=false: %s", why)
	}
}

func TestAMissingRecordIsLookedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, account_notes: notes}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("account_notes")).with("PGCRM_RECHECK_MISSING=1s")
	w.seed(3)
	notes := strings.Repeat("long and out of line ", 200)
	w.exec("UPDATE accounts SET notes = $1 WHERE id = 4", notes)
	p := w.start()
	w.streams(p)
	eventually(t, patience, func() string {
		p.alive()
		if got := w.letters(); len(got) != 1 {
			return strings.Join(got, "; ")
		}
		return ""
	})
	if _, err := w.portal.Seed("companies", map[string]string{"account_id": "4"}); err != nil {
		t.Fatal(err)
	}
	w.arrives(p, 4, "name=Account 4", "account_notes="+notes)
	eventually(t, patience, func() string {
		p.alive()
		return strings.Join(w.letters(), "; ")
	})
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name}
`, hubspotsim.Unique("account_id")).with("PGCRM_DRY_RUN=true")
	w.seed(4)
	url := w.listening()
	p := w.start()
	eventually(t, patience, func() string {
		p.alive()
		code, body, err := get(t.Context(), url+"/readyz")
		if err == nil && code == 200 {
			return ""
		}
		return fmt.Sprint("not ready: ", code, body, err)
	})
	w.exec("UPDATE accounts SET name = 'Other' WHERE id <= 3")
	eventually(t, patience, func() string {
		p.alive()
		_, body, _ := get(t.Context(), url+"/metrics")
		if !strings.Contains(body, `pgcrm_records_total{object="companies",outcome="would_deliver"} 3`) {
			return "three records would be delivered, and are not counted:\n" + grep(body, "pgcrm_records_total", "pgcrm_changes_total")
		}
		return ""
	})
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.log)
	}
	if n := w.calls("update") + w.calls("upsert") + w.calls("create"); n != 0 {
		t.Errorf("%d calls that write", n)
	}
	eventually(t, patience, func() string { // the server notices soon that nobody is there
		return w.query("SELECT string_agg(slot_name, ' ') || ' is left' FROM pg_replication_slots WHERE slot_name LIKE $1 || '%'", w.name)
	})
	if got := w.query("SELECT count(*)::text FROM pg_namespace WHERE nspname = $1", w.name); got != "0" {
		t.Error("a state schema was made")
	}
}

// grep picks the lines that hold one of the words.
func grep(text string, words ...string) string {
	var found []string
	for line := range strings.Lines(text) {
		for _, word := range words {
			if strings.Contains(line, word) && !strings.HasPrefix(line, "#") {
				found = append(found, line)
			}
		}
	}
	return strings.Join(found, "")
}
