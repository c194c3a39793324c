package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestOutageOfTheCRM: while no call succeeds, more changes than the buffer takes;
// the stream is held back, the server's keepalives are answered for longer than
// it would wait, and in the end nothing is lost.
func TestOutageOfTheCRM(t *testing.T) {
	t.Parallel()
	const rows, buffer = 600, 64 << 10
	w := oneWorld(t)
	w.seed(rows)
	w.env["PGCRM_BUFFER_BYTES"] = strconv.Itoa(buffer)
	url := w.listening()
	p := w.start()
	w.streams(p)
	w.fault(hubspotsim.Fault{Effect: hubspotsim.Status, Status: 503})
	for i := range 6 {
		w.exec(`INSERT INTO accounts SELECT i, repeat('x', 1000) || i, 'free', i FROM generate_series($1::int, $2::int) i`, i*100+1, i*100+100)
	}
	w.exec(`UPDATE accounts SET seats = seats + 1000`)

	const sender = `SELECT pid::text FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = $1`
	pid, began := w.query(sender, w.name), time.Now()
	if pid == "" {
		t.Fatal("there is no WAL sender")
	}
	full := false
	for time.Since(began) < 13*time.Second { // its wal_sender_timeout is 10 s
		p.alive()
		if got := w.query(sender, w.name); got != pid {
			t.Fatalf("the WAL sender was %s and is %q", pid, got)
		}
		bytes, err := strconv.ParseFloat(metric(t, url, "pgcrm_queue_bytes"), 64)
		if err != nil || bytes > 2*buffer {
			t.Fatalf("the queue has %v bytes of %d (%v)", bytes, buffer, err)
		}
		full = full || bytes > buffer/2
		time.Sleep(200 * time.Millisecond)
	}
	if !full {
		t.Error("the buffer was never full; the test is too small")
	}
	if status, body, err := get(t.Context(), url+"/healthz"); status != 200 {
		t.Errorf("/healthz: %d %s %v", status, body, err)
	}
	if status, body, err := get(t.Context(), url+"/readyz"); status != 200 {
		t.Errorf("/readyz: %d %s %v", status, body, err)
	}
	w.portal.ClearFaults()
	for id := 1; id <= rows; id++ {
		w.arrives(p, id, "plan=free", "seats="+strconv.Itoa(id+1000))
	}
	w.settles(p)
	if got := w.letters(); len(got) != 0 {
		t.Errorf("letters: %q", got)
	}
}

// TestAFullBufferLetsPostgresStop: while no call succeeds and the buffer is full
// the stream is not read, and a fast shutdown waits for whoever has not
// confirmed everything. The program must leave, so that the server can stop.
func TestAFullBufferLetsPostgresStop(t *testing.T) {
	t.Parallel()
	limits := hubspotsim.Unthrottled()
	server := pgtest.New(t, "shared_buffers", "16MB")
	w := newWorldOn(t, server, oneTable, oneMapping, hubspotsim.Options{
		Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()},
	})
	const rows = 2000
	w.seed(rows)
	w.env["PGCRM_BUFFER_BYTES"] = strconv.Itoa(64 << 10)
	url := w.listening()
	p := w.start()
	w.streams(p)
	w.fault(hubspotsim.Fault{Effect: hubspotsim.Status, Status: 503})
	w.exec(`INSERT INTO accounts SELECT i, repeat('x', 1000) || i, 'free', i FROM generate_series(1, $1::int) i`, rows)
	eventually(t, patience, func() string {
		p.alive()
		if bytes, _ := strconv.ParseFloat(metric(t, url, "pgcrm_queue_bytes"), 64); bytes < 64<<10 {
			return "the buffer is not full yet"
		}
		return ""
	})
	_ = w.conn.Close(context.Background())
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := server.Stop(within, pgtest.Fast); err != nil {
		t.Fatalf("Postgres could not stop: %v", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.conn = connect(t, w.url)
	w.portal.ClearFaults()
	w.arrives(p, rows, fmt.Sprintf("seats=%d", rows))
	w.settles(p)
}

// TestOutagesOfPostgres: the same process goes on by itself, whatever way the
// server, or the connection, went.
func TestOutagesOfPostgres(t *testing.T) {
	t.Parallel()
	limits := hubspotsim.Unthrottled()
	server := pgtest.New(t, "shared_buffers", "16MB")
	w := newWorldOn(t, server, oneTable, oneMapping, hubspotsim.Options{
		Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()},
	})
	w.seed(1)
	p := w.start()
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 0)")
	w.arrives(p, 1, "seats=0")
	restart := func(mode pgtest.Mode) func() {
		return func() {
			_ = w.conn.Close(context.Background())
			if err := server.Stop(t.Context(), mode); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.conn = connect(t, w.url)
		}
	}
	for i, outage := range []struct {
		name string
		do   func()
	}{
		{"fast restart", restart(pgtest.Fast)},
		{"immediate restart", restart(pgtest.Immediate)},
		{"WAL sender ended", func() {
			w.query("SELECT pg_terminate_backend(active_pid)::text FROM pg_replication_slots WHERE slot_name = $1", w.name)
		}},
		{"every session ended", func() {
			w.query("SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name LIKE 'pgcrm%'")
		}},
	} {
		t.Log(time.Now().Format(time.TimeOnly), outage.name)
		outage.do()
		w.exec("UPDATE accounts SET seats = $1", i+1)
		w.arrives(p, 1, fmt.Sprintf("seats=%d", i+1))
		w.settles(p)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// state asks a process how it is.
func state(t testing.TB, url string) string {
	t.Helper()
	_, body, err := get(t.Context(), url+"/api/status")
	if err != nil {
		return err.Error()
	}
	var status struct{ State string }
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		return err.Error()
	}
	return status.State
}

