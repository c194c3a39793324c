package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

func TestTraceBesideTheInstance(t *testing.T) {
	f := newFixture(t)
	running := f.begin(t)
	fact := change.Fact{State: change.Known, Fingerprint: 5}
	settle(t, running, ledger.Settlement{Deliveries: []ledger.Delivery{
		{Source: accounts, Key: "acme", Row: "1", CRMID: "77", Accounted: pos(5, 1), Facts: []change.Fact{{}, fact}, At: at},
		{Source: accounts, Key: "7", Row: "7", Accounted: pos(6, 1)},
		{Source: accounts, Key: "twin", Row: "7", Accounted: pos(6, 2)},
		{Source: billing, Key: "8", Row: "7", Accounted: pos(6, 1)},
	}})
	// Refused later: the time of the last delivery stays.
	settle(t, running, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: "acme", Row: "1", Accounted: pos(7, 1), Facts: []change.Fact{{}, fact}}}})

	beside := f.open(t)
	wider := &change.Target{Object: "companies", Match: "account_id", Properties: []string{"aaa", "name"}}
	unmet := &change.Target{Object: "deals", Match: "deal_id", Properties: []string{"x"}}
	if err := beside.Attach(t.Context(), []*change.Target{wider, unmet}); err != nil {
		t.Fatal(err)
	}
	got, found, err := beside.Trace(t.Context(), wider, "acme")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	want := ledger.Trace{
		Record: &change.Record{CRMID: "77", Table: accounts.Table, Row: "1", Accounted: pos(7, 1), Facts: []change.Fact{{}, fact}},
		Table:  accounts.Table, Row: "1", DeliveredAt: at,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, found, err := beside.Trace(t.Context(), wider, "7"); err != nil || !found || got.Row != "7" || !got.DeliveredAt.IsZero() {
		t.Errorf("%+v, %v, %v", got, found, err)
	}
	for _, target := range []*change.Target{wider, unmet} {
		if _, found, err := beside.Trace(t.Context(), target, "nobody"); found || err != nil {
			t.Errorf("%s: %v, %v", target.Object, found, err)
		}
	}
	for row, want := range map[string][]string{"1": {"acme"}, "7": {"7", "twin"}, "8": nil, "acme": nil} {
		got, err := beside.KeysOf(t.Context(), &change.Source{Table: accounts.Table, Target: wider}, row)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Transformer("nil", func(s []string) int { return len(s) })); diff != "" {
			t.Errorf("row %s: %s", row, diff)
		}
	}
	if st := peek(t, running); st.Epoch != 1 {
		t.Errorf("reading raised the epoch to %d", st.Epoch)
	}
	settle(t, running, ledger.Settlement{Checkpoint: 999})
}
