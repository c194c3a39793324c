package pipeline

import (
	"context"
	"errors"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// Rows of a backfill are not in the log: no redo tells what a process that was
// killed has sent of them. So they are written ahead with the keys of their
// records, and where that list is found at a start, what the CRM holds of those
// records becomes Unknown in the ledger before anything is sent. That outlives
// the chunk: a row that was deleted meanwhile is sent whole whenever it is there
// again.

// mappedRow is what the mapping makes of a chunk's row.
type mappedRow struct {
	row   int // in the chunk
	patch change.Patch
}

// mapRows maps a chunk's rows for the job's mapping. The patches are copies.
func (j *job) mapRows(rows [][]change.Value) ([]mappedRow, error) {
	mapped := make([]mappedRow, 0, len(rows))
	skipped := j.ChunkMapper.Skipped(j.source)
	row := change.Event{Kind: change.Insert, Snapshot: true, Relation: j.table}
	var patches []change.Patch
	for i, values := range rows {
		row.New = values
		var err error
		if patches, err = j.ChunkMapper.Map(&row, patches[:0]); err != nil {
			return nil, err
		}
		p := patchOf(patches, j.source)
		if p != nil && p.Unfit != "" {
			return nil, &unreadableError{errors.New(p.Unfit)}
		}
		if p != nil {
			mapped = append(mapped, mappedRow{i, copyPatch(p)})
		}
	}
	if n := j.ChunkMapper.Skipped(j.source) - skipped; n > 0 {
		j.Recorder.CountRecords(j.source.Target.Object, Skipped, int(n)) //nolint:gosec // rows of a chunk
	}
	return mapped, nil
}

// copyPatch copies what the next call of the mapper spoils.
func copyPatch(p *change.Patch) change.Patch {
	c := *p
	text := make([]byte, 0, len(p.Key)+len(p.Row)+len(p.Props))
	keep := func(b []byte) []byte {
		start := len(text)
		text = append(text, b...)
		return text[start:len(text):len(text)]
	}
	c.Key, c.Row, c.Props = keep(p.Key), keep(p.Row), keep(p.Props)
	return c
}

// sentRows names the records that the rows go to.
func sentRows(mapped []mappedRow) []ledger.SentRow {
	rows := make([]ledger.SentRow, 0, len(mapped))
	for i := range mapped {
		if p := &mapped[i].patch; p.Rejection == nil {
			key := string(p.Key)
			row := key
			if row != string(p.Row) {
				row = string(p.Row)
			}
			rows = append(rows, ledger.SentRow{Key: key, Row: row})
		}
	}
	return rows
}

// recall makes Unknown what chunks may have changed that an earlier process sent
// and did not settle. Those of a mapping that is gone stay listed until it is
// back.
func (s *session) recall(ctx context.Context) error {
	backfills, err := s.Ledger.Backfills(ctx)
	if err != nil {
		return ofLedger(err)
	}
	for _, b := range backfills {
		if source := s.sourceOf(b); source != nil {
			s.unfit.recall(source, b)
		}
	}
	chunks, err := s.Ledger.SentChunks(ctx)
	if err != nil {
		return ofLedger(err)
	}
	for _, c := range chunks {
		source := s.sourceOf(ledger.Backfill{Table: c.Table, Object: c.Object, Match: c.Match})
		if source == nil {
			continue
		}
		if err := s.forgetChunk(ctx, source, c); err != nil {
			return ofLedger(err)
		}
		s.Log.Info("backfill_rows_in_doubt", "backfill", c.Backfill, "table", c.Table, "rows", len(c.Rows))
	}
	return nil
}

func (s *session) forgetChunk(ctx context.Context, source *change.Source, c ledger.SentChunk) error {
	keys := make([]string, len(c.Rows))
	for i, r := range c.Rows {
		keys[i] = r.Key
	}
	records, err := s.Ledger.Lookup(ctx, source.Target, keys)
	if err != nil {
		return err
	}
	settlement := &ledger.Settlement{Recalled: []ledger.SentChunk{c}}
	for i, r := range c.Rows {
		d := ledger.Delivery{Source: source, Key: r.Key, Row: r.Row, Facts: make([]change.Fact, len(source.Target.Properties))}
		if known := records[i]; known != nil {
			copy(d.Facts, known.Facts)
			d.Accounted = known.Accounted
		}
		for _, slot := range source.Slots {
			d.Facts[slot] = change.Fact{State: change.Unknown}
		}
		for p := range source.GoneProps.All() {
			d.Facts[p.Slot] = change.Fact{State: change.Unknown}
		}
		settlement.Deliveries = append(settlement.Deliveries, d)
		if s.unclean && s.LateWindow > 0 {
			// Requests may be under way still that carry them.
			settlement.Doubts = append(settlement.Doubts, ledger.Doubt{Source: source, Row: r.Row, Key: r.Key, Until: s.Now().Add(s.LateWindow)})
		}
	}
	return s.Ledger.Settle(ctx, settlement)
}
