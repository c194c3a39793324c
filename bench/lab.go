package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const publication = "bench"

// lab is what one repetition runs in.
type lab struct {
	options
	workload
	server *pgtest.Server
	conn   *pgx.Conn
	crm    *child
	crmURL string
	listen string // of pgcrm
	end    string // a position inside the last transaction of the backlog
}

func newLab(ctx context.Context, o options, w workload) (_ *lab, err error) {
	l := &lab{options: o, workload: w}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	l.server, err = pgtest.Start(ctx, pgtest.Options{BinDir: o.pgBin, Settings: map[string]string{
		// The log stays in the page cache, and nothing else runs beside.
		"shared_buffers": "512MB", "max_wal_size": "32GB", "checkpoint_timeout": "1h", "autovacuum": "off",
	}})
	if err != nil {
		return nil, err
	}
	if l.conn, err = pgx.Connect(ctx, l.url()); err != nil {
		return nil, err
	}
	if l.listen, err = freePort(ctx); err != nil {
		return nil, err
	}
	if err := l.sql(ctx, schema); err != nil {
		return nil, err
	}
	if err := l.sql(ctx, "CREATE PUBLICATION "+publication+" FOR TABLE accounts"); err != nil {
		return nil, err
	}
	if w.before > 0 {
		if err := l.sql(ctx, fmt.Sprintf("CALL fill_by(%d, 1000)", w.before)); err != nil {
			return nil, err
		}
		if err := l.sql(ctx, "VACUUM ANALYZE accounts"); err != nil {
			return nil, err
		}
	}
	return l, l.startCRM(ctx)
}

func (l *lab) close() {
	if l.crm != nil {
		l.crm.stop()
	}
	if l.conn != nil {
		l.conn.Close(context.Background())
	}
	if l.server != nil {
		_ = l.server.Close() // it is thrown away
	}
}

func (l *lab) url() string { return l.server.URL("postgres") }

func (l *lab) sql(ctx context.Context, sql string, args ...any) error {
	if _, err := l.conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%w: %.200s", err, sql)
	}
	return nil
}

// is asks a yes or no question; a table that is not there yet is a no.
func (l *lab) is(ctx context.Context, sql string, args ...any) (bool, error) {
	var yes *bool
	err := l.conn.QueryRow(ctx, sql, args...).Scan(&yes)
	var missing interface{ SQLState() string }
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &missing) && (missing.SQLState() == "42P01" || missing.SQLState() == "3F000") {
		return false, nil
	}
	return yes != nil && *yes, err
}

// startCRM starts the simulator with the companies that the rows belong to.
func (l *lab) startCRM(ctx context.Context) (err error) {
	journal := "-1"
	if l.letter == "d" {
		journal = "0"
	}
	args := []string{"simulator", "--listen", "127.0.0.1:0", "--unthrottled", "--daily", "0", "--journal", journal, "--companies", fmt.Sprint(l.companies)}
	for _, p := range []string{"plan:string", "seats:number", "mrr:number", "active:bool"} {
		args = append(args, "--property", p)
	}
	if l.crm, err = launch(ctx, nil, l.pgcrm, args...); err != nil {
		return err
	}
	return poll(ctx, 20*time.Millisecond, func() (bool, error) {
		_, rest, ok := strings.Cut(l.crm.out.String(), "HUBSPOT_BASE_URL=")
		l.crmURL, _, _ = strings.Cut(rest, " ")
		return ok, l.crm.ended()
	})
}

// run starts pgcrm.
func (l *lab) run(ctx context.Context, more ...string) (*child, error) {
	return launch(ctx, append(append([]string{
		"PGCRM_DATABASE_URL=" + l.url(), "PGCRM_MAPPING=" + mapping, "PGCRM_LISTEN=" + l.listen,
		"HUBSPOT_BASE_URL=" + l.crmURL, "HUBSPOT_ACCESS_TOKEN=" + hubspotsim.DefaultToken, "PGCRM_LOG_LEVEL=warn",
	}, l.env...), more...), l.pgcrm, "run")
}

// loaded waits until pgcrm has sent all that exists.
func (l *lab) loaded(ctx context.Context, c *child) error {
	return poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if err := c.ended(); err != nil {
			return false, err
		}
		return l.is(ctx, "SELECT bool_and(state = 'done') FROM pgcrm.backfill")
	})
}

// last commits the transaction that ends the backlog and remembers where.
func (l *lab) last(ctx context.Context) error {
	return pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET name = 'the last change' WHERE id = 1"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&l.end)
	})
}

// settled waits until pgcrm has confirmed the end.
func (l *lab) settled(ctx context.Context, c *child) error {
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		if err := c.ended(); err != nil {
			return false, err
		}
		return l.is(ctx, "SELECT confirmed_flush_lsn > $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'pgcrm'", l.end)
	})
}

// metric sums the series of a name.
func (l *lab) metric(ctx context.Context, names ...string) (map[string]float64, error) {
	body, err := fetch(ctx, http.MethodGet, "http://"+l.listen+"/metrics", "")
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(series, "{")
		if !ok || strings.HasPrefix(series, "#") {
			continue
		}
		for _, want := range names {
			if name == want {
				n, _ := strconv.ParseFloat(value, 64) // Prometheus' own
				sums[name] += n
			}
		}
	}
	return sums, lines.Err()
}

// crmStats is what the simulator counts.
type crmStats struct {
	Calls   map[string]int `json:"calls"`
	Written int64          `json:"written"`
}

func (s crmStats) writes() (n int) {
	for op, count := range s.Calls {
		for _, write := range []string{"update ", "upsert ", "create "} {
			if strings.HasPrefix(op, write) {
				n += count
			}
		}
	}
	return n
}

func (l *lab) crmCounts(ctx context.Context) (crmStats, error) {
	var s crmStats
	body, err := fetch(ctx, http.MethodGet, l.crmURL+"/_sim/stats", "")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

func fetch(ctx context.Context, method, url, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.200s", method, url, resp.Status, text)
	}
	return text, err
}

func freePort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// versions says what was measured, and on what.
func (l *lab) versions(ctx context.Context) (map[string]string, error) {
	v := map[string]string{"go": runtime.Version(), "cpus": fmt.Sprint(runtime.NumCPU())}
	var pg string
	if err := l.conn.QueryRow(ctx, "SHOW server_version").Scan(&pg); err != nil {
		return nil, err
	}
	v["postgres"] = pg
	out, err := exec.CommandContext(ctx, l.pgcrm, "version").Output() //nolint:gosec // the program under measurement
	if err != nil {
		return nil, err
	}
	v["pgcrm"] = strings.Join(strings.Fields(string(out)), " ")
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		rest, _, _ = strings.Cut(rest, "\n")
		v["cpu"] = strings.TrimLeft(rest, "\t: ")
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		v["kernel"] = strings.TrimSpace(string(text))
	}
	return v, nil
}

// recvlogicalPath is the one of the server's version, else the first in PATH.
func (l *lab) recvlogicalPath() (string, error) {
	for _, dir := range []string{l.pgBin, fmt.Sprintf("/usr/lib/postgresql/%d/bin", l.server.Version())} {
		path := filepath.Join(dir, "pg_recvlogical")
		if _, err := os.Stat(path); dir != "" && err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("pg_recvlogical")
	if err != nil {
		return "", errors.New("pg_recvlogical is not here: apt-get install postgresql-client")
	}
	return path, nil
}
