package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

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

	late := hubspotsim.Fault{Op: "update", Effect: hubspotsim.Late, Delay: hubspotsim.Duration(1500 * time.Millisecond), Times: 1}
	if err := w.portal.AddFaults(late); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE accounts SET name = 'first' WHERE id = 1")
	w.arrives(p, 1, "name=first")
	w.exec("UPDATE accounts SET name = 'second' WHERE id = 1")
	w.arrives(p, 1, "name=second")
	eventually(t, patience, func() string {
		p.alive()
		for _, e := range w.portal.Journal(0) {
			if e.Late {
				return ""
			}
		}
		return "the late request has not taken effect yet"
	})
	// In the log it happened long ago; only the list of records in doubt knows.
	w.arrives(p, 1, "name=second")
	eventually(t, patience, func() string {
		p.alive()
		if !strings.Contains(w.query("SELECT string_agg(reason || ' ' || state, ';') FROM "+w.name+".backfill"), "late done") {
			return "the record was not sent once more"
		}
		return ""
	})
	if why := w.lacks(1, "name=second"); why != "" {
		t.Error(why)
	}
	if got := w.query("SELECT count(*)::text FROM " + w.name + ".doubt"); got != "0" {
		t.Errorf("%s rows are left in doubt", got)
	}
}
