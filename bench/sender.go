package main

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// watchSender follows the server process of a slot; what it returns ends that and
// gives the CPU time which the process had since.
func (l *lab) watchSender(ctx context.Context, slot string) func() float64 {
	ctx, cancel := context.WithCancel(ctx)
	spent := make(chan time.Duration, 1)
	go func() {
		var pid int
		var first, last time.Duration
		defer func() { spent <- last - first }()
		conn, err := pgx.Connect(ctx, l.url())
		if err != nil {
			return
		}
		defer conn.Close(context.WithoutCancel(ctx))
		_ = poll(ctx, 10*time.Millisecond, func() (bool, error) {
			if pid == 0 {
				if err := conn.QueryRow(ctx, "SELECT coalesce(max(active_pid), 0) FROM pg_replication_slots WHERE slot_name LIKE $1", slot).Scan(&pid); err != nil {
					return false, err
				}
				// Of a process that was there before, only what it does from now on counts.
				if pid != 0 && strings.Contains(slot, "%") {
					first = cpu(pid)
				}
			}
			if pid != 0 {
				last = max(last, cpu(pid))
			}
			return false, nil
		})
	}()
	return func() float64 {
		cancel()
		return (<-spent).Seconds()
	}
}
