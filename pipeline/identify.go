package pipeline

import (
	"context"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
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

// identify finds the ids of records that are to be renamed and that nothing was
// delivered to yet.
func (s *session) identify(ctx context.Context, target *change.Target, attempts []*attempt) error {
	var unknown []*attempt
	var keys []string
	doubtful := false
	for _, a := range attempts {
		if a.renames() && a.id() == "" && !target.ByRecordID() {
			unknown = append(unknown, a)
			keys = append(keys, a.entry.OldKey)
			doubtful = doubtful || a.redone
		}
	}
	if len(unknown) == 0 {
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
	var learned []ledger.Learned
	for _, a := range unknown {
		old := a.entry.OldKey
		id := ids[old]
		if id == "" {
			continue // an earlier attempt has renamed it, or there is none
		}
		if owner, ok := known[id]; ok && owner != old && a.redone {
			// A record that had another key was given this one since: what is to be
			// renamed is under its new key, or nowhere.
			a.renamed = true
			continue
		}
		a.learntID = id
		learned = append(learned, ledger.Learned{Source: a.entry.Source, Key: old, Row: a.entry.Row, CRMID: id})
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
	return known, err
}
