package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// nextIsLate has the next update take effect after its sender has given it up.
func nextIsLate() hubspotsim.Fault {
	return hubspotsim.Fault{Op: "update", Effect: hubspotsim.Late, Delay: hubspotsim.Duration(1500 * time.Millisecond), Times: 1}
}

// twoTables is a mapping of two tables that feed one record.
const twoTables = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name}
  usage:
    match: {account_id: account_id}
    properties: {account_notes: notes}
`

// TestALateRequestIsRepaired: a request whose answer was lost takes effect after
// newer values were written. No fence keeps it from doing so; the record is sent
// once more when the window is over.
func TestALateRequestIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name}
`, hubspotsim.Unique("account_id")).with("PGCRM_LATE_WINDOW=3s", "PGCRM_FLUSH_INTERVAL=0")
	w.seed(4)
	p := w.start()
	w.streams(p)
	w.arrives(p, 1, "name=Account 1")

	w.fault(nextIsLate())
	w.exec("UPDATE accounts SET name = 'first' WHERE id = 1")
	w.arrives(p, 1, "name=first")
	w.exec("UPDATE accounts SET name = 'second' WHERE id = 1")
	w.arrives(p, 1, "name=second")
	// In the log it happened long ago; only the list of records in doubt knows.
	w.settlesLate(p)
	if why := w.lacks(1, "name=second"); why != "" {
		t.Error(why)
	}
}

// settlesLate waits until the late request has taken effect and the records in doubt
// were sent once more.
func (w *world) settlesLate(p *process) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		for _, e := range w.portal.Journal(0) {
			if e.Late {
				return ""
			}
		}
		return "the late request has not taken effect yet"
	})
	eventually(w.t, patience, func() string {
		p.alive()
		if got := w.query("SELECT count(*)::text FROM " + w.name + ".doubt"); got != "0" {
			return got + " rows are in doubt"
		}
		if got := w.query("SELECT coalesce(bool_and(state = 'done'), false)::text FROM " + w.name + ".backfill WHERE reason = 'late'"); got != "true" {
			return "the records were not sent once more"
		}
		return ""
	})
}

// TestALateRequestOfTwoTablesIsRepaired: the request carried what the rows of two
// tables say of one record.
func TestALateRequestOfTwoTablesIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema+`
CREATE TABLE usage (account_id bigint PRIMARY KEY, notes text);
INSERT INTO usage VALUES (1, 'none');
`, twoTables, hubspotsim.Unique("account_id"), hubspotsim.Text("account_notes")).with("PGCRM_LATE_WINDOW=3s", "PGCRM_FLUSH_INTERVAL=0")
	w.seed(4)
	p := w.start()
	w.streams(p)
	w.arrives(p, 1, "name=Account 1", "account_notes=none")

	w.fault(nextIsLate())
	w.exec("BEGIN; UPDATE accounts SET name = 'first' WHERE id = 1; UPDATE usage SET notes = 'some' WHERE account_id = 1; COMMIT")
	w.arrives(p, 1, "name=first", "account_notes=some")
	w.exec("UPDATE accounts SET name = 'second' WHERE id = 1")
	w.exec("UPDATE usage SET notes = 'many' WHERE account_id = 1")
	w.arrives(p, 1, "name=second", "account_notes=many")
	w.settlesLate(p)
	w.arrives(p, 1, "name=second", "account_notes=many")
}

// TestALateRenameIsRepaired: a late request gives a record a match value that its
// row no longer has.
func TestALateRenameIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TABLE accounts (id bigint PRIMARY KEY, code text NOT NULL, name text);
ALTER TABLE accounts REPLICA IDENTITY FULL;
INSERT INTO accounts VALUES (1, '1', 'Account 1');
`, `
version: 1
tables:
  accounts:
    match: {account_id: code}
    properties: {name: name}
`, hubspotsim.Unique("account_id")).with("PGCRM_LATE_WINDOW=3s", "PGCRM_FLUSH_INTERVAL=0")
	w.seed(1)
	p := w.start()
	w.streams(p)
	w.arrives(p, 1, "name=Account 1")

	w.fault(nextIsLate())
	w.exec("UPDATE accounts SET code = '2', name = 'second' WHERE id = 1")
	w.arrives(p, 2, "name=second")
	w.exec("UPDATE accounts SET code = '3', name = 'third' WHERE id = 1")
	w.arrives(p, 3, "name=third")
	w.settlesLate(p)
	w.arrives(p, 3, "name=third")
	if n := w.portal.Count("companies"); n != 1 {
		t.Errorf("%d companies", n)
	}
}

// TestALateRenameTakesNoKeyForGood: while a late request has given a record a match
// value that its row had, another row gets that value. Each row keeps its record.
func TestALateRenameTakesNoKeyForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TABLE accounts (id bigint PRIMARY KEY, code text NOT NULL, name text);
ALTER TABLE accounts REPLICA IDENTITY FULL;
INSERT INTO accounts VALUES (1, '1', 'one'), (2, '2', 'two');
`, `
version: 1
tables:
  accounts:
    match: {account_id: code}
    properties: {name: name}
`, hubspotsim.Unique("account_id")).with("PGCRM_LATE_WINDOW=8s", "PGCRM_FLUSH_INTERVAL=0")
	w.seed(2)
	p := w.start()
	w.streams(p)
	w.arrives(p, 1, "name=one")
	w.arrives(p, 2, "name=two")
	ids := map[string]string{}
	for _, r := range w.portal.Records("companies") {
		ids[r.Properties["name"]] = r.ID
	}

	w.fault(nextIsLate())
	w.exec("UPDATE accounts SET code = '5' WHERE id = 1")
	w.arrives(p, 5, "name=one")
	w.exec("UPDATE accounts SET code = '6' WHERE id = 1")
	w.arrives(p, 6, "name=one")
	w.arrives(p, 5, "name=one") // late
	w.exec("UPDATE accounts SET code = '5' WHERE id = 2")
	eventually(t, patience, func() string {
		p.alive()
		for code, name := range map[string]string{"6": "one", "5": "two"} {
			r, ok := w.portal.Find("companies", "account_id", code)
			if !ok || r.Properties["name"] != name || r.ID != ids[name] {
				return fmt.Sprintf("under %s there is %v %v, want %s's own record %s", code, r.ID, r.Properties, name, ids[name])
			}
		}
		if letters := w.letters(); len(letters) > 0 {
			return fmt.Sprintf("parked: %q", letters)
		}
		return ""
	})
}
