package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// role makes a role with the attributes and grants, and has the program use it.
// In the grants %s stands for its name.
func (w *world) role(attributes string, grants ...string) string {
	w.t.Helper()
	role := w.name + "_app"
	w.exec(fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'geheim-1' %s", role, attributes))
	for _, g := range grants {
		w.exec(strings.ReplaceAll(g, "%s", role))
	}
	database := w.url[strings.LastIndex(w.url, "/")+1 : strings.Index(w.url, "?")]
	w.env["PGCRM_DATABASE_URL"] = w.server.RoleURL(role, "geheim-1", database)
	return role
}

// createHere lets the role make its schema.
func (w *world) createHere() string {
	return "GRANT CREATE ON DATABASE " + w.query("SELECT quote_ident(current_database())") + " TO %s"
}

func TestRefusesDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		setUp func(w *world)
		wants []string
	}{
		{
			name:  "nobody listens",
			setUp: func(w *world) { w.env["PGCRM_DATABASE_URL"] = "postgres://app:geheim-2@" + freePort(w.t) + "/app" },
			wants: []string{"PGCRM_DATABASE_URL…refused…"},
		},
		{
			name:  "unknown host",
			setUp: func(w *world) { w.env["PGCRM_DATABASE_URL"] = "postgres://app:geheim-2@nosuchhost.invalid/app" },
			wants: []string{"PGCRM_DATABASE_URL…nosuchhost.invalid…host"},
		},
		{
			name: "wrong password",
			setUp: func(w *world) {
				w.env["PGCRM_DATABASE_URL"] = strings.Replace(w.url, passwordOf(w.url), "geheim-3", 1)
			},
			wants: []string{"PGCRM_DATABASE_URL…password authentication failed…password"},
		},
		{
			name: "no such database",
			setUp: func(w *world) {
				w.env["PGCRM_DATABASE_URL"] = strings.Replace(w.url, "/test_", "/nosuch_", 1)
			},
			wants: []string{"PGCRM_DATABASE_URL…does not exist…database name"},
		},
		{
			name: "no REPLICATION",
			setUp: func(w *world) {
				w.role("", "GRANT SELECT ON accounts TO %s", w.createHere(), "ALTER TABLE accounts OWNER TO %s")
			},
			wants: []string{"may not replicate…ALTER ROLE…REPLICATION"},
		},
		{
			name: "no SELECT",
			setUp: func(w *world) {
				w.role("REPLICATION", w.createHere(), "CREATE PUBLICATION "+w.name+" FOR TABLE accounts")
			},
			wants: []string{"PGCRM_MAPPING:4:3: …accounts…GRANT SELECT ON public.accounts TO"},
		},
		{
			name:  "neither REPLICATION nor SELECT",
			setUp: func(w *world) { w.role("") },
			wants: []string{"may not replicate…ALTER ROLE…REPLICATION", "GRANT SELECT ON public.accounts TO"},
		},
		{
			name:  "table of somebody else",
			setUp: func(w *world) { w.role("REPLICATION", "GRANT SELECT ON accounts TO %s", w.createHere()) },
			wants: []string{"publication…ownership of public.accounts…CREATE PUBLICATION…FOR TABLE"},
		},
		{
			name: "no CREATE for the state schema",
			setUp: func(w *world) {
				w.role("REPLICATION", "GRANT SELECT ON accounts TO %s", "CREATE PUBLICATION "+w.name+" FOR TABLE accounts")
			},
			wants: []string{"state schema…CREATE"},
		},
		{
			name: "missing table and column",
			setUp: func(w *world) {
				w.exec("ALTER TABLE accounts RENAME COLUMN plan TO plans")
				w.env["PGCRM_MAPPING"] += "  acounts:\n    match: {account_id: id}\n    properties: {city: city}\n"
			},
			wants: []string{"PGCRM_MAPPING:8:…plan…did you mean plans?", "acounts…accounts"},
		},
		{
			name:  "no primary key",
			setUp: func(w *world) { w.exec("ALTER TABLE accounts DROP CONSTRAINT accounts_pkey") },
			wants: []string{"PGCRM_MAPPING:4:3: …accounts has no primary key…ADD PRIMARY KEY", "accounts has no replica identity…ADD PRIMARY KEY"},
		},
		{
			name:  "replica identity nothing",
			setUp: func(w *world) { w.exec("ALTER TABLE accounts REPLICA IDENTITY NOTHING") },
			wants: []string{"accounts…REPLICA IDENTITY"},
		},
		{
			name:  "a view",
			setUp: func(w *world) { w.exec("ALTER TABLE accounts RENAME TO t; CREATE VIEW accounts AS TABLE t") },
			wants: []string{"PGCRM_MAPPING:4:3: public.accounts…view…tables beneath"},
		},
		{
			name:  "an unlogged table",
			setUp: func(w *world) { w.exec("ALTER TABLE accounts SET UNLOGGED") },
			wants: []string{"PGCRM_MAPPING:4:3: table public.accounts…SET LOGGED"},
		},
		{
			name: "a publication of others that lacks the table",
			setUp: func(w *world) {
				w.exec("CREATE TABLE other (id int PRIMARY KEY); CREATE PUBLICATION " + w.name + " FOR TABLE other")
			},
			wants: []string{"publication…lacks public.accounts…ALTER PUBLICATION…ADD TABLE"},
		},
		{
			name: "a slot of another plugin",
			setUp: func(w *world) {
				w.query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')::text", w.name)
			},
			wants: []string{"slot…test_decoding"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			c.setUp(w)
			w.refuses(c.wants...)
			if slot := w.query("SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = $1 AND plugin = 'pgoutput'", w.name); slot != "" {
				t.Error("a slot was left behind")
			}
		})
	}
}

