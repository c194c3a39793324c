package ledger_test

import (
	"math/rand/v2"
	"testing"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// TestSizeOfRecord: a record with ten properties costs less than 300 bytes, its
// index and the room for updates included, and scattered updates are HOT.
// BenchmarkSize measures the same at a million records.
func TestSizeOfRecord(t *testing.T) {
	target, source := benchTarget()
	f, l := benchLedger(t, target)
	const records, batch = 20_000, 500
	rng := rand.New(rand.NewPCG(1, 2))
	scattered := func(lsn change.LSN, order []int) {
		for ; len(order) > 0; order = order[batch:] {
			var s ledger.Settlement
			for _, n := range order[:batch] {
				s.Deliveries = append(s.Deliveries, deliveries(source, n, 1, lsn)...)
			}
			settle(t, l, s)
		}
	}
	scattered(1, rng.Perm(records))
	for round := range change.LSN(4) {
		scattered(2+round, rng.Perm(records)[:records/20])
	}
	l.Close() // its sessions report what they did
	size, hot, updates := measure(t, f, records/5)
	t.Logf("%d bytes per record; %d of %d updates were HOT", size/records, hot, updates)
	if size/records >= 300 {
		t.Errorf("%d bytes per record", size/records)
	}
	if updates < records/5 || hot < updates*95/100 {
		t.Errorf("of %d updates %d were HOT", updates, hot)
	}
}
