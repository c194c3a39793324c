package e2e

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

var (
	chaosSeed     = flag.Uint64("chaos-seed", 0, "seed of the chaos test; 0 takes a new one and prints it")
	chaosFor      = flag.Duration("chaos-for", 20*time.Second, "how long the chaos test goes on")
	chaosPatience = flag.Duration("chaos-patience", 2*time.Minute, "how long the chaos test waits for the CRM to catch up")
)

// deed is one thing that befalls the program or its neighbours.
type deed struct {
	after time.Duration // since the one before
	name  string
	who   int // instance
	lasts time.Duration
	pick  int
}

func (d deed) String() string {
	return fmt.Sprintf("%s instance=%d lasts=%s pick=%d", d.name, d.who, d.lasts, d.pick)
}

// deeds are the things that may happen, each with its share.
var deeds = map[string]int{
	"kill": 4, "terminate": 2, "freeze process": 3,
	"postgres wire": 4, "crm wire": 4,
	"restart postgres": 1, "crash postgres": 1, "end sessions": 1, "steal slot": 2,
	"crm outage": 2, "crm lies": 3, "crm limit": 1, "late requests": 2,
	"ddl": 3, "backfill": 2,
}

// schedule draws what happens, and when. The same seed gives the same.
func schedule(seed uint64, total time.Duration) []deed {
	rng := rand.New(rand.NewPCG(seed, 7))
	var lots []string
	for _, name := range slices.Sorted(maps.Keys(deeds)) {
		lots = append(lots, slices.Repeat([]string{name}, deeds[name])...)
	}
	var all []deed
	for at := time.Duration(0); at < total; {
		d := deed{
			after: 100*time.Millisecond + time.Duration(rng.Int64N(int64(1800*time.Millisecond))),
			name:  lots[rng.IntN(len(lots))], who: rng.IntN(2), pick: rng.IntN(1000),
			lasts: time.Duration(100+rng.Int64N(1<<(8+rng.IntN(6)))) * time.Millisecond, // mostly short, up to 8 s
		}
		if total > 2*time.Minute && d.name == "crm outage" && rng.IntN(4) == 0 {
			d.lasts = time.Duration(30+rng.IntN(90)) * time.Second
		}
		at += d.after
		all = append(all, d)
	}
	return all
}

func TestTheScheduleOfChaosIsTheSeeds(t *testing.T) {
	a, b := schedule(3, time.Minute), schedule(3, time.Minute)
	if !slices.Equal(a, b) || len(a) < 30 || slices.Equal(a, schedule(4, time.Minute)) {
		t.Errorf("%d and %d deeds", len(a), len(b))
	}
}

const chaosPeople = 60

// chaosBad is no option of the property that it is written to.
const chaosBad = "bad " + rowMark

// chaosSchema adds to the tables of the kill test one whose rows change the key
// that their record is found by, and have values that HubSpot does not take.
const chaosSchema = killSchema + `
CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, plan text, note text, spare text, v bigint NOT NULL DEFAULT 1);
ALTER TABLE people ALTER note SET STORAGE EXTERNAL;
ALTER TABLE people REPLICA IDENTITY FULL;
INSERT INTO people SELECT i, 'p' || i, 'A', 'row' || i || ' ' FROM generate_series(1, 60) i;
INSERT INTO people SELECT i, 'nobody' || i FROM generate_series(61, 63) i; -- no company has the key
CREATE TABLE unmapped (id serial, t text);
`

const chaosMapping = killMapping + `
  people:
    match: {person_key: email}
    properties: {person_plan: plan, person_note: note, v_people: v}
`

