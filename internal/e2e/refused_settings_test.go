package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// mapped changes a text of the mapping.
func mapped(old, replacement string) func(*world) {
	return func(w *world) {
		w.t.Helper()
		if !strings.Contains(w.env["PGCRM_MAPPING"], old) {
			w.t.Fatalf("the mapping has no %q", old)
		}
		w.env["PGCRM_MAPPING"] = strings.Replace(w.env["PGCRM_MAPPING"], old, replacement, 1)
	}
}

func set(pairs ...string) func(*world) { return func(w *world) { w.env = w.with(pairs...).env } }

func TestRefusesMapping(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		setUp func(w *world)
		wants []string
	}{
		{"unknown column", mapped("plan: plan", "plan: plna"), []string{"PGCRM_MAPPING:8:13: table public.accounts has no column plna; did you mean plan?"}},
		{"unknown property", mapped("plan: plan", "plann: plan"), []string{"PGCRM_MAPPING:8:7: …no property plann; did you mean plan?"}},
		{"property unlike any other", mapped("plan: plan", "zzzzzzzzzz: plan"), []string{"PGCRM_MAPPING:8:7: …no property zzzzzzzzzz; create it in HubSpot"}},
		{"read-only property", mapped("plan: plan", "createdate: plan"), []string{"PGCRM_MAPPING:8:7: …createdate is read-only…map another"}},
		{"calculated property", mapped("plan: plan", "hs_lastmodifieddate: plan"), []string{"PGCRM_MAPPING:8:7: …cannot be written…map another"}},
		{"match property not unique", mapped("account_id: id", "plan: id"), []string{"PGCRM_MAPPING:5:13: …plan…unique…account_id", "PGCRM_MAPPING:8:7: …plan is the match property"}},
		{"match by domain", mapped("account_id: id", "domain: name"), []string{"PGCRM_MAPPING:5:13: …domain…pgcrm link"}},
		{"wrong type", func(w *world) { w.exec("ALTER TABLE accounts ADD flag bool"); mapped("seats: seats", "seats: flag")(w) }, []string{"PGCRM_MAPPING:9:14: column flag (boolean)"}},
		{"unknown object", mapped("match:", "object: companys\n    match:"), []string{"PGCRM_MAPPING:5:13: …companys"}},
		{"tab", mapped("    match:", "\tmatch:"), []string{"PGCRM_MAPPING:5:…tab"}},
		{"YAML syntax", mapped("{account_id: id}", "{account_id: id"), []string{"PGCRM_MAPPING:6:5: YAML"}},
		{"unknown key", mapped("match:", "macth:"), []string{"PGCRM_MAPPING:5:5: unknown key macth…did you mean match?", "PGCRM_MAPPING:5:5: match is missing"}},
		{"twice the same property", mapped("plan: plan", "name: plan"), []string{"PGCRM_MAPPING:8:7: the key name stands here for the second time"}},
		{"expression", mapped("plan: plan", `plan: {expr: "lower(naam)"}`), []string{"PGCRM_MAPPING:8:27: …naam…name"}},
		{"several", func(w *world) {
			mapped("plan: plan", "plan: plna")(w)
			mapped("seats: seats", "seatz: seats")(w)
			w.env["HUBSPOT_ACCESS_TOKEN"] = "pat-na1-geheim-7"
			w.env["PGCRM_DATABASE_URL"] = strings.Replace(w.url, passwordOf(w.url), "geheim-8", 1)
		}, []string{"PGCRM_DATABASE_URL…password", "HUBSPOT_ACCESS_TOKEN"}},
		{"several in the mapping and a token", func(w *world) {
			mapped("plan: plan", "plan: plna")(w)
			w.env["HUBSPOT_ACCESS_TOKEN"] = "pat-na1-geheim-7"
		}, []string{"PGCRM_MAPPING:8:13: …plna", "HUBSPOT_ACCESS_TOKEN"}},
		{"mapping and no database", func(w *world) {
			mapped("plan: plan", "plann: plan")(w)
			w.env["PGCRM_DATABASE_URL"] = strings.Replace(w.url, passwordOf(w.url), "geheim-8", 1)
		}, []string{"PGCRM_MAPPING:8:7: …plann", "PGCRM_DATABASE_URL…password"}},
		{"mapping while the CRM is down", func(w *world) {
			mapped("plan: plan", "plan: plna")(w)
			w.env["HUBSPOT_BASE_URL"] = "http://" + freePort(w.t)
		}, []string{"PGCRM_MAPPING:8:13: …plna"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			c.setUp(w)
			w.refuses(c.wants...)
		})
	}
}

