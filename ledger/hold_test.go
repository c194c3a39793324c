package ledger_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgcrm/pgcrm/ledger"
)

// A decision outlives the instance that asked for it, and stays when the change is
// found again.
func TestHolds(t *testing.T) {
	f := newFixture(t)
	l, person := f.begin(t), f.open(t)
	tx := ledger.Held{
		Digest: "aa", Commit: 1 << 40, Records: 7, Partial: true,
		Samples: []ledger.HeldSample{{Table: accounts.Table, Row: `"7"`, Object: "companies", Match: "account_id", Key: "7", Properties: []string{"name"}}},
	}
	load := ledger.Held{Digest: "bb", Backfill: 3, Records: 9, Samples: []ledger.HeldSample{{Archives: true}}}
	for _, h := range []ledger.Held{tx, load} {
		if err := l.Hold(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	check := func(resumed map[string]bool, want ...ledger.Held) {
		t.Helper()
		got, err := person.Holds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(ledger.Held{}, "HeldAt", "ResumedAt")); diff != "" {
			t.Fatal(diff)
		}
		for _, h := range got {
			if h.ResumedAt.IsZero() == resumed[h.Digest] || h.HeldAt.IsZero() {
				t.Errorf("%s held at %v, resumed at %v", h.Digest, h.HeldAt, h.ResumedAt)
			}
		}
	}
	check(nil, tx, load)
	if ok, err := person.Resume(t.Context(), "cc"); ok || err != nil {
		t.Errorf("resumed what is not held: %v, %v", ok, err)
	}
	if ok, err := person.Resume(t.Context(), "aa"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	next := f.begin(t)
	tx.Records, tx.Partial = 8, false
	if err := next.Hold(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	check(map[string]bool{"aa": true}, tx, load)

	for name, err := range map[string]error{
		"hold":   l.Hold(t.Context(), load),
		"forget": l.ForgetHolds(t.Context(), []string{"bb"}),
	} {
		if !errors.Is(err, ledger.ErrFenced) {
			t.Errorf("%s by an instance that is over: %v", name, err)
		}
	}
	if err := next.ForgetHolds(t.Context(), []string{"aa", "nothing"}); err != nil {
		t.Fatal(err)
	}
	check(nil, load)
}
