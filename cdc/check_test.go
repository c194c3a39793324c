package cdc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

func (d *database) check(columns func(*change.Relation) []string, tables ...string) []Finding {
	d.Helper()
	list, err := Check(d.ctx, d.cfg, d.describe(tables...), columns)
	if err != nil {
		d.Fatal(err)
	}
	return list
}

// expect finds a finding of the name and level that holds the text.
func expect(t *testing.T, list []Finding, name string, level Level, text string) {
	t.Helper()
	var all strings.Builder
	for _, f := range list {
		if f.Name == name && f.Level == level && strings.Contains(f.Line(), text) {
			return
		}
		fmt.Fprintf(&all, "%d %s: %s\n", f.Level, f.Name, f.Line())
	}
	t.Errorf("no finding %s of level %d with %q in\n%s", name, level, text, &all)
}

func TestCheckOfAGoodSetup(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text, w text)`)
	list := d.check(func(*change.Relation) []string { return []string{"id", "v"} }, "t")
	for name, text := range map[string]string{
		"connection": "127.0.0.1", "pooler": "server's own", "wal_senders": "of 50", "replication": "can replicate", "primary": "a primary",
		"server_version": "Postgres ", "wal_level": "logical", "clock": "within", "wal_sender_timeout": "in the sessions of pgcrm",
		"publication": "can be created", "table": "public.t can be followed",
		"replica_identity": "the primary key (id), which suffices; FULL would add the old v to", "failover": "no standby",
	} {
		expect(t, list, name, Good, text)
	}
	expect(t, list, "max_slot_wal_keep_size", Note, "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf()")
	for _, f := range list {
		if f.Level == Bad {
			t.Errorf("%s: %s", f.Name, f.Line())
		}
	}
	var slots, publications int
	if err := d.conn.QueryRow(d.ctx, `SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1),
		(SELECT count(*) FROM pg_publication)`, d.cfg.Slot).Scan(&slots, &publications); err != nil || slots+publications > 0 {
		t.Errorf("it made %d slots and %d publications: %v", slots, publications, err)
	}

	d.publish("t")
	s := d.open(0)
	list = d.check(nil, "t")
	expect(t, list, "slot", Good, fmt.Sprintf("in use by process %d (pgcrm) since", s.PID()))
	expect(t, list, "publication", Good, "publishes the mapped tables")
	expect(t, list, "replica_identity", Good, "the primary key (id)")
}

func TestCheckNamesEveryMend(t *testing.T) {
	server := pgtest.New(t, "wal_level", "replica", "max_replication_slots", "0", "max_wal_senders", "1")
	d := databaseOn(t, server)
	d.role(server, "weak_user")
	d.exec(`ALTER ROLE weak_user NOREPLICATION`, `CREATE TABLE t (id int)`, `CREATE TABLE secret (id int PRIMARY KEY)`,
		`ALTER TABLE secret ENABLE ROW LEVEL SECURITY`, `CREATE TABLE seen (id int PRIMARY KEY)`, `ALTER TABLE seen ENABLE ROW LEVEL SECURITY`,
		`CREATE POLICY all_rows ON seen FOR SELECT TO weak_user USING (true)`, `GRANT SELECT ON t, secret, seen TO weak_user`)
	list := d.check(nil, "t", "secret", "seen")
	for name, text := range map[string]string{
		"replication":      ": ALTER ROLE weak_user REPLICATION",
		"wal_level":        "wal_level is replica: ALTER SYSTEM SET wal_level = logical and restart the server",
		"slot":             "all 0 replication slots are taken: ALTER SYSTEM SET max_replication_slots = 5 and restart",
		"wal_senders":      "0 of 1 WAL senders are taken, pgcrm needs 2: ALTER SYSTEM SET max_wal_senders = 3",
		"publication":      "let an owner run CREATE PUBLICATION",
		"replica_identity": "table public.t has no replica identity, so that once published the application's own UPDATE and DELETE would fail: ALTER TABLE public.t ADD PRIMARY KEY",
		"row_security":     "hide rows of public.secret from user weak_user",
	} {
		expect(t, list, name, Bad, text)
	}
	expect(t, list, "row_security", Note, "public.seen has row level security, which does not hold for the log")
	if err := Preflight(d.ctx, d.cfg, nil, nil); !isProblem(err, "REPLICATION") {
		t.Errorf("Preflight: %v", err)
	}
}

func TestCheckNamesOpenTransactions(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`, `BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left''over'`)
	defer d.exec(`ROLLBACK PREPARED 'left''over'`)
	writer := d.connect()
	if _, err := writer.Exec(d.ctx, `SET application_name = 'nightly job'; BEGIN; INSERT INTO t VALUES (2)`); err != nil {
		t.Fatal(err)
	}
	list := d.check(nil, "t")
	expect(t, list, "open_transaction", Note, "prepared transaction 'left''over', open for")
	expect(t, list, "open_transaction", Note, "ROLLBACK PREPARED 'left''over'")
	expect(t, list, "open_transaction", Note, "(nightly job), open for")
	expect(t, list, "open_transaction", Note, fmt.Sprintf("SELECT pg_terminate_backend(%d)", writer.PgConn().PID()))
}