func TestRefusesToken(t *testing.T) {
	t.Parallel()
	token := func(value string, scopes ...string) func(*world) {
		return func(w *world) {
			w.env["HUBSPOT_ACCESS_TOKEN"] = value
			if scopes != nil {
				w.portal.AddToken(hubspotsim.Token{Value: value, Scopes: scopes})
			}
		}
	}
	for _, c := range []struct {
		name  string
		setUp func(w *world)
		wants []string
	}{
		{"private app", token("pat-na1-geheim-1"), []string{"HUBSPOT_ACCESS_TOKEN: HubSpot refused the token (401)"}},
		{"some text", token("geheim-2"), []string{"HUBSPOT_ACCESS_TOKEN: HubSpot does not know this token"}},
		{"no scope", token("pat-na1-geheim-3", "oauth"), []string{"HUBSPOT_ACCESS_TOKEN: …scopes…crm."}},
		{"no write scope", token("pat-na1-geheim-4", "crm.objects.companies.read"), []string{"HUBSPOT_ACCESS_TOKEN: …scopes…crm.objects.companies.write"}},
		{"wrong path", set("HUBSPOT_BASE_URL=%s/nowhere"), []string{"HUBSPOT_BASE_URL: …404"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			c.setUp(w)
			w.env["HUBSPOT_BASE_URL"] = strings.Replace(w.env["HUBSPOT_BASE_URL"], "%s", w.crm, 1)
			w.refuses(c.wants...)
		})
	}
}

// TestRefusesEnvironment needs neither database nor portal.
func TestRefusesEnvironment(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs the program")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("geheim-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	good := &world{t: t, url: "postgres://app:geheim-2@127.0.0.1:1/app", env: map[string]string{
		"PGCRM_DATABASE_URL": "postgres://app:geheim-2@127.0.0.1:1/app", "HUBSPOT_ACCESS_TOKEN": "geheim-3",
		"PGCRM_MAPPING": oneMapping, "PGCRM_LISTEN": "off", "HUBSPOT_BASE_URL": "http://127.0.0.1:1",
	}}
	for _, c := range []struct {
		name  string
		env   []string
		wants []string
	}{
		{"nothing", []string{"PGCRM_DATABASE_URL=", "HUBSPOT_ACCESS_TOKEN=", "PGCRM_MAPPING="}, []string{
			"PGCRM_DATABASE_URL: is not set", "HUBSPOT_ACCESS_TOKEN: is not set", "PGCRM_MAPPING: is not set…pgcrm.yaml…pgcrm init",
		}},
		{"all wrong at once", []string{
			"PGCRM_BATCH_SIZE=101", "PGCRM_FLUSH_INTERVAL=5", "PGCRM_MAX_IN_FLIGHT=none", "PGCRM_BUFFER_BYTES=64 moons", "PGCRM_RATE_LIMIT=fast",
			"PGCRM_LISTEN=here", "PGCRM_LOG_LEVEL=loud", "PGCRM_LOG_FORMAT=xml", "PGCRM_SHUTDOWN_TIMEOUT=soon", "HUBSPOT_API_VERSION=v4",
			"PGCRM_NAME=Über", "PGCRM_BACKFILL=perhaps", "PGCRM_QUOTA_SHARE=0",
		}, []string{
			"PGCRM_BATCH_SIZE: …100", "PGCRM_FLUSH_INTERVAL: …unit", "PGCRM_MAX_IN_FLIGHT: ", "PGCRM_BUFFER_BYTES: …64MiB", "PGCRM_RATE_LIMIT: …50/10s",
			"PGCRM_LISTEN: …127.0.0.1:9847", "PGCRM_LOG_LEVEL: …debug", "PGCRM_LOG_FORMAT: …json", "PGCRM_SHUTDOWN_TIMEOUT: ", "HUBSPOT_API_VERSION: …2026-03",
			"PGCRM_NAME: …lower-case", "PGCRM_BACKFILL: …true", "PGCRM_QUOTA_SHARE: …80%",
		}},
		{"name and file", []string{"HUBSPOT_ACCESS_TOKEN_FILE=" + file}, []string{"HUBSPOT_ACCESS_TOKEN: …HUBSPOT_ACCESS_TOKEN_FILE…unset one"}},
		{
			"no such files",
			[]string{"HUBSPOT_ACCESS_TOKEN=", "HUBSPOT_ACCESS_TOKEN_FILE=/nowhere/token", "PGCRM_MAPPING=", "PGCRM_MAPPING_FILE=/nowhere/pgcrm.yaml"},
			[]string{"HUBSPOT_ACCESS_TOKEN_FILE: …/nowhere/token", "PGCRM_MAPPING_FILE: …/nowhere/pgcrm.yaml"},
		},
		{"http to the world", []string{"HUBSPOT_BASE_URL=http://api.hubapi.com"}, []string{"HUBSPOT_BASE_URL: …https"}},
		{"not a URL", []string{"PGCRM_DATABASE_URL=postgres://app:geheim-4%zz@host/app"}, []string{"PGCRM_DATABASE_URL: …%-encoded"}},
		{"token with a line break", []string{"HUBSPOT_ACCESS_TOKEN=geheim-5\ngeheim-6"}, []string{"HUBSPOT_ACCESS_TOKEN: …line break"}},
		{"port in use", []string{"PGCRM_LISTEN=" + taken.Addr().String()}, []string{"PGCRM_LISTEN: …in use"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := good.with(c.env...)
			w.t = t
			w.refuses(c.wants...)
		})
	}
	t.Run("unknown names are warned of", func(t *testing.T) {
		t.Parallel()
		_, _, stderr := run(t, good.with("PGCRM_BATCHSIZE=7", "PGCRM_NAAM=x").environ(), "run")
		for _, want := range []string{"PGCRM_BATCHSIZE: is no variable of pgcrm and is not read; did you mean PGCRM_BATCH_SIZE?", "PGCRM_NAAM: is no variable of pgcrm"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("no %q in\n%s", want, stderr)
			}
		}
	})
	t.Run("mistakes on the command line", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{"rum"}, {"run", "now"}, {"run", "--fast"}} {
			code, stdout, stderr := run(t, nil, args...)
			if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--help") {
				t.Errorf("%v: exit code %d, output %q, errors %q", args, code, stdout, stderr)
			}
		}
	})
}

