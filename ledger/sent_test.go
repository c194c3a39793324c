package ledger_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgcrm/pgcrm/ledger"
)

// Rows that were written ahead are listed until the settle of their chunk, for
// whoever starts next, and whatever became of their backfill.
func TestSentRowsAreListedUntilTheyAreSettled(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	id, err := l.AddBackfill(t.Context(), ledger.Backfill{Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "first_load"})
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]ledger.SentRow{
		{{Key: "1", Row: "1"}, {Key: "it's", Row: `["ü",""]`}, {Key: "x", Row: ""}, {Key: strings.Repeat("k", 300), Row: "2"}},
		{{Key: "3", Row: "3"}},
		{{Key: "4", Row: "4"}, {Key: "5", Row: "5"}},
	}
	send := func(chunk int, rows []ledger.SentRow) {
		t.Helper()
		if err := l.BackfillSentTo(t.Context(), id, chunk, []string{"9"}, rows); err != nil {
			t.Fatal(err)
		}
	}
	listed := func(want ...ledger.SentChunk) {
		t.Helper()
		got, err := f.open(t).SentChunks(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	}
	chunk := func(n int, rows []ledger.SentRow) ledger.SentChunk {
		return ledger.SentChunk{Backfill: id, Number: n, Table: accounts.Table, Object: "companies", Match: "account_id", Rows: rows}
	}
	listed()
	send(1, rows[1])
	send(1, rows[0]) // read again, and nothing of the first was sent
	send(2, rows[1])
	send(3, rows[2])
	listed(chunk(1, rows[0]), chunk(2, rows[1]), chunk(3, rows[2]))
	settle(t, l, ledger.Settlement{Chunks: []ledger.ChunkDone{{ID: id, Number: 1, DoneTo: []string{"2"}, Rows: 4}}})
	if _, err := l.CancelBackfill(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	listed(chunk(2, rows[1]), chunk(3, rows[2]))
	settle(t, l, ledger.Settlement{Recalled: []ledger.SentChunk{chunk(3, nil)}})
	listed(chunk(2, rows[1]))
}