// TestChaos is the weather of years in a short time: two instances compete for
// the slot, on a network that cuts, delays, halves and freezes connections to
// either neighbour, while processes are killed, stopped and frozen, Postgres
// crashes, the slot is stolen, the CRM is out, lies, limits and answers late, and
// rows change, keys change, tables are altered and loaded again.
//
// In the end the CRM is f(database), and what is parked is what was refused, no
// more and no less. At no time was an older version written after a newer one, a
// value written to another row's record, or a position beyond what the CRM held.
// A process that had begun its work never ended by itself.
func TestChaos(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a server")
	}
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(rand.Uint32())
	}
	t.Logf("replay with -chaos-seed=%d -chaos-for=%s", seed, *chaosFor)
	c := newChaos(t, seed)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.ensure()
	c.await("a slot", func() bool { return c.has("SELECT FROM pg_replication_slots WHERE confirmed_flush_lsn IS NOT NULL") })

	waitWriters := c.writers.write(ctx, 4)
	var people sync.WaitGroup
	people.Go(func() { c.changePeople(ctx) })
	join := func() { cancel(); waitWriters(); people.Wait() }
	t.Cleanup(join)
	watch := c.writers.watchSlot(t.Context(), c.portal)

	for _, d := range schedule(seed, *chaosFor) {
		c.rest(d.after)
		c.say("%s", d)
		c.do(d)
		c.ensure()
	}
	c.say("calm")
	c.calm()
	join()
	// A row that is gone cannot be read again: what a late request did to its record
	// afterwards stays.
	c.sql("TRUNCATE gone_accounts, gone_subscriptions, gone_usage")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(strings.Join(c.story, "\n"))
		}
	})
	eventually(t, *chaosPatience, func() string {
		c.ensure()
		return c.differs()
	})
	watch.stop(t)
	for _, in := range c.instances {
		if code := in.p.stop(); code != 0 {
			t.Errorf("exit code %d on SIGTERM in calm weather; output ends:\n%s", code, in.p.log)
		}
	}
	if why := c.differs(); why != "" {
		t.Error(why)
	}
	checkOrder(t, c.portal)
	c.checkWrites()
	t.Logf("%d changes, %d writes in the CRM, peak memory %d MiB, calls %v", c.writers.count(), len(c.portal.Journal(0)), c.peak>>20, c.portal.Stats().Calls)
	if c.peak > chaosMemory && raceFlag == "" {
		t.Errorf("peak memory %d MiB, more than %d", c.peak>>20, chaosMemory>>20)
	}
}

// chaosBuffer is small, so that it is full now and then; chaosMemory is what a
// process may have in all with it.
const (
	chaosBuffer = 1 << 20
	chaosMemory = 80 << 20
)

// chaos is the stage.
type chaos struct {
	*testing.T
	server    *pgtest.Server
	url       string
	portal    *hubspotsim.Portal
	writers   *writers
	seed      uint64
	instances []*instance
	ends      []ending
	began     time.Time
	story     []string
	peak      int64
	stolen    sync.WaitGroup
}

// instance is one of the programs that compete, on wires of its own.
type instance struct {
	p        *process
	pg, crm  *wire
	env      []string
	expected bool // it was ended by a deed
}

// ending is when something that lasts is over.
type ending struct {
	at time.Time
	do func()
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{T: t, seed: seed, server: pgtest.New(t, "wal_sender_timeout", "3s"), began: time.Now()}
	c.url = c.server.URL("postgres")
	pgtest.Exec(t, c.url, chaosSchema)
	portal, crm := killPortal(t, seed,
		hubspotsim.Unique("person_key"), hubspotsim.Enum("person_plan", "A", "B"), hubspotsim.Text("person_note"), hubspotsim.Number("v_people"))
	people := make([]map[string]string, chaosPeople)
	for i := range people {
		people[i] = map[string]string{"person_key": fmt.Sprintf("p%d", i+1)}
	}
	if _, err := portal.Seed("companies", people...); err != nil {
		t.Fatal(err)
	}
	portal.ClearFaults()
	c.portal = portal
	c.writers = &writers{t: t, url: c.url, seed: seed, rough: true}
	c.writers.seedRows(killAccounts / 2)
	source, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		in := &instance{pg: newWire(t, source.Host), crm: newWire(t, strings.TrimPrefix(crm, "http://"))}
		database := *source
		database.Host = in.pg.address()
		in.env = []string{
			"PGCRM_DATABASE_URL=" + database.String(), "HUBSPOT_BASE_URL=http://" + in.crm.address(), "HUBSPOT_ACCESS_TOKEN=" + hubspotsim.DefaultToken,
			"PGCRM_MAPPING=" + chaosMapping, "PGCRM_LISTEN=off", "PGCRM_FLUSH_INTERVAL=0", "PGCRM_BATCH_SIZE=20",
			fmt.Sprintf("PGCRM_BUFFER_BYTES=%d", chaosBuffer), "PGCRM_LATE_WINDOW=4s", "PGCRM_SHUTDOWN_TIMEOUT=5s",
		}
		c.instances = append(c.instances, in)
	}
	return c
}

