package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

var (
	killSeed     = flag.Uint64("kill-seed", 0, "seed of the kill test; 0 takes a new one and prints it")
	killSeconds  = flag.Int("kill-seconds", 45, "how long the writers of the kill test write")
	killPatience = flag.Duration("kill-patience", 3*time.Minute, "how long the kill test waits for the CRM to catch up")
	killCount    = flag.Int("kill-count", 10, "how often the kill test kills the program")
)

// killSchema has three tables that feed one record each by the account's id.
// Every change raises the row's version, so that the order of writes can be
// seen in the CRM. Deleted rows are kept aside: with on_delete: ignore the CRM
// keeps their last state.
const killSchema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan text, seats int, notes text, v bigint NOT NULL DEFAULT 1);
CREATE TABLE subscriptions (account_id bigint PRIMARY KEY, mrr numeric(12,2), renews_on date, terms text, v bigint NOT NULL DEFAULT 1);
CREATE TABLE usage (account_id bigint PRIMARY KEY, active bool, seen_at timestamptz, v bigint NOT NULL DEFAULT 1);
ALTER TABLE accounts ALTER notes SET STORAGE EXTERNAL;
ALTER TABLE subscriptions ALTER terms SET STORAGE EXTERNAL;
CREATE TABLE gone_accounts (LIKE accounts);
CREATE TABLE gone_subscriptions (LIKE subscriptions);
CREATE TABLE gone_usage (LIKE usage);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('INSERT INTO gone_%I SELECT ($1).*', TG_TABLE_NAME) USING OLD; RETURN OLD; END $$;
CREATE TRIGGER keep AFTER DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION keep();
CREATE TRIGGER keep AFTER DELETE ON subscriptions FOR EACH ROW EXECUTE FUNCTION keep();
CREATE TRIGGER keep AFTER DELETE ON usage FOR EACH ROW EXECUTE FUNCTION keep();
`

const killMapping = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties:
      name: name
      plan: {column: plan, values: {free: FREE, team: TEAM, ent: ENTERPRISE}}
      seats: seats
      notes: notes
      v_accounts: v
  subscriptions:
    match: {account_id: account_id}
    properties: {mrr: mrr, renewal_date: renews_on, terms: terms, v_subscriptions: v}
  usage:
    match: {account_id: account_id}
    properties: {active_customer: active, last_seen: seen_at, v_usage: v}
`

// truth is f(database), written down apart from the mapping's own code.
const truth = `
WITH a AS (SELECT * FROM accounts UNION ALL SELECT * FROM gone_accounts),
     s AS (SELECT * FROM subscriptions UNION ALL SELECT * FROM gone_subscriptions),
     u AS (SELECT * FROM usage UNION ALL SELECT * FROM gone_usage)
SELECT id::text AS key, 'name' AS property, coalesce(name, '') AS value FROM a
UNION ALL SELECT id::text, 'plan', coalesce(CASE plan WHEN 'free' THEN 'FREE' WHEN 'team' THEN 'TEAM' WHEN 'ent' THEN 'ENTERPRISE' END, '') FROM a
UNION ALL SELECT id::text, 'seats', coalesce(seats::text, '') FROM a
UNION ALL SELECT id::text, 'notes', coalesce(notes, '') FROM a
UNION ALL SELECT id::text, 'v_accounts', v::text FROM a
UNION ALL SELECT account_id::text, 'mrr', coalesce(mrr::text, '') FROM s
UNION ALL SELECT account_id::text, 'renewal_date', coalesce(to_char(renews_on, 'YYYY-MM-DD'), '') FROM s
UNION ALL SELECT account_id::text, 'terms', coalesce(terms, '') FROM s
UNION ALL SELECT account_id::text, 'v_subscriptions', v::text FROM s
UNION ALL SELECT account_id::text, 'active_customer', coalesce(active::text, '') FROM u
UNION ALL SELECT account_id::text, 'last_seen', coalesce(to_char(date_trunc('milliseconds', seen_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '') FROM u
UNION ALL SELECT account_id::text, 'v_usage', v::text FROM u
`

