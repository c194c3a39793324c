package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The row is that of a subscription business, about 240 bytes as text.
const schema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, domain text, plan text, seats int, mrr numeric(12,2), active bool,
	signed_up_at timestamptz, meta jsonb, updated_at timestamptz);
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO accounts SELECT g, 'Company number ' || g, 'company' || g || '.example.com', 'enterprise', g % 1000, g % 10000 * 1.25, true, now(),
		jsonb_build_object('industry', 'software', 'region', 'eu-central-1', 'note', repeat('x', 26)), now()
	FROM generate_series(first, last) g $$;
CREATE PROCEDURE fill_by(n int, size int) LANGUAGE plpgsql AS $$
	BEGIN FOR i IN 0 .. (n - 1) / size LOOP
		PERFORM fill(i * size + 1, least(n, (i + 1) * size)); COMMIT;
	END LOOP; END $$;
CREATE PROCEDURE heat(n int, hot int) LANGUAGE plpgsql AS $$
	BEGIN FOR i IN 1 .. n LOOP
		UPDATE accounts SET seats = i, updated_at = clock_timestamp() WHERE id = i % hot + 1; COMMIT;
	END LOOP; END $$;
CREATE PROCEDURE stir(n int, rows int, size int) LANGUAGE plpgsql AS $$
	BEGIN FOR i IN 0 .. (n - 1) / size LOOP
		UPDATE accounts SET meta = jsonb_set(meta, '{note}', to_jsonb(i::text)), updated_at = clock_timestamp()
			WHERE id BETWEEN i * size % rows + 1 AND i * size % rows + size; COMMIT;
	END LOOP; END $$;`

const seatsColumn = 4

const mapping = `
version: 1
tables:
  public.accounts:
    match: {account_id: id}
    properties: {name: name, domain: domain, plan: plan, seats: seats, mrr: mrr, active: active}
`

// workload is one of the lettered cases of the benchmark.
type workload struct {
	letter, title string
	// rows are the changes, and companies the records that they go to, both at
	// full scale. before are rows that exist, and are delivered, at the start.
	rows, companies, before int
	// write makes the backlog.
	write func(ctx context.Context, conn *pgx.Conn, w workload) error
	// consumers in the order in which they run.
	consumers []string
	// env is what pgcrm is told besides.
	env []string
}

// The consumers.
const (
	recvlogical = "pg_recvlogical"
	pglogreplBy = "pglogrepl"
	dryRun      = "pgcrm dry run"
	whole       = "pgcrm"
	copyOut     = "COPY"
)

func sqlOf(sql string, args ...any) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	}
}

func workloads() []workload {
	readers := []string{recvlogical, pglogreplBy, dryRun, whole}
	return []workload{
		{
			letter: "a", title: "1,000,000 inserts, 100 a transaction", rows: 1_000_000, companies: 1_000_000, consumers: readers,
			write: func(ctx context.Context, conn *pgx.Conn, w workload) error {
				return sqlOf("CALL fill_by($1, 100)", w.rows)(ctx, conn)
			},
		},
		{
			letter: "b", title: "500,000 updates of 10,000 hot rows, one a transaction", rows: 500_000, companies: 10_000, before: 10_000, consumers: readers,
			write: func(ctx context.Context, conn *pgx.Conn, w workload) error {
				return sqlOf("CALL heat($1, $2)", w.rows, w.before)(ctx, conn)
			},
		},
		{
			letter: "c", title: "one transaction of 2,000,000 inserts", rows: 2_000_000, companies: 2_000_000, consumers: readers,
			write: func(ctx context.Context, conn *pgx.Conn, w workload) error {
				return sqlOf("SELECT fill(1, $1)", w.rows)(ctx, conn)
			},
		},
		{
			letter: "d", title: "200 commits a second for 30 s", rows: 6_000, companies: 6_000, before: 6_000, consumers: []string{pglogreplBy, whole},
			env: []string{"PGCRM_FLUSH_INTERVAL=0"},
		},
		{letter: "e", title: "a first load of 1,000,000 rows", rows: 1_000_000, companies: 1_000_000, before: 1_000_000, consumers: []string{copyOut, whole}},
		{
			letter: "f", title: "1,000,000 updates that change no mapped column", rows: 1_000_000, companies: 100_000, before: 100_000, consumers: readers,
			write: func(ctx context.Context, conn *pgx.Conn, w workload) error {
				return sqlOf("CALL stir($1, $2, 100)", w.rows, w.before)(ctx, conn)
			},
		},
		{letter: "g", title: "a ten-minute outage of the CRM compressed to one minute, 2,000 updates a second, then the drain", rows: 120_000, companies: 50_000, before: 50_000, consumers: []string{whole}},
	}
}

// scaled is the workload with its rows multiplied.
func (w workload) scaled(by float64) workload {
	for _, n := range []*int{&w.rows, &w.companies, &w.before} {
		if *n > 0 {
			*n = max(100, int(float64(*n)*by)/100*100)
		}
	}
	return w
}

// commits updates one row a time at a steady rate, each row of its own, and
// returns when each COMMIT was sent, by the
// value written: first and those that follow.
func commits(ctx context.Context, conn *pgx.Conn, w workload, first int) (map[string]time.Time, error) {
	sent := make(map[string]time.Time, w.rows)
	tick := time.NewTicker(time.Second / 200)
	defer tick.Stop()
	for i := 1; i <= w.rows; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		seats := first + i
		tx, err := conn.Begin(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "UPDATE accounts SET seats = $1 WHERE id = $2", seats, i); err != nil {
			return nil, err
		}
		sent[fmt.Sprint(seats)] = time.Now()
		if err := tx.Commit(ctx); err != nil {
			return nil, err
		}
	}
	return sent, nil
}