func (c *chaos) say(format string, args ...any) {
	c.story = append(c.story, fmt.Sprintf("%6.2fs ", time.Since(c.began).Seconds())+fmt.Sprintf(format, args...))
}

// ensure plays the service manager: it starts what is not running. What ended by
// itself must have said why, and only before its work had begun.
func (c *chaos) ensure() {
	c.Helper()
	for i, in := range c.instances {
		if in.p != nil {
			if !in.p.ended() {
				continue
			}
			if !in.expected {
				output := in.p.log.String()
				c.say("instance %d ended by itself with %d: %s", i, in.p.cmd.ProcessState.ExitCode(), lastLine(output))
				if !reasonGiven.MatchString(output) {
					c.Errorf("instance %d ended without a reason:\n%s", i, output)
				}
				if strings.Contains(output, "slot_taken") {
					c.Errorf("instance %d ended by itself in the middle of its work:\n%s", i, output)
				}
			}
		}
		in.expected = false
		in.p = start(c, in.env)
	}
}

// reasonGiven finds the line that says why the program has ended: what failed, or
// the setting that is wrong.
var reasonGiven = regexp.MustCompile(`(?m)^(pgcrm: |PGCRM_\w+: |HUBSPOT_\w+: )`)

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// rest waits, and ends meanwhile what has lasted long enough.
func (c *chaos) rest(d time.Duration) {
	until := time.Now().Add(d)
	for {
		for _, in := range c.instances {
			c.peak = max(c.peak, residentPeak(in.p))
		}
		c.ends = slices.DeleteFunc(c.ends, func(e ending) bool {
			if time.Now().Before(e.at) {
				return false
			}
			e.do()
			return true
		})
		left := time.Until(until)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, 50*time.Millisecond))
	}
}

func (c *chaos) then(after time.Duration, do func()) {
	c.ends = append(c.ends, ending{time.Now().Add(after), do})
}

