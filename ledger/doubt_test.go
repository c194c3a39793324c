package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/ledger"
)

func TestRowsInDoubtAreAskedForOnceTheirTimeIsOver(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	l := f.begin(t)
	doubt := func(row string, until time.Time) ledger.Doubt {
		return ledger.Doubt{Source: accounts, Row: row, Until: until}
	}
	settle(t, l, ledger.Settlement{Doubts: []ledger.Doubt{
		doubt("1", at), doubt("2", at.Add(time.Minute)), doubt("3", at), doubt("3", at.Add(time.Second)),
		{Source: usage, Row: `["a","b"]`, Until: at},
	}})
	settle(t, l, ledger.Settlement{Doubts: []ledger.Doubt{doubt("1", at.Add(-time.Hour)), doubt("2", at)}}) // never sooner

	request := func(now time.Time, limit int) int64 {
		t.Helper()
		n, err := l.RequestLate(ctx, now, limit, "late")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := request(at.Add(-time.Second), 10); n != 0 {
		t.Errorf("%d rows before their time", n)
	}
	if n := request(at.Add(time.Second), 10); n != 3 {
		t.Errorf("%d rows are due, want 3", n)
	}
	open, err := l.Backfills(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, b := range open {
		if b.Reason != "late" {
			t.Errorf("reason %q", b.Reason)
		}
		got[b.Table] += len(b.Keys)
	}
	if diff := cmp.Diff(map[string]int{accounts.Table: 2, usage.Table: 1}, got); diff != "" {
		t.Error(diff)
	}
	if n, err := l.Doubts(ctx); err != nil || n != 1 {
		t.Errorf("%d rows are left in doubt, %v", n, err)
	}
	if n := request(at.Add(time.Hour), 10); n != 1 {
		t.Errorf("%d rows in the end", n)
	}
	if n := request(at.Add(time.Hour), 10); n != 0 {
		t.Errorf("%d rows asked for twice", n)
	}
}

// By the time that a request takes effect, another row's record may have the match
// value that it had.
func TestWhoeverHasTheKeyInDoubtIsAskedForToo(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	settle(t, l, ledger.Settlement{Doubts: []ledger.Doubt{
		{Source: accounts, Row: "1", Key: "k", Until: at},
		{Source: accounts, Row: "2", Key: "2", Until: at},
		{Source: accounts, Row: "3", Key: "nobody", Until: at},
		{Source: accounts, Row: "4", Key: "vacant", Until: at},
		{Source: accounts, Row: "5", Key: "later", Until: at.Add(time.Hour)},
	}})
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{
		{Source: accounts, Key: "k", Row: "7", Accounted: pos(1, 1), CRMID: "70", At: at},
		{Source: accounts, Key: "2", Row: "2", Accounted: pos(1, 2), CRMID: "20", At: at},
		{Source: accounts, Key: "vacant", Row: "\x00", Accounted: pos(1, 3)},
		{Source: accounts, Key: "later", Row: "8", Accounted: pos(1, 4), CRMID: "80", At: at},
	}})
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: billing, Key: "k", Row: "9", Accounted: pos(2, 1), CRMID: "70", At: at}}})
	n, err := l.RequestLate(t.Context(), at, 10, "late")
	if n != 6 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	open, err := l.Backfills(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, b := range open {
		got[b.Table] = append(got[b.Table], b.Keys...)
		if b.Estimate != int64(len(b.Keys)) || b.Object != companies.Object || b.Match != companies.Match {
			t.Errorf("%+v", b)
		}
	}
	want := map[string][]string{accounts.Table: {"1", "2", "3", "4", "7"}, billing.Table: {"9"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
