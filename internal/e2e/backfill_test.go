package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// loadWorld has rows that were there before the program, and a company for each
// and for one more.
func loadWorld(t *testing.T, rows int) *world {
	w := oneWorld(t)
	w.exec(fmt.Sprintf(`INSERT INTO accounts SELECT i, 'Account ' || i, 'free', i FROM generate_series(1, %d) i`, rows))
	w.seed(rows + 1)
	return w
}

// asked asks for a backfill and returns the number of the request.
func (w *world) asked(args ...string) string {
	w.t.Helper()
	code, out, errs := run(w.t, w.environ(), append([]string{"backfill", "-o", "json"}, args...)...)
	var filed []struct{ ID int64 }
	if err := json.Unmarshal([]byte(out), &filed); err != nil || code != 0 || len(filed) != 1 {
		w.t.Fatalf("pgcrm backfill %q: exit code %d, %v\n%s%s", args, code, err, out, errs)
	}
	return strconv.FormatInt(filed[0].ID, 10)
}

// followed asks for backfills, waits for their ends and returns their states and
// rows.
func (w *world) followed(args ...string) (ended []string) {
	w.t.Helper()
	_, out, errs := run(w.t, w.environ(), append([]string{"backfill", "-o", "json", "--follow"}, args...)...)
	var loads []struct {
		Table, State string
		Rows         int
	}
	if err := json.Unmarshal([]byte(out), &loads); err != nil {
		w.t.Fatalf("pgcrm backfill %q: %v\n%s%s", args, err, out, errs)
	}
	for _, l := range loads {
		ended = append(ended, fmt.Sprintf("%s %s %d", l.Table, l.State, l.Rows))
	}
	return ended
}

// load is what the state says of a backfill.
func (w *world) load(id, column string) string {
	w.t.Helper()
	return w.query(fmt.Sprintf("SELECT %s::text FROM %s.backfill WHERE id = %s", column, w.name, id))
}

// written lists the account_ids of the companies that were written since.
func (w *world) written(since int64) (ids []string) {
	w.t.Helper()
	account := map[string]string{}
	for _, r := range w.portal.Records("companies") {
		account[r.ID] = r.Properties["account_id"]
	}
	for _, e := range w.portal.Journal(since) {
		ids = append(ids, account[e.ID])
	}
	return ids
}