func (c *chaos) do(d deed) {
	in := c.instances[d.who]
	switch d.name {
	case "kill":
		in.expected = true
		in.p.kill()
		c.rest(min(d.lasts, time.Second))
	case "terminate":
		in.expected = true
		_ = in.p.cmd.Process.Signal(syscall.SIGCONT)
		if code := in.p.stop(); code != 0 && !reasonGiven.MatchString(in.p.log.String()) {
			c.Errorf("exit code %d on SIGTERM, and no reason; output ends:\n%s", code, in.p.log)
		}
	case "freeze process":
		p := in.p
		_ = p.cmd.Process.Signal(syscall.SIGSTOP)
		c.then(d.lasts, func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) })
	case "postgres wire":
		c.spoil(in.pg, d)
	case "crm wire":
		c.spoil(in.crm, d)
	case "restart postgres":
		c.restart(pgtest.Fast)
	case "crash postgres":
		c.restart(pgtest.Immediate)
	case "end sessions":
		c.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgcrm%'")
	case "steal slot":
		c.steal(d.lasts)
	case "crm outage":
		c.fault(d.lasts, hubspotsim.Fault{Effect: hubspotsim.Status, Status: []int{500, 502, 503, 504}[d.pick%4], Applied: d.pick%3 == 0})
	case "crm lies":
		c.fault(d.lasts, hubspotsim.Mix(0.4)...)
	case "crm limit":
		c.fault(d.lasts, hubspotsim.Fault{Effect: hubspotsim.Status, Status: 429})
	case "late requests":
		c.fault(d.lasts, hubspotsim.Fault{Op: "update", Effect: hubspotsim.Late, Delay: hubspotsim.Duration(2 * time.Second), Rate: 0.1})
	case "ddl":
		c.sql([]string{
			"ALTER TABLE people ADD COLUMN IF NOT EXISTS extra text DEFAULT 'x'",
			"ALTER TABLE people DROP COLUMN IF EXISTS extra",
			"ALTER TABLE people ALTER spare TYPE varchar(77) USING spare",
			"ALTER TABLE people ALTER spare TYPE text",
			"VACUUM FULL usage",
			"CREATE INDEX ON subscriptions (mrr)",
			"TRUNCATE unmapped",
			"INSERT INTO unmapped (t) SELECT repeat('x', 1000) FROM generate_series(1, 5000)",
		}[d.pick%8])
	case "backfill":
		table := []string{"accounts", "subscriptions", "usage", "people"}[d.pick%4]
		ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
		defer cancel()
		env := append(slices.Clone(in.env), "PGCRM_DATABASE_URL="+c.url)
		if code, _, errs := runFor(ctx, c, env, "backfill", table); code != 0 {
			c.say("backfill ended with %d: %s", code, lastLine(errs))
		}
	default:
		c.Fatalf("nobody knows how to do %q", d.name)
	}
}

// spoil has a wire cut, delay, halve, shred or freeze what passes.
func (c *chaos) spoil(w *wire, d deed) {
	switch d.pick % 6 {
	case 0:
		w.cut()
		return
	case 1:
		w.set(weather{refuse: true})
	case 2:
		w.set(weather{delay: time.Duration(d.pick%200) * time.Millisecond})
	case 3:
		w.set(weather{piece: 1 + d.pick%50, delay: time.Millisecond})
	case 4:
		w.set(weather{freezeUp: d.pick%4 < 2, freezeDown: d.pick%4 >= 2})
	default:
		w.set(weather{freezeUp: true, freezeDown: true})
	}
	c.then(d.lasts, func() { w.set(weather{}) })
}

func (c *chaos) restart(mode pgtest.Mode) {
	if err := c.server.Stop(c.Context(), mode); err != nil {
		c.Fatal(err)
	}
	if err := c.server.Restart(c.Context()); err != nil {
		c.Fatal(err)
	}
}

func (c *chaos) fault(lasts time.Duration, faults ...hubspotsim.Fault) {
	for i := range faults {
		faults[i].For = hubspotsim.Duration(lasts)
	}
	if err := c.portal.AddFaults(faults...); err != nil {
		c.Fatal(err)
	}
}

// sql runs a statement for which it is no harm to fail: the server may be about
// to start, or a lock not to be had.
func (c *chaos) sql(statement string) {
	ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url)
	if err == nil {
		defer conn.Close(context.WithoutCancel(ctx))
		_, _ = conn.Exec(ctx, "SET lock_timeout = '2s'")
		_, err = conn.Exec(ctx, statement)
	}
	if err != nil {
		c.say("%v", err)
	}
}

func (c *chaos) has(query string) bool {
	conn, err := pgx.Connect(c.Context(), c.url)
	if err != nil {
		return false
	}
	defer conn.Close(context.Background())
	tag, err := conn.Exec(c.Context(), query)
	return err == nil && tag.RowsAffected() > 0
}

func (c *chaos) await(what string, holds func() bool) {
	c.Helper()
	eventually(c, patience, func() string {
		c.ensure()
		if holds() {
			return ""
		}
		return "there is not yet " + what
	})
}

