package ledger

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/jackc/pgx/v5"
)

// SentChunk names rows of a backfill that were written ahead as sent. Such rows
// are not in the log: where the instance is killed before they are settled,
// nothing but this tells which records the CRM may hold another value of than the
// ledger says.
type SentChunk struct {
	Backfill int64
	Number   int // of the chunk in the backfill
	// Table, Object and Match name the source.
	Table, Object, Match string
	Rows                 []SentRow
}

// SentRow is a row and the record that it goes to.
type SentRow struct {
	Key string // match value
	Row string // primary key
}

var (
	sendStatement = statement{"send", `INSERT INTO sent (backfill, chunk, table_name, object, match, rows)
		SELECT b.id, $2::int4, b.table_name, b.object, b.match, $3::bytea FROM backfill b WHERE b.id = $1
		ON CONFLICT (backfill, chunk) DO UPDATE SET rows = excluded.rows`}
	settledStatement  = statement{"settled", `DELETE FROM sent WHERE backfill = $1 AND chunk <= $2`}
	recalledStatement = statement{"recalled", `DELETE FROM sent WHERE backfill = $1 AND chunk = $2`}
)

// BackfillSentTo writes ahead that the rows, the last of which has the primary
// key sentTo, may be sent as a chunk of the backfill. A chunk with the same number
// that was written ahead and not sent is replaced. Fenced.
func (l *Ledger) BackfillSentTo(ctx context.Context, id int64, chunk int, sentTo []string, rows []SentRow) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	t := l.transaction(0, 0)
	t.add(sentStatement, wireInt8(id), texts(sentTo))
	if len(rows) > 0 {
		t.add(sendStatement, wireInt8(id), wireInt4(chunk), packRows(rows))
	}
	return explainSettle(t.commit(ctx))
}

// SentChunks lists what was written ahead as sent and is not settled, oldest
// first.
func (l *Ledger) SentChunks(ctx context.Context) ([]SentChunk, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	rows, _ := l.pool.Query(ctx, `SELECT backfill, chunk, table_name, object, match, rows FROM sent ORDER BY backfill, chunk`)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c SentChunk, err error) {
		var packed []byte
		if err := row.Scan(&c.Backfill, &c.Number, &c.Table, &c.Object, &c.Match, &packed); err != nil {
			return c, err
		}
		c.Rows, err = unpackRows(packed)
		return c, err
	})
	if err != nil {
		return nil, explain("read which rows were sent", err)
	}
	return list, nil
}

// packRows writes a row's text only where it is not its record's key.
func packRows(rows []SentRow) []byte {
	packed := []byte{}
	for _, r := range rows {
		packed = binary.AppendUvarint(packed, uint64(len(r.Key)))
		packed = append(packed, r.Key...)
		if r.Row == r.Key {
			packed = binary.AppendUvarint(packed, 0)
			continue
		}
		packed = binary.AppendUvarint(packed, uint64(len(r.Row))+1)
		packed = append(packed, r.Row...)
	}
	return packed
}

var errSent = errors.New("the list of rows that were sent is damaged")

func unpackRows(packed []byte) (rows []SentRow, err error) {
	text := func(less uint64) (s string, same bool) {
		n, size := binary.Uvarint(packed)
		if size <= 0 || n >= less && n-less > uint64(len(packed)-size) { //nolint:gosec // not negative
			err = errSent
			return "", false
		}
		packed = packed[size:]
		if n < less {
			return "", true
		}
		s, packed = string(packed[:n-less]), packed[n-less:]
		return s, false
	}
	for len(packed) > 0 && err == nil {
		var r SentRow
		var same bool
		r.Key, _ = text(0)
		if err != nil {
			break
		}
		if r.Row, same = text(1); same {
			r.Row = r.Key
		}
		rows = append(rows, r)
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}
