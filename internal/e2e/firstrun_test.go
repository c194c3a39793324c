package e2e

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// Before anything is written for the first time the log says where to, how much,
// and what would be cleared; later starts say nothing of it.
func TestTheFirstRunSaysWhatItWillDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, resumeSchema+"; UPDATE accounts SET plan = NULL WHERE id <= 3; UPDATE accounts SET name = NULL WHERE id <= 5", `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, plan: {column: plan, on_null: overwrite}}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(40)
	p := w.start()
	w.arrives(p, 40, "name=Account 40")
	w.streams(p)
	log := p.log.String()
	at := 0
	for _, words := range []string{
		"first_run portal=", "account_type=DEVELOPER_TEST",
		"first_run_plan table=public.accounts object=companies rows=40 records=40 calls=1 values_cleared=3 clearing=plan values_refused=0 skipped=0",
		"first_run_total calls=1", "backfill_started",
	} {
		i := strings.Index(log[at:], words)
		if i < 0 {
			t.Fatalf("the log does not say %q in its place:\n%s", words, log)
		}
		at += i
	}
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = w.start()
	w.streams(p)
	if p.log.contains("first_run") {
		t.Errorf("the second run says what the first one said:\n%s", p.log)
	}
}