// TestRefusesADatabaseThatNeverAnswers: what listens there is no Postgres, or one
// that hangs.
func TestRefusesADatabaseThatNeverAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, setting := range []string{"PGCRM_DATABASE_URL", "PGCRM_STATE_DATABASE_URL"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			w.with(setting + "=postgres://app:geheim-6@" + l.Addr().String() + "/app").refuses(setting + "…cannot connect…is it running")
		})
	}
}

// TestRefusesServer needs servers with settings of their own.
func TestRefusesServer(t *testing.T) {
	t.Parallel()
	limits := hubspotsim.Unthrottled()
	options := hubspotsim.Options{Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()}}
	server := pgtest.New(t, "wal_level", "replica", "max_replication_slots", "1", "shared_buffers", "16MB")

	w := newWorldOn(t, server, oneTable, oneMapping, options)
	w.refuses("wal_level is replica…ALTER SYSTEM SET wal_level = logical…restart")
	// What else is wrong is said in the same run.
	more := w.with("PGCRM_MAPPING="+strings.Replace(oneMapping, "name: name", "name: nane", 1), "HUBSPOT_ACCESS_TOKEN=geheim-4")
	more.refuses("wal_level is replica…", "nane…did you mean name?", "HUBSPOT_ACCESS_TOKEN…")

	w.exec("ALTER TABLE accounts ADD note text")
	w.execOutside("ALTER SYSTEM SET wal_level = logical")
	_ = w.conn.Close(context.Background())
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.conn = connect(t, w.url)
	w.query("SELECT pg_create_logical_replication_slot('other', 'pgoutput')::text")
	w.refuses("all 1 replication slots are taken…max_replication_slots")
}

// execOutside runs what cannot run in a transaction.
func (w *world) execOutside(sql string) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql); err != nil {
		w.t.Fatal(err)
	}
}

// TestRefusesPooler talks to something that answers as PgBouncer does.
func TestRefusesPooler(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]pooler{
		"startup parameters": {refusal: "unsupported startup parameter: DateStyle"},
		"replication":        {refusal: "unsupported startup parameter: replication"},
		"newer":              {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			answer.upstream = w.url
			serving := make(chan struct{})
			go func() { defer close(serving); answer.serve(l) }()
			t.Cleanup(func() { _ = l.Close(); <-serving })
			w.env["PGCRM_DATABASE_URL"] = "postgres://app:geheim-5@" + l.Addr().String() + "/app?sslmode=disable"
			w.refuses("pooler…PGCRM_DATABASE_URL…")
		})
	}
}
