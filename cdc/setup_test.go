package cdc

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// role makes d.cfg connect as a new role, which has no rights yet. d.conn stays
// the superuser's.
func (d *database) role(server *pgtest.Server, name string) {
	d.Helper()
	db := d.conn.Config().Database
	d.exec(`CREATE ROLE "` + name + `" LOGIN REPLICATION PASSWORD 'pw'`)
	url := server.RoleURL(name, "pw", db)
	d.cfg.URL = func(context.Context) (string, error) { return url, nil }
	d.Cleanup(func() {
		pgtest.Exec(d, d.url, `DROP OWNED BY "`+name+`"; DROP ROLE "`+name+`"`)
	})
}

func TestEnsurePublication(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `CREATE TABLE "B" (id int PRIMARY KEY)`,
		`CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id)`, `CREATE TABLE part PARTITION OF root FOR VALUES FROM (0) TO (9)`)
	ensure := func(tables ...string) bool {
		t.Helper()
		created, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, d.describe(tables...), nil)
		if err != nil {
			t.Fatal(err)
		}
		return created
	}
	hash := func() string {
		t.Helper()
		h, err := PublicationHash(d.ctx, d.conn, d.cfg.Publication)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if _, err := PublicationHash(d.ctx, d.conn, d.cfg.Publication); !isProblem(err, "does not exist") {
		t.Errorf("hash of nothing: %v", err)
	}
	if !ensure("a", "root") {
		t.Error("not created")
	}
	first := hash()
	if ensure("root", "a") || ensure("a") || hash() != first {
		t.Error("what suits was touched")
	}
	if ensure("a", "B") || hash() == first {
		t.Error("not extended")
	}
	p, _, err := DescribePublication(d.ctx, d.conn, d.cfg.Publication)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for _, table := range p.Tables {
		tables = append(tables, table.String())
	}
	if diff := cmp.Diff([]string{`public."B"`, "public.a", "public.root"}, tables); diff != "" || !p.Ours || !p.Owned || !p.ViaRoot || !p.Truncate {
		t.Errorf("%+v\n%s", p, diff)
	}
	_, err = EnsurePublication(d.ctx, d.conn, d.cfg.Publication, d.describe("part"), nil)
	if !isProblem(err, "partition of public.root") {
		t.Errorf("a partition under another name: %v", err)
	}
	// A table that is dropped and made again has left the publication.
	d.exec(`DROP TABLE a`, `CREATE TABLE a (id int PRIMARY KEY)`)
	second := hash()
	if ensure("a", "B", "root") || hash() == second {
		t.Error("the table was not put back")
	}
	if err := DropPublication(d.ctx, d.conn, d.cfg.Publication); err != nil {
		t.Fatal(err)
	}
	if err := DropPublication(d.ctx, d.conn, d.cfg.Publication); err != nil {
		t.Errorf("dropping it again: %v", err)
	}
}

