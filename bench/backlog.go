package main

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// backlog has every consumer read the same log from the same point on.
func (l *lab) backlog(ctx context.Context) ([]measurement, error) {
	// pgcrm sets itself up and delivers what exists; then nobody runs.
	c, err := l.run(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.loaded(ctx, c); err != nil {
		return nil, err
	}
	c.stop()
	for _, slot := range []string{"recvlogical", "bare"} {
		if err := l.sql(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot); err != nil {
			return nil, err
		}
	}
	dry, err := l.readyDry(ctx)
	if err != nil {
		return nil, err
	}
	defer dry.stop()
	if err := l.write(ctx, l.conn, l.workload); err != nil {
		return nil, err
	}
	if err := l.last(ctx); err != nil {
		return nil, err
	}
	if err := l.sql(ctx, "CHECKPOINT"); err != nil {
		return nil, err
	}
	var all []measurement
	for _, consumer := range l.consumers {
		var m measurement
		switch consumer {
		case recvlogical:
			path, err := l.recvlogicalPath()
			if err != nil {
				return nil, err
			}
			m, err = l.reader(ctx, "recvlogical", path, "--dbname", l.url(), "--slot", "recvlogical", "--start", "--file", "/dev/null",
				"--fsync-interval", "0", "-o", "proto_version=1", "-o", "publication_names="+publication, "--endpos", l.end)
			if err != nil {
				return nil, err
			}
		case pglogreplBy:
			self, err := os.Executable()
			if err != nil {
				return nil, err
			}
			if m, err = l.reader(ctx, "bare", self, bareCommand, l.url(), "bare", publication, l.end, "false"); err != nil {
				return nil, err
			}
		case dryRun:
			if m, err = l.dry(ctx, dry); err != nil {
				return nil, err
			}
			dry.stop()
		case whole:
			if m, err = l.whole(ctx); err != nil {
				return nil, err
			}
		}
		m.Consumer, m.Rows = consumer, l.rows
		m.RowsPerSecond = float64(m.Rows) / m.Seconds
		all = append(all, m)
	}
	return all, nil
}

// reader measures a program that ends by itself.
func (l *lab) reader(ctx context.Context, slot, program string, args ...string) (m measurement, err error) {
	c, err := launch(ctx, nil, program, args...)
	if err != nil {
		return m, err
	}
	sender := l.watchSender(ctx, slot)
	<-c.done
	m.Seconds = time.Since(c.began).Seconds()
	m.ServerCPU = sender()
	if c.err != nil {
		return m, c.ended()
	}
	state := c.cmd.ProcessState
	m.CPU = (state.UserTime() + state.SystemTime()).Seconds()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		m.PeakRSS = usage.Maxrss << 10
	}
	return m, nil
}

const dryLike = "pgcrm%temporary%"

// readyDry starts a dry run whose slot exists and which has not begun to read. It
// is stopped while the server makes the slot, which waits for a transaction.
func (l *lab) readyDry(ctx context.Context) (*child, error) {
	blocker, err := pgx.Connect(ctx, l.url())
	if err != nil {
		return nil, err
	}
	defer blocker.Close(ctx)
	if _, err := blocker.Exec(ctx, "BEGIN; SELECT pg_current_xact_id()"); err != nil {
		return nil, err
	}
	c, err := l.run(ctx, "PGCRM_DRY_RUN=true")
	if err != nil {
		return nil, err
	}
	exists := func(more string) func() (bool, error) {
		return func() (bool, error) {
			if err := c.ended(); err != nil {
				return false, err
			}
			return l.is(ctx, "SELECT true FROM pg_replication_slots WHERE slot_name LIKE $1"+more, dryLike)
		}
	}
	if err := poll(ctx, 10*time.Millisecond, exists("")); err != nil {
		return nil, err
	}
	if err := c.signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	if _, err := blocker.Exec(ctx, "COMMIT"); err != nil {
		return nil, err
	}
	return c, poll(ctx, 10*time.Millisecond, exists(" AND confirmed_flush_lsn IS NOT NULL"))
}

func (l *lab) dry(ctx context.Context, c *child) (m measurement, err error) {
	before := cpu(c.pid())
	sender := l.watchSender(ctx, dryLike)
	time.Sleep(100 * time.Millisecond) // it knows its process
	began := time.Now()
	if err := c.signal(syscall.SIGCONT); err != nil {
		return m, err
	}
	// Asking the server costs less than asking the program.
	err = poll(ctx, 5*time.Millisecond, func() (bool, error) {
		if err := c.ended(); err != nil {
			return false, err
		}
		return l.is(ctx, `SELECT sent_lsn > $2::text::pg_lsn FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
			WHERE slot_name LIKE $1`, dryLike, l.end)
	})
	if err != nil {
		return m, err
	}
	err = poll(ctx, 2*time.Millisecond, func() (bool, error) {
		counted, err := l.metric(ctx, "pgcrm_changes_total")
		return counted["pgcrm_changes_total"] >= float64(l.rows+1), err
	})
	m.Seconds = time.Since(began).Seconds()
	m.CPU = (cpu(c.pid()) - before).Seconds()
	m.ServerCPU = sender()
	if err != nil {
		return m, err
	}
	return m, l.inside(ctx, c, &m)
}
