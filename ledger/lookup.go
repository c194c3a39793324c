package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// longestKey is how many bytes of a key are stored as they are: a row of a
// B-tree must fit a third of a page.
const longestKey = 1024

// address is what stands for a key in the tables: the key, or for a long one a
// zero byte, which no text of Postgres has, and its SHA-256.
func address(key string) string {
	if len(key) <= longestKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "\x00" + string(sum[:])
}

// statement is prepared once per connection, under its name.
type statement struct{ name, sql string }

func (s statement) prepare(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Prepare(ctx, s.name, s.sql)
	return err
}

// lookupStatement looks each key up by itself. OFFSET 0 keeps the planner from
// making a join of it, which, under the statistics of a table that was small
// a moment ago, reads all of the target's records for every key.
var lookupStatement = statement{"lookup", `SELECT k.i::int4 - 1, r.lsn, r.ordinal, r.crm_id, r.facts, r.source, r.row_key
	FROM unnest($2::bytea[]) WITH ORDINALITY AS k(key, i)
	CROSS JOIN LATERAL (SELECT lsn, ordinal, crm_id, facts, source, row_key FROM record WHERE target = $1 AND key = k.key OFFSET 0) AS r`}

// binary asks for, or announces, the binary format of all values.
var binaryFormat = []int16{pgx.BinaryFormatCode}

// Lookup reads what is known of the target's records with these keys, in the
// order of the keys, nil where nothing is known. Workers may call it at the same
// time.
func (l *Ledger) Lookup(ctx context.Context, target *change.Target, keys []string) ([]*change.Record, error) {
	names := l.names.target(target)
	if names == nil {
		return nil, fmt.Errorf("target %s by %s was not given to Begin", target.Object, target.Match)
	}
	records := make([]*change.Record, len(keys))
	if len(keys) == 0 {
		return records, nil
	}
	ctx, cancel := l.within(ctx)
	defer cancel()
	var addresses array
	addresses.reset(oidBytea)
	for _, key := range keys {
		addresses.addString(address(key))
	}
	err := l.with(ctx, func(conn *pgx.Conn) error {
		if err := lookupStatement.prepare(ctx, conn); err != nil {
			return err
		}
		r := conn.PgConn().ExecPrepared(ctx, lookupStatement.name, [][]byte{wireInt2(names.id), addresses.bytes()}, binaryFormat, binaryFormat)
		readErr := l.readRecords(r, records, keys, names, len(target.Properties))
		if _, err := r.Close(); err != nil {
			return err
		}
		return readErr
	})
	if err != nil {
		return nil, explain("look up records", err)
	}
	return records, nil
}

// readRecords fills records from the answer's rows, with a few allocations for
// all of them.
func (l *Ledger) readRecords(r *pgconn.ResultReader, records []*change.Record, keys []string, names *targetNames, properties int) error {
	slab := make([]change.Record, len(records))
	facts := make([]change.Fact, len(records)*properties)
	type span struct{ record, id, row int } // where the id ends, and behind it the row
	var ids []byte
	spans := make([]span, 0, len(records))
	for r.NextRow() {
		v := r.Values()
		i := int(binary.BigEndian.Uint32(v[0]))
		rec := &slab[i]
		rec.Accounted.LSN = change.LSN(binary.BigEndian.Uint64(v[1]))
		rec.Accounted.Ordinal = binary.BigEndian.Uint32(v[2])
		rec.Table = l.names.table(int16(binary.BigEndian.Uint16(v[5]))) //nolint:gosec // the bits
		ids = append(ids, v[3]...)
		end := len(ids)
		ids = append(ids, v[6]...)
		spans = append(spans, span{i, end, len(ids)})
		rec.Facts = facts[i*properties : (i+1)*properties : (i+1)*properties]
		if err := readFacts(rec.Facts, v[4], names.slots); err != nil {
			return err
		}
		records[i] = rec
	}
	text, start := string(ids), 0
	for _, s := range spans {
		rec := &slab[s.record]
		rec.CRMID, rec.Row = text[start:s.id], text[s.id:s.row]
		if rec.Row == "" {
			rec.Row = keys[s.record] // as most do
		}
		start = s.row
	}
	return nil
}

// with lends a connection.
func (l *Ledger) with(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return do(conn.Conn())
}
