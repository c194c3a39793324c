package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

func TestRebase(t *testing.T) {
	f := newFixture(t)
	old := f.begin(t)
	a := deliveries(accounts, 1, 1, 970)[0]
	settle(t, old, ledger.Settlement{Checkpoint: 990, Bound: 2000, Deliveries: []ledger.Delivery{a}})
	keep, err := old.AddBackfill(t.Context(), ledger.Backfill{Table: "public.accounts", Object: "companies", Match: "account_id", Reason: "retry", Keys: []string{a.Row}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.AddBackfill(t.Context(), ledger.Backfill{Table: "public.accounts", Object: "companies", Match: "account_id", Reason: "asked"}); err != nil {
		t.Fatal(err)
	}

	in := instance()
	in.Timeline, in.InitialCheckpoint, in.FlushedEnd, in.PublicationHash = 2, 500, 600, "new"
	loads := []ledger.Backfill{{Table: "public.accounts", Object: "companies", Match: "account_id", Reason: "slot_recreated"}}
	l := f.open(t)
	if _, err := l.Rebase(t.Context(), in, loads, false); err == nil || !strings.Contains(err.Error(), "did not stop cleanly") {
		t.Errorf("what was sent last is not known, and yet: %v", err)
	}
	if n, err := l.Distrust(t.Context()); n != 1 || err != nil {
		t.Fatalf("distrusted %d, %v", n, err)
	}
	if err := old.Settle(t.Context(), &ledger.Settlement{Checkpoint: 3000}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("the old instance may still write: %v", err)
	}
	if known, err := l.Rebase(t.Context(), in, loads, true); !known || err != nil {
		t.Fatalf("Rebase: %v, %v", known, err)
	}

	// Another start finds it.
	in.FlushedEnd = 650
	st := mustBegin(t, l, in)
	if st.First || st.Checkpoint != 500 || st.Bound != 500 || st.OrdinalsSince != 500 || !st.CleanStop {
		t.Errorf("state %+v", st)
	}
	r := lookup(t, l, companies, a.Key)[0]
	if r == nil || r.Accounted.LSN != 0 || r.CRMID != a.CRMID {
		t.Fatalf("record %+v", r)
	}
	want := make([]change.Fact, len(a.Facts))
	for i, fact := range a.Facts {
		if fact.State != change.Never {
			want[i] = change.Fact{State: change.Unknown}
		}
	}
	if diff := cmp.Diff(want, r.Facts); diff != "" {
		t.Error(diff)
	}
	open, err := l.Backfills(t.Context())
	if err != nil || len(open) != 2 || open[0].ID != keep || open[1].Reason != "slot_recreated" {
		t.Errorf("open loads: %+v, %v", open, err)
	}
	settle(t, l, ledger.Settlement{Checkpoint: 640})
}

func TestRebaseOfACleanStateKeepsWhatIsKnown(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	if known, err := l.Rebase(t.Context(), instance(), nil, false); known || err != nil {
		t.Fatalf("without a state: %v, %v", known, err)
	}
	mustBegin(t, l, instance())
	a := deliveries(accounts, 1, 1, 970)[0]
	settle(t, l, ledger.Settlement{Checkpoint: 990, Deliveries: []ledger.Delivery{a}})
	if err := l.Stop(t.Context(), 990); err != nil {
		t.Fatal(err)
	}
	in := instance()
	in.InitialCheckpoint, in.FlushedEnd = 5000, 6000
	if known, err := l.Rebase(t.Context(), in, nil, false); !known || err != nil {
		t.Fatalf("Rebase: %v, %v", known, err)
	}
	mustBegin(t, l, in)
	if r := lookup(t, l, companies, a.Key)[0]; r == nil || r.Accounted.LSN != 970 || !cmp.Equal(r.Facts, a.Facts) {
		t.Errorf("record %+v", r)
	}
}

func TestDistrustOfManyRecords(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	const n = 12_000
	s := ledger.Settlement{Checkpoint: 990, Deliveries: deliveries(accounts, 1, n, 970)}
	settle(t, l, s)
	if got, err := l.Distrust(t.Context()); got != n || err != nil {
		t.Errorf("distrusted %d, %v", got, err)
	}
	for _, d := range []ledger.Delivery{s.Deliveries[0], s.Deliveries[n/2], s.Deliveries[n-1]} {
		for slot, fact := range lookup(t, l, d.Source.Target, d.Key)[0].Facts {
			if fact.State == change.Known {
				t.Errorf("%q: slot %d is known", d.Key, slot)
			}
		}
	}
}