const killAccounts = 400

// TestKilledTenTimesNothingIsLost is the main promise: eight writers change
// three tables while the CRM lets one call in ten go wrong and the program is
// killed again and again. In the end the CRM is f(database); no write was older
// than one before it; and the slot never passed a change that was not in the CRM.
func TestKilledTenTimesNothingIsLost(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a server")
	}
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with -kill-seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	server := pgtest.New(t)
	url := server.URL("postgres")
	pgtest.Exec(t, url, killSchema)
	portal, crm := killPortal(t, seed)

	// Half of the rows are there before the program is: they are loaded beside
	// the stream.
	w := &writers{t: t, url: url, seed: seed}
	w.seedRows(killAccounts / 2)

	env := []string{
		"PGCRM_DATABASE_URL=" + url, "HUBSPOT_BASE_URL=" + crm, "HUBSPOT_ACCESS_TOKEN=" + hubspotsim.DefaultToken,
		"PGCRM_MAPPING=" + killMapping, "PGCRM_LISTEN=off", "PGCRM_FLUSH_INTERVAL=0", "PGCRM_BATCH_SIZE=20",
	}
	p := start(t, env)
	// From here on every change is in the stream.
	conn := connect(t, url)
	eventually(t, time.Minute, func() string {
		p.alive()
		var slots int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn IS NOT NULL").Scan(&slots); err != nil {
			t.Fatal(err)
		}
		if slots == 0 {
			return "no slot yet"
		}
		return ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*killSeconds)*time.Second)
	defer cancel()
	wait := w.write(ctx, 8)
	t.Cleanup(func() { // also where the test has failed by then
		cancel()
		wait()
	})
	confirmed := w.watchSlot(t.Context(), portal)

	for range *killCount {
		// Most are killed while they send, and some while they wait for the end of
		// their predecessor's lease.
		pause := time.Duration(rng.Float64() * 2 * (float64(*killSeconds)/float64(*killCount) - 1.5) * float64(time.Second) * 0.9)
		if rng.IntN(4) > 0 {
			pause += 2 * time.Second
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		p.alive()
		p.kill()
		p = start(t, env)
	}
	wait()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(history(portal, differences(t, conn, portal)))
			t.Log(sample(conn))
		}
	})
	eventually(t, *killPatience, func() string {
		p.alive()
		return differences(t, conn, portal)
	})
	confirmed.stop(t)
	p.alive()
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d on SIGTERM; output ends:\n%s", code, p.log)
	}
	if why := differences(t, conn, portal); why != "" {
		t.Error(why)
	}
	checkOrder(t, portal)
	checkNothingElse(t, portal)
	if n := letters(t, conn); n != 0 {
		t.Errorf("%d letters are open; nothing was refused", n)
	}
	t.Logf("%d changes by the writers, %d writes in the CRM, calls %v", w.count(), len(portal.Journal(0)), portal.Stats().Calls)
}

func killPortal(t *testing.T, seed uint64, more ...hubspotsim.Property) (*hubspotsim.Portal, string) {
	limits := hubspotsim.Unthrottled()
	portal, url := serve(t, hubspotsim.Options{
		Seed: seed, Limits: &limits,
		Properties: map[string][]hubspotsim.Property{"companies": append([]hubspotsim.Property{
			hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "FREE", "TEAM", "ENTERPRISE"), hubspotsim.Number("seats"),
			hubspotsim.Text("notes"), hubspotsim.Number("v_accounts"), hubspotsim.Number("mrr"), hubspotsim.Date("renewal_date"),
			hubspotsim.Text("terms"), hubspotsim.Number("v_subscriptions"), hubspotsim.Bool("active_customer"),
			hubspotsim.DateTime("last_seen"), hubspotsim.Number("v_usage"),
		}, more...)},
	})
	companies := make([]map[string]string, killAccounts)
	for i := range companies {
		companies[i] = map[string]string{"account_id": strconv.Itoa(i + 1)}
	}
	if _, err := portal.Seed("companies", companies...); err != nil {
		t.Fatal(err)
	}
	if err := portal.AddFaults(hubspotsim.Mix(0.1)...); err != nil {
		t.Fatal(err)
	}
	return portal, url
}