// TestALoadIsCancelled while the CRM is away and rows of it wait: what was sent
// stays, nothing more is sent, and the next process does not take it up.
func TestALoadIsCancelled(t *testing.T) {
	t.Parallel()
	const rows, batch, inFlight = 3000, 10, 2
	w := loadWorld(t, rows).with("PGCRM_BACKFILL=false", "PGCRM_BATCH_SIZE="+strconv.Itoa(batch),
		"PGCRM_MAX_IN_FLIGHT="+strconv.Itoa(inFlight), "PGCRM_RATE_LIMIT=10/1s")
	p := w.start()
	w.streams(p)
	since := w.portal.Stats().Journal
	id := w.asked("accounts")
	w.arrives(p, 1, "name=Account 1")
	w.fault(hubspotsim.Fault{Op: "update", Effect: hubspotsim.Status, Status: 503})
	eventually(t, patience, func() string {
		p.alive()
		if w.portal.Stats().Calls["update 503"] == 0 {
			return "no call has failed"
		}
		return ""
	})
	sent := len(w.written(since))
	if code, out, errs := run(t, w.environ(), "backfill", "--cancel", id); code != 0 || !strings.Contains(out, "cancelled backfill "+id+" of public.accounts") {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	eventually(t, patience, func() string {
		p.alive()
		if !p.log.contains("backfill_cancelled") {
			return "the program has not heard of it"
		}
		return ""
	})
	w.portal.ClearFaults()
	w.exec(`INSERT INTO accounts VALUES ($1, 'Live', 'team', 1)`, rows+1)
	w.arrives(p, rows+1, "name=Live")
	w.settles(p)
	got := w.written(since)
	if more := len(got) - sent - 1; more > batch*inFlight {
		t.Errorf("%d rows were sent after the end, more than were under way", more)
	}
	if why := w.lacks(1, "name=Account 1", "plan=free", "seats=1"); why != "" {
		t.Errorf("what was sent is gone: %s", why)
	}
	eventually(t, patience, func() string {
		return cmp.Diff("cancelled "+strconv.Itoa(len(got)-1), w.load(id, "state || ' ' || rows"))
	})
	if code, out, _ := run(t, w.environ(), "backfill", "--cancel", id); code != 0 || !strings.Contains(out, "over already: cancelled") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	p = w.start()
	w.streams(p)
	w.exec(`UPDATE accounts SET name = 'Live again' WHERE id = $1`, rows+1)
	w.arrives(p, rows+1, "name=Live again")
	w.settles(p)
	if now := w.written(since); len(now) != len(got)+1 {
		t.Errorf("%d more rows were sent", len(now)-len(got)-1)
	}
}

// TestALoadThatIsKilledGoesOnAtTheChunk: finished chunks are neither read nor sent
// again.
func TestALoadThatIsKilledGoesOnAtTheChunk(t *testing.T) {
	t.Parallel()
	const rows = 3000
	w := loadWorld(t, rows).with("PGCRM_BATCH_SIZE=20", "PGCRM_RATE_LIMIT=10/1s")
	url := w.listening()
	p := w.start()
	eventually(t, patience, func() string {
		p.alive()
		if w.query(`SELECT to_regclass($1)::text`, w.name+".backfill") == "" || w.load("1", "done_to[1]") == "" {
			return "no chunk is done"
		}
		return ""
	})
	p.kill()
	doneTo, err := strconv.Atoi(w.load("1", "done_to[1]"))
	if err != nil || w.load("1", "state || ' ' || rows") != "running "+strconv.Itoa(doneTo) || doneTo >= rows {
		t.Fatalf("done up to %d (%v), of %s", doneTo, err, w.load("1", "state || ' ' || rows"))
	}
	since := w.portal.Stats().Journal

	w = w.with("PGCRM_RATE_LIMIT=")
	p = w.start()
	w.streams(p)
	eventually(t, patience, func() string {
		p.alive()
		return cmp.Diff("done "+strconv.Itoa(rows), w.load("1", "state || ' ' || rows"))
	})
	if got := metric(t, url, `pgcrm_backfill_rows_total{table="public.accounts"}`); got != strconv.Itoa(rows-doneTo) {
		t.Errorf("%s rows were read after the kill, not %d", got, rows-doneTo)
	}
	for _, id := range w.written(since) {
		if n, _ := strconv.Atoi(id); n <= doneTo {
			t.Errorf("company %d was written again; all up to %d was done", n, doneTo)
		}
	}
	for id := 1; id <= rows; id++ {
		if why := w.lacks(id, fmt.Sprintf("name=Account %d", id), fmt.Sprintf("seats=%d", id)); why != "" {
			t.Fatal(why)
		}
	}
}

// TestAnUnchangedTableCostsNoCall, however often all of it is read, by processes
// old and new.
func TestAnUnchangedTableCostsNoCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneTable+`; CREATE TABLE plans (id bigint PRIMARY KEY, phone text)`, oneMapping+`
  plans:
    match: {account_id: id}
    properties: {phone: phone}
`, oneTableProperties()...)
	const rows = 500
	w.exec(fmt.Sprintf(`INSERT INTO accounts SELECT i, 'Account ' || i, NULL, i FROM generate_series(1, %[1]d) i;
		INSERT INTO plans SELECT i, i::text FROM generate_series(1, %[1]d) i`, rows))
	w.seed(rows)
	p := w.start()
	w.streams(p)
	for _, again := range []bool{false, true} {
		if again {
			if code := p.stop(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			p = w.start()
			w.streams(p)
		}
		since, calls := w.portal.Stats().Journal, w.calls("update")
		want := []string{fmt.Sprintf("public.accounts done %d", rows), fmt.Sprintf("public.plans done %d", rows)}
		if diff := cmp.Diff(want, w.followed("--all")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if n := w.calls("update") - calls; n != 0 || len(w.written(since)) != 0 {
			t.Errorf("%d calls wrote %q", n, w.written(since))
		}
	}
	// One row that differs costs one call.
	w.exec(`UPDATE plans SET phone = '555' WHERE id = 7`)
	w.arrives(p, 7, "phone=555")
	calls := w.calls("update")
	w.followed("--all")
	if n := w.calls("update") - calls; n != 0 {
		t.Errorf("%d calls", n)
	}
}

// TestATableThatIsNewInTheMappingIsLoaded, and no other with it.
func TestATableThatIsNewInTheMappingIsLoaded(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.exec(`CREATE TABLE "Phone Numbers" (account text, no int, phone text, PRIMARY KEY (account, no));
		INSERT INTO "Phone Numbers" VALUES ('1', 1, '555'), ('2', 1, '556'), ('x', 1, '557');
		INSERT INTO accounts SELECT i, 'Account ' || i, 'free', i FROM generate_series(1, 3) i`)
	w.seed(3)
	p := w.start()
	w.streams(p)
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	w.exec(`UPDATE accounts SET name = 'Meanwhile' WHERE id = 3; UPDATE "Phone Numbers" SET phone = '666' WHERE account = '2'`)
	since := w.portal.Stats().Journal
	w.env["PGCRM_MAPPING"] += `
  '"Phone Numbers"':
    match: {account_id: account}
    properties: {phone: phone}
`
	url := w.listening()
	p = w.start()
	w.streams(p)
	w.arrives(p, 1, "phone=555", "name=Account 1")
	w.arrives(p, 2, "phone=666", "name=Account 2")
	w.arrives(p, 3, "name=Meanwhile", "phone=")
	eventually(t, patience, func() string {
		p.alive()
		return cmp.Diff([]string{`public."Phone Numbers" ["x","1"] - not_found`}, w.letters())
	})
	w.settles(p)
	for id, want := range map[int][]string{1: {"phone=555"}, 2: {"phone=666"}} {
		if diff := cmp.Diff(want, w.writes(id, since)); diff != "" {
			t.Errorf("company %d -want +got\n%s", id, diff)
		}
	}
	for table, want := range map[string]string{`public.accounts`: "0", `public.\"Phone Numbers\"`: "3"} {
		if got := metric(t, url, fmt.Sprintf(`pgcrm_backfill_rows_total{table="%s"}`, table)); got != want {
			t.Errorf("%s rows of %s were read, not %s", got, table, want)
		}
	}
}

const hostileKeys = `
CREATE TABLE accounts (id text PRIMARY KEY, name text, plan text, seats int);
CREATE TABLE other (id text PRIMARY KEY, name text, plan text, seats int);
INSERT INTO other VALUES ('stolen', 'Stolen', 'stolen', 1);
CREATE SEQUENCE taken;
`

// TestBackfillOfSomeRows: a condition and keys pick rows, whatever they are made
// of; what they do not pick is not sent, and nothing else comes of them.
func TestBackfillOfSomeRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hostileKeys, oneMapping, oneTableProperties()...).with("PGCRM_BACKFILL=false")
	keys := []string{`plain`, `x'; DROP TABLE accounts; --`, `a,b`, `"quoted"`, `["a","b"]`, `größer 東京`, `{}`, `NULL`, `\x00`, `$1`, `%s`, `-`, `z`}
	companies := []map[string]string{{"account_id": "stolen"}}
	for i, key := range keys {
		w.exec(`INSERT INTO accounts VALUES ($1, 'Account ' || $2::int, 'free', $2)`, key, i)
		companies = append(companies, map[string]string{"account_id": key})
	}
	if _, err := w.portal.Seed("companies", companies...); err != nil {
		t.Fatal(err)
	}
	p := w.start()
	w.streams(p)

	csv := make([]string, len(keys))
	for i, key := range keys {
		csv[i] = `"` + strings.ReplaceAll(key, `"`, `""`) + `"`
	}
	for _, c := range []struct {
		args []string
		want []int // of keys, that are sent for the first time
	}{
		{[]string{"--keys", csv[1]}, []int{1}},
		{[]string{"--keys", strings.Join(csv[2:6], ","), "--keys", "absent"}, []int{2, 3, 4, 5}},
		{[]string{"--where", "id = '{}' -- nobody else"}, []int{6}},
		{[]string{"--where", "id = 'NULL' /* here */ OR id = E'\\\\x00'"}, []int{7, 8}},
		{[]string{"--where", "false"}, nil},
		{[]string{"--where", "id IN (SELECT id FROM other)"}, nil},
		{[]string{"--where", "seats = 9) OR (false"}, []int{9}},
		{[]string{"--keys", "%s," + csv[11]}, []int{10, 11}},
	} {
		since := w.portal.Stats().Journal
		ended := w.followed(append([]string{"accounts"}, c.args...)...)
		if len(ended) != 1 || !strings.HasPrefix(ended[0], "public.accounts done ") {
			t.Errorf("%q: %q", c.args, ended)
		}
		var want []string
		for _, i := range c.want {
			want = append(want, keys[i])
		}
		got := w.written(since)
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: sent -want +got\n%s", c.args, diff)
		}
	}
	since := w.portal.Stats().Journal

	for _, c := range []struct {
		want string
		args []string
	}{
		{"syntax error", []string{"--where", "true); DROP TABLE accounts; --"}},
		{"syntax error", []string{"--where", "1 = 1; DROP TABLE accounts"}},
		{"syntax error", []string{"--where", "1 = 1 --\n)"}},
		{"unterminated", []string{"--where", "1 = 1 /*"}},
		{"unterminated", []string{"--where", "name = '"}},
		{"the condition cannot be used", []string{"--where", "true) UNION ALL (SELECT * FROM other WHERE true"}},
		{"the condition cannot be used", []string{"--where", "true) UNION ALL SELECT * FROM other WHERE (true"}},
		{"read-only transaction", []string{"--where", "nextval('taken') > 0"}},
		{"it has a parameter", []string{"--where", "id = $1"}},
		{"column \"ids\" does not exist", []string{"--where", "ids = 'z'"}},
		{"invalid byte sequence", []string{"--where", "id = '\xff'"}},
		{"no such key", []string{"--keys", "\xff"}},
		{"put one that holds a comma in double quotes", []string{"--keys", `"z`}},
		{"names no key", []string{"--keys", ` , ,`}},
		{"contradict", []string{"--keys", "z", "--where", "true"}},
	} {
		code, out, errs := run(t, w.environ(), append([]string{"backfill", "accounts"}, c.args...)...)
		if code != 2 || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%q: exit code %d, not 2 with %q\n%s%s", c.args, code, c.want, out, errs)
		}
	}
	// What only fails further on ends the load and not the program.
	if code, _, errs := run(t, w.environ(), "backfill", "accounts", "--follow", "--where", "id < 'y' OR 1 / (seats - 12) > 0"); code != 1 || !strings.Contains(errs, "division by zero") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	p.alive()
	w.exec(`UPDATE accounts SET name = 'Streams' WHERE id = 'z'`)
	w.arrives(p, "z", "name=Streams")
	w.settles(p)
	for _, id := range w.written(since) {
		if id == "stolen" {
			t.Error("a row of another table was sent")
		}
	}
	if got := w.query("SELECT (SELECT count(*) FROM accounts) || ' ' || (SELECT is_called FROM taken)"); got != strconv.Itoa(len(keys))+" false" {
		t.Errorf("rows and sequence are %s", got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestALoadHoldsNoLock: while a load goes on, and while it waits because the CRM is
// away, no session of the program keeps a transaction open, and the application
// may change the table.
func TestALoadHoldsNoLock(t *testing.T) {
	t.Parallel()
	const rows = 3000
	w := loadWorld(t, rows).with("PGCRM_BATCH_SIZE=20", "PGCRM_RATE_LIMIT=20/1s")
	p := w.start()
	w.arrives(p, 1, "name=Account 1")
	alter := func(sql string) {
		t.Helper()
		// An application would not be made to wait either.
		w.exec("SET LOCAL lock_timeout = '30s'; " + sql)
	}
	alter("ALTER TABLE accounts ADD note text DEFAULT 'x'")
	w.fault(hubspotsim.Fault{Op: "update", Effect: hubspotsim.Status, Status: 503})
	eventually(t, patience, func() string {
		p.alive()
		if w.portal.Stats().Calls["update 503"] == 0 {
			return "no call has failed"
		}
		return ""
	})
	if got := w.load("1", "state"); got != "running" {
		t.Fatalf("the load is %s", got)
	}
	// It reads a few chunks ahead, and then waits.
	eventually(t, patience, func() string {
		p.alive()
		return w.query(`SELECT string_agg(pid || ' ' || state || ' ' || query, '; ') FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
			AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)`)
	})
	alter("ALTER TABLE accounts DROP note; CREATE INDEX ON accounts (plan); ALTER TABLE accounts ALTER seats TYPE bigint")
	w.portal.ClearFaults()
	eventually(t, patience, func() string {
		p.alive()
		return cmp.Diff("done "+strconv.Itoa(rows), w.load("1", "state || ' ' || rows"))
	})
	for id := 1; id <= rows; id++ {
		if why := w.lacks(id, fmt.Sprintf("name=Account %d", id), fmt.Sprintf("seats=%d", id)); why != "" {
			t.Fatal(why)
		}
	}
}
