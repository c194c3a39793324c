package ledger_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// debts is the model of what letters are for: which slot of which record is
// owed since when.
type debts map[debt]change.Position

type debt struct {
	key  string // "row:" and the row where there is no key
	row  string
	slot int
}

// TestNoDebtIsLost settles random letters and deliveries, in any order of their
// positions, some twice, with restarts in between. Letters hold whatever the
// model says is owed: a debt lasts until its property is delivered at or after
// its position, for the record or for the row; for the row alone, by a version
// that begins there. They may hold it longer, since a
// letter about a whole record has one position, but a delivery after all of them
// closes them all.
func TestNoDebtIsLost(t *testing.T) {
	f := newFixture(t)
	rapid.Check(t, func(t *rapid.T) {
		l, err := ledger.Open(t.Context(), ledgerConfig(f))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		begin := func() {
			if _, err := l.Begin(t.Context(), instance(), targets); err != nil {
				t.Fatal(err)
			}
		}
		begin()
		if _, err := l.DropLetters(t.Context(), ledger.Filter{}); err != nil {
			t.Fatal(err)
		}
		owed := debts{}
		slots := rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 1, 3, rapid.ID[int])
		// Every row keeps its key, as rows of a table mostly do.
		rows := map[string]string{"r1": "a", "r2": "b", "r3": "", "r4": "a"}
		names := slices.Sorted(maps.Keys(rows))
		for step := range rapid.IntRange(1, 8).Draw(t, "settles") {
			var s ledger.Settlement
			var opened []ledger.Letter
			for range rapid.IntRange(0, 4).Draw(t, "letters") {
				row := rapid.SampledFrom(names).Draw(t, "row")
				letter := ledger.Letter{
					Source: accounts, Key: rows[row], Row: row, Slot: rapid.IntRange(0, 2).Draw(t, "slot"), Category: "c", At: at,
					Position: pos(change.LSN(10+step), rapid.Uint32Range(0, 3).Draw(t, "ordinal")),
				}
				if rapid.Bool().Draw(t, "whole") {
					letter.Slot, letter.Owed = ledger.WholeRecord, slots.Draw(t, "owed")
				}
				opened = append(opened, letter)
			}
			s.Letters = opened
			for range rapid.IntRange(0, 3).Draw(t, "deliveries") {
				row := rapid.SampledFrom(names).Draw(t, "row")
				ordinal := rapid.Uint32Range(0, 3).Draw(t, "ordinal")
				s.Deliveries = append(s.Deliveries, ledger.Delivery{
					Source: accounts, Key: rows[row], Row: row, Delivered: slots.Draw(t, "delivered"),
					First:     pos(change.LSN(9+step-rapid.IntRange(0, 2).Draw(t, "older")), ordinal),
					Accounted: pos(change.LSN(9+step), ordinal),
				})
			}
			owed.open(opened)
			owed.pay(s.Deliveries)
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				if err := l.Settle(t.Context(), &s); err != nil {
					t.Fatal(err)
				}
			}
			parked, err := l.Letters(t.Context(), ledger.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			held := listDebts(parked)
			for _, debt := range owed.list() {
				if !slices.Contains(held, debt) {
					t.Fatalf("settle %d: %s is owed, but letters hold only %q", step, debt, held)
				}
			}
			if len(parked) > 0 && !l.HasLetters() {
				t.Fatal("HasLetters denies a letter")
			}
			if rapid.Bool().Draw(t, "restart") {
				begin()
			}
		}
		var last ledger.Settlement
		for row, key := range rows {
			last.Deliveries = append(last.Deliveries, ledger.Delivery{Source: accounts, Key: key, Row: row, Delivered: []int{0, 1, 2}, Accounted: pos(99, 1)})
		}
		if err := l.Settle(t.Context(), &last); err != nil {
			t.Fatal(err)
		}
		if parked, err := l.Letters(t.Context(), ledger.Filter{}); err != nil || len(parked) > 0 {
			t.Fatalf("all is delivered, but there are %+v, %v", parked, err)
		}
	})
}

func record(key, row string) string { return cmp.Or(key, "row:"+row) }

func (d debts) open(letters []ledger.Letter) {
	for _, l := range letters {
		slots := l.Owed
		if l.Slot != ledger.WholeRecord {
			slots = []int{l.Slot}
		}
		for _, slot := range slots {
			owes := debt{record(l.Key, l.Row), l.Row, slot}
			if p, ok := d[owes]; !ok || p.Before(l.Position) {
				d[owes] = l.Position
			}
		}
	}
}

func (d debts) pay(deliveries []ledger.Delivery) {
	for _, delivery := range deliveries {
		for owes, since := range d {
			paid := delivery.Accounted
			switch {
			case owes.key == record(delivery.Key, delivery.Row):
			case owes.row == delivery.Row && delivery.First != change.Position{}:
				paid = delivery.First
			case owes.row == delivery.Row:
			default:
				continue
			}
			if slices.Contains(delivery.Delivered, owes.slot) && !paid.Before(since) {
				delete(d, owes)
			}
		}
	}
}

// list names what each record owes.
func (d debts) list() []string {
	set := map[string]bool{}
	for owes := range d {
		set[fmt.Sprint(owes.key, " ", companies.Properties[owes.slot])] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func listDebts(letters []ledger.Parked) []string {
	set := map[string]bool{}
	for _, l := range letters {
		owed := l.Owed
		if l.Property != "" {
			owed = []string{l.Property}
		}
		for _, property := range owed {
			set[fmt.Sprint(record(l.Key, l.Row), " ", property)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}
