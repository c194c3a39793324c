package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/admin"
)

// change keeps changing rows, once the tables are loaded, until ctx ends.
func (d *demo) change(ctx context.Context, url string, r *runner, arrivals *arrivals) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for r.status.snapshot().State != admin.Streaming {
		if !wait(ctx, 100*time.Millisecond) {
			return nil
		}
	}
	arrivals.live()
	rng := rand.New(rand.NewPCG(d.seed, 2)) //nolint:gosec // a demo's dice
	for wait(ctx, time.Duration(float64(time.Second)/d.rate)) {
		sql, args := nextChange(rng)
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			return unlessDone(ctx, fmt.Errorf("change a row: %w", err))
		}
	}
	return nil
}

// nextChange is one statement of an application that goes about its business.
func nextChange(rng *rand.Rand) (string, []any) {
	account := 1 + rng.IntN(300)
	switch rng.IntN(10) {
	case 0:
		return `UPDATE accounts SET plan = $2 WHERE id = $1`,
			[]any{account, []string{"free", "team", "enterprise"}[rng.IntN(3)]}
	case 1:
		return `UPDATE accounts SET active = NOT active WHERE id = $1`, []any{account}
	case 2:
		return `UPDATE accounts SET notes = CASE WHEN notes IS NULL THEN 'Asked for a demo of the API.' END WHERE id = $1`, []any{account}
	case 3:
		return `UPDATE subscriptions SET mrr = mrr + $2, status = 'active' WHERE account_id = $1`, []any{account, 10 + rng.IntN(90)}
	case 4:
		return `UPDATE subscriptions SET renews_on = renews_on + 365 WHERE account_id = $1`, []any{account}
	case 5:
		return `UPDATE users SET role = CASE role WHEN 'owner' THEN 'member' ELSE 'owner' END WHERE id = $1`, []any{1 + rng.IntN(400)}
	case 6:
		return `UPDATE accounts SET last_seen_at = now() WHERE id = $1`, []any{account} // not mapped: costs no call
	case 7:
		n := rng.IntN(1_000_000)
		return `WITH a AS (INSERT INTO accounts (name, website, plan, seats) VALUES ($1, $2, 'team', $3) RETURNING id)
			INSERT INTO subscriptions (account_id, mrr, status, renews_on) SELECT id, $3 * 12, 'trialing', current_date + 30 FROM a`,
			[]any{fmt.Sprintf("Newcomer %06d", n), fmt.Sprintf("newcomer%06d.example.com", n), 1 + rng.IntN(40)}
	default:
		return `UPDATE accounts SET seats = greatest(1, seats + $2) WHERE id = $1`, []any{account, rng.IntN(21) - 10}
	}
}

// wait reports false when ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// unlessDone drops an error that came with the end.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
