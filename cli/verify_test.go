package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// verify runs pgcrm verify and returns its exit code and what it found, by
// kind, cause and key.
func (w *world) verify(args ...string) (int, verification, map[string]driftRecord) {
	w.t.Helper()
	o := w.run(append([]string{"verify", "-o", "json"}, args...)...)
	var v verification
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil {
		w.t.Fatalf("%v\n%s%s", err, o.stdout, o.stderr)
	}
	found := map[string]driftRecord{}
	for _, f := range v.Drift {
		found[f.Kind+" "+f.Cause+" "+f.Key] = f
	}
	return o.code, v, found
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	w.exec("DELETE FROM accounts WHERE id > 10")
	w.start()
	if code, v, _ := w.verify("--all"); code != exitDone || v.Tables[0].Same != 10 || !v.Complete {
		t.Fatalf("after the load: exit code %d, %+v", code, v.Tables[0])
	}
	if o := w.run("verify"); o.code != exitDone || !strings.Contains(o.stdout, "no drift") {
		t.Errorf("got %+v", o)
	}

	three, _ := w.portal.Find("companies", "account_id", "3")
	w.patch(three.ID, map[string]string{"plan": "free", "seats": "3.0"})
	four, _ := w.portal.Find("companies", "account_id", "4")
	w.archive(four.ID)
	w.exec("INSERT INTO accounts VALUES (11, 'New', NULL, 'free', 1)") // no company
	w.exec("DELETE FROM accounts WHERE id = 9")
	if _, err := w.portal.Seed("companies", map[string]string{"account_id": "77"}); err != nil {
		t.Fatal(err)
	}
	w.settles()
	code, v, found := w.verify("--all", "--wait", "1s")
	if code != exitDrift {
		t.Errorf("exit code %d", code)
	}
	var kinds []string
	for kind := range found {
		kinds = append(kinds, kind)
	}
	for _, want := range []string{"different edited 3", "missing vanished 4", "missing parked 11", "orphaned  77"} {
		if _, ok := found[want]; !ok {
			t.Errorf("no %q among %q", want, kinds)
		}
	}
	if n := v.Tables[0]; len(found) != 4 || n.Rows != 10 || n.Same != 7 || n.Missing != 2 || n.Different != 1 || v.Left != 1 || v.Orphaned != 1 {
		t.Errorf("counted %+v, %d left, %d orphaned", n, v.Left, v.Orphaned)
	}
	want := []driftProperty{{Name: "plan", Database: "pro", CRM: "free", Cause: causeEdited}}
	edited := found["different edited 3"].Properties
	if len(edited) == 1 {
		if edited[0].SetAt == nil || !strings.HasSuffix(edited[0].SetBy, " simulator") {
			t.Errorf("set by %q at %v", edited[0].SetBy, edited[0].SetAt)
		}
		edited[0].SetBy, edited[0].SetAt = "", nil
	}
	if diff := cmp.Diff(want, edited); diff != "" {
		t.Error(diff)
	}

	o := w.run("verify", "--all", "--repair", "--wait", "1s")
	if o.code != exitDrift || !strings.Contains(o.stdout, "asked: the rows are to be sent again (1 request); the running instance") {
		t.Errorf("got %+v", o)
	}
	for _, want := range []string{"different", "edited", "plan", "missing", "vanished", "drift in 4 records"} {
		if !strings.Contains(o.stdout+o.stderr, want) {
			t.Errorf("no %q in\n%s%s", want, o.stdout, o.stderr)
		}
	}
	w.eventually(func() string {
		if got := w.company(3)["plan"]; got != "pro" {
			return "the plan of 3 is still " + got
		}
		return ""
	})
	if code, _, found := w.verify("--table", "accounts"); code != exitDrift || len(found) != 2 {
		t.Errorf("after the repair: exit code %d, %v", code, found)
	}
}

