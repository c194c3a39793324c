package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// atMost bounds a repetition.
const atMost = 30 * time.Minute

func measure(ctx context.Context, o options, w workload) (*result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, atMost, fmt.Errorf("not done within %s", atMost))
	defer cancel()
	w = w.scaled(o.scale)
	l, err := newLab(ctx, o, w)
	if err != nil {
		return nil, err
	}
	defer l.close()
	r := &result{Workload: w.letter, Title: w.title, Scale: o.scale, Rows: w.rows, At: time.Now().UTC().Truncate(time.Second)}
	if r.Versions, err = l.versions(ctx); err != nil {
		return nil, err
	}
	switch w.letter {
	case "d":
		r.Consumers, err = l.trickle(ctx)
	case "e":
		r.Consumers, err = l.firstLoad(ctx)
	case "g":
		r.Consumers, err = l.outage(ctx)
	default:
		r.Consumers, err = l.backlog(ctx)
	}
	return r, err
}

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

// inside adds what pgcrm says of itself.
func (l *lab) inside(ctx context.Context, c *child, m *measurement) error {
	m.PeakRSS = peakRSS(c.pid())
	said, err := l.metric(ctx, "go_memstats_mallocs_total", "go_memstats_alloc_bytes_total")
	m.Allocs, m.AllocB = int64(said["go_memstats_mallocs_total"]), int64(said["go_memstats_alloc_bytes_total"])
	return err
}

