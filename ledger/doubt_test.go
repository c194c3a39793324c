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
