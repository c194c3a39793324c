package pipeline

import (
	"context"
	"hash/maphash"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// Memory is what a dry run asks the ledger of an instance that ran before.
type Memory interface {
	Lookup(ctx context.Context, target *change.Target, keys []string) ([]*change.Record, error)
	KeysOf(ctx context.Context, source *change.Source, row string) ([]string, error)
	Fingerprint(value []byte) uint64
}

// dryWeighing is what the transaction that is being read comes to.
type dryWeighing struct {
	seed    maphash.Seed
	records map[uint64]struct{} // that it would change
	pending []*sink.Entry       // changes not looked up yet
	samples []ledger.HeldSample
}

// weighedAtMost is how many records of a transaction are counted; of a larger one
// it is said that they are at least so many.
const weighedAtMost = 100_000

func (d *Dry) weighedAtMost() int { return max(weighedAtMost, int(*d.HoldAbove)+1) }

// Weigh says so where a change would wait for a person.
func (d *Dry) Weigh(what string, t Tally, partial bool) {
	if d.HoldAbove == nil || t.Records <= *d.HoldAbove {
		return
	}
	d.Log.Warn("would_hold", "what", what, "records", t.Records, "count", countInWords(partial), "hold_above", *d.HoldAbove,
		"samples", samplesInWords(t.Samples), "note", "a run that is not dry sends nothing of it before a person says `pgcrm resume`")
}

func countInWords(partial bool) string {
	if partial {
		return "at least, it is not read to its end"
	}
	return "exactly"
}

// weigh takes in a change of the transaction that is being read.
func (d *Dry) weigh(ctx context.Context, p *change.Patch, pos change.Position) error {
	w := &d.weighs
	if d.HoldAbove == nil || len(w.records) >= d.weighedAtMost() {
		return nil
	}
	if w.pending = append(w.pending, versionOf(p, pos)); len(w.pending) < lookupRows {
		return nil
	}
	return d.tally(ctx)
}

// judge ends a transaction.
func (d *Dry) judge(ctx context.Context, commit change.LSN) error {
	w := &d.weighs
	if d.HoldAbove == nil || len(w.records)+len(w.pending) == 0 {
		return nil
	}
	if err := d.tally(ctx); err != nil {
		return err
	}
	d.Weigh("the transaction that committed at "+commit.String(), Tally{int64(len(w.records)), w.samples}, len(w.records) >= d.weighedAtMost())
	*w = dryWeighing{pending: w.pending}
	return nil
}

// tally counts the records that pending changes would change.
func (d *Dry) tally(ctx context.Context) error {
	w := &d.weighs
	if w.records == nil {
		w.records, w.seed = map[uint64]struct{}{}, maphash.MakeSeed()
	}
	byTarget := map[*change.Target][]*sink.Entry{}
	for _, e := range w.pending {
		if e.Key == "" && e.Gone && d.Memory != nil {
			keys, err := d.Memory.KeysOf(ctx, e.Source, e.Row)
			if err != nil {
				return ofLedger(err)
			}
			if len(keys) > 0 {
				e.Key = keys[len(keys)-1]
			}
		}
		byTarget[e.Source.Target] = append(byTarget[e.Source.Target], e)
	}
	for target, batch := range byTarget {
		known, err := d.known(ctx, target, batch)
		if err != nil {
			return err
		}
		for _, e := range batch {
			renames := e.OldKey != ""
			now := known[e.Key]
			if old := known[e.OldKey]; renames && old != nil {
				now = old
			}
			slots, changes := changesOf(e, now, renames, d.fingerprint)
			record := maphash.String(w.seed, barKey(target, []byte(e.Key)))
			if _, counted := w.records[record]; !changes || counted || len(w.records) >= d.weighedAtMost() {
				continue
			}
			w.records[record] = struct{}{}
			if len(w.samples) < sampleRecords {
				w.samples = append(w.samples, sampleOf(e, slots))
			}
		}
	}
	w.pending = w.pending[:0]
	return nil
}

// known is what was delivered to the records of the changes, by match value.
func (d *Dry) known(ctx context.Context, target *change.Target, batch []*sink.Entry) (map[string]*change.Record, error) {
	if d.Memory == nil {
		return nil, nil //nolint:nilnil // nothing is known
	}
	keys := lookupKeys(batch)
	records, err := d.Memory.Lookup(ctx, target, keys)
	if err != nil {
		return nil, ofLedger(err)
	}
	known := make(map[string]*change.Record, len(keys))
	for i, key := range keys {
		known[key] = unlessVacant(records[i])
	}
	return known, nil
}

func (d *Dry) fingerprint(value []byte) uint64 {
	if d.Memory == nil {
		return 0 // there is nothing to compare with
	}
	return d.Memory.Fingerprint(value)
}