func isState(t testing.TB, url, want string) {
	t.Helper()
	eventually(t, patience, func() string {
		if got := state(t, url); got != want {
			return "state " + got + ", not " + want
		}
		return ""
	})
}

// TestTwoInstances: the second stands by, takes over from one that was killed,
// and from one that was frozen, which stands by in its turn when it wakes up.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 0)")
	instance := func() (*process, string) {
		url := w.listening()
		return w.start(), url
	}
	first, firstURL := instance()
	w.arrives(first, 1, "seats=0")
	isState(t, firstURL, "streaming")
	second, secondURL := instance()
	isState(t, secondURL, "standby")
	for _, page := range []string{"/healthz", "/readyz", "/readyz?strict"} {
		if status, body, err := get(t.Context(), secondURL+page); status != 200 {
			t.Errorf("%s of the standby: %d %s %v", page, status, body, err)
		}
	}
	if code := second.stop(); code != 0 {
		t.Errorf("exit code %d of a standby", code)
	}
	second, secondURL = instance()
	isState(t, secondURL, "standby")

	first.kill()
	killed := time.Now()
	w.exec("UPDATE accounts SET seats = 1")
	w.arrives(second, 1, "seats=1")
	t.Logf("taken over from a killed instance after %s", time.Since(killed).Round(100*time.Millisecond))

	third, thirdURL := instance()
	isState(t, thirdURL, "standby")
	if err := second.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	w.exec("UPDATE accounts SET seats = 2")
	w.arrives(third, 1, "seats=2")
	t.Logf("taken over from a frozen instance after %s", time.Since(frozen).Round(100*time.Millisecond))
	if err := second.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	isState(t, secondURL, "standby")
	w.exec("UPDATE accounts SET seats = 3")
	w.arrives(third, 1, "seats=3")
	second.alive()
	for _, p := range []*process{second, third} {
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	last := -1
	for _, e := range w.portal.Journal(0) {
		if text, ok := e.Properties.Get("seats"); ok {
			seats, _ := strconv.Atoi(text)
			if seats < last {
				t.Errorf("write %d takes seats from %d back to %d", e.Seq, last, seats)
			}
			last = seats
		}
	}
}

// TestRateLimit: more calls than the account allows in its window are spread,
// and hardly one is refused.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	const rows = 60
	limits := hubspotsim.Limits{Calls: 15, Window: 2 * time.Second, Daily: 250_000}
	w := newWorldOn(t, pgtest.Shared(t), oneTable, oneMapping, hubspotsim.Options{
		Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()},
	})
	w.seed(rows)
	w.env = w.with("PGCRM_BATCH_SIZE=1", "PGCRM_FLUSH_INTERVAL=0").env
	w.exec(`INSERT INTO accounts SELECT i, 'Account', 'free', i FROM generate_series(1, $1::int) i`, rows)
	p := w.start()
	for id := 1; id <= rows; id++ {
		w.arrives(p, id, "seats="+strconv.Itoa(id))
	}
	calls := w.portal.Stats().Calls
	if n := calls["update 200"]; n < rows {
		t.Errorf("%d calls for %d batches of one", n, rows)
	}
	if n := calls["update 429"]; n > 2 {
		t.Errorf("%d calls were refused for the limit: %v", n, calls)
	}
}