func TestPublicationOfOthersIsUsedButNotChanged(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `CREATE TABLE b (id int PRIMARY KEY)`,
		`CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id)`, `CREATE TABLE part PARTITION OF root FOR VALUES FROM (0) TO (9)`)
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{`FOR ALL TABLES WITH (publish_via_partition_root = true)`, nil},
		{`FOR TABLE a, b, root WITH (publish_via_partition_root = true)`, nil},
		{`FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true)`, nil},
		{`FOR TABLE a, root`, []string{
			`publication theirs publishes partitions under their own names: let its owner run ALTER PUBLICATION theirs SET (publish_via_partition_root = true)`,
			`publication theirs lacks public.b: let its owner run ALTER PUBLICATION theirs ADD TABLE "public"."b"`,
		}},
		{`FOR TABLE a, b, root WITH (publish = 'insert, update', publish_via_partition_root = true)`, []string{
			`publication theirs does not publish all of insert, update, delete and truncate: let its owner run ` +
				`ALTER PUBLICATION theirs SET (publish = 'insert, update, delete, truncate')`,
		}},
	} {
		if strings.Contains(c.sql, "IN SCHEMA") && d.version() < 150000 {
			continue
		}
		d.exec(`CREATE PUBLICATION theirs ` + c.sql)
		rels := d.describe("a", "b", "root")
		created, err := EnsurePublication(d.ctx, d.conn, "theirs", rels, nil)
		var got []string
		var p *Problems
		if errors.As(err, &p) {
			for _, line := range p.Problems() {
				got = append(got, strings.ReplaceAll(line, `"theirs"`, "theirs"))
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || created {
			t.Errorf("%s\n%s", c.sql, diff)
		}
		// What it says to run is enough.
		statements, err := PublicationSQL(d.ctx, d.conn, "theirs", rels, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.exec(statements...)
		if _, err := EnsurePublication(d.ctx, d.conn, "theirs", rels, nil); err != nil {
			t.Errorf("%s: after %v: %v", c.sql, statements, err)
		}
		d.exec(`DROP PUBLICATION theirs`)
	}
}

func TestPublicationWithoutRights(t *testing.T) {
	server := pgtest.Shared(t)
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE a (id int PRIMARY KEY)`)
	rels := d.describe("a")
	d.role(server, "guest")
	d.exec(`GRANT SELECT ON a TO guest`)
	conn := d.connect()
	_, err := EnsurePublication(d.ctx, conn, d.cfg.Publication, rels, nil)
	want := `publication "My ""pub""" does not exist, and user guest may not create it (it lacks CREATE on database ` + d.conn.Config().Database +
		` and ownership of public.a): let an owner run CREATE PUBLICATION "My ""pub""" FOR TABLE "public"."a" ` +
		`WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{want}, p.Problems()); diff != "" {
		t.Error(diff)
	}
	if err := Preflight(d.ctx, d.cfg, rels, nil); !isProblem(err, want) {
		t.Errorf("Preflight: %v", err)
	}
	// Made by the owner, it suffices.
	if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, rels, nil); err != nil {
		t.Fatal(err)
	}
	if created, err := EnsurePublication(d.ctx, conn, d.cfg.Publication, rels, nil); err != nil || created {
		t.Errorf("%v, %v", created, err)
	}
	if err := Preflight(d.ctx, d.cfg, rels, nil); err != nil {
		t.Errorf("Preflight: %v", err)
	}
	// And with SELECT and REPLICATION alone the stream can be read.
	if _, err := EnsureSlot(d.ctx, d.cfg); err != nil {
		t.Fatal(err)
	}
	s := d.open(0)
	d.exec(`INSERT INTO a VALUES (1)`)
	if got, _ := d.transaction(s); got[0] != "1 insert public.a (1)" {
		t.Error(got)
	}
	d.close(s)
}

func TestEnsureSlotUsesWhatExists(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	first := d.publish("t")
	if !first.Created || first.ConsistentPoint == 0 || first.ConfirmedFlush != first.ConsistentPoint || first.WALStatus != "reserved" ||
		first.RestartLSN == 0 || first.RestartLSN > first.ConsistentPoint || first.Active || first.Lost() || first.Health() != "good" {
		t.Errorf("created %+v", first)
	}
	second, err := EnsureSlot(d.ctx, d.cfg)
	if err != nil || second.Created || second.ConfirmedFlush != first.ConfirmedFlush {
		t.Errorf("again: %+v, %v", second, err)
	}
	s := d.open(0)
	third, err := EnsureSlot(d.ctx, d.cfg)
	if err != nil || !third.Active || uint32(third.ActivePID) != s.PID() {
		t.Errorf("while it is read: %+v, %v", third, err)
	}
	d.exec(`INSERT INTO t VALUES (1)`)
	if slot := d.slot(); slot.LagBytes() <= 0 || slot.RetainedBytes() < slot.LagBytes() {
		t.Errorf("lag %d, retained %d", slot.LagBytes(), slot.RetainedBytes())
	}
}

