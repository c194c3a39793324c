package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plannedWhy gives, by property, the CRM's value, what would be sent and why.
func plannedWhy(r plannedRow) map[string]string {
	m := map[string]string{}
	for _, p := range r.Properties {
		m[p.Name] = shown(p.CRM) + " | " + shown(p.Send) + " | " + p.Why
	}
	return m
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	one, _ := w.portal.Find("companies", "account_id", "1")
	two, _ := w.portal.Find("companies", "account_id", "2")
	w.patch(one.ID, map[string]string{"name": "Company 1", "plan": "pro", "seats": "1.0"})
	w.patch(two.ID, map[string]string{"seats": "7"})
	w.exec("UPDATE accounts SET seats = NULL, plan = 'gold' WHERE id = 2")

	// Before anything was set up.
	plan := func(args ...string) map[string]plannedRow {
		rows := map[string]plannedRow{}
		for _, r := range read[struct{ Rows []plannedRow }](w, append([]string{"plan"}, args...)...).Rows {
			rows[r.Row] = r
		}
		return rows
	}
	writes := len(w.portal.Journal(0))
	rows := plan("--table", "accounts", "--key", "1,2,11")
	if diff := cmp.Diff(map[string]string{
		"name": "Company 1 | Company 1 | unchanged", "plan": "pro | free | changed", "seats": "1 | 1 | unchanged",
	}, plannedWhy(rows["1"])); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{
		"name": "(empty) | Company 2 | changed", "plan": "- | - | refused", "seats": "7 | - | kept",
	}, plannedWhy(rows["2"])); diff != "" {
		t.Error(diff)
	}
	if r := rows["11"]; r.Action != "park" || r.Properties[0].CRM != nil {
		t.Errorf("a row without a record: %+v", r)
	}
	if rows := plan("--limit", "3"); len(rows) != 3 {
		t.Errorf("--limit 3 gives %d rows", len(rows))
	}
	text := w.ok("plan", "--table", "accounts", "--key", "1")
	for _, want := range []string{"public.accounts 1 -> companies account_id=1: update", "https://app.hubspot.com/contacts/", "WOULD SEND", "changed"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}

	count := read[plannedTotal](w, "plan", "--count")
	if n := count.Tables[0]; n.Rows != 12 || n.Send != 12 || n.Calls != 1 || n.Refused != 1 || n.Change != nil || count.Calls != 1 {
		t.Errorf("counted %+v", count)
	}
	count = read[plannedTotal](w, "plan", "--count", "--read-crm")
	if n := count.Tables[0]; *n.Change != 10 || *n.Missing != 2 {
		t.Errorf("counted %+v", n)
	}
	if text := w.ok("plan", "--count", "--read-crm"); !strings.Contains(text, "WOULD CHANGE") || !strings.Contains(text, "1 call") {
		t.Errorf("got\n%s", text)
	}
	if now := len(w.portal.Journal(0)); now != writes {
		t.Errorf("plan wrote %d times", now-writes)
	}
	if n := w.text("SELECT count(*)::text FROM pg_namespace WHERE nspname = $1", w.name); n != "0" {
		t.Error("plan made the state schema")
	}

	// After the first load the ledger knows.
	stop := w.start()
	stop()
	w.exec("UPDATE accounts SET name = NULL WHERE id = 1")
	w.patch(one.ID, map[string]string{"plan": "pro"})
	rows = plan("--table", "accounts", "--key", "1")
	if diff := cmp.Diff(map[string]string{
		"name": "Company 1 | (empty) | cleared", "plan": "pro | - | kept", "seats": "1 | - | unchanged",
	}, plannedWhy(rows["1"])); diff != "" {
		t.Error(diff)
	}
	if n := read[plannedTotal](w, "plan", "--count").Tables[0]; n.Send != 3 { // the changed one, and two without a record
		t.Errorf("counted %+v", n)
	}
}

func TestPlanMistakes(t *testing.T) {
	w := newWorld(t)
	w.refused("name it with --table", "plan", "--key", "1")
	w.refused("--limit must be", "plan", "--limit", "0")
	w.refused("leave --key out", "plan", "--table", "accounts", "--key", "1", "--count")
	w.refused("--read-crm belongs to --count", "plan", "--read-crm")
	w.refused("is not in the mapping", "plan", "--table", "nothing")
	if o := w.run("plan", "--table", "accounts", "--key", "99"); o.code != exitFailed || !strings.Contains(o.stderr, "no row 99") {
		t.Errorf("got %+v", o)
	}
	w.env["PGCRM_MAPPING"] = strings.Replace(worldMapping, "plan: plan", "plam: plan", 1)
	w.refused("did you mean plan?", "plan")
}
