package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

func (w *writers) seedRows(n int) {
	conn := connect(w.t, w.url)
	rng := rand.New(rand.NewPCG(w.seed, 99))
	for id := 1; id <= n; id++ {
		for _, sql := range []string{
			fmt.Sprintf(`INSERT INTO accounts VALUES (%d, %s, %s, %d, %s)`, id, text(rng, 12), plan(rng), rng.IntN(100), big(rng)),
			fmt.Sprintf(`INSERT INTO subscriptions VALUES (%d, %d.50, %s, %s)`, id, rng.IntN(5000), date(rng), big(rng)),
			fmt.Sprintf(`INSERT INTO usage VALUES (%d, %s, %s)`, id, flagText(rng), moment(rng)),
		} {
			if _, err := conn.Exec(w.t.Context(), sql); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// write starts n writers and returns a function that waits for them.
func (w *writers) write(ctx context.Context, n int) (wait func()) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			conn, err := pgx.Connect(context.Background(), w.url)
			if err != nil {
				w.t.Error(err)
				return
			}
			defer func() { _ = conn.Close(context.Background()) }()
			rng := rand.New(rand.NewPCG(w.seed, uint64(i)+1))
			for ctx.Err() == nil {
				err := w.transaction(conn, rng)
				if err != nil && w.rough {
					conn = w.reconnect(ctx, conn)
					continue
				}
				if err != nil {
					w.t.Error(err)
					return
				}
				if rng.IntN(10) == 0 {
					time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				}
			}
		})
	}
	return group.Wait
}

// reconnect connects again, as often as it takes. What the old connection was at
// may have been committed; the database tells.
func (w *writers) reconnect(ctx context.Context, conn *pgx.Conn) *pgx.Conn {
	_ = conn.Close(context.Background())
	for {
		again, err := pgx.Connect(context.Background(), w.url)
		if err == nil {
			return again
		}
		if ctx.Err() != nil {
			return conn
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// transaction changes some rows, and now and then rolls back, whole or to a
// savepoint.
func (w *writers) transaction(conn *pgx.Conn, rng *rand.Rand) error {
	ctx := context.Background()
	var done []written
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for range 1 + rng.IntN(4) {
			got, err := w.change(ctx, tx, rng)
			if err != nil {
				return err
			}
			done = append(done, got...)
		}
		if rng.IntN(5) == 0 {
			err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
				if _, err := w.change(ctx, inner, rng); err != nil {
					return err
				}
				return errRollback
			})
			if !errors.Is(err, errRollback) {
				return err
			}
		}
		if rng.IntN(15) == 0 {
			return errRollback
		}
		return nil
	})
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, errRollback), errors.As(err, &pg) && pg.Code == "40P01": // a deadlock of the writers' own
		return nil
	case err != nil:
		return err
	}
	var end string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()").Scan(&end); err != nil {
		return err
	}
	lsn, err := change.ParseLSN(end)
	if err != nil {
		return err
	}
	for i := range done {
		done[i].end = uint64(lsn)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, done...)
	return nil
}

var errRollback = errors.New("rolled back on purpose")

// change makes one change and returns the version that it gave the row, if it
// met one.
func (w *writers) change(ctx context.Context, tx pgx.Tx, rng *rand.Rand) ([]written, error) {
	id := 1 + rng.IntN(killAccounts)
	if rng.IntN(3) == 0 {
		id = 1 + rng.IntN(10) // some rows are hot
	}
	table, key := "accounts", "id"
	var sets []string
	switch rng.IntN(3) {
	case 0:
		sets = []string{"name = " + text(rng, 12), "plan = " + plan(rng), fmt.Sprintf("seats = nullif(%d, 5)", rng.IntN(100)), "notes = " + big(rng), "name = NULL", "notes = NULL"}
	case 1:
		table, key = "subscriptions", "account_id"
		sets = []string{fmt.Sprintf("mrr = %d.25", rng.IntN(9000)), "renews_on = " + date(rng), "terms = " + big(rng), "mrr = NULL", "terms = NULL"}
	default:
		table, key = "usage", "account_id"
		sets = []string{"active = " + flagText(rng), "seen_at = " + moment(rng), "active = NULL"}
	}
	sql := fmt.Sprintf("UPDATE %s SET %s, v = v + 1 WHERE %s = %d RETURNING v", table, sets[rng.IntN(len(sets))], key, id)
	switch rng.IntN(12) {
	case 0:
		// Of the rows that were there before the program was, one that is deleted
		// before it is loaded never gets to the CRM: only the others are deleted.
		id = killAccounts/2 + 1 + rng.IntN(killAccounts/2)
		sql = fmt.Sprintf("DELETE FROM %s WHERE %s = %d RETURNING v", table, key, id)
	case 1, 2:
		// A row that was deleted does not come back: its last state is what counts.
		// The lock keeps an insert from passing a delete that is not committed.
		sql = fmt.Sprintf("INSERT INTO %s (%s) SELECT %d WHERE NOT EXISTS (SELECT FROM gone_%s WHERE %s = %d) ON CONFLICT DO NOTHING RETURNING v",
			table, key, id, table, key, id)
	}
	if strings.HasPrefix(sql, "DELETE") || strings.HasPrefix(sql, "INSERT") {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1), $2)", table, id); err != nil {
			return nil, err
		}
	}
	var v int
	switch err := tx.QueryRow(ctx, sql).Scan(&v); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []written{{property: "v_" + table, key: strconv.Itoa(id), version: v}}, nil
}

