package pipeline

import (
	"context"
	"maps"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// A rename by the old match value hits whichever record has that value when the
// CRM gets to it. A late request, or one that is made again after a crash, may find
// another record there, which was given the value since. By its id a record
// is only ever renamed itself. So where the ledger does not know the id it is asked
// for, and saved before anything is sent.

// learnt reports a record of which nothing is known but its id: it was about to be
// renamed, and nothing of it was settled.
func learnt(r *change.Record) bool {
	if r == nil || r.CRMID == "" || r.Accounted != (change.Position{}) {
		return false
	}
	for _, f := range r.Facts {
		if f.State != change.Never {
			return false
		}
	}
	return true
}

// unidentified reports whether the record is to be renamed and nothing was delivered
// to it yet.
func (a *attempt) unidentified() bool { return a.renames() && a.id() == "" }

// suspects reports whether the key may be another record's by now. Before a change
// of the key was sent, the ones before it were settled; those that found no record
// have left nothing in the ledger, and are read again.
func (a *attempt) suspects() bool { return a.redone && a.entry.Reused && a.now == nil }

// identify finds the ids of records that are to be renamed and that nothing was
// delivered to yet, and the changes whose key another record has been given since.
func (s *session) identify(ctx context.Context, target *change.Target, attempts []*attempt) error {
	if target.ByRecordID() {
		return nil
	}
	var keys []string
	doubtful := false
	for _, a := range attempts {
		if a.unidentified() {
			keys = append(keys, a.entry.OldKey)
			doubtful = doubtful || a.redone
		}
		if a.suspects() {
			keys = append(keys, a.entry.Key)
			doubtful = true
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ids, err := s.Deliverer.Identify(ctx, target, keys)
	if err != nil || len(ids) == 0 {
		return err
	}
	known := map[string]string{} // keys by id
	if doubtful {
		if known, err = s.keysOfRecords(ctx, target, ids); err != nil {
			return err
		}
	}
	// given reports whether the key was that of no record, or of another one, when
	// the change was first read: who has it now is known under an earlier key.
	given := func(a *attempt, key string) bool {
		owner, ok := known[ids[key]]
		return ok && owner != key && a.redone
	}
	var learned []ledger.Learned
	for _, a := range attempts {
		if a.suspects() && ids[a.entry.Key] != a.id() && given(a, a.entry.Key) {
			a.misses = true
			continue
		}
		old := a.entry.OldKey
		switch {
		case !a.unidentified() || ids[old] == "": // an earlier attempt has renamed it, or there is none
		case given(a, old):
			// What is to be renamed is under its new key, or nowhere.
			a.renamed = true
		default:
			a.learntID = ids[old]
			learned = append(learned, ledger.Learned{Source: a.entry.Source, Key: old, Row: a.entry.Row, CRMID: a.learntID})
		}
	}
	if len(learned) == 0 {
		return nil
	}
	return s.persist(ctx, "save_ids", func() error { return s.Ledger.Learn(ctx, learned) })
}

func (s *session) keysOfRecords(ctx context.Context, target *change.Target, ids map[string]string) (known map[string]string, err error) {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		list = append(list, id)
	}
	err = s.persist(ctx, "ledger_keys_of_records", func() (err error) {
		known, err = s.Ledger.KeysOfRecords(ctx, target, list)
		return err
	})
	// What stands for a key that is too long tells nothing.
	maps.DeleteFunc(known, func(_, key string) bool { return strings.HasPrefix(key, "\x00") })
	return known, err
}

// yields tells what the record does that has the attempt's key. One that the ledger
// knows under another key is some other row's, and has this one by a late request: it
// gets its own back.
func (a *attempt) yields(ctx context.Context, id string) (sink.Yield, error) {
	target := a.entry.Source.Target
	known, err := a.keysOfRecords(ctx, target, map[string]string{a.entry.Key: id})
	if err != nil {
		return sink.Stays, err
	}
	key, ok := known[id]
	if !ok || key == a.entry.Key || key == a.entry.OldKey {
		return sink.TakesOver, nil
	}
	a.astray = key // whatever comes of it, both rows are sent once more
	verdicts, err := a.Deliverer.Deliver(ctx, target, []sink.Job{{Key: key, RenameTo: key, CRMID: id, Missing: change.Skip}})
	if err != nil {
		return sink.Stays, err
	}
	if v := verdicts[0]; v.Outcome != sink.Delivered || v.KeyTaken {
		return sink.Stays, nil
	}
	return sink.MadeWay, nil
}