// steal takes the slot from whoever has it, reads from it for a while without
// confirming anything, and gives it back.
func (c *chaos) steal(lasts time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), lasts+3*time.Second)
	conn, err := pgconn.Connect(ctx, c.url+"&replication=database&application_name=thief")
	if err != nil {
		cancel()
		c.say("%v", err)
		return
	}
	c.stolen.Go(func() {
		defer cancel()
		defer conn.Close(context.Background())
		for ctx.Err() == nil {
			c.drive(ctx)
			err := pglogrepl.StartReplication(ctx, conn, "pgcrm", 0, pglogrepl.StartReplicationOptions{
				PluginArgs: []string{"proto_version '1'", "publication_names 'pgcrm'"},
			})
			if err == nil {
				break
			}
		}
		until, end := context.WithTimeout(ctx, lasts)
		defer end()
		for {
			if _, err := conn.ReceiveMessage(until); err != nil {
				return
			}
		}
	})
}

// drive ends the session that has the slot.
func (c *chaos) drive(ctx context.Context) {
	conn, err := pgx.Connect(ctx, c.url)
	if err != nil {
		return
	}
	defer conn.Close(context.Background())
	_, _ = conn.Exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'pgcrm' AND active")
}

// calm ends all that lasts.
func (c *chaos) calm() {
	for _, e := range c.ends {
		e.do()
	}
	c.ends = nil
	c.portal.ClearFaults()
	c.stolen.Wait()
	for _, in := range c.instances {
		in.pg.set(weather{})
		in.crm.set(weather{})
		_ = in.p.cmd.Process.Signal(syscall.SIGCONT)
	}
	c.sql("SELECT 1")
}

// changePeople changes values, some of which HubSpot does not take, and keys.
func (c *chaos) changePeople(ctx context.Context) {
	rng := rand.New(rand.NewPCG(c.seed, 55))
	var conn *pgx.Conn
	for ctx.Err() == nil {
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = pgx.Connect(ctx, c.url); err != nil {
				time.Sleep(100 * time.Millisecond)
				continue
			}
		}
		id := 1 + rng.IntN(chaosPeople)
		set := fmt.Sprintf("plan = '%s'", []string{"A", "B", "B", chaosBad}[rng.IntN(4)])
		switch rng.IntN(4) {
		case 0:
			set = fmt.Sprintf("note = 'row%d ' || %s", id, big(rng))
		case 1:
			// Of as many keys as rows again, one that nobody has now.
			set = fmt.Sprintf("email = coalesce((SELECT 'p' || k FROM generate_series(1, %d) k WHERE 'p' || k NOT IN (SELECT email FROM people) ORDER BY (k * %d) %% 101 LIMIT 1), email)",
				2*chaosPeople, 1+rng.IntN(100))
		}
		// An error is no harm: whether it was committed or not, the database tells.
		_, _ = conn.Exec(ctx, fmt.Sprintf("UPDATE people SET %s, v = v + 1 WHERE id = %d", set, id))
		time.Sleep(time.Duration(rng.IntN(8)) * time.Millisecond)
	}
	if conn != nil {
		_ = conn.Close(context.Background())
	}
}

