package ledger_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/migrations"
)

// open is what the letters of a record come to, as property@position, sorted by
// id; a letter about the whole record lists what it owes.
func openLetters(t *testing.T, l *ledger.Ledger) string {
	t.Helper()
	var list []string
	for _, p := range letters(t, l, ledger.Filter{}) {
		about := p.Property
		if about == "" {
			about = "whole(" + strings.Join(p.Owed, ",") + ")"
		}
		list = append(list, fmt.Sprintf("%s:%s@%d", p.Key, about, p.Position.LSN))
	}
	return strings.Join(list, " ")
}

func TestLettersOpenAndClose(t *testing.T) {
	deliver := func(lsn change.LSN, key, row string, slots ...int) ledger.Settlement {
		return ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: key, Row: row, Accounted: pos(lsn, 1), Delivered: slots}}}
	}
	park := func(lsn change.LSN, key, row string, slot int, owed ...int) ledger.Settlement {
		return ledger.Settlement{Letters: []ledger.Letter{{Source: accounts, Key: key, Row: row, Slot: slot, Owed: owed, Category: "c", Position: pos(lsn, 1), At: at}}}
	}
	both := func(list ...ledger.Settlement) (s ledger.Settlement) {
		for _, one := range list {
			s.Deliveries = append(s.Deliveries, one.Deliveries...)
			s.Letters = append(s.Letters, one.Letters...)
		}
		return s
	}
	closeAll := func(s ledger.Settlement) ledger.Settlement {
		s.Deliveries[0].CloseAll = true
		return s
	}
	const whole = ledger.WholeRecord
	type step struct {
		do   ledger.Settlement
		want string
	}
	tests := map[string][]step{
		"a row has one letter about a property, under the key it has now": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{park(6, "2", "1", plan), "2:plan@6"},
			{park(4, "1", "1", plan), "2:plan@6 1:plan@4"}, // an older one does not take the newer one's place
			{park(7, "1", "9", plan), "2:plan@6 1:plan@7"}, // nor another row's
			{park(8, "3", "1", plan), "1:plan@7 3:plan@8"},
		},
		"a newer version closes": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{deliver(6, "1", "1", plan), ""},
		},
		"the same version closes": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{deliver(5, "1", "1", plan), ""},
		},
		"an older version does not": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{deliver(4, "1", "1", plan), "1:plan@5"},
		},
		"another property does not": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{deliver(6, "1", "1", name, domain), "1:plan@5"},
		},
		"another record does not": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{deliver(6, "2", "2", plan), "1:plan@5"},
		},
		"nothing delivered does not": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{deliver(6, "1", "1"), "1:plan@5"},
		},
		"never over a newer one": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{park(4, "1", "1", plan), "1:plan@5"},
			{park(6, "1", "1", plan), "1:plan@6"},
			{deliver(5, "1", "1", plan), "1:plan@6"},
		},
		"refused in part": {
			{both(deliver(5, "1", "1", name, domain), park(5, "1", "1", plan)), "1:plan@5"},
			{both(deliver(6, "1", "1", name, plan), park(6, "1", "1", domain)), "1:domain@6"},
		},
		// Trap 9: {a, b: big} is refused, then {a, b unchanged} is delivered.
		"a value that the newer version lacks stays owed": {
			{park(5, "1", "1", whole, name, plan), "1:whole(name,plan)@5"},
			{deliver(6, "1", "1", name), "1:whole(plan)@5"},
			{deliver(7, "1", "1", name), "1:whole(plan)@5"},
			{deliver(8, "1", "1", plan), ""},
		},
		"whole at once": {
			{park(5, "1", "1", whole, name, plan), "1:whole(name,plan)@5"},
			{deliver(6, "1", "1", domain, name, plan), ""},
		},
		"refused twice owes the union": {
			{park(5, "1", "1", whole, name, plan), "1:whole(name,plan)@5"},
			{park(6, "1", "1", whole, name), "1:whole(name,plan)@6"},
			{park(4, "1", "1", whole, domain), "1:whole(domain,name,plan)@6"},
			{deliver(7, "1", "1", name), "1:whole(domain,plan)@6"},
			{deliver(8, "1", "1", plan, domain), ""},
		},
		"whole without debts waits for a delivery": {
			{park(5, "1", "1", whole), "1:whole()@5"},
			{deliver(6, "1", "1"), "1:whole()@5"},
			{both(deliver(7, "1", "1"), park(7, "1", "1", plan)), "1:whole()@5 1:plan@7"},
			{deliver(8, "1", "1", name), "1:plan@7"},
		},
		"a property's own letter takes over its debt": {
			{park(5, "1", "1", whole, name, plan), "1:whole(name,plan)@5"},
			{both(deliver(6, "1", "1", name), park(6, "1", "1", plan)), "1:plan@6"},
		},
		"an older letter takes over nothing": {
			{park(5, "1", "1", whole, name, plan), "1:whole(name,plan)@5"},
			{park(4, "1", "1", plan), "1:whole(name,plan)@5 1:plan@4"},
		},
		"a whole letter leaves the property's": {
			{park(5, "1", "1", plan), "1:plan@5"},
			{park(6, "1", "1", whole, name), "1:plan@5 1:whole(name)@6"},
			{deliver(7, "1", "1", name), "1:plan@5"},
		},
		"closed whole": {
			{both(park(5, "1", "1", plan), park(5, "1", "1", whole, name), park(9, "1", "1", domain), park(5, "2", "2", plan)), "1:plan@5 1:whole(name)@5 1:domain@9 2:plan@5"},
			{closeAll(deliver(6, "1", "1")), "1:domain@9 2:plan@5"},
		},
		"in one settle by position": {
			{both(park(5, "1", "1", plan), deliver(6, "1", "1", plan)), ""},
			{both(deliver(6, "2", "2", plan), park(7, "2", "2", plan)), "2:plan@7"},
		},
		"several deliveries pay together": {
			{park(5, "1", "1", whole, name, plan), "1:whole(name,plan)@5"},
			{both(deliver(6, "1", "1", name), deliver(7, "1", "1", plan)), ""},
		},
		"a row without key": {
			{park(5, "", "r1", whole, name), ":whole(name)@5"},
			{deliver(6, "", "r2", name), ":whole(name)@5"},
			{deliver(6, "r1", "r2", name), ":whole(name)@5"},
			{deliver(6, "1", "r1", name), ""},
		},
		"a row that addresses no record any more": {
			{park(5, "", "r1", whole, name), ":whole(name)@5"},
			{closeAll(deliver(6, "", "r1")), ""},
		},
		"rows without key are apart": {
			{
				both(park(5, "", "r1", whole, name), park(5, "", "r2", whole, plan), park(5, "r1", "r3", whole, plan)),
				":whole(name)@5 :whole(plan)@5 r1:whole(plan)@5",
			},
		},
		"a row that has another record by now": {
			{park(5, "1", "r1", plan), "1:plan@5"},
			{deliver(6, "2", "r1", plan), ""},
		},
		"two letters about the same in one settle": {
			{both(park(6, "1", "1", whole, name), park(5, "1", "1", whole, plan)), "1:whole(name,plan)@6"},
			{both(park(7, "2", "2", plan), park(8, "2", "2", plan)), "1:whole(name,plan)@6 2:plan@8"},
		},
		"long keys": {
			{park(5, strings.Repeat("k", 3000), strings.Repeat("r", 3000), plan), strings.Repeat("k", 3000) + ":plan@5"},
			{deliver(6, strings.Repeat("k", 3000), "", plan), ""},
		},
	}
	f := newFixture(t)
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			l := f.begin(t)
			if _, err := l.DropLetters(t.Context(), ledger.Filter{}); err != nil {
				t.Fatal(err)
			}
			for i, s := range steps {
				for range 2 { // every settle may be repeated
					settle(t, l, s.do)
					if got := openLetters(t, l); got != s.want {
						t.Fatalf("step %d: %q, want %q", i, got, s.want)
					}
				}
				l = f.begin(t) // a restart knows of the letters
			}
			if len(openLetters(t, l)) > 0 && !l.HasLetters() {
				t.Error("there are letters, but HasLetters says no")
			}
		})
	}
}

