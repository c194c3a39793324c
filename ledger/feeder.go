package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// A record keeps the row of the first table that fed it. Where several tables
// feed one record, the rows of the others stand in a table of their own, so that
// each deletion finds the record that was delivered from its row, and none that
// was not.

// feederStatement stores the rows of other sources than the record's own.
var feederStatement = statement{"feeder", `INSERT INTO feeder AS f (target, key, source, row_key)
	SELECT n.target, n.key, n.source, n.row_key
	FROM unnest($1::int2[], $2::bytea[], $3::int2[], $4::bytea[]) AS n(target, key, source, row_key)
	CROSS JOIN LATERAL (SELECT FROM record r WHERE r.target = n.target AND r.key = n.key AND r.source <> n.source OFFSET 0) AS other
	ON CONFLICT (target, key, source) DO UPDATE SET row_key = excluded.row_key WHERE f.row_key <> excluded.row_key`}

// unfeedStatement forgets the rows of records that are forgotten.
var unfeedStatement = statement{"unfeed", `DELETE FROM feeder f USING unnest($1::int2[], $2::bytea[]) AS o(target, key)
	WHERE f.target = o.target AND f.key = o.key AND NOT EXISTS (SELECT FROM record r WHERE r.target = o.target AND r.key = o.key)`}

// feeders adds the rows that the gathered deliveries came from, for targets that
// several sources feed.
func (l *Ledger) feeders(ctx context.Context, t *transaction) error {
	type feed struct {
		target  int16
		address string
		source  int16
	}
	rows := map[feed]string{}
	var order []feed
	add := func(f feed, row string) {
		if _, known := rows[f]; !known {
			order = append(order, f)
		}
		rows[f] = address(row)
	}
	for i := range l.scratch.records {
		r := &l.scratch.records[i]
		if r.address == "" || r.Forget || !l.names.several(r.target.id) {
			continue
		}
		for _, also := range r.Also {
			source, err := l.internSource(ctx, also.Source)
			if err != nil {
				return err
			}
			add(feed{r.target.id, r.address, source}, also.Row)
		}
		add(feed{r.target.id, r.address, r.source}, r.Row)
	}
	if len(order) == 0 {
		return nil
	}
	var target, key, source, row array
	target.reset(oidInt2)
	key.reset(oidBytea)
	source.reset(oidInt2)
	row.reset(oidBytea)
	for _, f := range order {
		target.addInt2(f.target)
		key.addString(f.address)
		source.addInt2(f.source)
		row.addString(rows[f])
	}
	t.add(feederStatement, target.bytes(), key.bytes(), source.bytes(), row.bytes())
	return nil
}

// deliveredStatement tells of records and rows whether one was delivered from the
// other.
const deliveredStatement = `SELECT k.i::int4 - 1
	FROM unnest($2::bytea[], $3::text[], $4::bytea[]) WITH ORDINALITY AS k(key, table_name, row_key, i)
	CROSS JOIN LATERAL (SELECT id FROM source WHERE target = $1 AND table_name = k.table_name OFFSET 0) AS s
	WHERE EXISTS (SELECT FROM record r WHERE r.target = $1 AND r.key = k.key AND r.source = s.id
			AND (k.row_key IS NULL OR CASE WHEN r.row_key = '' THEN r.key ELSE r.row_key END = k.row_key))
		OR EXISTS (SELECT FROM feeder f WHERE f.target = $1 AND f.key = k.key AND f.source = s.id AND (k.row_key IS NULL OR f.row_key = k.row_key))`

// DeliveredFrom tells for each key and feeder whether the record was last
// delivered, as far as its mapping goes, from that row.
func (l *Ledger) DeliveredFrom(ctx context.Context, target *change.Target, keys []string, feeders []Feeder) ([]bool, error) {
	names := l.names.target(target)
	if names == nil {
		return nil, fmt.Errorf("target %s by %s was not given to Begin", target.Object, target.Match)
	}
	ctx, cancel := l.within(ctx)
	defer cancel()
	addresses, rows, tables := make([][]byte, len(keys)), make([][]byte, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		addresses[i], tables[i] = []byte(address(key)), feeders[i].Source.Table
		if !feeders[i].Any {
			rows[i] = []byte(address(feeders[i].Row))
		}
	}
	delivered := make([]bool, len(keys))
	found, _ := l.pool.Query(ctx, deliveredStatement, names.id, addresses, tables, rows)
	var i int32
	_, err := pgx.ForEachRow(found, []any{&i}, func() error { delivered[i] = true; return nil })
	if err != nil {
		return nil, explain("look up the rows of records", err)
	}
	return delivered, nil
}
