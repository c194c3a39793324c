package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// patience is how long a test waits for what should take a second, on a machine
// that has other things to do.
const patience = 90 * time.Second

// world is what one test runs the program in: a database of its own, names of
// its own on the shared server, and a portal of its own.
type world struct {
	t      testing.TB
	server *pgtest.Server
	name   string // of slot, publication and state schema
	url    string
	conn   *pgx.Conn
	portal *hubspotsim.Portal
	crm    string
	env    map[string]string
	// program is run in place of the one that the tests were built with.
	program string
	last    *string // a position in the log inside the last transaction of exec
}

// newWorld makes the tables and a portal without limits whose companies have the
// properties. The program is not started.
func newWorld(t testing.TB, schema, mapping string, properties ...hubspotsim.Property) *world {
	t.Helper()
	limits := hubspotsim.Unthrottled()
	return newWorldOn(t, pgtest.Shared(t), schema, mapping, hubspotsim.Options{
		Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": properties},
	})
}

func newWorldOn(t testing.TB, server *pgtest.Server, schema, mapping string, portal hubspotsim.Options) *world {
	t.Helper()
	w := &world{t: t, server: server, url: server.NewDatabase(t), last: new(string)}
	w.name = "pgcrm_" + w.url[strings.LastIndex(w.url, "/")+1:strings.Index(w.url, "?")]
	w.portal, w.crm = serve(t, portal)
	w.conn = connect(t, w.url)
	w.exec(schema)
	w.env = map[string]string{
		"PGCRM_DATABASE_URL": w.url, "PGCRM_NAME": w.name, "PGCRM_MAPPING": mapping,
		"HUBSPOT_BASE_URL": w.crm, "HUBSPOT_ACCESS_TOKEN": hubspotsim.DefaultToken,
		"PGCRM_LISTEN": "off",
	}
	return w
}

// exec runs SQL in the source database, as one transaction.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	ctx := context.Background()
	err := pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(w.last)
	})
	if err != nil {
		w.t.Fatalf("%v\n%s", err, sql)
	}
}

// seed makes companies in the portal with account_id 1 to n.
func (w *world) seed(n int) {
	w.t.Helper()
	companies := make([]map[string]string, n)
	for i := range companies {
		companies[i] = map[string]string{"account_id": fmt.Sprint(i + 1)}
	}
	if _, err := w.portal.Seed("companies", companies...); err != nil {
		w.t.Fatal(err)
	}
}

// with changes the environment, given as NAME=value; an empty value unsets.
func (w *world) with(pairs ...string) *world {
	changed := *w
	changed.env = maps.Clone(w.env)
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if changed.env[name] = value; value == "" {
			delete(changed.env, name)
		}
	}
	return &changed
}

func (w *world) environ() []string {
	env := make([]string, 0, len(w.env))
	for _, name := range slices.Sorted(maps.Keys(w.env)) {
		env = append(env, name+"="+w.env[name])
	}
	return env
}

// start runs `pgcrm run`.
func (w *world) start() *process {
	w.t.Helper()
	return startProgram(w.t, cmp.Or(w.program, binary), w.environ(), "run")
}

// listening gives the program an address for health and metrics and returns its
// URL.
func (w *world) listening() string {
	address := freePort(w.t)
	w.env["PGCRM_LISTEN"] = address
	return "http://" + address
}

// company returns what the portal holds of the company with the account_id.
func (w *world) company(id any) map[string]string {
	r, ok := w.portal.Find("companies", "account_id", fmt.Sprint(id))
	if !ok {
		return nil
	}
	return r.Properties
}

// arrives waits until the company has the values, given as name=value.
func (w *world) arrives(p *process, id any, want ...string) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		return w.lacks(id, want...)
	})
}

// lacks says which of the values the company does not have.
func (w *world) lacks(id any, want ...string) string {
	got := w.company(id)
	var wrong []string
	for _, pair := range want {
		name, value, _ := strings.Cut(pair, "=")
		if got[name] != value {
			wrong = append(wrong, fmt.Sprintf("%s is %.80q, not %.80q", name, got[name], value))
		}
	}
	if len(wrong) > 0 {
		return fmt.Sprintf("company %v: %s", id, strings.Join(wrong, ", "))
	}
	return ""
}

// streams waits until the program has loaded what exists and streams.
func (w *world) streams(p *process) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		if p.log.contains("phase=streaming") {
			return ""
		}
		return "not streaming yet"
	})
}

// calls counts the calls of an operation so far.
func (w *world) calls(op string) (n int) {
	for key, count := range w.portal.Stats().Calls {
		if strings.HasPrefix(key, op+" ") {
			n += count
		}
	}
	return n
}

// query returns one text from the source database, empty for no row or NULL.
func (w *world) query(sql string, args ...any) string {
	w.t.Helper()
	rows, err := w.conn.Query(context.Background(), sql, args...)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, sql)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil {
		w.t.Fatalf("%v\n%s", err, sql)
	}
	if len(all) == 0 || all[0] == nil {
		return ""
	}
	return *all[0]
}

// letters lists the open letters as "table key property category".
func (w *world) letters() []string {
	w.t.Helper()
	rows, err := w.conn.Query(context.Background(), fmt.Sprintf(`
		SELECT s.table_name || ' ' || convert_from(l.row_key, 'UTF8') || ' ' || coalesce(p.name, '-') || ' ' || l.category
		FROM %[1]s.letter l JOIN %[1]s.source s ON s.id = l.source
		LEFT JOIN %[1]s.property p ON p.target = l.target AND p.id = l.property ORDER BY 1`, w.name))
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// settles waits until the last transaction of exec, which has changed mapped
// rows, is accounted for: the slot is confirmed beyond it.
func (w *world) settles(p *process) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		return w.query(`SELECT CASE WHEN confirmed_flush_lsn > $2::text::pg_lsn THEN NULL
			ELSE 'the slot is at ' || confirmed_flush_lsn || ', the change at ' || $2 END
			FROM pg_replication_slots WHERE slot_name = $1`, w.name, *w.last)
	})
}

// run runs the program to its end and returns its exit code and what it wrote.
func run(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, stdout, stderr = runFor(ctx, t, env, args...)
	if ctx.Err() != nil {
		t.Fatalf("the program did not end; it wrote:\n%s%s", stdout, stderr)
	}
	return code, stdout, stderr
}

// runFor kills the program where ctx ends before it does.
func runFor(ctx context.Context, t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=halt_on_error=1"}, env...)
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = scanned(t, env, args, &out), scanned(t, env, args, &errs)
	// A program that hangs shows where.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited && ctx.Err() == nil { //nolint:errorlint // Run's own type
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
