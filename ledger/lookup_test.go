package ledger_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/ledger"
)

// TestLookupReadsOnlyWhatItAsksFor: the statement is planned when the table is
// small and the statistics say so, and used when it has grown. It must not read
// all records for every key then.
func TestLookupReadsOnlyWhatItAsksFor(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{
		{Source: accounts, Key: "a", Row: "a", Accounted: pos(1, 1)}, {Source: accounts, Key: "b", Row: "b", Accounted: pos(1, 2)},
	}})
	record := pgx.Identifier{schema, "record"}.Sanitize()
	pgtest.Exec(t, f.url, "ANALYZE "+record)
	lookup(t, l, companies, "a", "b")
	pgtest.Exec(t, f.url, "INSERT INTO "+record+` (lsn, delivered_at, ordinal, target, source, key, row_key, crm_id, facts)
		SELECT r.lsn, r.delivered_at, r.ordinal, r.target, r.source, convert_to(g::text, 'UTF8'), '', '', r.facts
		FROM generate_series(0, 4999) AS g, `+record+` AS r WHERE r.key = 'a'`)
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	lookup(t, l, companies, keys...)
	l.Close() // the session reports what it did

	conn, err := pgx.Connect(context.Background(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var read int64
	for deadline := time.Now().Add(10 * time.Second); read < 100 && time.Now().Before(deadline); {
		err := conn.QueryRow(context.Background(), `SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE schemaname = $1 AND relname = 'record'`, schema).Scan(&read)
		if err != nil {
			t.Fatal(err)
		}
	}
	if read < 100 || read > 1000 {
		t.Errorf("%d index entries read for 102 keys", read)
	}
}
