package mapping

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// redefined are the properties of the fixture with one of them otherwise; gone
// where alter is nil.
func redefined(name string, alter func(*Property)) map[string][]Property {
	all := companies()
	i := slices.IndexFunc(all["companies"], func(p Property) bool { return p.Name == name })
	if alter == nil {
		all["companies"] = slices.Delete(all["companies"], i, i+1)
	} else {
		alter(&all["companies"][i])
	}
	return all
}

// TestPropertiesThatChange: what suits the mapping no longer has it wait and
// leaves it as it was; what suits it is followed by mappers that are at work.
func TestPropertiesThatChange(t *testing.T) {
	const src = `version: 1
tables:
  accounts:
    match: {account_id: id}
    on_delete: {set: {status: "5"}}
    properties: {name: account_name, seats: seats, plan: plan, renewal_date: renews_at}
`
	tableOf := accounts()
	tableOf.Columns[4].Type = typ("date")
	values := map[string]string{"id": "7", "account_name": "A", "seats": "3", "plan": "GOLD", "renews_at": "2026-01-31"}
	const before = "7 name=A plan#invalid_option renewal_date=2026-01-31 seats=3"
	for name, test := range map[string]struct {
		property string
		change   func(*Property)
		waits    string // what it says; empty where the mapping does not wait
		want     string // what the row gives
		resend   bool
		options  bool
	}{
		"deleted":                {"seats", nil, "pgcrm.yaml:6:38: companies have no property seats", before, false, false},
		"archived":               {"seats", func(p *Property) { p.Archived = true }, "restore it in HubSpot", before, false, false},
		"read-only":              {"seats", func(p *Property) { p.ReadOnly = true }, "property seats is read-only", before, false, false},
		"calculated":             {"seats", func(p *Property) { p.Calculated = true }, "calculated by HubSpot", before, false, false},
		"match no longer unique": {"account_id", func(p *Property) { p.HasUniqueValue = false }, "does not have unique values", before, false, false},
		"match deleted":          {"account_id", nil, "companies have no property account_id", before, false, false},
		"retyped badly":          {"seats", func(p *Property) { p.Type = "date" }, "column seats (integer) cannot become a date", before, false, false},
		"retyped, the same":      {"seats", func(p *Property) { p.Type = "string" }, "", before, true, false},
		"retyped, written so":    {"renewal_date", func(p *Property) { p.Type = "string" }, "", before, true, false},
		"an option more": {
			"plan", func(p *Property) { p.Options = append(p.Options, Option{"GOLD", "Gold"}) }, "",
			strings.Replace(before, "#invalid_option", "=GOLD", 1), false, true,
		},
		"an option less":       {"plan", func(p *Property) { p.Options = p.Options[:1] }, "", before, false, true},
		"an option renamed":    {"plan", func(p *Property) { p.Options[0].Label = "For nothing" }, "", before, false, true},
		"on_delete retyped":    {"status", func(p *Property) { p.Type = "number" }, "", before, false, false},
		"on_delete impossible": {"status", func(p *Property) { p.Type = "date" }, "property status is a date", before, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("pgcrm.yaml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			m, err := Compile(f, []*change.Relation{tableOf}, companies())
			if err != nil {
				t.Fatal(err)
			}
			x, source := m.Mapper(), m.Sources()[0]
			if got := mapRow(t, x, tableOf, values); got != before {
				t.Fatal(got)
			}
			hash, options := m.SourceHash(source), m.Options(source)
			if m.Redefine(companies()) {
				t.Error("the same properties are news")
			}
			if !m.Redefine(redefined(test.property, test.change)) {
				t.Error("it is no news")
			}
			why := m.Waits(source)
			if (why == "") != (test.waits == "") || !strings.Contains(why, test.waits) {
				t.Errorf("it waits for %q, want %q", why, test.waits)
			}
			if got := x.Unfit(source, tableOf); got != why {
				t.Errorf("a load waits for %q", got)
			}
			if got := mapRow(t, x, tableOf, values); got != test.want {
				t.Errorf("a row gives %s, want %s", got, test.want)
			}
			if got := m.SourceHash(source) != hash; got != test.resend {
				t.Errorf("the rows are sent again: %v", got)
			}
			if got := m.Options(source) != options; got != test.options {
				t.Errorf("the options differ: %v", got)
			}
			if !m.Redefine(companies()) || m.Waits(source) != "" || m.SourceHash(source) != hash || m.Options(source) != options {
				t.Error("put right again, it is not as it was:", m.Waits(source))
			}
			if got := mapRow(t, x, tableOf, values); got != before {
				t.Errorf("put right again, a row gives %s", got)
			}
		})
	}
}

// TestAPropertyHoldsItsOwnMapping: the others, of the same table and of the same
// object, go on, and so they do where the portal shows the object no longer.
func TestAPropertyHoldsItsOwnMapping(t *testing.T) {
	f, err := Parse("pgcrm.yaml", []byte(`version: 1
tables:
  accounts:
    - match: {account_id: id}
      properties: {name: account_name}
    - match: {account_id: id}
      properties: {seats: seats}
    - object: deals
      match: {deal_no: id}
      properties: {title: account_name}
`))
	if err != nil {
		t.Fatal(err)
	}
	deals := []Property{{Name: "deal_no", Type: "string", HasUniqueValue: true}, {Name: "title", Type: "string"}}
	with := func(all map[string][]Property) map[string][]Property { all["deals"] = deals; return all }
	m, err := Compile(f, []*change.Relation{accounts()}, with(companies()))
	if err != nil {
		t.Fatal(err)
	}
	held := func() (who []int) {
		for i, s := range m.Sources() {
			if m.Waits(s) != "" {
				who = append(who, i)
			}
		}
		return who
	}
	m.Redefine(with(redefined("seats", nil)))
	if got := held(); !slices.Equal(got, []int{1}) {
		t.Errorf("mappings %v wait, want 1", got)
	}
	m.Redefine(companies())
	if got := held(); !slices.Equal(got, []int{2}) {
		t.Errorf("mappings %v wait, want 2", got)
	}
	m.Redefine(with(companies()))
	if got := held(); got != nil {
		t.Errorf("mappings %v wait", got)
	}
}

// TestConstantsOfOnDeleteStay: a mapping whose on_delete would write something
// else waits for a restart, since the source that holds it does not change.
func TestConstantsOfOnDeleteStay(t *testing.T) {
	m := compile(t, "version: 1\ntables:\n  accounts:\n    match: {account_id: id}\n    on_delete: {set: {renewed_at: \"2026-01-31T12:00:00Z\"}}\n    properties: {name: account_name}\n")
	source := m.Sources()[0]
	before := string(source.GoneProps)
	m.Redefine(redefined("renewed_at", func(p *Property) { p.Type = "string" }))
	if why := m.Waits(source); string(source.GoneProps) != before || !strings.Contains(why, "restart pgcrm") {
		t.Errorf("it waits for %q", why)
	}
}