func TestCheckOfWhatOthersPublish(t *testing.T) {
	d := newDatabase(t)
	if d.version() < 150000 {
		t.Skip("column lists and row filters came with 15")
	}
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text, w text)`,
		`CREATE PUBLICATION "My ""pub""" FOR TABLE t (id, v) WHERE (id > 7)`)
	list := d.check(func(*change.Relation) []string { return []string{"id", "w"} }, "t")
	expect(t, list, "publication", Bad, "leaves out columns of public.t that the mapping reads: w: let its owner publish them too")
	expect(t, list, "publication", Note, "has a row filter on public.t, WHERE (id > 7)")
}

func TestCheckOfPartitionsOutsideTheLog(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)`, `CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (10)`,
		`CREATE UNLOGGED TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)`)
	list := d.check(nil, "t")
	expect(t, list, "table", Note, "partition public.t2 of public.t is unlogged")
	expect(t, list, "table", Note, "their changes do not reach the log: ALTER TABLE public.t2 SET LOGGED")
	expect(t, list, "table", Good, "public.t can be followed")
	for _, f := range list {
		if strings.Contains(f.Line(), "t1") {
			t.Error(f.Line())
		}
	}
}

func TestCheckOfATableThatIsMappedNoLonger(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`, `CREATE TABLE "Old one" (id int PRIMARY KEY)`)
	d.publish("t", "Old one")
	expect(t, d.check(nil, "t"), "publication", Note, `has public."Old one", which this mapping does not read`)
	expect(t, d.check(nil, "t"), "publication", Note, `: ALTER PUBLICATION "My ""pub""" DROP TABLE public."Old one"`)
	for _, f := range d.check(nil, "t", "Old one") {
		if f.Name == "publication" && f.Level != Good {
			t.Errorf("with both mapped: %s", f.Line())
		}
	}
}

func TestCheckOfASlotThatMayBeLost(t *testing.T) {
	server := pgtest.New(t, "max_slot_wal_keep_size", "16MB", "max_wal_size", "64MB")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`, `SELECT pg_create_physical_replication_slot('standby_1')`)
	d.publish("t")
	list := d.check(nil, "t")
	expect(t, list, "max_slot_wal_keep_size", Note, "the server keeps 16 MB for a slot, less than max_wal_size")
	if d.version() < 170000 {
		expect(t, list, "failover", Note, "pgcrm migrate --recreate-slot and pgcrm backfill --all")
	} else {
		expect(t, list, "failover", Note, "synchronized_standby_slots = 'standby_1'; SELECT pg_reload_conf()")
	}
	if d.version() >= 180000 {
		expect(t, list, "idle_replication_slot_timeout", Good, "off")
		d.exec(`ALTER SYSTEM SET idle_replication_slot_timeout = '1d'`, `SELECT pg_reload_conf()`)
		for i := 0; !strings.Contains(fmt.Sprint(d.check(nil, "t")), "not run for 1d"); i++ {
			if d.ctx.Err() != nil {
				t.Fatal("the timeout is not told of")
			}
		}
	}
}

