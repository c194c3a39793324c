package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Learned is the id of a record that nothing was delivered to yet.
type Learned struct {
	Source *change.Source
	Key    string // match value
	Row    string // primary key
	CRMID  string
}

var learnStatement = statement{"learn", `INSERT INTO record AS r (lsn, delivered_at, ordinal, target, source, key, row_key, crm_id, facts, batch, latency)
	SELECT '0/0', '-infinity', 0, o.target, o.source, o.key, o.row_key, o.crm_id, '', 0, -1
	FROM unnest($1::int2[], $2::int2[], $3::bytea[], $4::bytea[], $5::bytea[]) AS o(target, source, key, row_key, crm_id)
	ON CONFLICT (target, key) DO UPDATE SET crm_id = excluded.crm_id WHERE r.crm_id = ''`}

// Learn saves the ids of records before anything is delivered to them, so that
// whatever becomes of the first request is known to be theirs. An id that is
// known already stays. Fenced.
func (l *Ledger) Learn(ctx context.Context, learned []Learned) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	var target, source, key, row, id array
	target.reset(oidInt2)
	source.reset(oidInt2)
	key.reset(oidBytea)
	row.reset(oidBytea)
	id.reset(oidBytea)
	seen := map[string]bool{}
	for _, r := range learned {
		number, err := l.internSource(ctx, r.Source)
		if err != nil {
			return err
		}
		of := l.names.target(r.Source.Target)
		once := string(rune(of.id)) + r.Key
		if seen[once] {
			continue
		}
		seen[once] = true
		target.addInt2(of.id)
		source.addInt2(number)
		key.addString(address(r.Key))
		if r.Row == r.Key {
			row.addString("")
		} else {
			row.addString(address(r.Row))
		}
		id.addString(r.CRMID)
	}
	t := l.transaction(0, 0)
	t.add(learnStatement, target.bytes(), source.bytes(), key.bytes(), row.bytes(), id.bytes())
	return explainSettle(t.commit(ctx))
}

// KeysOfRecords tells under which keys records are known, by record id. It reads
// all of the target's records: ids have no index, since that would cost every
// record more bytes than the question is worth, which is asked after a crash only.
func (l *Ledger) KeysOfRecords(ctx context.Context, target *change.Target, ids []string) (map[string]string, error) {
	names := l.names.target(target)
	if names == nil {
		return nil, nil //nolint:nilnil // nothing is known
	}
	ctx, cancel := l.within(ctx)
	defer cancel()
	wanted := make([][]byte, len(ids))
	for i, id := range ids {
		wanted[i] = []byte(id)
	}
	rows, _ := l.pool.Query(ctx, `SELECT crm_id, key FROM record WHERE target = $1 AND crm_id = ANY ($2)`, names.id, wanted)
	known := map[string]string{}
	var id, key []byte
	_, err := pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		known[string(id)] = string(key)
		return nil
	})
	if err != nil {
		return nil, explain("look up record ids", err)
	}
	return known, nil
}
