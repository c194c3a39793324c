package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const propertiesSchema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan text);
CREATE TABLE usage (id bigint PRIMARY KEY, seats bigint);`

const propertiesMapping = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, plan: plan}
  usage:
    match: {account_id: id}
    properties: {seats: seats}
`

func plans(values ...string) hubspotsim.Property { return hubspotsim.Enum("plan", values...) }

func propertiesWorld(t *testing.T, companies int) *world {
	t.Helper()
	w := newWorld(t, propertiesSchema, propertiesMapping,
		hubspotsim.Unique("account_id"), plans("free", "gold"), hubspotsim.Number("seats"))
	w.seed(companies)
	w.exec(`INSERT INTO accounts SELECT i, 'one', 'free' FROM generate_series(1, $1::int) i`, companies)
	w.exec(`INSERT INTO usage SELECT i, 1 FROM generate_series(1, $1::int) i`, companies)
	return w
}

func (w *world) define(properties ...hubspotsim.Property) {
	w.t.Helper()
	if err := w.portal.Define("companies", properties...); err != nil {
		w.t.Fatal(err)
	}
}

// says waits for a part of the log.
func (p *process) says(parts ...string) {
	p.t.Helper()
	eventually(p.t, patience, func() string {
		p.alive()
		log := p.log.String()
		for _, part := range parts {
			if !strings.Contains(log, part) {
				return "nobody says " + part
			}
		}
		return ""
	})
}

