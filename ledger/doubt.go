package ledger

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Doubt names a row whose record an unanswered request may still change: no
// fence reaches the CRM. When no late request can land any more, the row is read
// and sent once more, and so are those of the record that has the key by then.
type Doubt struct {
	Source *change.Source
	Row    string // primary key
	Key    string // match value that the request had
	Until  time.Time
}

var doubtStatement = statement{"doubt", `INSERT INTO doubt AS d (source, row_key, key, until)
	SELECT source, row_key, key, max(until) FROM unnest($1::int2[], $2::text[], $3::bytea[], $4::timestamptz[]) AS n(source, row_key, key, until) GROUP BY 1, 2, 3
	ON CONFLICT (source, row_key, key) DO UPDATE SET until = GREATEST(d.until, excluded.until)`}

func (l *Ledger) addDoubts(ctx context.Context, t *transaction, doubts []Doubt) error {
	if len(doubts) == 0 {
		return nil
	}
	var source, row, key, until array
	source.reset(oidInt2)
	row.reset(oidText)
	key.reset(oidBytea)
	until.reset(oidTimestamptz)
	for _, d := range doubts {
		id, err := l.internSource(ctx, d.Source)
		if err != nil {
			return err
		}
		source.addInt2(id)
		row.addString(d.Row)
		key.addString(address(d.Key))
		until.addTime(d.Until)
	}
	t.add(doubtStatement, source.bytes(), row.bytes(), key.bytes(), until.bytes())
	return nil
}

// dueStatement takes doubts off the list. To the rows in doubt come those of the
// records that have their keys now, where the ledger knows them by more than a hash.
const dueStatement = `WITH due AS (
		DELETE FROM doubt d USING (SELECT source, row_key, key FROM doubt WHERE until <= $1 ORDER BY until LIMIT $2) AS o
		WHERE d.source = o.source AND d.row_key = o.row_key AND d.key = o.key
		RETURNING d.source, d.row_key, d.key),
	held AS (SELECT DISTINCT s.target, d.key FROM due d JOIN source s ON s.id = d.source)
	SELECT source, row_key, NULL FROM due
	UNION
	SELECT r.source, NULL, CASE WHEN r.row_key = '' THEN r.key ELSE r.row_key END FROM held h JOIN record r ON r.target = h.target AND r.key = h.key
	UNION
	SELECT f.source, NULL, f.row_key FROM held h JOIN feeder f ON f.target = h.target AND f.key = h.key
	ORDER BY 1, 2, 3`

// RequestLate asks for the rows to be read and sent once more whose doubt has
// ended at now, at most limit of them, and takes them off the list, all in one
// transaction. It tells how many rows are read.
func (l *Ledger) RequestLate(ctx context.Context, now time.Time, limit int, reason string) (rows int64, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows = 0
		due := map[int16][]string{}
		found, _ := tx.Query(ctx, dueStatement, now, limit)
		var source int16
		var text *string
		var bytes []byte
		_, err := pgx.ForEachRow(found, []any{&source, &text, &bytes}, func() error {
			row := string(bytes)
			if text != nil {
				row = *text
			}
			if !strings.HasPrefix(row, "\x00") && !slices.Contains(due[source], row) {
				due[source] = append(due[source], row)
				rows++
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, source := range slices.Sorted(maps.Keys(due)) {
			_, err := tx.Exec(ctx, `INSERT INTO backfill (table_name, object, match, reason, keys, estimate)
				SELECT s.table_name, t.object, t.match, $2, $3, $4 FROM source s JOIN target t ON t.id = s.target WHERE s.id = $1`,
				source, reason, due[source], len(due[source]))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, explain("ask for the rows in doubt", err)
	}
	return rows, nil
}

// Doubts counts the rows in doubt.
func (l *Ledger) Doubts(ctx context.Context) (n int64, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	if err := l.pool.QueryRow(ctx, "SELECT count(DISTINCT (source, row_key)) FROM doubt").Scan(&n); err != nil {
		return 0, explain("count the rows in doubt", err)
	}
	return n, nil
}
