package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// wouldHold are the changes that a dry run says would wait, as "what: records".
func wouldHold(p *process) (all []string) {
	for line := range strings.Lines(p.log.String()) {
		if _, rest, found := strings.Cut(line, `msg=would_hold what="`); found {
			what, rest, _ := strings.Cut(rest, `" records=`)
			records, _, _ := strings.Cut(rest, " ")
			what, _, _ = strings.Cut(what, " at ")
			all = append(all, what+": "+records)
		}
	}
	return all
}

// TestADryRunSaysWhatWouldWait counts what PGCRM_HOLD_ABOVE would have kept, by what
// runs before it have delivered.
func TestADryRunSaysWhatWouldWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, resumeSchema, resumeMapping, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(40)
	dry := w.with("PGCRM_HOLD_ABOVE=10", "PGCRM_DRY_RUN=true")
	ready := func(p *process, line string) {
		t.Helper()
		eventually(t, patience, func() string {
			p.alive()
			if !p.log.contains("msg=dry_run ") || !p.log.contains(line) {
				return "the dry run has not begun"
			}
			return ""
		})
	}

	// says waits until it has said this and no more, and stops it.
	says := func(p *process, want ...string) {
		t.Helper()
		eventually(t, patience, func() string {
			p.alive()
			return cmp.Diff(want, wouldHold(p))
		})
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}

	p := dry.start()
	ready(p, "msg=dry_run_load")
	w.exec("UPDATE accounts SET plan = 'team' WHERE id <= 10")
	w.exec("UPDATE accounts SET plan = 'free' WHERE id <= 30")
	says(p, "the load of public.accounts: 40", "the transaction that committed: 30")
	if n := len(w.portal.Journal(0)); n != 40 { // the seed
		t.Errorf("%d writes", n-40)
	}

	p = w.start()
	w.arrives(p, 40, "name=Account 40")
	w.loaded(p)
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	before := w.query("SELECT string_agg(r::text, ' ' ORDER BY key) FROM " + w.name + ".record r")

	p = dry.start()
	ready(p, "msg=dry_run ")
	w.exec("UPDATE accounts SET plan = plan")
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id <= 10")
	w.exec("UPDATE accounts SET plan = CASE WHEN id <= 12 THEN 'team' ELSE plan END")
	says(p, "the transaction that committed: 12")
	if after := w.query("SELECT string_agg(r::text, ' ' ORDER BY key) FROM " + w.name + ".record r"); after != before {
		t.Error("the ledger has changed")
	}
}
