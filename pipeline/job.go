package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// Reasons for which rows are read, as the ledger keeps them.
const (
	firstLoad      = "first_load"
	mappingChanged = "mapping_changed"
	// Asked: a person wants the rows sent again.
	Asked = "requested"
	// Reread: the stream does not carry a value that the mapping needs.
	Reread = "reread"
	// Retry: somebody asked for a parked row to be tried again.
	Retry = "retry"
	// Recheck: the record, or a property's option, was missing; perhaps it exists by
	// now.
	Recheck = "recheck"
	// Late: a request without an answer may have changed the record afterwards.
	Late = "late"
	// Mended: the table, or the CRM's properties, did not fit the mapping for a while.
	Mended = "mended"
	// GoneRows: rows are to be found that were delivered and are no longer there.
	GoneRows = "gone_rows"
	// RowGone: the row was delivered and is no longer in the table; where that is
	// still so, it is treated as deleted.
	RowGone = "row_gone"
	// Repair: the CRM was seen to hold something else than the ledger says.
	Repair = "repair"
)

// job is a backfill under way.
type job struct {
	*session
	ledger.Backfill
	source *change.Source
	table  *change.Relation
	chunks int // read so far
	first  int // of Keys, in the chunk that is read
	reads  int // of chunks, those that are read again too; for tokens
}

// unreadableError says why rows cannot be read.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// look takes the table as it is now, if its rows can be mapped that way.
func (j *job) look(ctx context.Context) error {
	table, err := j.Source.Describe(ctx, j.table)
	if err != nil {
		return &unreadableError{err}
	}
	j.table = table
	if why := j.Mapper.Unfit(j.source, table); why != "" {
		return &unreadableError{errors.New(why)}
	}
	return nil
}

// run reads the rows, chunk by chunk, into the queue.
func (j *job) run(ctx context.Context) error {
	switch {
	case j.Reason == GoneRows:
		j.unfit.begun(j.source, j.Backfill)
		return j.findGone(ctx)
	case len(j.Keys) > 0:
		return j.runKeys(ctx)
	}
	next := Range{Table: j.table, After: j.DoneTo, Limit: j.ChunkRows, Bytes: j.BufferBytes / chunkShare, Where: j.Where}
	for {
		chunk, err := j.chunk(ctx, next)
		if err != nil || chunk.Done {
			return err
		}
		next.After = chunk.Last
	}
}

// runKeys reads single rows.
func (j *job) runKeys(ctx context.Context) error {
	keys, err := splitKeys(j.table, j.Keys)
	if err != nil {
		return &unreadableError{err}
	}
	for most := j.ChunkRows; len(keys) > 0; {
		n := min(len(keys), most, j.loads.pace.chunk(j.ChunkRows, j.BufferBytes))
		_, err := j.chunk(ctx, Range{Table: j.table, Keys: keys[:n], Bytes: j.BufferBytes / chunkShare})
		switch {
		case errors.Is(err, errTooLarge):
			most = n / 2
			continue
		case err != nil:
			return err
		}
		keys = keys[n:]
		j.first += n
	}
	return nil
}

// errTooLarge says that rows are so large that fewer must be read at once.
var errTooLarge = errors.New("the rows are too large to be read together")

// distrust has rows sent without a look at the ledger where it was seen to be
// wrong, or where a person asked.
func (j *job) distrust() sink.Doubt {
	switch j.Reason {
	case Late:
		return sink.Redone | sink.Rekeyed
	case Repair, Retry, RowGone:
		return sink.Redone
	default:
		return 0
	}
}

// splitKeys takes rows' keys apart: the value itself, or for a primary key of
// several columns a JSON array of strings.
func splitKeys(table *change.Relation, rows []string) ([][]string, error) {
	keys := make([][]string, len(rows))
	for i, row := range rows {
		if len(table.PrimaryKey) == 1 {
			keys[i] = []string{row}
			continue
		}
		if err := json.Unmarshal([]byte(row), &keys[i]); err != nil || len(keys[i]) != len(table.PrimaryKey) {
			return nil, fmt.Errorf("key %q of table %s: give a JSON array with the %d columns of its primary key", row, table, len(table.PrimaryKey))
		}
	}
	return keys, nil
}