// differs compares the CRM with f(database), and the letters with what the CRM
// does not take.
func (c *chaos) differs() string {
	conn, err := pgx.Connect(c.Context(), c.url)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(context.Background())
	if why := differences(c.T, conn, c.portal); why != "" {
		return why + "\n" + history(c.portal, why)
	}
	holds := map[string]map[string]string{}
	for _, r := range c.portal.Records("companies") {
		if key := r.Properties["person_key"]; key != "" {
			holds[key] = r.Properties
		}
	}
	rows, _ := conn.Query(c.Context(), `SELECT email, 'person_note', note FROM people WHERE email LIKE 'p%'
		UNION ALL SELECT email, 'v_people', v::text FROM people WHERE email LIKE 'p%'
		UNION ALL SELECT email, 'person_plan', plan FROM people WHERE plan <> '`+chaosBad+`'`)
	var key, property, value, wrong, asked string
	_, err = pgx.ForEachRow(rows, []any{&key, &property, &value}, func() error {
		if got := holds[key][property]; got != value {
			wrong = fmt.Sprintf("person %s: %s is %.60q in the CRM, %.60q in the database", key, property, got, value)
			asked = key
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	if wrong != "" {
		return wrong + "\n" + c.whereabouts(asked)
	}
	got, err := texts(conn, `SELECT s.table_name || ' ' || convert_from(l.row_key, 'UTF8') || ' ' || coalesce(p.name, '-')
		FROM pgcrm.letter l JOIN pgcrm.source s ON s.id = l.source LEFT JOIN pgcrm.property p ON p.target = l.target AND p.id = l.property`)
	if err != nil {
		return err.Error()
	}
	want, err := texts(conn, `SELECT 'public.people ' || id || ' person_plan' FROM people WHERE plan = '`+chaosBad+`'
		UNION ALL SELECT 'public.people ' || id || ' -' FROM people WHERE email LIKE 'nobody%'`)
	if err != nil {
		return err.Error()
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("parked: %q\nrefused: %q", got, want)
	}
	return ""
}

// whereabouts lists the writes of the records that ever had the key, and of those
// of the row that has it now.
func (c *chaos) whereabouts(key string) string {
	var row string
	if conn, err := pgx.Connect(c.Context(), c.url); err == nil {
		_ = conn.QueryRow(c.Context(), "SELECT split_part(note, ' ', 1) FROM people WHERE email = $1", key).Scan(&row)
		_ = conn.Close(c.Context())
	}
	ids := map[string]bool{}
	each := func(do func(e hubspotsim.Entry)) {
		for _, e := range c.portal.Journal(0) {
			do(e)
		}
	}
	each(func(e hubspotsim.Entry) {
		for _, p := range e.Properties {
			if p.Name == "person_key" && p.Value == key || row != "" && p.Name == "person_note" && strings.HasPrefix(p.Value, row+" ") {
				ids[e.ID] = true
			}
		}
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%s has the key %s; writes:\n", row, key)
	each(func(e hubspotsim.Entry) {
		if !ids[e.ID] {
			return
		}
		fmt.Fprintf(&b, "%s %s by %s=%s late=%v", e.Time.Format("15:04:05.000"), e.ID, e.By, e.Key, e.Late)
		for _, v := range e.Properties {
			fmt.Fprintf(&b, " %s=%.12q", v.Name, v.Value)
		}
		b.WriteByte('\n')
	})
	return b.String()
}

func texts(conn *pgx.Conn, sql string) ([]string, error) {
	rows, err := conn.Query(context.Background(), sql)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(list)
	return list, err
}

// checkWrites finds what the mapping does not say: other properties, records
// that nobody asked for, and values of one row in another's record.
func (c *chaos) checkWrites() {
	c.Helper()
	if n := c.portal.Count("companies"); n != killAccounts+chaosPeople {
		c.Errorf("%d companies, were %d", n, killAccounts+chaosPeople)
	}
	const mapped = " account_id name plan seats notes v_accounts mrr renewal_date terms v_subscriptions active_customer last_seen v_usage person_key person_plan person_note v_people "
	rowOf := map[string]string{}
	for _, e := range c.portal.Journal(0) {
		for _, p := range e.Properties {
			if !strings.Contains(mapped, " "+p.Name+" ") {
				c.Errorf("write %d sets %s", e.Seq, p.Name)
			}
			// A late request meets whoever has the match value by then; what it did
			// there is made good, which differs tells.
			if p.Name == "person_note" && !e.Late {
				row, _, _ := strings.Cut(p.Value, " ")
				if before := rowOf[e.ID]; before != "" && before != row {
					c.Errorf("write %d gives %s's note to the record of %s", e.Seq, row, before)
				}
				rowOf[e.ID] = row
			}
			if p.Value == chaosBad {
				c.Errorf("write %d sends what the property does not take", e.Seq)
			}
		}
	}
}

// residentPeak is the most memory that the process has had, 0 where that is not
// known.
func residentPeak(p *process) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}
