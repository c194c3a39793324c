package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/ledger"
)

// TestDeliveredRows pages through the rows of one mapping, and of no other.
func TestDeliveredRows(t *testing.T) {
	l := newFixture(t).begin(t)
	var deliveries []ledger.Delivery
	for i := range 5 {
		key := fmt.Sprint(i)
		deliveries = append(deliveries, ledger.Delivery{Source: accounts, Key: key, Row: key, Accounted: pos(1, 1)})
	}
	long := strings.Repeat("long", 1000)
	deliveries = append(deliveries,
		ledger.Delivery{Source: accounts, Key: "5", Row: `["7","ü"]`, Accounted: pos(1, 1)},
		ledger.Delivery{Source: accounts, Key: long, Row: long, Accounted: pos(1, 1)},
		ledger.Delivery{Source: billing, Key: "6", Row: "1", Accounted: pos(1, 1)},
		ledger.Delivery{Source: usage, Key: "1", Row: "1", Accounted: pos(1, 1)},
	)
	settle(t, l, ledger.Settlement{Deliveries: deliveries})
	var got []string
	for cursor, pages := "", 0; ; pages++ {
		rows, next, err := l.DeliveredRows(t.Context(), accounts.Table, companies.Object, companies.Match, cursor, 2)
		if err != nil || pages > 9 {
			t.Fatal(pages, err)
		}
		got = append(got, rows...)
		if cursor = next; cursor == "" {
			break
		}
	}
	if want := []string{"0", "1", "2", "3", "4", `["7","ü"]`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
