package e2e

import (
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// A row whose match value becomes that of another record is that one's from then
// on, and the record it leaves is treated as a deleted row's.
func TestARecordThatARowLeavesIsADeletedRows(t *testing.T) {
	t.Parallel()
	for policy, gone := range map[string]func(r hubspotsim.Record, found bool) string{
		"archive": func(_ hubspotsim.Record, found bool) string {
			if found {
				return "it is there still"
			}
			return ""
		},
		"{set: {customer_state: churned}}": func(r hubspotsim.Record, found bool) string {
			if !found || r.Properties["customer_state"] != "churned" || r.Properties["name"] != "row of a" {
				return "its state is " + r.Properties["customer_state"] + ", its name " + r.Properties["name"]
			}
			return ""
		},
		"ignore": func(r hubspotsim.Record, found bool) string {
			if !found || r.Properties["customer_state"] != "active" {
				return "its state is " + r.Properties["customer_state"]
			}
			return ""
		},
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, `
CREATE TABLE accounts (id bigint PRIMARY KEY, host text NOT NULL, name text, notes text);
INSERT INTO accounts VALUES (1, 'a', 'row of a', 'notes'), (2, 'b', 'row of b', 'notes');`, `
version: 1
tables:
  accounts:
    match: {website: host}
    on_delete: `+policy+`
    properties: {name: name, account_notes: notes, customer_state: {const: active}}
`, hubspotsim.Unique("website"), hubspotsim.Text("account_notes"), hubspotsim.Enum("customer_state", "active", "churned"))
			for _, host := range []string{"a", "b", "taken"} {
				w.seed2("website", host)
			}
			taken, b := w.holder("taken"), w.holder("b")
			p := w.start()
			w.holds(p, w.holder("a"), "a", "row of a", "notes")
			w.holds(p, b, "b", "row of b", "notes")
			w.streams(p)
			w.exec(`UPDATE accounts SET host = 'taken' WHERE host = 'a'`)
			w.holds(p, taken, "taken", "row of a", "notes")
			w.exec(`UPDATE accounts SET host = 'c' WHERE host = 'b'`)
			w.holds(p, b, "c", "row of b", "notes") // renamed, and nothing is left behind
			w.settles(p)
			if why := gone(w.portal.Find("companies", "website", "a")); why != "" {
				t.Error("the record that the row has left:", why)
			}
			for _, host := range []string{"taken", "c"} {
				if r, ok := w.portal.Find("companies", "website", host); !ok || r.Properties["customer_state"] != "active" {
					t.Errorf("%s is %+v", host, r)
				}
			}
			if got := w.letters(); len(got) > 0 {
				t.Errorf("letters %q", got)
			}
			if code := p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