// chunk brings a chunk into the queue. One that the reader does not take, since
// its snapshot was too old, is read again.
func (j *job) chunk(ctx context.Context, r Range) (Chunk, error) {
	if err := j.stillWanted(ctx); err != nil {
		return Chunk{}, err
	}
	if why := j.Mapper.Waits(j.source); why != "" {
		return Chunk{}, &unreadableError{errors.New(why)}
	}
	j.chunks++
	for {
		if err := j.awaitRoom(ctx); err != nil {
			return Chunk{}, err
		}
		if r.Limit > 0 {
			r.Limit = j.loads.pace.chunk(j.ChunkRows, j.BufferBytes)
		}
		chunk, taken, err := j.tryChunk(ctx, r)
		if err != nil || taken {
			return chunk, err
		}
		j.Log.Info("backfill_chunk_read_again", "backfill", j.ID, "table", j.Table)
		if err := sleep(ctx, loadPoll); err != nil {
			return Chunk{}, err
		}
	}
}

// tryChunk reads a chunk between two marks and reports whether the reader has
// put it into the queue.
func (j *job) tryChunk(ctx context.Context, r Range) (Chunk, bool, error) {
	j.reads++
	w := &window{
		token:    fmt.Sprintf("%d-%d-%d", j.state.Epoch, j.ID, j.reads),
		table:    j.table,
		source:   j.source,
		backfill: j.ID,
		number:   j.chunks,
		doubt:    j.distrust(),
		first:    j.Reason == firstLoad,
		verdict:  make(chan bool, 1),
		touched:  map[string]touch{},
	}
	if j.Reason == RowGone {
		w.gone = r.Keys
	}
	j.loads.setWindow(w)
	err := failpoint.Around("low_mark", func() error { return j.Source.Mark(ctx, w.token+" "+lowMark) })
	if err != nil {
		return Chunk{}, false, err
	}
	var chunk Chunk
	err = turning(ctx, func() (err error) {
		chunk, err = j.Source.Chunk(ctx, r)
		return err
	})
	if err != nil {
		return Chunk{}, false, &unreadableError{err}
	}
	if chunk.Cut && len(r.Keys) > 1 {
		j.loads.closeWindow(w)
		return Chunk{}, false, errTooLarge
	}
	if len(r.Keys) > 0 {
		chunk.Last = r.Keys[len(r.Keys)-1]
	}
	if len(chunk.Last) == 0 {
		j.unfit.begun(j.source, j.Backfill)
		return chunk, !j.loads.closeWindow(w), nil // no rows
	}
	j.loads.pace.read(chunk.Rows)
	mapped, err := j.mapRows(chunk.Rows)
	if err != nil {
		return Chunk{}, false, err
	}
	j.unfit.begun(j.source, j.Backfill)
	// Written ahead: what is sent from here on is not in the log.
	sent := sentRows(mapped)
	gone, err := j.sentGone(ctx, w.gone, chunk.Rows)
	if err != nil {
		return Chunk{}, false, err
	}
	sent = append(sent, gone...)
	err = j.persist(ctx, "backfill_sent_to", func() error {
		return j.Ledger.BackfillSentTo(ctx, j.ID, j.chunks, chunk.Last, sent)
	})
	if err != nil {
		return Chunk{}, false, err
	}
	j.loads.fill(w, chunk, mapped)
	err = failpoint.Around("high_mark", func() error { return j.Source.Mark(ctx, w.token+" "+highMark) })
	if err != nil {
		return Chunk{}, false, err
	}
	var taken bool
	err = patiently(ctx, func(ctx context.Context) error {
		select {
		case taken = <-w.verdict:
			return failpoint.At("chunk.queued")
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return chunk, taken, err
}

// closeWindow forgets the window and reports whether something spoils it.
func (l *loads) closeWindow(w *window) (spoiled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = nil
	return w.spoiled
}

// spoil is told that a change of the mapping's table is left out: a chunk that is
// being read may be older than it.
func (l *loads) spoil(source *change.Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.window; w != nil && w.source == source {
		w.spoiled = true
	}
}

func (l *loads) setWindow(w *window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = w
}

// fill gives the window its rows. The reader does not look at them before it
// has seen the high mark, which is written after this.
func (l *loads) fill(w *window, chunk Chunk, mapped []mappedRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.chunk, w.mapped = chunk, mapped
}
