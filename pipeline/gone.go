package pipeline

import (
	"context"
	"errors"
	"maps"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// Where a part of the log cannot be read any more, the rows deleted in it are
// found by what the ledger knows: a row that was delivered and that the table no
// longer has. A job goes through the ledger after the table was loaded, when
// every record that another row has by now is known to be that row's. What it
// misses in the table it files as requests and sends nothing itself, so that it
// may be cut off and begun again at any point. The requests look once more,
// between two marks as all reading does: a row is gone only if the table lacks it
// and the stream has said nothing of it meanwhile.

// findGone files requests for the rows of the mapping that are gone.
func (j *job) findGone(ctx context.Context) error {
	found := 0
	cursor := ""
	if len(j.SentTo) > 0 {
		cursor = j.SentTo[0]
	}
	err := j.eachGone(ctx, cursor, func(missing []string, next string) error {
		if len(missing) > 0 {
			found += len(missing)
			if err := j.persist(ctx, "request_gone_rows", func() error { return j.request(ctx, j.source, RowGone, missing) }); err != nil {
				return err
			}
		}
		if next == "" {
			j.Log.Info("gone_rows_found", "table", j.Table, "rows", found)
			return nil
		}
		return j.persist(ctx, "backfill_sent_to", func() error { return j.Ledger.BackfillSentTo(ctx, j.ID, 0, []string{next}, nil) })
	})
	if errors.Is(err, errTableEmpty) {
		j.Log.Warn("table_is_empty", "table", j.Table, "note", "as after TRUNCATE the records of its rows are left as they are")
		return nil
	}
	return err
}

// tallyGone counts the rows of the mapping that are gone.
func (j *job) tallyGone(ctx context.Context) (t Tally, err error) {
	err = j.eachGone(ctx, "", func(missing []string, _ string) error {
		t.Records += int64(len(missing))
		for _, row := range missing[:min(len(missing), sampleRecords-len(t.Samples))] {
			keys, err := j.keysOf(ctx, row)
			if err != nil {
				return err
			}
			sample := ledger.HeldSample{
				Table: j.Table, Row: row, Object: j.Object, Match: j.Match, Gone: true, Archives: j.source.OnDelete == change.Archive,
			}
			if len(keys) > 0 {
				sample.Key = keys[len(keys)-1]
			}
			for p := range j.source.GoneProps.All() {
				sample.Properties = append(sample.Properties, j.source.Target.Properties[p.Slot])
			}
			t.Samples = append(t.Samples, sample)
		}
		return nil
	})
	if errors.Is(err, errTableEmpty) {
		return Tally{}, nil
	}
	return t, err
}

// errTableEmpty says that a table was most likely truncated, which changes nothing
// in the CRM; nobody can tell any more.
var errTableEmpty = errors.New("the table is empty")

// eachGone visits the rows, delivered behind the cursor, that the table does not
// have, and tells the cursor to go on behind, which is empty at the end.
func (j *job) eachGone(ctx context.Context, cursor string, visit func(missing []string, next string) error) error {
	if j.source.OnDelete == change.Ignore {
		return nil
	}
	if j.loads.loading(j.source) {
		return &unreadableError{errors.New("the rows of the table are to be loaded before")}
	}
	some, err := j.Source.Chunk(ctx, Range{Table: j.table, Limit: 1})
	if err != nil {
		return &unreadableError{err}
	}
	if len(some.Rows) == 0 {
		return errTableEmpty
	}
	for {
		var rows []string
		err := j.persist(ctx, "list_delivered_rows", func() (err error) {
			rows, cursor, err = j.Ledger.DeliveredRows(ctx, j.Table, j.Object, j.Match, cursor, j.ChunkRows)
			return err
		})
		if err != nil {
			return err
		}
		missing, err := j.missing(ctx, rows)
		if err != nil {
			return err
		}
		if err := visit(missing, cursor); err != nil || cursor == "" {
			return err
		}
	}
}

// keysOf names the records that were delivered from a row.
func (j *job) keysOf(ctx context.Context, row string) (keys []string, err error) {
	err = j.persist(ctx, "ledger_keys", func() (err error) {
		keys, err = j.Ledger.KeysOf(ctx, j.source, row)
		return err
	})
	return keys, err
}

// missing picks the rows that the table does not have. Of a key that has another
// number of columns than the primary key it cannot be said.
func (j *job) missing(ctx context.Context, rows []string) (missing []string, err error) {
	var keys [][]string
	for _, row := range rows {
		if key, err := splitKeys(j.table, []string{row}); err == nil {
			keys = append(keys, key...)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	there, err := j.there(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if key, err := splitKeys(j.table, []string{row}); err == nil && !there[keyOf(key[0])] {
			missing = append(missing, row)
		}
	}
	return missing, nil
}

// there tells which of the rows the table has.
func (j *job) there(ctx context.Context, keys [][]string) (map[string]bool, error) {
	there := make(map[string]bool, len(keys))
	for n := len(keys); len(keys) > 0; {
		n = min(n, len(keys))
		chunk, err := j.Source.Chunk(ctx, Range{Table: j.table, Keys: keys[:n], Bytes: j.BufferBytes / chunkShare})
		if err != nil {
			return nil, &unreadableError{err}
		}
		if chunk.Cut && n > 1 {
			n /= 2
			continue
		}
		maps.Copy(there, keysOfRows(j.table, chunk.Rows))
		keys = keys[n:]
	}
	return there, nil
}

func keysOfRows(table *change.Relation, rows [][]change.Value) map[string]bool {
	there := make(map[string]bool, len(rows))
	for _, row := range rows {
		if key, ok := rowKey(table, table, row); ok {
			there[key] = true
		}
	}
	return there
}

// enqueueGone treats as deleted the rows that the chunk was to hold and does not,
// unless the stream has said something of them between the marks.
func (l *loads) enqueueGone(ctx context.Context, w *window, ev *change.Event, chunk *sink.Chunk) error {
	if len(w.gone) == 0 {
		return nil
	}
	there := keysOfRows(w.table, w.chunk.Rows)
	row := change.Event{Kind: change.Delete, Relation: w.table, OldIsKey: true, CommitTime: ev.CommitTime, XID: ev.XID}
	for i, key := range w.gone {
		if _, touched := w.touched[keyOf(key)]; touched || there[keyOf(key)] {
			continue
		}
		row.Old = make([]change.Value, len(w.table.Columns))
		for j := range row.Old {
			row.Old[j].Kind = change.Unchanged
		}
		for j, column := range w.table.PrimaryKey {
			row.Old[column] = change.Value{Kind: change.Text, Text: []byte(key[j])}
		}
		row.Pos = change.Position{LSN: ev.Pos.LSN, Ordinal: uint32(len(w.chunk.Rows) + i + 1)} //nolint:gosec // a chunk has some thousand rows
		patches, err := l.s.Mapper.Map(&row, l.s.read.patches[:0])
		if err != nil {
			return err
		}
		l.s.read.patches = patches
		p := patchOf(patches, w.source)
		if p == nil || !p.Gone {
			continue
		}
		if len(p.Key) == 0 {
			if err := l.s.whose(ctx, p); err != nil {
				return err
			}
		}
		if len(p.Key) > 0 {
			l.s.add(sink.Add{Patch: p, Pos: row.Pos, Commit: ev.CommitTime, Doubt: w.doubt, Chunk: chunk})
		}
	}
	return nil
}

// sentGone names the records of rows that are to be treated as deleted if the
// chunk does not hold them.
func (j *job) sentGone(ctx context.Context, gone [][]string, rows [][]change.Value) (sent []ledger.SentRow, err error) {
	if len(gone) == 0 {
		return nil, nil
	}
	there := keysOfRows(j.table, rows)
	for i, key := range gone {
		if there[keyOf(key)] {
			continue
		}
		row := j.Keys[j.first+i]
		keys, err := j.keysOf(ctx, row)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			sent = append(sent, ledger.SentRow{Key: k, Row: row})
		}
	}
	return sent, nil
}

// GoneLoad asks for the rows of a mapping to be found that are gone.
func GoneLoad(src *change.Source) ledger.Backfill {
	return ledger.Backfill{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Reason: GoneRows}
}
