package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestApplicationChangesItsTables: columns come and go beside the mapping, which
// goes on.
func TestApplicationChangesItsTables(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	w.exec(`ALTER TABLE accounts ADD junk text, ADD more text; INSERT INTO accounts VALUES (1, 'One', 'free', 0)`)
	p := w.start()
	w.arrives(p, 1, "seats=0", "plan=free")
	for i, ddl := range []string{
		`ALTER TABLE accounts ADD extra text DEFAULT 'x'`,
		`ALTER TABLE accounts DROP junk`,
		`ALTER TABLE accounts ALTER more TYPE varchar(10)`,
		`ALTER TABLE accounts ALTER seats TYPE bigint`,
		`ALTER TABLE accounts REPLICA IDENTITY FULL`,
		`ALTER TABLE accounts ALTER name SET NOT NULL`,
		`CREATE INDEX ON accounts (name)`,
	} {
		w.exec(ddl)
		w.exec(`UPDATE accounts SET seats = $1::int`, i+1)
		w.arrives(p, 1, "seats="+strconv.Itoa(i+1), "name=One", "plan=free")
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestKeysAndPartitions: a changed match value renames the record, and the rows
// of partitions are the root's.
func TestKeysAndPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TABLE accounts (id bigint, region text, name text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE accounts_eu PARTITION OF accounts FOR VALUES IN ('eu');
CREATE TABLE accounts_us PARTITION OF accounts FOR VALUES IN ('us')`, `
version: 1
tables:
  accounts: {match: {account_id: id}, on_delete: archive, properties: {name: name, region: region}}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("region"))
	w.seed(2)
	w.exec(`INSERT INTO accounts VALUES (1, 'eu', 'Eins')`)
	p := w.start()
	w.arrives(p, 1, "name=Eins", "region=eu")
	w.exec(`INSERT INTO accounts VALUES (2, 'us', 'Two')`)
	w.arrives(p, 2, "name=Two", "region=us")
	w.exec(`UPDATE accounts SET region = 'us', name = 'One' WHERE id = 1`)
	w.arrives(p, 1, "name=One", "region=us")
	before, _ := w.portal.Find("companies", "account_id", "2")
	w.exec(`UPDATE accounts SET id = 22 WHERE id = 2`)
	w.arrives(p, 22, "name=Two", "region=us")
	if after, _ := w.portal.Find("companies", "account_id", "22"); after.ID != before.ID {
		t.Errorf("the record is %s and was %s", after.ID, before.ID)
	}
	w.settles(p)
	if got := w.letters(); len(got) != 0 {
		t.Errorf("letters: %q", got)
	}
	if n := w.portal.Count("companies"); n != 2 {
		t.Errorf("%d companies: a move between partitions counted as a delete", n)
	}
}

// TestOneHugeTransaction is larger than the buffer many times over.
func TestOneHugeTransaction(t *testing.T) {
	t.Parallel()
	const rows = 5000
	w := oneWorld(t)
	w.seed(rows)
	w.env["PGCRM_BUFFER_BYTES"] = "64KiB"
	p := w.start()
	w.streams(p)
	w.exec(`INSERT INTO accounts SELECT i, repeat('x', 500) || i, 'free', i FROM generate_series(1, $1::int) i`, rows)
	for id := 1; id <= rows; id++ {
		w.arrives(p, id, "seats="+strconv.Itoa(id))
	}
	w.settles(p)
}

// TestDatabasePasswordRotates: a new one is read from its file.
func TestDatabasePasswordRotates(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	role := w.role("REPLICATION", w.createHere(), "ALTER TABLE accounts OWNER TO %s")
	file := filepath.Join(t.TempDir(), "url")
	write := func(url string) {
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url := w.env["PGCRM_DATABASE_URL"]
	write(url)
	w.env = w.with("PGCRM_DATABASE_URL=", "PGCRM_DATABASE_URL_FILE="+file).env
	p := w.start()
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
	w.arrives(p, 1, "seats=1")
	write(strings.Replace(url, "geheim-1", "geheim-2", 1))
	w.exec(fmt.Sprintf("ALTER ROLE %s PASSWORD 'geheim-2'", role))
	w.query("SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE usename = $1", role)
	w.exec(`UPDATE accounts SET seats = 2`)
	w.arrives(p, 1, "seats=2")
	w.settles(p)
	if p.log.contains("geheim") {
		t.Error("a password is in the log")
	}
}

// TestLogShowsNoValues: neither those that were refused nor others.
func TestLogShowsNoValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE accounts (id text PRIMARY KEY, name text, plan text, seats text)`, oneMapping,
		hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "free", "geheim-plan"), hubspotsim.Number("seats"))
	w.seed2("account_id", "geheim-key", "name", "before")
	p := w.start()
	w.streams(p)
	if err := w.portal.Define("companies", hubspotsim.Enum("plan", "free")); err != nil {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO accounts VALUES ('geheim-key', 'geheim-name', 'geheim-plan', 'geheim-seats'), ('geheim-none', 'geheim', 'geheim', '1')`)
	w.arrives(p, "geheim-key", "name=geheim-name")
	w.settles(p)
	if diff := cmp.Diff([]string{
		"public.accounts geheim-key plan invalid_option", "public.accounts geheim-key seats invalid_value",
		"public.accounts geheim-none - not_found",
	}, w.letters()); diff != "" {
		t.Errorf("letters -want +got\n%s", diff)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if p.log.contains("geheim") {
		t.Errorf("values are in the log:\n%s", p.log)
	}
}
