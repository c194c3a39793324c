package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgcrm/pgcrm/ledger"
)

func TestBackfill(t *testing.T) {
	f := newFixture(t)
	l, asker := f.begin(t), f.open(t)
	ask := ledger.Backfill{
		Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "asked", Where: "id > 3",
		Keys: []string{"1", `a"b`}, Properties: []string{"name"}, Estimate: 500, SourceHash: "h1",
	}
	id, err := asker.AddBackfill(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	other, err := asker.AddBackfill(t.Context(), ledger.Backfill{Table: usage.Table, Object: "companies", Match: "hs_object_id", Reason: "first_load"})
	if err != nil || other <= id {
		t.Fatalf("id %d after %d, %v", other, id, err)
	}
	want := ask
	want.ID, want.State, want.SourceHash = id, ledger.Waiting, ""
	check := func() {
		t.Helper()
		got, found, err := l.Backfill(t.Context(), id)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(ledger.Backfill{}, "RequestedAt", "StartedAt", "FinishedAt")); diff != "" {
			t.Fatal(diff)
		}
		if started := want.State != ledger.Waiting; got.StartedAt.IsZero() == started || got.RequestedAt.IsZero() {
			t.Fatalf("started at %v, requested at %v", got.StartedAt, got.RequestedAt)
		}
		if finished := want.State == ledger.Done; got.FinishedAt.IsZero() == finished {
			t.Fatalf("finished at %v", got.FinishedAt)
		}
	}
	open := func(ids ...int64) {
		t.Helper()
		list, err := l.Backfills(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, b := range list {
			got = append(got, b.ID)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Fatal(diff)
		}
	}
	check()
	open(id, other)

	if err := l.BackfillSentTo(t.Context(), id, 1, []string{"10", `x,{"y\`}, nil); err != nil {
		t.Fatal(err)
	}
	want.State, want.SentTo = ledger.Running, []string{"10", `x,{"y\`}
	check()
	for range 2 {
		settle(t, l, ledger.Settlement{Chunks: []ledger.ChunkDone{{ID: id, DoneTo: []string{"5", ""}, Rows: 5}}})
	}
	want.DoneTo, want.Rows = []string{"5", ""}, 5
	check()
	open(id, other)
	settle(t, l, ledger.Settlement{Chunks: []ledger.ChunkDone{{ID: id, DoneTo: []string{"10", "z"}, Rows: 10, Last: true}}})
	want.DoneTo, want.Rows, want.State = []string{"10", "z"}, 10, ledger.Done
	check()
	open(other)

	// What is over stays as it is.
	if err := l.BackfillSentTo(t.Context(), id, 2, []string{"99", "z"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.FailBackfill(t.Context(), id, "late"); err != nil {
		t.Fatal(err)
	}
	if ok, err := asker.CancelBackfill(t.Context(), id); ok || err != nil {
		t.Fatal(ok, err)
	}
	check()
	if ok, err := asker.CancelBackfill(t.Context(), other); !ok || err != nil {
		t.Fatal(ok, err)
	}
	open()
	recent, err := l.RecentBackfills(t.Context(), 1)
	if err != nil || len(recent) != 1 || recent[0].ID != other || recent[0].State != ledger.Cancelled {
		t.Fatalf("%+v, %v", recent, err)
	}
}

func TestSourceHashes(t *testing.T) {
	l := newFixture(t).begin(t)
	// A source that was settled, but for which no load was asked, has none.
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: billing, Key: "1", Accounted: pos(1, 1)}}})
	if _, err := l.AddBackfill(t.Context(), ledger.Backfill{Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "first_load", SourceHash: "h1"}); err != nil {
		t.Fatal(err)
	}
	ask := func(b ledger.Backfill) {
		t.Helper()
		if _, err := l.AddBackfill(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	ask(ledger.Backfill{Table: usage.Table, Object: "companies", Match: "hs_object_id", Reason: "first_load", SourceHash: "u1"})
	ask(ledger.Backfill{Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "mapping_changed", SourceHash: "h2"})
	got, err := l.SourceHashes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []ledger.SourceHash{{accounts.Table, "companies", "account_id", "h2"}, {usage.Table, "companies", "hs_object_id", "u1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if err := l.ForgetSource(t.Context(), want[0]); err != nil {
		t.Fatal(err)
	}
	if got, err = l.SourceHashes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Fatal(diff)
	}
}
