package ledger_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// A letter about a record that several tables feed knows the last row of each.
func TestALetterKnowsTheRowsOfAllTables(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	park := func(lsn change.LSN, src *change.Source, row string, also ...ledger.Feeder) ledger.Letter {
		return ledger.Letter{
			Source: src, Key: "k", Row: row, Also: also, Slot: ledger.WholeRecord, Owed: src.Slots, Category: "not_found",
			Position: pos(lsn, 1), At: at,
		}
	}
	is := func(when string, want ...ledger.ParkedRow) {
		t.Helper()
		parked := letters(t, l, ledger.Filter{Key: "k"})
		if len(parked) != 1 {
			t.Fatalf("%s: %d letters", when, len(parked))
		}
		if diff := cmp.Diff(want, slices.Collect(parked[0].Rows())); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	open := func(list ...ledger.Letter) { t.Helper(); settle(t, l, ledger.Settlement{Letters: list}) }
	open(park(5, accounts, "1"))
	is("one table", ledger.ParkedRow{Table: accounts.Table, Row: "1"})
	open(park(6, billing, "9"))
	is("another", ledger.ParkedRow{Table: billing.Table, Row: "9"}, ledger.ParkedRow{Table: accounts.Table, Row: "1"})
	open(park(5, accounts, "1"))
	is("read again", ledger.ParkedRow{Table: billing.Table, Row: "9"}, ledger.ParkedRow{Table: accounts.Table, Row: "1"})
	l = f.begin(t)
	open(park(7, accounts, "2"))
	is("another row", ledger.ParkedRow{Table: accounts.Table, Row: "2"}, ledger.ParkedRow{Table: billing.Table, Row: "9"})
	open(park(8, billing, "8"), park(9, accounts, "3"))
	is("both at once", ledger.ParkedRow{Table: accounts.Table, Row: "3"}, ledger.ParkedRow{Table: billing.Table, Row: "8"})

	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: "k", Row: "3", Accounted: pos(20, 1), CloseAll: true}}})
	open(park(30, billing, "7", ledger.Feeder{Source: accounts, Row: "4"}))
	is("a letter of its own", ledger.ParkedRow{Table: billing.Table, Row: "7"}, ledger.ParkedRow{Table: accounts.Table, Row: "4"})
	open(park(31, billing, ""))
	is("a row that is not known", ledger.ParkedRow{Table: accounts.Table, Row: "4"})
}