func TestVerifyWithoutAnInstance(t *testing.T) {
	w := newWorld(t)
	// Nothing has run: all is undelivered, and the two without a company are missing.
	code, v, found := w.verify("--sample", "100")
	if n := v.Tables[0]; code != exitDrift || n.Missing != 2 || n.Different != 10 || found["missing undelivered 11"].Row != "11" {
		t.Errorf("exit code %d, %+v", code, n)
	}
	w.refused("pgcrm migrate", "verify", "--repair")

	stop := w.start()
	stop()
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 1")
	_, _, found = w.verify()
	if f := found["different undelivered 1"]; len(f.Properties) != 1 || f.Properties[0].CRM != "Company 1" {
		t.Errorf("got %+v", found)
	}
	w.refused("contradict", "verify", "--all", "--sample", "5")
	w.refused("--sample must be", "verify", "--sample", "0")
	w.refused("is not in the mapping", "verify", "--table", "nothing")
}

func TestVerifyRowsThatAreGone(t *testing.T) {
	w := newWorldWith(t, worldSchema, `version: 1
tables:
  accounts:
    match: {account_id: id}
    when: "seats != 5"
    on_delete: {set: {plan: free, phone: "555"}}
    on_missing: skip
    properties: {name: name}
`)
	stop := w.start()
	stop()
	w.exec("DELETE FROM accounts WHERE id IN (2, 3)")
	w.exec("UPDATE accounts SET seats = 5 WHERE id = 7")
	two, _ := w.portal.Find("companies", "account_id", "2")
	gone := map[string]string{"plan": "free", "phone": "555"}
	w.patch(two.ID, gone)
	if _, err := w.portal.Seed("companies", map[string]string{"account_id": "77"}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, want ...string) {
		t.Helper()
		_, v, found := w.verify("--all")
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
			t.Errorf("%s: found %q, want %q; %+v", when, got, want, v)
		}
	}
	// The record of 5, whose row satisfied when at no time, is not judged.
	code, v, found := w.verify("--all")
	if code != exitDrift || v.Left != 1 || v.Orphaned != 1 || v.Tables[0].Skipped != 4 || v.Tables[0].Extra != 2 {
		t.Errorf("exit code %d, %+v, %+v", code, v, v.Tables[0])
	}
	check("before", "extra  3", "extra  7", "orphaned  77")
	if f := found["extra  3"]; len(f.Properties) != 2 || f.Table != "public.accounts" || f.Row != "3" || !strings.HasPrefix(f.Detail, "its row is gone") {
		t.Errorf("got %+v", f)
	}

	// The stream takes care of both. A person undoes it in the CRM, where the ledger
	// does not see it.
	w.start()
	w.settles()
	check("streamed", "orphaned  77")
	for _, key := range []string{"3", "7"} {
		r, _ := w.portal.Find("companies", "account_id", key)
		w.patch(r.ID, map[string]string{"plan": "pro"})
	}
	check("edited", "extra  3", "extra  7", "orphaned  77")
	if o := w.run("verify", "--all", "--repair"); o.code != exitDrift || !strings.Contains(o.stdout, "(2 requests)") {
		t.Errorf("got %+v", o)
	}
	w.eventually(func() string {
		for _, id := range []int{3, 7} {
			if got := w.company(id)["plan"]; got != "free" {
				return fmt.Sprintf("the plan of %d is still %s", id, got)
			}
		}
		return ""
	})
	if _, ok := w.portal.Find("companies", "account_id", "77"); !ok {
		t.Error("the record that pgcrm never wrote is gone")
	}
	check("repaired", "orphaned  77")
}

// After TRUNCATE nothing is done to the records, and a repair does not do it either.
func TestVerifyAnEmptyTable(t *testing.T) {
	w := newWorldWith(t, worldSchema, `version: 1
tables:
  accounts:
    match: {account_id: id}
    on_delete: archive
    properties: {name: name}
`)
	w.start()
	w.exec("DELETE FROM accounts WHERE id > 3")
	w.settles()
	w.exec("TRUNCATE accounts")
	_, v, _ := w.verify("--all", "--repair")
	if n := v.Tables[0]; n.Extra != 3 || len(v.Requests) != 0 || len(v.NotRepaired) != 1 || !strings.Contains(v.NotRepaired[0], "public.accounts is empty") {
		t.Errorf("%+v, %+v", v, n)
	}
	w.exec("INSERT INTO accounts VALUES (1, 'One again', NULL, 'free', 1)")
	w.settles()
	_, v, _ = w.verify("--all", "--repair")
	if n := v.Tables[0]; n.Extra != 2 || len(v.Requests) != 1 {
		t.Errorf("%+v, %+v", v, n)
	}
	w.eventually(func() string {
		for _, id := range []string{"2", "3"} {
			if _, ok := w.portal.Find("companies", "account_id", id); ok {
				return "the company of " + id + " is still there"
			}
		}
		return ""
	})
	if code, _, found := w.verify("--all"); code != exitDone {
		t.Errorf("exit code %d, %v", code, found)
	}
}

