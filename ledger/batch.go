package ledger

// Calls are numbered, and each record keeps the number of the one that it was
// last delivered in: four bytes instead of the 36 of HubSpot's correlation id. The
// ids themselves stand beside their numbers for as long as they are of use.

// batchesKept is how many calls are remembered.
const batchesKept = 500_000

// purgeBatchesEvery is after how many calls old ones are removed.
const purgeBatchesEvery = 1024

var (
	batchStatement = statement{"batch", `INSERT INTO batch AS b (id, correlation, answered_at)
		SELECT * FROM unnest($1::int4[], $2::text[], $3::timestamptz[])
		ON CONFLICT (id) DO UPDATE SET correlation = excluded.correlation, answered_at = excluded.answered_at`}
	oldBatchesStatement = statement{"old_batches", `DELETE FROM batch WHERE id <= $1`}
)

// number gives the calls of the gathered deliveries their numbers. A settle that
// is repeated gives the same ones.
func (l *Ledger) number(t *transaction) {
	sc := &l.scratch
	if sc.batches == nil {
		sc.batches = map[string]int32{}
	}
	clear(sc.batches)
	last := l.batches
	var id, correlation, answered array
	id.reset(oidInt4)
	correlation.reset(oidText)
	answered.reset(oidTimestamptz)
	for _, r := range sc.records {
		if r.At.IsZero() || r.Correlation == "" || sc.batches[r.Correlation] != 0 {
			continue
		}
		last++
		sc.batches[r.Correlation] = last
		id.addInt4(last)
		correlation.addString(l.sayable(r.Correlation))
		answered.addTime(r.At)
	}
	if id.n == 0 {
		return
	}
	t.params[0][4] = wireInt4(int(last))
	t.add(batchStatement, id.bytes(), correlation.bytes(), answered.bytes())
	if last/purgeBatchesEvery != l.batches/purgeBatchesEvery {
		t.add(oldBatchesStatement, wireInt4(int(last-batchesKept)))
	}
}