func TestLetterFields(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	if l.HasLetters() {
		t.Error("letters before any")
	}
	first := ledger.Letter{
		Source: billing, Key: "k\"1", Row: `["1","2"]`, Slot: plan, Category: "invalid_option", Reason: "“x\x00” is \xff not an option",
		Position: pos(1<<40, 7), Correlation: "c-1", Attempts: 2, At: at,
	}
	settle(t, l, ledger.Settlement{Letters: []ledger.Letter{first}})
	second := first
	second.Position, second.Reason, second.Correlation, second.Attempts, second.At = pos(1<<40, 8), "again", "c-2", 3, at.Add(time.Hour)
	settle(t, l, ledger.Settlement{Letters: []ledger.Letter{
		{Source: usage, Key: "9", Row: "9", Slot: ledger.WholeRecord, Owed: []int{0}, Category: "missing", Reason: "gone", Position: pos(5, 1), At: at},
	}})
	want := []ledger.Parked{
		{
			Object: "companies", Match: "account_id", Table: `public."Billing"`, Key: "k\"1", Row: `["1","2"]`, Property: "plan",
			Category: "invalid_option", Reason: "“x\uFFFD” is \uFFFD not an option", Position: pos(1<<40, 7), FirstSeen: at, LastSeen: at, Attempts: 2, Correlation: "c-1",
		},
		{
			Object: "companies", Match: "hs_object_id", Table: "public.usage", Key: "9", Row: "9", Owed: []string{"mrr"},
			Category: "missing", Reason: "gone", Position: pos(5, 1), FirstSeen: at, LastSeen: at,
		},
	}
	options := cmp.Options{cmpopts.IgnoreFields(ledger.Parked{}, "ID"), cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)}
	got := letters(t, l, ledger.Filter{})
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Fatal(diff)
	}
	settle(t, l, ledger.Settlement{Letters: []ledger.Letter{second}})
	settle(t, l, ledger.Settlement{Letters: []ledger.Letter{second}}) // its COMMIT got no answer
	want[0].Position, want[0].Reason, want[0].Correlation, want[0].Attempts, want[0].LastSeen = second.Position, "again", "c-2", 5, second.At
	if diff := cmp.Diff(want, letters(t, l, ledger.Filter{}), options); diff != "" {
		t.Fatal(diff)
	}
	if now := letters(t, l, ledger.Filter{}); now[0].ID != got[0].ID {
		t.Error("the letter changed its id")
	}

	ids := []int64{got[0].ID, got[1].ID}
	for name, test := range map[string]struct {
		filter ledger.Filter
		want   []int64
	}{
		"id":       {ledger.Filter{IDs: ids[1:]}, ids[1:]},
		"no id":    {ledger.Filter{IDs: []int64{}}, nil},
		"object":   {ledger.Filter{Object: "deals"}, nil},
		"table":    {ledger.Filter{Table: `public."Billing"`}, ids[:1]},
		"category": {ledger.Filter{Category: "missing"}, ids[1:]},
		"key":      {ledger.Filter{Key: "9"}, ids[1:]},
		"property": {ledger.Filter{Property: "plan"}, ids[:1]},
		"before":   {ledger.Filter{SeenBefore: at.Add(time.Minute)}, ids[1:]},
		"after":    {ledger.Filter{After: ids[0]}, ids[1:]},
		"limit":    {ledger.Filter{Limit: 1}, ids[:1]},
		"two":      {ledger.Filter{Key: "9", Category: "missing"}, ids[1:]},
		"neither":  {ledger.Filter{Key: "9", Category: "invalid_option"}, nil},
	} {
		var found []int64
		for _, p := range letters(t, l, test.filter) {
			found = append(found, p.ID)
		}
		if diff := cmp.Diff(test.want, found); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	counts, err := l.CountLetters(t.Context())
	if diff := cmp.Diff(map[string]int64{"invalid_option": 1, "missing": 1}, counts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if n, err := f.open(t).DropLetters(t.Context(), ledger.Filter{Category: "missing"}); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if got := openLetters(t, l); got != "k\"1:plan@1099511627776" {
		t.Errorf("left: %s", got)
	}
}

// TestOtherEncoding: keys are bytes and reasons are escaped where the database
// cannot hold every text; where it takes any bytes, they are kept.
func TestOtherEncoding(t *testing.T) {
	server := pgtest.Shared(t)
	for encoding, want := range map[string]string{"LATIN1": `"\u201c\u00e9\u201d"\x00`, "SQL_ASCII": "\"“é”\"\uFFFD"} {
		pgtest.Exec(t, server.URL("postgres"), "CREATE DATABASE other_"+encoding+" ENCODING "+encoding+" LOCALE 'C' TEMPLATE template0")
		t.Cleanup(func() { pgtest.Exec(t, server.URL("postgres"), "DROP DATABASE other_"+encoding+" WITH (FORCE)") })
		f := fixture{server.URL("other_" + strings.ToLower(encoding))}
		if err := migrations.Apply(t.Context(), f.url, schema, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		l := f.begin(t)
		settle(t, l, ledger.Settlement{
			Deliveries: []ledger.Delivery{{Source: accounts, Key: "“é”", Row: "€", CRMID: "7", Accounted: pos(1, 1)}},
			Letters:    []ledger.Letter{{Source: accounts, Key: "“é”", Row: "€", Slot: plan, Category: "c", Reason: "\"“é”\"\x00", Position: pos(1, 1), At: at}},
		})
		if got := lookup(t, l, companies, "“é”")[0]; got == nil || got.CRMID != "7" {
			t.Errorf("%s: record %+v", encoding, got)
		}
		parked := letters(t, l, ledger.Filter{Key: "“é”"})
		if len(parked) != 1 || parked[0].Reason != want || parked[0].Row != "€" {
			t.Errorf("%s: %+v", encoding, parked)
		}
	}
}
