package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Held is a change that waits until a person lets it go on: a transaction, or a
// load of a table.
type Held struct {
	// Digest names the change; the same change has the same digest always.
	Digest string
	// Commit is the commit position of a transaction, zero for a load.
	Commit change.LSN
	// Backfill is the load, 0 for a transaction.
	Backfill int64
	// Records is how many it would change. Partial is set where it is not read
	// to its end: they are at least so many.
	Records int64
	Partial bool
	Samples []HeldSample
	// HeldAt is when it was found first, ResumedAt when a person let it go on;
	// zero before that.
	HeldAt, ResumedAt time.Time
}

// HeldSample is one of the records. It names them and holds no values.
type HeldSample struct {
	Table      string   `json:"table"`
	Row        string   `json:"row"` // primary key
	Object     string   `json:"object"`
	Match      string   `json:"match"`
	Key        string   `json:"key"` // match value
	Properties []string `json:"properties"`
	// Archives is set where the record would be archived.
	Archives bool `json:"archives,omitempty"`
	// Gone is set where the row was found to be gone from the table.
	Gone bool `json:"gone,omitempty"`
}

// What says in words what would become of the record.
func (r HeldSample) What() string {
	if r.Archives {
		return "archived"
	}
	return strings.Join(r.Properties, ", ")
}

var (
	holdStatement = statement{"hold", `INSERT INTO hold (digest, position, backfill, records, partial, samples)
		VALUES ($1::text, $2::pg_lsn, $3::int8, $4::int8, $5::bool, $6::text)
		ON CONFLICT (digest) DO UPDATE SET records = excluded.records, partial = excluded.partial, samples = excluded.samples`}
	unholdStatement = statement{"unhold", `DELETE FROM hold WHERE digest = ANY ($1::text[])`}
)

// Hold notes that a change waits, or what it comes to by now. That a person has
// let it go on stays noted. Fenced.
func (l *Ledger) Hold(ctx context.Context, h Held) error {
	samples, err := json.Marshal(h.Samples)
	if err != nil {
		return fmt.Errorf("write the samples of a held change: %w", err)
	}
	ctx, cancel := l.within(ctx)
	defer cancel()
	t := l.transaction(0, 0)
	t.add(holdStatement, []byte(h.Digest), wireLSN(uint64(h.Commit)), wireInt8(h.Backfill), wireInt8(h.Records),
		wireBool(h.Partial), []byte(l.sayable(string(samples))))
	return explainSettle(t.commit(ctx))
}

// ForgetHolds forgets changes that are over. Fenced.
func (l *Ledger) ForgetHolds(ctx context.Context, digests []string) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	t := l.transaction(0, 0)
	t.add(unholdStatement, texts(digests))
	return explainSettle(t.commit(ctx))
}

// Holds lists the changes that wait and those that were let go and may be read
// again, oldest first.
func (l *Ledger) Holds(ctx context.Context) ([]Held, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	rows, _ := l.pool.Query(ctx, `SELECT digest, position::text, backfill, records, partial, samples, held_at, resumed_at
		FROM hold ORDER BY held_at, digest`)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Held, error) {
		var h Held
		var commit, samples string
		var resumed *time.Time
		if err := row.Scan(&h.Digest, &commit, &h.Backfill, &h.Records, &h.Partial, &samples, &h.HeldAt, &resumed); err != nil {
			return h, err
		}
		if resumed != nil {
			h.ResumedAt = *resumed
		}
		var err error
		if h.Commit, err = change.ParseLSN(commit); err != nil {
			return h, err
		}
		return h, json.Unmarshal([]byte(samples), &h.Samples)
	})
	if err != nil {
		return nil, explain("list the held changes", err)
	}
	return list, nil
}

// Resume lets a held change go on. The running instance, or the next one, takes
// it up. It reports whether there is such a change; one that was let go before
// counts. It needs no Begin.
func (l *Ledger) Resume(ctx context.Context, digest string) (bool, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	tag, err := l.pool.Exec(ctx, "UPDATE hold SET resumed_at = COALESCE(resumed_at, now()) WHERE digest = $1", digest)
	if err != nil {
		return false, explain("let a held change go on", err)
	}
	return tag.RowsAffected() > 0, nil
}
