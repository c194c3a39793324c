package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Attach reads the numbers of targets without taking anything over, so that
// Lookup, Trace and KeysOf serve a command that runs beside the instance. What
// the ledger has never met simply has no records.
func (l *Ledger) Attach(ctx context.Context, targets []*change.Target) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	for _, t := range targets {
		rows, _ := l.pool.Query(ctx, `SELECT t.id, coalesce(p.id, 0), coalesce(p.name, '')
			FROM target t LEFT JOIN property p ON p.target = t.id WHERE t.object = $1 AND t.match = $2`, t.Object, t.Match)
		id, next := int16(-1), int32(0)
		byName := map[string]int32{}
		var property int32
		var name string
		_, err := pgx.ForEachRow(rows, []any{&id, &property, &name}, func() error {
			byName[name] = property
			next = max(next, property+1)
			return nil
		})
		if err != nil {
			return explain("read the targets", err)
		}
		for _, name := range t.Properties {
			if _, ok := byName[name]; !ok {
				byName[name] = next
				next++
			}
		}
		l.names.addTarget(t, id, byName)
		if err := l.nameTables(ctx, l.pool, id); err != nil {
			return explain("read the tables", err)
		}
	}
	return nil
}

// Trace is where a record came from, beside what is known of it.
type Trace struct {
	Record *change.Record
	Table  string // that fed it first
	Row    string // primary key; of a very long one what stands for it
	// DeliveredAt is when the CRM last answered; zero where nothing was sent.
	DeliveredAt time.Time
	// Latency is the time from the commit to that answer; negative where it is not
	// known.
	Latency time.Duration
	// Batch numbers the call that it was the answer to; 0 where that is not known.
	// Correlation is HubSpot's id of the call, empty where it is kept no longer.
	Batch       int32
	Correlation string
}

// Trace tells of one record; false where nothing is known of it.
func (l *Ledger) Trace(ctx context.Context, target *change.Target, key string) (Trace, bool, error) {
	records, err := l.Lookup(ctx, target, []string{key})
	if err != nil || records[0] == nil {
		return Trace{}, false, err
	}
	trace := Trace{Record: records[0]}
	ctx, cancel := l.within(ctx)
	defer cancel()
	var row []byte
	var delivered *time.Time
	var millis int64
	err = l.pool.QueryRow(ctx, `SELECT s.table_name, CASE WHEN r.row_key = '' THEN r.key ELSE r.row_key END, NULLIF(r.delivered_at, '-infinity'),
		r.latency, r.batch, coalesce((SELECT correlation FROM batch b WHERE b.id = r.batch), '')
		FROM record r JOIN source s ON s.id = r.source WHERE r.target = $1 AND r.key = $2`,
		l.names.target(target).id, []byte(address(key))).Scan(&trace.Table, &row, &delivered, &millis, &trace.Batch, &trace.Correlation)
	if err != nil {
		return Trace{}, false, explain("look up a record", err)
	}
	trace.Row, trace.Latency = string(row), time.Duration(millis)*time.Millisecond
	if delivered != nil {
		trace.DeliveredAt = *delivered
	}
	return trace, true, nil
}

// KeysOf tells under which keys records were last delivered from a row: of one
// that changed its key, the old one.
func (l *Ledger) KeysOf(ctx context.Context, source *change.Source, row string) ([]string, error) {
	keys, err := l.KeysOfRows(ctx, source, []string{row})
	return keys[row], err
}

// KeysOfRows is KeysOf of many rows, by row.
func (l *Ledger) KeysOfRows(ctx context.Context, source *change.Source, rows []string) (map[string][]string, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	var target int16 = -1
	if names := l.names.target(source.Target); names != nil {
		target = names.id
	}
	wanted := make([][]byte, len(rows))
	byAddress := make(map[string]string, len(rows))
	for i, row := range rows {
		wanted[i] = []byte(address(row))
		byAddress[address(row)] = row
	}
	answer, _ := l.pool.Query(ctx, `WITH s AS (SELECT id FROM source WHERE target = $1 AND table_name = $2)
		SELECT row_key, key FROM (
			SELECT row_key, key, lsn, ordinal FROM record WHERE source IN (SELECT id FROM s) AND row_key <> '' AND row_key = ANY ($3)
			UNION ALL
			SELECT key, key, lsn, ordinal FROM record WHERE target = $1 AND key = ANY ($3) AND row_key = '' AND source IN (SELECT id FROM s)
			UNION ALL
			SELECT f.row_key, r.key, r.lsn, r.ordinal FROM feeder f JOIN record r ON r.target = f.target AND r.key = f.key
			WHERE f.source IN (SELECT id FROM s) AND f.row_key = ANY ($3)
		) AS r ORDER BY lsn, ordinal, key`, target, source.Table, wanted)
	keys := map[string][]string{}
	var row, key []byte
	_, err := pgx.ForEachRow(answer, []any{&row, &key}, func() error {
		keys[byAddress[string(row)]] = append(keys[byAddress[string(row)]], string(key))
		return nil
	})
	if err != nil {
		return nil, explain("look up rows", err)
	}
	return keys, nil
}