// between counts the calls and the records of what happens meanwhile.
func (l *lab) between(ctx context.Context, m *measurement, do func() error) error {
	before, err := l.crmCounts(ctx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := l.crmCounts(ctx)
	m.Calls, m.Records = after.writes()-before.writes(), after.Written-before.Written
	return err
}

// whole is pgcrm from its start to the moment that the last change is delivered,
// settled and confirmed.
func (l *lab) whole(ctx context.Context) (m measurement, err error) {
	return m, l.between(ctx, &m, func() error {
		c, err := l.run(ctx)
		if err != nil {
			return err
		}
		defer c.stop()
		sender := l.watchSender(ctx, "pgcrm")
		if err := l.settled(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU, m.ServerCPU = time.Since(c.began).Seconds(), cpu(c.pid()).Seconds(), sender()
		return l.inside(ctx, c, &m)
	})
}

// trickle measures how long a change is on its way while little happens, and what
// pgcrm costs while nothing does.
func (l *lab) trickle(ctx context.Context) ([]measurement, error) {
	bare := measurement{Consumer: pglogreplBy, Rows: l.rows}
	if err := l.sql(ctx, "SELECT pg_create_logical_replication_slot('bare', 'pgoutput')"); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c, err := launch(ctx, nil, self, bareCommand, l.url(), "bare", publication, "FFFFFFFF/FFFFFFFF", "true")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		if err := c.ended(); err != nil {
			return false, err
		}
		return l.is(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = 'bare'")
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	sent, err := commits(ctx, l.conn, l.workload, 1_000_000)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // the last ones arrive
	bare.Seconds, bare.CPU, bare.PeakRSS = time.Since(began).Seconds(), cpu(c.pid()).Seconds(), peakRSS(c.pid())
	received := map[string]time.Time{}
	for line := range strings.Lines(c.out.String()) {
		var seats string
		var at int64
		if _, err := fmt.Sscan(line, &seats, &at); err == nil {
			received[seats] = time.Unix(0, at)
		}
	}
	bare.Latency = percentiles(delays(sent, received))
	c.stop()
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		return l.is(ctx, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'bare'")
	})
	if err != nil {
		return nil, err
	}
	if err := l.sql(ctx, "SELECT pg_drop_replication_slot('bare')"); err != nil {
		return nil, err
	}
	pgcrm, idle, err := l.trickleWhole(ctx)
	all := []measurement{bare, pgcrm, idle}
	for i := range all[:2] {
		all[i].RowsPerSecond = float64(all[i].Rows) / all[i].Seconds
	}
	return all, err
}

func (l *lab) trickleWhole(ctx context.Context) (m, idle measurement, err error) {
	m, idle = measurement{Consumer: whole, Rows: l.rows}, measurement{Consumer: "pgcrm idle"}
	c, err := l.run(ctx)
	if err != nil {
		return m, idle, err
	}
	defer c.stop()
	if err := l.loaded(ctx, c); err != nil {
		return m, idle, err
	}
	err = l.between(ctx, &m, func() error {
		began, before := time.Now(), cpu(c.pid())
		sent, err := commits(ctx, l.conn, l.workload, 2_000_000)
		if err != nil {
			return err
		}
		if err := l.last(ctx); err != nil {
			return err
		}
		if err := l.settled(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU = time.Since(began).Seconds(), (cpu(c.pid()) - before).Seconds()
		received, err := l.journal(ctx)
		if err != nil {
			return err
		}
		m.Latency = percentiles(delays(sent, received))
		return l.inside(ctx, c, &m)
	})
	if err != nil {
		return m, idle, err
	}
	time.Sleep(5 * time.Second)
	before := cpu(c.pid())
	time.Sleep(20 * time.Second)
	idle.Seconds, idle.CPU, idle.PeakRSS = 20, (cpu(c.pid()) - before).Seconds(), residentNow(c.pid())
	return m, idle, nil
}

// journal tells when the request that first carried a value had arrived whole.
func (l *lab) journal(ctx context.Context) (map[string]time.Time, error) {
	body, err := fetch(ctx, http.MethodGet, l.crmURL+"/_sim/journal?since=0", "")
	if err != nil {
		return nil, err
	}
	var entries []struct {
		Received   time.Time
		Properties map[string]string
	}
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, err
	}
	received := map[string]time.Time{}
	for _, e := range entries {
		seats := e.Properties["seats"]
		if _, known := received[seats]; !known {
			received[seats] = e.Received
		}
	}
	return received, nil
}

func delays(sent, received map[string]time.Time) []time.Duration {
	var all []time.Duration
	for what, at := range sent {
		if there, ok := received[what]; ok {
			all = append(all, there.Sub(at))
		}
	}
	return all
}

func residentNow(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel's
	return pages * int64(os.Getpagesize())
}

// firstLoad sends a table that exists; COPY shows how fast it can be read at all.
func (l *lab) firstLoad(ctx context.Context) ([]measurement, error) {
	reading := measurement{Consumer: copyOut, Rows: l.rows}
	began := time.Now()
	if _, err := l.conn.PgConn().CopyTo(ctx, io.Discard, "COPY accounts TO STDOUT"); err != nil {
		return nil, err
	}
	reading.Seconds = time.Since(began).Seconds()
	m := measurement{Consumer: whole, Rows: l.rows}
	err := l.between(ctx, &m, func() error {
		c, err := l.run(ctx)
		if err != nil {
			return err
		}
		defer c.stop()
		if err := l.loaded(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU = time.Since(c.began).Seconds(), cpu(c.pid()).Seconds()
		return l.inside(ctx, c, &m)
	})
	reading.RowsPerSecond = float64(l.rows) / reading.Seconds
	m.RowsPerSecond = float64(l.rows) / m.Seconds
	return []measurement{reading, m}, err
}

// outage has the CRM refuse everything while rows change, and measures from its
// return on.
func (l *lab) outage(ctx context.Context) ([]measurement, error) {
	m := measurement{Consumer: whole, Rows: l.rows}
	c, err := l.run(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := l.loaded(ctx, c); err != nil {
		return nil, err
	}
	if _, err := fetch(ctx, http.MethodPost, l.crmURL+"/_sim/faults", `{"effect":"status","status":503}`); err != nil {
		return nil, err
	}
	before := cpu(c.pid())
	const each = 20
	tick := time.NewTicker(time.Second * each / 2000)
	defer tick.Stop()
	for done := 0; done < l.rows; done += each {
		<-tick.C
		if err := l.sql(ctx, "UPDATE accounts SET seats = $1 WHERE id = ANY (SELECT (random() * $2)::int FROM generate_series(1, $3))", done, l.before, each); err != nil {
			return nil, errors.Join(err, c.ended())
		}
	}
	if err := l.last(ctx); err != nil {
		return nil, err
	}
	err = l.between(ctx, &m, func() error {
		if _, err := fetch(ctx, http.MethodDelete, l.crmURL+"/_sim/faults", ""); err != nil {
			return err
		}
		began := time.Now()
		if err := l.settled(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU = time.Since(began).Seconds(), (cpu(c.pid()) - before).Seconds()
		return l.inside(ctx, c, &m)
	})
	m.RowsPerSecond = float64(m.Rows) / m.Seconds
	return []measurement{m}, err
}