// Rows that change all the time, come and go, while they are compared are no drift.
func TestVerifyRowsThatChange(t *testing.T) {
	w := newWorldWith(t, worldSchema, `version: 1
tables:
  accounts:
    match: {account_id: id}
    on_missing: create
    on_delete: archive
    properties: {name: name}
`)
	w.start()
	conn, err := pgx.Connect(t.Context(), w.env["PGCRM_DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer conn.Close(context.Background())
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			_, err := conn.Exec(context.Background(), fmt.Sprintf("UPDATE accounts SET name = 'Name %d' WHERE id <= 3; DELETE FROM accounts WHERE id = %d; INSERT INTO accounts VALUES (%d, 'New %d', NULL, 'free', 1)", i, 100+i-1, 100+i, i))
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 3 {
		if code, v, found := w.verify("--all"); code != exitDone {
			t.Errorf("exit code %d, %+v, %v", code, v.Tables[0], found)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A portal may have far more records than are worth listing.
func TestVerifyListsSoManyRecords(t *testing.T) {
	w := newWorld(t)
	var more []map[string]string
	for i := range 250 {
		more = append(more, map[string]string{"account_id": fmt.Sprint(1000 + i)})
	}
	if _, err := w.portal.Seed("companies", more...); err != nil {
		t.Fatal(err)
	}
	_, v, _ := w.verify("--all", "--records", "200")
	if diff := cmp.Diff([]string{"companies"}, v.Unlisted); diff != "" || v.Orphaned != 190 {
		t.Errorf("%d orphaned\n%s", v.Orphaned, diff)
	}
	_, v, _ = w.verify("--all")
	if v.Orphaned != 250 || len(v.Unlisted) != 0 {
		t.Errorf("%d orphaned, %v", v.Orphaned, v.Unlisted)
	}
	w.refused("--records must be", "verify", "--all", "--records", "0")
}

func TestVerifyASample(t *testing.T) {
	w := newWorld(t)
	w.exec("INSERT INTO accounts SELECT i, 'Many', NULL, 'free', 1 FROM generate_series(100, 1000) i")
	_, v, _ := w.verify("--sample", "50")
	if n := v.Tables[0].Rows; n == 0 || n > 200 || v.Complete {
		t.Errorf("compared %d rows of 913 for a sample of 50", n)
	}
}

// TestWhatIsOnItsWayIsNoDrift has HubSpot take no writes, so that a running
// instance falls behind.
func TestWhatIsOnItsWayIsNoDrift(t *testing.T) {
	w := newWorld(t)
	w.exec("DELETE FROM accounts WHERE id > 10")
	w.start()
	w.settles()
	if err := w.portal.AddFaults(hubspotsim.Fault{Op: "update", Effect: hubspotsim.Status, Status: 503}); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE accounts SET name = 'Later' WHERE id = 5")
	code, v, found := w.verify("--wait", "1s")
	if n := v.Tables[0]; code != exitDone || n.Waiting != 1 || n.Same != 9 {
		t.Errorf("exit code %d, %+v, %v", code, n, found)
	}
	w.portal.ClearFaults()
}

func TestATokenWithoutTheScopeEndsTheCommand(t *testing.T) {
	w := newWorld(t)
	w.portal.AddToken(hubspotsim.Token{Value: "pat-na1-schemas-only", Scopes: []string{"crm.schemas.companies.read"}})
	w.env["HUBSPOT_ACCESS_TOKEN"] = "pat-na1-schemas-only"
	w.refused("crm.objects.companies.read", "verify")
	w.refused("crm.objects.companies.read", "plan")
}
