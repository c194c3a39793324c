package ledger_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// Of each table that feeds a record the last row is remembered, so that the
// deletion of a row finds the record that was delivered from it and no other.
func TestEachTablesRowIsRemembered(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	n := change.LSN(0)
	deliver := func(ds ...ledger.Delivery) {
		t.Helper()
		n++
		for i := range ds {
			ds[i].Accounted, ds[i].CRMID, ds[i].At = pos(n, uint32(i)), "7", at
		}
		settle(t, l, ledger.Settlement{Deliveries: ds})
	}
	from := func(src *change.Source, key, row string) bool {
		t.Helper()
		got, err := l.DeliveredFrom(t.Context(), companies, []string{"nobody", key}, []ledger.Feeder{{Source: src, Row: row}, {Source: src, Row: row}})
		if err != nil || got[0] {
			t.Fatalf("%v, %v", got, err)
		}
		keys, err := l.KeysOf(t.Context(), src, row)
		if err != nil || slices.Contains(keys, key) != got[1] {
			t.Errorf("row %s of %s has the keys %q (%v), and delivered is %v", row, src.Table, keys, err, got[1])
		}
		return got[1]
	}
	check := func(want map[string]bool) {
		t.Helper()
		got := map[string]bool{}
		for name := range want {
			src := accounts
			if name[0] == 'b' {
				src = billing
			}
			got[name] = from(src, "k", name[1:])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	deliver(ledger.Delivery{Source: accounts, Key: "k", Row: "k"})
	check(map[string]bool{"ak": true, "a1": false, "a": false, "bk": false, "b5": false})
	deliver(ledger.Delivery{Source: billing, Key: "k", Row: "5"}, ledger.Delivery{Source: billing, Key: "other", Row: "6"})
	check(map[string]bool{"ak": true, "bk": false, "b5": true, "b6": false})
	deliver(ledger.Delivery{Source: accounts, Key: "k", Row: "2"})
	check(map[string]bool{"ak": false, "a2": true, "b5": true})
	deliver(ledger.Delivery{Source: billing, Key: "k", Row: "8"})
	check(map[string]bool{"a2": true, "b5": false, "b8": true})

	for src, want := range map[*change.Source]bool{accounts: true, billing: true} {
		got, err := l.DeliveredFrom(t.Context(), companies, []string{"k", "nobody"}, []ledger.Feeder{{Source: src, Any: true}, {Source: src, Any: true}})
		if err != nil || got[0] != want || got[1] {
			t.Errorf("of a row that is not known, of %s: %v, %v", src.Table, got, err)
		}
	}

	// One version may hold changes of both, under the name of the newest.
	deliver(ledger.Delivery{Source: billing, Key: "both", Row: "9", Also: []ledger.Feeder{{Source: accounts, Row: "3"}}})
	if !from(billing, "both", "9") || !from(accounts, "both", "3") || from(accounts, "both", "9") {
		t.Error("a row of a version that two tables fed is not remembered")
	}
	// Another process knows as much, and a record that is forgotten is forgotten whole.
	l = f.begin(t)
	check(map[string]bool{"a2": true, "b8": true})
	deliver(ledger.Delivery{Source: accounts, Key: "k", Row: "2", Forget: true})
	check(map[string]bool{"a2": false, "b8": false})
}

// The call of a record's last delivery is found, across restarts, and a settle
// without a call leaves it.
func TestTheCallOfALastDelivery(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	settled := func(lsn change.LSN, ds ...ledger.Delivery) {
		t.Helper()
		for i := range ds {
			ds[i].Source, ds[i].Row, ds[i].Accounted = accounts, ds[i].Key, pos(lsn, uint32(i))
			if ds[i].Correlation != "" {
				ds[i].At, ds[i].Latency = at, 1500_000_000
			}
		}
		settle(t, l, ledger.Settlement{Deliveries: ds})
	}
	is := func(key string, batch int32, correlation string) {
		t.Helper()
		trace, found, err := l.Trace(t.Context(), companies, key)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if trace.Batch != batch || trace.Correlation != correlation || (trace.Latency.Milliseconds() == 1500) != (correlation != "") {
			t.Errorf("%s: batch %d, %q, after %v; want %d, %q", key, trace.Batch, trace.Correlation, trace.Latency, batch, correlation)
		}
	}
	settled(1, ledger.Delivery{Key: "1", Correlation: "c1"}, ledger.Delivery{Key: "2", Correlation: "c2"}, ledger.Delivery{Key: "3", Correlation: "c1"}, ledger.Delivery{Key: "4"})
	is("1", 1, "c1")
	is("2", 2, "c2")
	is("3", 1, "c1")
	is("4", 0, "")
	settled(2, ledger.Delivery{Key: "1"}, ledger.Delivery{Key: "2", Correlation: "c3"})
	is("1", 1, "c1")
	is("2", 3, "c3")
	l = f.begin(t)
	settled(3, ledger.Delivery{Key: "3", Correlation: "c4"})
	is("3", 4, "c4")
	is("1", 1, "c1")
}