// differences compares the CRM with f(database).
func differences(t *testing.T, conn *pgx.Conn, portal *hubspotsim.Portal) string {
	t.Helper()
	holds := map[string]map[string]string{}
	for _, r := range portal.Records("companies") {
		holds[r.Properties["account_id"]] = r.Properties
	}
	rows, err := conn.Query(context.Background(), truth)
	if err != nil {
		t.Fatal(err)
	}
	var key, property, value string
	var wrong []string
	_, err = pgx.ForEachRow(rows, []any{&key, &property, &value}, func() error {
		if got := holds[key][property]; got != value {
			wrong = append(wrong, fmt.Sprintf("company %s: %s is %.60q in the CRM, %.60q in the database", key, property, got, value))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) == 0 {
		return ""
	}
	return fmt.Sprintf("%d differences, such as:\n%s", len(wrong), strings.Join(wrong[:min(5, len(wrong))], "\n"))
}

// history shows the writes of the first company that differs.
func history(portal *hubspotsim.Portal, wrong string) string {
	_, rest, _ := strings.Cut(wrong, "company ")
	key, _, _ := strings.Cut(rest, ":")
	r, ok := portal.Find("companies", "account_id", key)
	if !ok {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "writes of company %s:\n", key)
	for _, e := range portal.Journal(0) {
		if e.ID == r.ID {
			fmt.Fprintf(&b, "%s %s", e.Time.Format("15:04:05.000"), e.Source)
			for _, v := range e.Properties {
				fmt.Fprintf(&b, " %s=%.20q", v.Name, v.Value)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// checkOrder finds writes that are older than an earlier one of the same record.
func checkOrder(t *testing.T, portal *hubspotsim.Portal) {
	t.Helper()
	type place struct{ id, property string }
	newest := map[place]int{}
	for _, e := range portal.Journal(0) {
		for _, p := range e.Properties {
			if !strings.HasPrefix(p.Name, "v_") {
				continue
			}
			v, err := strconv.Atoi(p.Value)
			if e.Late {
				continue // its sender had given up; such records are repaired
			}
			if err != nil {
				t.Errorf("write %d of %s: %s is %q", e.Seq, e.ID, p.Name, p.Value)
				continue
			}
			at := place{e.ID, p.Name}
			if v < newest[at] {
				t.Errorf("write %d (%s) takes %s of %s back from %d to %d", e.Seq, e.Source, p.Name, e.ID, newest[at], v)
			}
			newest[at] = max(newest[at], v)
		}
	}
}

// checkNothingElse finds writes of properties that are not mapped, and records
// that nobody asked for.
func checkNothingElse(t *testing.T, portal *hubspotsim.Portal) {
	t.Helper()
	if n := portal.Count("companies"); n != killAccounts {
		t.Errorf("%d companies, were %d", n, killAccounts)
	}
	mapped := " account_id name plan seats notes v_accounts mrr renewal_date terms v_subscriptions active_customer last_seen v_usage "
	for _, e := range portal.Journal(0) {
		for _, p := range e.Properties {
			if !strings.Contains(mapped, " "+p.Name+" ") {
				t.Errorf("write %d sets %s", e.Seq, p.Name)
			}
		}
	}
}

func letters(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pgcrm.letter").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// sample shows some letters.
func sample(conn *pgx.Conn) string {
	rows, err := conn.Query(context.Background(), "SELECT l::text FROM pgcrm.letter l LIMIT 5")
	if err != nil {
		return err.Error()
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return fmt.Sprintf("letters: %.600s %v", strings.Join(lines, "\n"), err)
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// written is a change that was committed before the log reached end.
type written struct {
	property string // that carries the version
	key      string
	version  int
	end      uint64
}

// writers change the tables and remember what they committed.
type writers struct {
	t    testing.TB
	url  string
	seed uint64
	// rough has them go on where the server does not.
	rough bool

	mu  sync.Mutex
	log []written
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log)
}
