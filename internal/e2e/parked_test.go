package e2e

import (
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestAMissingRecordGetsWhatTwoTablesSay: while a record is missing, rows of two
// tables change that feed it. Once it exists it gets what both say.
func TestAMissingRecordGetsWhatTwoTablesSay(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(w *world){
		"looked up": func(*world) {},
		"retried":   func(w *world) { w.pgcrm(0, "dlq", "retry", "--all") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, goneSchema+`
CREATE TABLE usage (id bigint PRIMARY KEY, account_id bigint NOT NULL, notes text);
`, twoTables, hubspotsim.Unique("account_id"), hubspotsim.Text("account_notes")).with("PGCRM_FLUSH_INTERVAL=0", "PGCRM_RECHECK_MISSING=1s")
			if name == "retried" {
				w = w.with("PGCRM_RECHECK_MISSING=1h")
			}
			w.seed(4)
			p := w.start()
			w.streams(p)
			w.arrives(p, 1, "name=Account 1")
			parked := func(owed string) {
				eventually(t, patience, func() string {
					p.alive()
					if got := w.query("SELECT coalesce(string_agg(cardinality(owed)::text, ','), '') FROM " + w.name + ".letter"); got != owed {
						return "the letters owe " + got + " properties, not " + owed
					}
					return ""
				})
			}
			w.exec("INSERT INTO accounts VALUES (50, 'Account 50')")
			parked("1")
			w.exec("INSERT INTO usage VALUES (7, 50, 'many')")
			parked("2")
			if _, err := w.portal.Seed("companies", map[string]string{"account_id": "50"}); err != nil {
				t.Fatal(err)
			}
			again(w)
			w.arrives(p, 50, "name=Account 50", "account_notes=many")
			parked("")
		})
	}
}