// TestAPropertyThatIsDeletedHoldsItsMapping: more of its rows wait than a call
// takes, and yet another mapping of the same records goes on, and the log is let
// go. When the property is back, what is owed is delivered. That holds where the
// definitions are read before a row changes, and where HubSpot's refusal comes
// first.
func TestAPropertyThatIsDeletedHoldsItsMapping(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]string{"noticed": "200ms", "refused": "1h"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rows = 250
			w := propertiesWorld(t, rows).with("PGCRM_RECHECK_PROPERTIES=" + every)
			url := w.listening()
			p := w.start()
			for id := 1; id <= rows; id++ {
				w.arrives(p, id, "plan=free", "seats=1")
			}
			if err := w.portal.Undefine("companies", "plan"); err != nil {
				t.Fatal(err)
			}
			if name == "noticed" {
				p.says("property_unfit")
			}
			w.exec(`UPDATE accounts SET name = 'two', plan = 'gold'`)
			w.exec(`UPDATE usage SET seats = 2 WHERE id <= 3`)
			p.says("property_unfit", "companies have no property plan")
			for id := 1; id <= 3; id++ {
				w.arrives(p, id, "seats=2", "name=one")
			}
			w.settles(p)
			_, status, err := get(t.Context(), url+"/api/status")
			if err != nil || !strings.Contains(status, "public.accounts -") || !strings.Contains(status, "companies have no property plan") {
				t.Errorf("%v: the status does not say what waits:\n%s", err, status)
			}
			if code, body, err := get(t.Context(), url+"/readyz?strict"); err != nil || code != 503 {
				t.Errorf("strictly ready: %d %s %v", code, body, err)
			}
			w.exec(`DELETE FROM accounts WHERE id = 9`)
			w.exec(`UPDATE accounts SET name = 'three' WHERE id = 1`)
			w.settles(p)

			w.define(plans("free", "gold"))
			for id := 1; id <= rows; id++ {
				switch id {
				case 1:
					w.arrives(p, id, "name=three", "plan=gold")
				case 9: // its row is gone
				default:
					w.arrives(p, id, "name=two", "plan=gold")
				}
			}
			w.exec(`UPDATE accounts SET plan = 'free' WHERE id = 2`)
			w.arrives(p, 2, "plan=free")
			w.settles(p)
			eventually(t, patience, func() string {
				if code, body, err := get(t.Context(), url+"/readyz?strict"); err != nil || code != 200 {
					return fmt.Sprint("not strictly ready: ", code, body, err)
				}
				return ""
			})
			if got := w.letters(); len(got) > 0 {
				t.Errorf("parked: %q", got)
			}
			if code := p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestNoHalfRecordIsCreated: where the mapping waits that creates records, another
// one whose row is in the same transaction does not create them for it.
func TestNoHalfRecordIsCreated(t *testing.T) {
	t.Parallel()
	w := propertiesWorld(t, 1).with("PGCRM_RECHECK_PROPERTIES=200ms", "PGCRM_RECHECK_MISSING=1s",
		"PGCRM_MAPPING="+strings.Replace(propertiesMapping, "{account_id: id}", "{account_id: id}\n    on_missing: create", 1))
	p := w.start()
	w.arrives(p, 1, "plan=free", "seats=1")
	if err := w.portal.Undefine("companies", "plan"); err != nil {
		t.Fatal(err)
	}
	p.says("property_unfit")
	w.exec(`WITH a AS (INSERT INTO accounts VALUES (2, 'two', 'gold')) INSERT INTO usage VALUES (2, 2)`)
	w.settles(p)
	if n := w.portal.Count("companies"); n != 1 {
		t.Errorf("%d companies: one was created without all that its mapping writes", n)
	}
	w.define(plans("free", "gold"))
	w.arrives(p, 2, "name=two", "plan=gold", "seats=2")
	eventually(t, patience, func() string { return strings.Join(w.letters(), ", ") })
}

// TestAnOptionThatIsAddedIsTaken: values that were parked for want of it are
// delivered, by a process that ran all along and by one that was started later.
func TestAnOptionThatIsAddedIsTaken(t *testing.T) {
	t.Parallel()
	w := propertiesWorld(t, 4).with("PGCRM_RECHECK_PROPERTIES=200ms")
	p := w.start()
	w.arrives(p, 4, "plan=free", "seats=1")
	w.exec(`UPDATE accounts SET plan = 'silver' WHERE id = 1; UPDATE accounts SET plan = 'bronze' WHERE id = 2;
		UPDATE accounts SET plan = 'tin' WHERE id = 3`)
	w.settles(p)
	parked := func(want ...string) {
		t.Helper()
		eventually(t, patience, func() string {
			if got := w.letters(); !slices.Equal(got, want) {
				return fmt.Sprintf("parked are %q, want %q", got, want)
			}
			return ""
		})
	}
	parked("public.accounts 1 plan invalid_option", "public.accounts 2 plan invalid_option", "public.accounts 3 plan invalid_option")
	w.define(plans("free", "gold", "silver"))
	w.arrives(p, 1, "plan=silver")
	parked("public.accounts 2 plan invalid_option", "public.accounts 3 plan invalid_option")
	w.exec(`UPDATE accounts SET plan = 'silver' WHERE id = 4`)
	w.arrives(p, 4, "plan=silver")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w.define(plans("free", "gold", "silver", "bronze"))
	p = w.start()
	w.arrives(p, 2, "plan=bronze")
	parked("public.accounts 3 plan invalid_option")
}

// TestAPropertyThatChanges: one that becomes read-only, or a type that the column
// cannot be written as, holds the mapping; a type that it can be is taken, and
// what that writes otherwise is sent.
func TestAPropertyThatChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE accounts (id bigint PRIMARY KEY, seats bigint, paid bool)`, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {seats: seats, paid: paid}
`, hubspotsim.Unique("account_id"), hubspotsim.Number("seats"), hubspotsim.Bool("paid")).with("PGCRM_RECHECK_PROPERTIES=200ms")
	w.seed(2)
	w.exec(`INSERT INTO accounts VALUES (1, 1, true), (2, 1, true)`)
	p := w.start()
	w.arrives(p, 2, "seats=1", "paid=true")
	readOnly := hubspotsim.Number("seats")
	readOnly.Modification.ReadOnlyValue = true
	seats := 1
	for _, unfit := range []struct {
		property hubspotsim.Property
		problem  string
	}{
		{readOnly, "property seats is read-only in HubSpot"},
		{hubspotsim.Date("seats"), "column seats (bigint) cannot become a date"},
		{hubspotsim.Bool("seats"), "column seats (bigint) cannot become a bool"},
	} {
		w.define(unfit.property)
		p.says(unfit.problem)
		seats++
		w.exec(`UPDATE accounts SET seats = $1 WHERE id = 1`, seats)
		w.settles(p)
		if why := w.lacks(1, fmt.Sprintf("seats=%d", seats-1)); why != "" {
			t.Errorf("%s: %s", unfit.problem, why)
		}
		w.define(hubspotsim.Number("seats"))
		w.arrives(p, 1, fmt.Sprintf("seats=%d", seats))
	}
	w.define(hubspotsim.Text("seats"), hubspotsim.Enum("paid", "true", "false", "no"))
	p.says("property_retyped", "reason=mapping_changed")
	w.exec(`UPDATE accounts SET seats = 77 WHERE id = 2`)
	w.arrives(p, 2, "seats=77")
	w.settles(p)
	if got := w.letters(); len(got) > 0 {
		t.Errorf("parked: %q", got)
	}
	eventually(t, patience, func() string {
		p.alive()
		return w.query(`SELECT 'load ' || id || ' is ' || state FROM ` + w.name + `.backfill WHERE state IN ('waiting', 'running') LIMIT 1`)
	})
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// What was taken while it ran is no news to the next process.
	p = w.with("PGCRM_LOG_LEVEL=info").start()
	w.streams(p)
	if p.log.contains("mapping_changed") {
		t.Error("the rows are sent again after a restart")
	}
}

// TestDefinitionsThatCannotBeRead leave everything as it is.
func TestDefinitionsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := propertiesWorld(t, 2).with("PGCRM_RECHECK_PROPERTIES=100ms")
	p := w.start()
	w.arrives(p, 2, "plan=free", "seats=1")
	if err := w.portal.AddFaults(hubspotsim.Fault{Op: "properties", Effect: hubspotsim.Status, Status: 403}); err != nil {
		t.Fatal(err)
	}
	p.says("properties_not_read")
	w.exec(`UPDATE accounts SET plan = 'gold'`)
	w.arrives(p, 2, "plan=gold")
	w.settles(p)
	if p.log.contains("property_unfit") {
		t.Error("a mapping waits for what cannot be seen")
	}
}
