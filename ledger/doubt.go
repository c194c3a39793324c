package ledger

import (
	"context"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// Doubt names a row whose record an unanswered request may still change: no
// fence reaches the CRM. When no late request can land any more, the row is read
// and sent once more.
type Doubt struct {
	Source *change.Source
	Row    string // primary key
	Until  time.Time
}

var doubtStatement = statement{"doubt", `INSERT INTO doubt AS d (source, row_key, until)
	SELECT source, row_key, max(until) FROM unnest($1::int2[], $2::text[], $3::timestamptz[]) AS n(source, row_key, until) GROUP BY 1, 2
	ON CONFLICT (source, row_key) DO UPDATE SET until = GREATEST(d.until, excluded.until)`}

func (l *Ledger) addDoubts(ctx context.Context, t *transaction, doubts []Doubt) error {
	if len(doubts) == 0 {
		return nil
	}
	var source, row, until array
	source.reset(oidInt2)
	row.reset(oidText)
	until.reset(oidTimestamptz)
	for _, d := range doubts {
		id, err := l.internSource(ctx, d.Source)
		if err != nil {
			return err
		}
		source.addInt2(id)
		row.addString(d.Row)
		until.addTime(d.Until)
	}
	t.add(doubtStatement, source.bytes(), row.bytes(), until.bytes())
	return nil
}

// RequestLate asks for the rows to be read and sent once more whose doubt has
// ended at now, at most limit of them, and takes them off the list, all in one
// transaction. It tells how many they were.
func (l *Ledger) RequestLate(ctx context.Context, now time.Time, limit int, reason string) (rows int64, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	err = l.pool.QueryRow(ctx, `WITH due AS (
			DELETE FROM doubt WHERE (source, row_key) IN (SELECT source, row_key FROM doubt WHERE until <= $1 ORDER BY until LIMIT $2)
			RETURNING source, row_key),
		asked AS (
			INSERT INTO backfill (table_name, object, match, reason, keys, estimate)
			SELECT s.table_name, t.object, t.match, $3, array_agg(d.row_key), count(*)
			FROM due d JOIN source s ON s.id = d.source JOIN target t ON t.id = s.target GROUP BY 1, 2, 3)
		SELECT count(*) FROM due`, now, limit, reason).Scan(&rows)
	if err != nil {
		return 0, explain("ask for the rows in doubt", err)
	}
	return rows, nil
}

// Doubts counts the rows in doubt.
func (l *Ledger) Doubts(ctx context.Context) (n int64, err error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	if err := l.pool.QueryRow(ctx, "SELECT count(*) FROM doubt").Scan(&n); err != nil {
		return 0, explain("count the rows in doubt", err)
	}
	return n, nil
}