// TestDefaultLimits: a small account and default settings.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	const rows = 3000
	w := newWorldOn(t, pgtest.Shared(t), oneTable, oneMapping, hubspotsim.Options{
		Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()},
	})
	w.seed(rows)
	w.exec(`INSERT INTO accounts SELECT i, 'Account', 'free', i FROM generate_series(1, $1::int) i`, rows)
	p := w.start()
	w.arrives(p, rows, "seats="+strconv.Itoa(rows))
	for i := range 50 {
		w.exec(`UPDATE accounts SET seats = seats + 1 WHERE id % 50 = $1::int`, i)
	}
	for id := 1; id <= rows; id++ {
		w.arrives(p, id, "seats="+strconv.Itoa(id+1))
	}
	calls := w.portal.Stats().Calls
	for key, n := range calls {
		if strings.HasSuffix(key, " 429") {
			t.Errorf("%d of %s", n, key)
		}
	}
	if n := w.calls("update"); n > 100 {
		t.Errorf("%d calls for %d records and as many changes: %v", n, rows, calls)
	}
}

// TestMetrics: every series that people build alerts on is there from the start.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	url := w.listening()
	p := w.start()
	w.streams(p)
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 1), (2, 'Two', 'free', 2), (3, 'Three', 'free', 3)")
	w.arrives(p, 1, "seats=1")
	w.settles(p)
	names := []string{
		"changes_total", "records_total", "api_calls_total", "api_call_duration_seconds", "commit_to_crm_duration_seconds",
		"oldest_unsent_seconds", "lag_bytes", "retained_wal_bytes", "slot_status", "queue_records", "queue_bytes", "quota_remaining",
		"parked_records", "paused", "backfill_rows_total", "checkpoint_lsn", "build_info",
	}
	eventually(t, patience, func() string {
		p.alive()
		_, body, err := get(t.Context(), url+"/metrics")
		if err != nil {
			return err.Error()
		}
		for _, name := range names {
			if !strings.Contains(body, "# TYPE pgcrm_"+name+" ") {
				return "no " + name
			}
		}
		return ""
	})
	got := map[string]string{}
	want := map[string]string{
		`pgcrm_changes_total{op="insert",table="public.accounts"}`:        "3",
		`pgcrm_changes_total{op="delete",table="public.accounts"}`:        "0",
		`pgcrm_records_total{object="companies",outcome="delivered"}`:     "1",
		`pgcrm_records_total{object="companies",outcome="parked"}`:        "2",
		`pgcrm_records_total{object="companies",outcome="would_deliver"}`: "0",
		`pgcrm_commit_to_crm_duration_seconds_count`:                      "1",
		`pgcrm_parked_records{reason="not_found"}`:                        "2",
		`pgcrm_paused{reason="credentials"}`:                              "0",
		`pgcrm_slot_status{status="reserved"}`:                            "1",
		`pgcrm_slot_status{status="lost"}`:                                "0",
		`pgcrm_backfill_rows_total{table="public.accounts"}`:              "0",
	}
	for series := range want {
		got[series] = metric(t, url, series)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if status, body, err := get(t.Context(), url+"/"); status != 200 || !strings.Contains(body, "<html") {
		t.Errorf("the status page: %d %.100s %v", status, body, err)
	}
}

// TestAWebPageAtStartIsWaitedOut: what stands in for HubSpot is no reason to end,
// nor to be ready; the log says what to look at.
func TestAWebPageAtStartIsWaitedOut(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
	url := w.listening()
	w.fault(hubspotsim.Fault{Op: "properties", Effect: hubspotsim.HTML, Times: 1}, hubspotsim.Fault{Op: "account", Effect: hubspotsim.Short})
	p := w.start()
	p.says("the body is a web page", "cut off", "check HUBSPOT_BASE_URL and any proxy")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		if code, body, err := get(t.Context(), url+path); err != nil || code != want {
			t.Errorf("%s: %d %s %v", path, code, body, err)
		}
	}
	if n := w.portal.Count("companies"); n != 1 || w.lacks(1, "name=One") == "" {
		t.Error("something was sent before the portal was known")
	}
	w.portal.ClearFaults()
	w.arrives(p, 1, "name=One")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
