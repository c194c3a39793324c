package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/migrations"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// patience is how long a test waits for what should take a second.
const patience = 90 * time.Second

// world is what a test gives the commands: a database, a portal, and names of
// its own on the shared server.
type world struct {
	t      *testing.T
	name   string
	conn   *pgx.Conn
	portal *hubspotsim.Portal
	env    map[string]string
}

const worldSchema = `CREATE TABLE accounts (id bigint PRIMARY KEY, name text, host text, plan text, seats int);
	INSERT INTO accounts SELECT i, 'Company ' || i, 'www' || i || '.example.com', CASE WHEN i % 3 = 0 THEN 'pro' ELSE 'free' END, i FROM generate_series(1, 12) i;`

const worldMapping = `version: 1
tables:
  public.accounts:
    match: {account_id: id}
    properties:
      name: name
      plan: plan
      seats: seats
`

// newWorld makes accounts 1 to 12, and companies 1 to 10 for them.
func newWorld(t *testing.T) *world { return newWorldWith(t, worldSchema, worldMapping) }

func newWorldWith(t *testing.T, schema, mapping string) *world {
	t.Helper()
	url := pgtest.Shared(t).NewDatabase(t)
	limits := hubspotsim.Unthrottled()
	portal := hubspotsim.New(hubspotsim.Options{Limits: &limits, HistoryDepth: 5, Properties: map[string][]hubspotsim.Property{
		"companies": {hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "free", "pro"), hubspotsim.Number("seats")},
	}})
	server := httptest.NewServer(portal)
	t.Cleanup(func() { portal.Close(); server.Close() })
	var companies []map[string]string
	for i := range 10 {
		companies = append(companies, map[string]string{"account_id": fmt.Sprint(i + 1)})
	}
	if _, err := portal.Seed("companies", companies...); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	w := &world{t: t, conn: conn, portal: portal}
	w.name = "pgcrm_" + url[strings.LastIndex(url, "/")+1:strings.Index(url, "?")]
	w.env = map[string]string{
		"PGCRM_DATABASE_URL": url, "PGCRM_NAME": w.name, "PGCRM_MAPPING": mapping,
		"HUBSPOT_BASE_URL": server.URL, "HUBSPOT_ACCESS_TOKEN": hubspotsim.DefaultToken, "PGCRM_LISTEN": "off",
	}
	w.exec(schema)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatalf("%v\n%s", err, sql)
	}
}

func (w *world) text(sql string, args ...any) (s string) {
	w.t.Helper()
	if err := w.conn.QueryRow(context.Background(), sql, args...).Scan(&s); err != nil {
		w.t.Fatalf("%v\n%s", err, sql)
	}
	return s
}

func (w *world) environ() []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(w.env)) {
		env = append(env, name+"="+w.env[name])
	}
	return env
}

// output is what a command wrote.
type output struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end.
func (w *world) run(args ...string) output {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code := Main(ctx, make(chan struct{}), Environment{Args: args, Env: w.environ(), Stdout: &stdout, Stderr: &stderr})
	if ctx.Err() != nil {
		w.t.Fatalf("pgcrm %s did not end\n%s%s", strings.Join(args, " "), stdout.String(), stderr.String())
	}
	return output{code, stdout.String(), stderr.String()}
}

// ok runs a command that must succeed and returns what it printed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	o := w.run(args...)
	if o.code != exitDone {
		w.t.Fatalf("pgcrm %s: exit code %d\n%s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// refused runs a command that must end with exit code 2 and a text.
func (w *world) refused(want string, args ...string) {
	w.t.Helper()
	o := w.run(args...)
	if o.code != exitWrong || !strings.Contains(o.stderr, want) {
		w.t.Errorf("pgcrm %s: exit code %d, want 2 with %q\n%s%s", strings.Join(args, " "), o.code, want, o.stdout, o.stderr)
	}
}

// read decodes what a command prints with -o json.
func read[T any](w *world, args ...string) (v T) {
	w.t.Helper()
	out := w.ok(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.t.Fatalf("pgcrm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// migrate makes the state schema without anything in it.
func (w *world) migrate() {
	w.t.Helper()
	if err := migrations.Apply(context.Background(), w.env["PGCRM_DATABASE_URL"], w.name, slog.New(slog.DiscardHandler)); err != nil {
		w.t.Fatal(err)
	}
}

// start runs `pgcrm run` in the background, and returns what stops it, once it
// has loaded what exists.
func (w *world) start() (stop func()) {
	w.t.Helper()
	log := &lockedBuffer{}
	asked, ended := make(chan struct{}), make(chan int, 1)
	env := Environment{Args: []string{"run"}, Env: w.environ(), Stdout: log, Stderr: log}
	go func() { ended <- Main(context.Background(), asked, env) }()
	stop = sync.OnceFunc(func() {
		close(asked)
		select {
		case code := <-ended:
			if code != exitDone {
				w.t.Errorf("pgcrm run: exit code %d\n%s", code, log.String())
			}
		case <-time.After(patience):
			w.t.Errorf("pgcrm run did not end\n%s", log.String())
		}
	})
	w.t.Cleanup(func() {
		stop()
		if w.t.Failed() {
			w.t.Logf("log of pgcrm run:\n%s", log.String())
		}
	})
	w.eventually(func() string {
		if strings.Contains(log.String(), "phase=streaming") {
			return w.text("SELECT CASE WHEN count(*) > 0 AND bool_and(state = 'done') THEN '' ELSE 'not loaded' END FROM " + w.name + ".backfill")
		}
		return "pgcrm run does not stream:\n" + log.String()
	})
	return stop
}

// settles waits until what is committed now is accounted for: a row of a mapped
// table has moved the checkpoint.
func (w *world) settles() {
	w.t.Helper()
	end := w.text("SELECT pg_current_wal_insert_lsn()::text")
	w.exec("UPDATE accounts SET host = host WHERE id = (SELECT min(id) FROM accounts)")
	w.eventually(func() string {
		return w.text("SELECT CASE WHEN checkpoint >= $1::text::pg_lsn THEN '' ELSE 'checkpoint is ' || checkpoint END FROM "+w.name+".state", end)
	})
}

// eventually asks again until nothing is wrong.
func (w *world) eventually(wrong func() string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		what := wrong()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal(what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// patch has somebody else change a company, by its record id.
func (w *world) patch(id string, values map[string]string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"properties": values})
	if err != nil {
		w.t.Fatal(err)
	}
	w.call(http.MethodPatch, id, body)
}

// archive has somebody else delete a company, by its record id.
func (w *world) archive(id string) {
	w.t.Helper()
	w.call(http.MethodDelete, id, nil)
}

func (w *world) call(method, id string, body []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.env["HUBSPOT_BASE_URL"]+"/crm/v3/objects/companies/"+id, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hubspotsim.DefaultToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		w.t.Fatalf("change company %s: %s", id, resp.Status)
	}
}

// company returns what the portal holds of the company with the account_id.
func (w *world) company(id any) map[string]string {
	r, ok := w.portal.Find("companies", "account_id", fmt.Sprint(id))
	if !ok {
		return nil
	}
	return r.Properties
}

// lockedBuffer is written by a process and read by its test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
