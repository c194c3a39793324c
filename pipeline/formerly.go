package pipeline

import (
	"context"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// keysKept is how many rows' keys the reader remembers.
const keysKept = 50_000

type rowOf struct {
	source *change.Source
	row    string
}

// formerly finds the record that a row addressed before a change that does not
// carry its match value of then: where the match column is no part of the replica
// identity, it is in the ledger alone. Where that is another, it is renamed.
func (s *session) formerly(ctx context.Context, p *change.Patch) error {
	if p.Rejection != nil {
		return nil
	}
	row := rowOf{p.Source, string(p.Row)}
	if len(p.OldRow) == 0 {
		if _, known := s.read.keys[row]; known {
			s.read.keys[row] = string(p.Key)
		}
		return nil
	}
	if s.read.keys == nil || len(s.read.keys) >= keysKept {
		s.read.keys = map[rowOf]string{}
	}
	before := rowOf{p.Source, string(p.OldRow)}
	was, known := s.read.keys[before]
	if !known {
		var err error
		if was, err = s.formerKey(ctx, p); err != nil {
			return err
		}
	}
	delete(s.read.keys, before)
	s.read.keys[row] = string(p.Key)
	if was != "" && was != string(p.Key) {
		p.OldKey = []byte(was)
		p.Reread = p.Reread || !p.Whole // another record may have the new key
	}
	return nil
}

// formerKey asks the queue, and then the ledger, for the key under which a row
// was last delivered.
func (s *session) formerKey(ctx context.Context, p *change.Patch) (string, error) {
	if key, ok := s.queue.KeyOf(p.Source, p.OldRow); ok {
		return key, nil
	}
	keys, err := s.Ledger.KeysOf(ctx, p.Source, string(p.OldRow))
	if err != nil {
		return "", ofLedger(err)
	}
	return lastKey(keys, p.Key), nil
}

// lastKey is the key that the record of a row has to lose for the one that the
// row has now; empty for none.
func lastKey(keys []string, now []byte) string {
	if len(keys) == 0 || slices.Contains(keys, string(now)) {
		return ""
	}
	last := keys[len(keys)-1]
	if strings.HasPrefix(last, "\x00") { // what stands for a key that is too long
		return ""
	}
	return last
}

// formerKeys finds, of a chunk's rows, those that were delivered under another
// key than they have now: the change of it was not in the stream, or was
// refused. The record is renamed as long as that moves no other: one that
// already has the new key takes the row, and one whose key another row has by
// now stays that row's.
func (l *loads) formerKeys(ctx context.Context, w *window) (map[string]string, error) {
	if w.first {
		return nil, nil // nothing was delivered yet
	}
	now := map[string]string{}
	var rows []string
	for i := range w.mapped {
		p := &w.mapped[i].patch
		if len(p.Key) == 0 || p.Gone || p.Rejection != nil {
			continue
		}
		if _, queued := l.s.queue.KeyOf(w.source, p.Row); !queued {
			rows = append(rows, string(p.Row))
			now[string(p.Row)] = string(p.Key)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	delivered, err := l.s.Ledger.KeysOfRows(ctx, w.source, rows)
	if err != nil {
		return nil, ofLedger(err)
	}
	former := map[string]string{}
	for row, keys := range delivered {
		key := now[row]
		was := lastKey(keys, []byte(key))
		if was == "" || l.s.queue.Holds(w.source.Target, key) || l.s.queue.Holds(w.source.Target, was) {
			continue
		}
		records, err := l.s.Ledger.Lookup(ctx, w.source.Target, []string{key})
		if err != nil {
			return nil, ofLedger(err)
		}
		if unlessVacant(records[0]) == nil {
			former[row] = was
		}
	}
	return former, nil
}