func text(rng *rand.Rand, n int) string {
	if rng.IntN(8) == 0 {
		return "NULL"
	}
	return "'" + rowMark + strings.Repeat(string(rune('a'+rng.IntN(26))), 1+rng.IntN(n)) + "'"
}

func plan(rng *rand.Rand) string {
	return []string{"'free'", "'team'", "'ent'", "NULL"}[rng.IntN(4)]
}

func date(rng *rand.Rand) string { return fmt.Sprintf("date '2026-01-01' + %d", rng.IntN(3000)) }

func flagText(rng *rand.Rand) string { return []string{"true", "false", "NULL"}[rng.IntN(3)] }

func moment(rng *rand.Rand) string {
	return fmt.Sprintf("timestamptz '2026-01-01 00:00:00.123456+02' + interval '%d seconds'", rng.IntN(10_000_000))
}

// big is a text that is stored out of line, so that an update of another column
// does not carry it.
func big(rng *rand.Rand) string {
	return fmt.Sprintf("'%s' || repeat('%c%d ', %d)", rowMark, 'a'+rng.IntN(26), rng.IntN(1000), 700+rng.IntN(300))
}

// slotWatch looks at the slot's confirmed position all the time.
type slotWatch struct {
	cancel context.CancelFunc
	done   chan struct{}
	looks  int
	wrong  []string
}

// watchSlot checks, again and again, that every change that was committed before
// the confirmed position is in the CRM, or a newer one of the same row.
func (w *writers) watchSlot(ctx context.Context, portal *hubspotsim.Portal) *slotWatch {
	ctx, cancel := context.WithCancel(ctx)
	s := &slotWatch{cancel: cancel, done: make(chan struct{})}
	conn := connect(w.t, w.url)
	w.t.Cleanup(func() {
		cancel()
		<-s.done
	})
	go func() {
		defer close(s.done)
		reached := map[string]int{} // by property and key, the newest version in the CRM
		ids := map[string]string{}
		checked, since := 0, int64(0)
		for ctx.Err() == nil {
			var confirmed string
			err := conn.QueryRow(ctx, "SELECT coalesce(min(confirmed_flush_lsn), '0/0')::text FROM pg_replication_slots WHERE slot_name = 'pgcrm'").Scan(&confirmed)
			if err != nil && w.rough && ctx.Err() == nil {
				conn = w.reconnect(ctx, conn)
				continue
			}
			if err != nil {
				return // the test is over
			}
			at, err := change.ParseLSN(confirmed)
			if err != nil {
				s.wrong = append(s.wrong, err.Error())
				return
			}
			for _, r := range portal.Records("companies") {
				ids[r.ID] = r.Properties["account_id"]
			}
			for _, e := range portal.Journal(since) {
				since = e.Seq
				for _, p := range e.Properties {
					if strings.HasPrefix(p.Name, "v_") {
						v, _ := strconv.Atoi(p.Value)
						k := p.Name + " " + ids[e.ID]
						reached[k] = max(reached[k], v)
					}
				}
			}
			w.mu.Lock()
			log := w.log
			w.mu.Unlock()
			// The log is in order of end only about; what is not below the position
			// is looked at again.
			for checked < len(log) && log[checked].end <= uint64(at) {
				c := log[checked]
				if reached[c.property+" "+c.key] < c.version {
					s.wrong = append(s.wrong, fmt.Sprintf("the slot is confirmed at %s; %s of account %s should be %d or more in the CRM and is %d",
						confirmed, c.property, c.key, c.version, reached[c.property+" "+c.key]))
				}
				checked++
			}
			s.looks++
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return s
}

func (s *slotWatch) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	<-s.done
	if s.looks == 0 {
		t.Error("the slot was never looked at")
	}
	for i, line := range s.wrong {
		if i == 5 {
			t.Errorf("and %d more", len(s.wrong)-5)
			break
		}
		t.Error(line)
	}
}
