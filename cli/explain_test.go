package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/sink/hubspot"
)

func TestExplain(t *testing.T) {
	w := newWorldWith(t, worldSchema+`ALTER TABLE accounts ALTER seats TYPE text;
		INSERT INTO accounts VALUES (13, 'Gone', NULL, 'free', NULL), (14, 'Excluded', NULL, 'free', NULL);
		CREATE TABLE lines (region text, no int, PRIMARY KEY (region, no)); INSERT INTO lines VALUES ('eu', 1);`,
		`version: 1
tables:
  public.accounts:
    match: {account_id: id}
    when: "id != 14"
    properties:
      name: name
      plan: {column: plan, values: {free: free, pro: pro}}
      description: host
  lines:
    match: {account_id: no}
    properties: {city: region}
`)
	if _, err := w.portal.Seed("companies", map[string]string{"account_id": "13"}); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE accounts SET plan = 'gold' WHERE id = 2")
	stop := w.start()
	states := func(e explanation) map[string]string {
		m := map[string]string{}
		for _, p := range e.Records[0].Properties {
			m[p.Name] = p.State
		}
		return m
	}

	one := read[explanation](w, "explain", "accounts", "1")
	r := one.Records[0]
	if r.State != "delivered" || r.Key != "1" || r.CRMID == "" || r.Delivered == nil || !one.Running || !one.Exists {
		t.Errorf("row 1: %+v", one)
	}
	if r.Latency == nil || r.Batch == 0 || r.Correlation == "" {
		t.Errorf("row 1 was last delivered after %v in batch %d, %q", r.Latency, r.Batch, r.Correlation)
	}
	if want := "https://app.hubspot.com/contacts/21939747/record/0-2/" + r.CRMID; r.URL != want {
		t.Errorf("the record is at %q, want %q", r.URL, want)
	}
	if diff := cmp.Diff(map[string]string{"name": "delivered", "plan": "delivered", "description": "delivered"}, states(one)); diff != "" {
		t.Error(diff)
	}

	two := read[explanation](w, "explain", "accounts", "2")
	if two.Records[0].State != "delivered" || len(two.Records[0].Letters) != 1 || states(two)["plan"] != "refused" {
		t.Errorf("row 2: %+v", two)
	}
	eleven := read[explanation](w, "explain", "public.accounts", "11")
	if eleven.Records[0].State != "parked" || !strings.HasPrefix(eleven.Records[0].Detail, "not_found") || states(eleven)["name"] != "parked" {
		t.Errorf("row 11: %+v", eleven)
	}
	if got := read[explanation](w, "explain", "accounts", "14"); got.Records[0].State != "excluded" {
		t.Errorf("row 14: %+v", got)
	}
	if got := states(read[explanation](w, "explain", "accounts", "13"))["description"]; got != "untouched" {
		t.Errorf("a NULL that was never delivered is %s", got)
	}
	composite := read[explanation](w, "explain", "lines", "eu", "1")
	if composite.Key != `["eu","1"]` || composite.Records[0].Key != "1" {
		t.Errorf("a key of two columns: %+v", composite)
	}
	if again := read[explanation](w, "explain", "lines", `["eu",1]`); again.Key != composite.Key {
		t.Errorf("as JSON: %+v", again)
	}

	text := w.ok("explain", "accounts", "2")
	for _, want := range []string{"public.accounts 2\n", "companies account_id=2: delivered", "last delivered", "after its commit", "in batch", "correlation id", "invalid_option", "pgcrm dlq show"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}

	w.exec("DELETE FROM accounts WHERE id = 13")
	stop()
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 1")
	waiting := read[explanation](w, "explain", "accounts", "1")
	if waiting.Records[0].State != "waiting" || waiting.Running || !strings.Contains(waiting.Records[0].Detail, "no instance runs") {
		t.Errorf("row 1: %+v", waiting)
	}
	gone := read[explanation](w, "explain", "accounts", "13")
	if gone.Exists || len(gone.Records) != 1 || gone.Records[0].State != "gone" || gone.Records[0].CRMID == "" {
		t.Errorf("row 13: %+v", gone)
	}
	if text := w.ok("explain", "accounts", "13"); !strings.Contains(text, "there is no such row") || !strings.Contains(text, "leaves it as it is") {
		t.Errorf("got\n%s", text)
	}

	w.refused("no such key of public.accounts", "explain", "accounts", "seven")
	w.refused("give 1 value", "explain", "accounts", "1", "2")
	w.refused("is not in the mapping", "explain", "other", "1")
	w.refused("name a table and the primary key", "explain", "accounts")
	w.refused(`'["REGION","NO"]'`, "explain", "lines", "eu")
}

func TestExplainBeforeTheFirstRun(t *testing.T) {
	w := newWorld(t)
	e := read[explanation](w, "explain", "accounts", "1")
	if e.Checkpoint != "" || e.Records[0].State != "waiting" || !strings.Contains(e.Records[0].Detail, "nothing has run yet") {
		t.Errorf("got %+v", e)
	}
	w.migrate()
	if e := read[explanation](w, "explain", "accounts", "1"); e.Checkpoint != "" || e.Records[0].State != "waiting" {
		t.Errorf("got %+v", e)
	}
	w.env["HUBSPOT_ACCESS_TOKEN"] = "pat-na1-wrong"
	w.refused("HUBSPOT_ACCESS_TOKEN", "explain", "accounts", "1")
}

func TestRecordURL(t *testing.T) {
	eu := hubspot.Account{PortalID: 5, UIDomain: "app-eu1.hubspot.com"}
	for _, c := range []struct {
		account    hubspot.Account
		object, id string
		want       string
	}{
		{eu, "contacts", "7", "https://app-eu1.hubspot.com/contacts/5/record/0-1/7"},
		{hubspot.Account{PortalID: 5}, "2-99", "7", "https://app.hubspot.com/contacts/5/record/2-99/7"},
		{eu, "p5_cars", "7", ""},
		{eu, "companies", "", ""},
		{hubspot.Account{}, "companies", "7", ""},
	} {
		if got := recordURL(c.account, c.object, c.id); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.object, c.id, got, c.want)
		}
	}
}