func TestEnsureSlotNamesWhatItWaitsFor(t *testing.T) {
	d := databaseOn(t, pgtest.New(t))
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, d.describe("t"), nil); err != nil {
		t.Fatal(err)
	}
	blocker := d.connect()
	if _, err := blocker.Exec(d.ctx, `SET application_name = 'nightly job'; BEGIN; INSERT INTO t VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	d.cfg.LockTimeout = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	cfg := d.cfg
	cfg.Logger = slog.New(onWarning{slog.DiscardHandler, cancel}) // it says so while it waits
	_, err := EnsureSlot(ctx, cfg)
	var blocked *SlotBlockedError
	if !errors.As(err, &blocked) {
		t.Fatalf("got %v", err)
	}
	if len(blocked.Blockers) != 1 || !strings.Contains(blocked.Blockers[0], "nightly job") || !strings.Contains(blocked.Blockers[0], "open for ") {
		t.Errorf("blockers %q", blocked.Blockers)
	}
	made := make(chan error)
	go func() {
		_, err := EnsureSlot(d.ctx, d.cfg)
		made <- err
	}()
	if _, err := blocker.Exec(d.ctx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

// onWarning is a handler that calls a function for each warning.
type onWarning struct {
	slog.Handler
	call func()
}

func (h onWarning) Enabled(context.Context, slog.Level) bool { return true }

func (h onWarning) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		h.call()
	}
	return nil
}

func TestPreflightReportsAllAtOnce(t *testing.T) {
	server := pgtest.New(t, "wal_level", "replica", "max_replication_slots", "0", "max_wal_senders", "5")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE nokey (id int)`, `CREATE TABLE nothing (id int PRIMARY KEY)`, `ALTER TABLE nothing REPLICA IDENTITY NOTHING`,
		`CREATE TABLE good (id int PRIMARY KEY)`, `CREATE TABLE parent (id int PRIMARY KEY)`, `CREATE TABLE child () INHERITS (parent)`,
		`CREATE TABLE root (id int) PARTITION BY RANGE (id)`, `CREATE TABLE part PARTITION OF root FOR VALUES FROM (0) TO (9)`)
	err := Preflight(d.ctx, d.cfg, d.describe("nokey", "nothing", "good", "parent", "root"), nil)
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	want := []string{
		"wal_level is replica: ALTER SYSTEM SET wal_level = logical and restart the server",
		"all 0 replication slots are taken: ALTER SYSTEM SET max_replication_slots = 5 and restart the server",
		"table public.nokey has no replica identity",
		"table public.nothing has no replica identity",
		"table public.parent has tables that inherit from it",
		"table public.part has no replica identity",
	}
	if len(p.Problems()) != len(want) {
		t.Errorf("got\n%s", p)
	}
	for _, w := range want {
		if !strings.Contains(p.Error(), w) {
			t.Errorf("missing: %s\ngot\n%s", w, p)
		}
	}
}

func TestConnectionRefusalsSayWhatToDo(t *testing.T) {
	server := pgtest.Shared(t)
	d := databaseOn(t, server)
	db := d.conn.Config().Database
	d.role(server, "mere_user")
	d.exec(`ALTER ROLE mere_user NOREPLICATION`)
	good, _ := d.cfg.URL(d.ctx)
	for name, c := range map[string]struct {
		url, want string
		transient bool
	}{
		"wrong password":  {server.RoleURL("mere_user", "s3cret", db), "check user and password in PGCRM_DATABASE_URL", false},
		"no database":     {server.RoleURL("mere_user", "pw", "nope"), "check the database name", false},
		"no replication":  {good, "ALTER ROLE", false},
		"no server":       {"postgres://u:s3cret@127.0.0.1:1/db", "Check host and port", true},
		"no host":         {"postgres://u:s3cret@nowhere.invalid/db", "check the host name", true},
		"not parsable":    {"postgres://u:s3cret@host:port/db", "percent-encode", false},
		"TLS not offered": {strings.Replace(good, "sslmode=disable", "sslmode=require", 1), "sslmode", false},
	} {
		cfg := d.cfg
		cfg.URL = func(context.Context) (string, error) { return c.url, nil }
		_, err := Identify(d.ctx, cfg)
		if name == "no database" { // a walsender is refused for its right first
			_, err = Connect(d.ctx, cfg)
		}
		if !isProblem(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if Transient(err) != c.transient {
			t.Errorf("%s: transient is %v: %v", name, !c.transient, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the password is in %v", name, err)
		}
	}
	cfg := d.cfg
	cfg.URL = func(context.Context) (string, error) { return "", errors.New("cannot read the file") }
	if _, err := Connect(d.ctx, cfg); err == nil || err.Error() != "cannot read the file" {
		t.Errorf("URL fails: %v", err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	for _, cfg := range []Config{{Slot: "Upper", Publication: "p"}, {Slot: "", Publication: "p"}, {Slot: "a", Publication: ""}} {
		for name, call := range map[string]func() error{
			"Open":       func() error { _, err := Open(t.Context(), cfg, 0); return err },
			"EnsureSlot": func() error { _, err := EnsureSlot(t.Context(), cfg); return err },
			"Preflight":  func() error { return Preflight(t.Context(), cfg, nil, nil) },
		} {
			if err := call(); !isProblem(err, "PGCRM_") {
				t.Errorf("%s with %+v: %v", name, cfg, err)
			}
		}
	}
}