// runsOnce has the program set up and deliver, and stops it.
func (w *world) runsOnce() {
	w.t.Helper()
	p := w.start()
	w.streams(p)
	if code := p.stop(); code != 0 {
		w.t.Fatalf("exit code %d; output:\n%s", code, p.log)
	}
}

// TestRefusesStrangers: state, slot, server and portal belong together.
func TestRefusesStrangers(t *testing.T) {
	t.Parallel()
	t.Run("portal", func(t *testing.T) {
		t.Parallel()
		w := oneWorld(t)
		w.runsOnce()
		other, crm := serve(t, hubspotsim.Options{PortalID: 4711, Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()}})
		w.with("HUBSPOT_BASE_URL=" + crm).refuses("21939747…4711…HUBSPOT_ACCESS_TOKEN…PGCRM_NAME")
		for _, e := range other.Journal(0) {
			t.Errorf("the other portal was written: %v", e)
		}
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		w := oneWorld(t)
		state := w.server.NewDatabase(t)
		w.env["PGCRM_STATE_DATABASE_URL"] = state
		w.runsOnce()

		second := pgtest.New(t, "shared_buffers", "16MB")
		pgtest.Exec(t, second.URL("postgres"), oneTable)
		w.with("PGCRM_DATABASE_URL="+second.URL("postgres")).refuses("another Postgres server…PGCRM_NAME", "belongs to the database…PGCRM_NAME")
		conn := connect(t, second.URL("postgres"))
		var slots int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_replication_slots").Scan(&slots); err != nil || slots != 0 {
			t.Errorf("%d slots were left on the other server (%v)", slots, err)
		}
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		w := oneWorld(t)
		w.env["PGCRM_STATE_DATABASE_URL"] = w.server.NewDatabase(t)
		w.runsOnce()
		other := w.server.NewDatabase(t)
		pgtest.Exec(t, other, oneTable)
		w.with("PGCRM_DATABASE_URL=" + other).refuses("PGCRM_SLOT: …belongs to database…choose another name")
	})
	t.Run("mapping", func(t *testing.T) {
		t.Parallel()
		w := oneWorld(t)
		p := w.start()
		w.streams(p)
		w.exec("CREATE TABLE places (id int PRIMARY KEY, city text)")
		other := w.with("PGCRM_MAPPING=" + strings.NewReplacer("accounts:", "places:", "name: name", "city: city", "plan: plan", "", "seats: seats", "").Replace(oneMapping))
		other.refuses("another mapping (public.accounts) is at work on slot " + w.name + "…PGCRM_NAME")
		if got := w.query("SELECT string_agg(tablename::text, ',') FROM pg_publication_tables WHERE pubname = $1", w.name); got != "accounts" {
			t.Errorf("%s are published", got)
		}
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		// Once nobody is at work it is a change of the mapping.
		other.runsOnce()
	})
	t.Run("dropped slot", func(t *testing.T) {
		t.Parallel()
		w := oneWorld(t)
		w.runsOnce()
		w.query("SELECT pg_drop_replication_slot($1)::text", w.name)
		w.refuses("slot " + w.name + " does not exist…migrate --recreate-slot…backfill --all")
		if got := w.query("SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = $1", w.name); got != "" {
			t.Error("the slot was made again over a stored position")
		}
	})
	t.Run("slot moved on by others", func(t *testing.T) {
		t.Parallel()
		w := oneWorld(t)
		w.runsOnce()
		w.exec("INSERT INTO accounts VALUES (1)")
		eventually(t, time.Minute, func() string {
			return w.query("SELECT CASE WHEN active THEN 'active' END FROM pg_replication_slots WHERE slot_name = $1", w.name)
		})
		w.query("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())::text", w.name)
		w.refuses("slot…beyond the stored…migrate --recreate-slot…backfill --all")
	})
}