// TestCheckOfTimeouts: where the parameters of a session do not reach the server,
// its own wal_sender_timeout holds.
func TestCheckOfTimeouts(t *testing.T) {
	d := newDatabase(t)
	d.cfg.WALSenderTimeout = 10 * time.Second
	expect(t, d.check(nil), "wal_sender_timeout", Good, "10s in the sessions of pgcrm")
	d.through("wal_sender_timeout")
	for _, c := range []struct {
		value string
		level Level
		text  string
	}{
		{"0", Note, "is 0: an instance that vanishes keeps the slot for ever: ALTER SYSTEM SET wal_sender_timeout = 10000; SELECT pg_reload_conf(), or set PGCRM_DATABASE_URL to"},
		{"1s", Note, "is 1s: any pause that long ends the stream: ALTER SYSTEM SET wal_sender_timeout = 10000;"},
		{"5min", Note, "is 5m0s: when an instance vanishes, another waits that long for the slot: ALTER SYSTEM SET wal_sender_timeout = 10000;"},
		{"12s", Good, "12s, which is the server's own"},
	} {
		d.exec(`ALTER DATABASE ` + d.conn.Config().Database + ` SET wal_sender_timeout = '` + c.value + `'`)
		expect(t, d.check(nil), "wal_sender_timeout", c.level, c.text)
	}
}

// pretend puts a function before one of the server's own.
func (d *database) pretend(signature, body string) {
	d.Helper()
	d.exec(`CREATE SCHEMA IF NOT EXISTS pretended`, `CREATE OR REPLACE FUNCTION pretended.`+signature+` LANGUAGE sql AS $$`+body+`$$`,
		`ALTER DATABASE `+d.conn.Config().Database+` SET search_path = pretended, pg_catalog, public`)
}

func TestCheckOfClocks(t *testing.T) {
	for _, skew := range []string{"1 hour", "-5 seconds"} {
		d := newDatabase(t)
		d.pretend(`clock_timestamp() RETURNS timestamptz`, `SELECT pg_catalog.clock_timestamp() + interval '`+skew+`'`)
		expect(t, d.check(nil), "clock", Note, "from this one's, by which ages and latencies are wrong: have both keep time by NTP")
	}
}

// TestCheckOfOutputPlugins: the setting came with 18.6, 17.11 and 16.15, and
// the servers that these tests run on are older.
func TestCheckOfOutputPlugins(t *testing.T) {
	const name = "output_plugin_libraries"
	for _, c := range []struct {
		value string
		level Level
		text  string
	}{
		{"pgoutput, test_decoding", Good, "pgoutput, test_decoding"},
		{`"pgoutput"`, Good, "pgoutput"},
		{"wal2json, test_decoding", Bad, "pgoutput is not among the output plugins that are allowed (wal2json, test_decoding): " +
			"ALTER SYSTEM SET output_plugin_libraries = wal2json, test_decoding, pgoutput; SELECT pg_reload_conf()"},
		{"", Bad, "are allowed (): ALTER SYSTEM SET output_plugin_libraries = 'pgoutput'; SELECT"},
		{"my_pgoutput", Bad, "ALTER SYSTEM SET output_plugin_libraries = my_pgoutput, pgoutput;"},
	} {
		d := newDatabase(t)
		d.pretend(`current_setting(name text, missing_ok boolean) RETURNS text`,
			`SELECT CASE name WHEN '`+name+`' THEN '`+c.value+`' ELSE pg_catalog.current_setting(name, missing_ok) END`)
		expect(t, d.check(nil), name, c.level, c.text)
	}
	for _, f := range newDatabase(t).check(nil) {
		if f.Name == name {
			t.Errorf("of a server without the setting it says %s", f.Line())
		}
	}
}
