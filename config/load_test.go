package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const dbURL = "postgres://app:pw@db:5432/app"

// problemsOf returns the lines of a failed Load.
func problemsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var p interface{ Problems() []string }
	if !errors.As(err, &p) {
		t.Fatalf("%v has no Problems", err)
	}
	return p.Problems()
}

func mustLoad(t *testing.T, pairs ...string) *Config {
	t.Helper()
	cfg, warnings, err := Load(pairs)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Fatalf("warnings: %q", warnings)
	}
	return cfg
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	got := mustLoad(t)
	want := &Config{
		Source: Source{
			Name: "pgcrm", Slot: "pgcrm", Publication: "pgcrm", Schema: "pgcrm",
			PublishColumns: "all", Origin: "any", OnSlotLoss: "stop",
		},
		CRM:     CRM{BaseURL: "https://api.hubapi.com", APIVersion: "v3"},
		Mapping: Mapping{Backfill: true},
		Delivery: Delivery{
			BatchSize: 100, FlushInterval: Duration{time.Second}, MaxInFlight: 4, QuotaShare: 0.8,
			BufferBytes: 64 << 20, RecheckMissing: Duration{time.Hour}, RecheckProperties: Duration{10 * time.Minute}, LateWindow: Duration{150 * time.Second},
		},
		Process: Process{ShutdownTimeout: Duration{20 * time.Second}},
		Admin:   Admin{Listen: "127.0.0.1:9847"},
		Log:     Log{Level: LogLevel{slog.LevelInfo}, Format: "text"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyCountsAsNotSet(t *testing.T) {
	t.Chdir(t.TempDir())
	want := mustLoad(t)
	var pairs []string
	for _, name := range variables() {
		pairs = append(pairs, name+"=", name+"_FILE=")
	}
	got := mustLoad(t, pairs...)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Error(diff)
	}
}

func TestEveryVariable(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg := mustLoad(t,
		"PGCRM_DATABASE_URL="+dbURL, "PGCRM_STATE_DATABASE_URL=host=state dbname=pgcrm",
		"PGCRM_NAME=sales", "PGCRM_SLOT=slot_1", "PGCRM_PUBLICATION=My Publication", "PGCRM_SCHEMA=State",
		"PGCRM_PUBLISH_COLUMNS=mapped", "PGCRM_ORIGIN=none", "PGCRM_ON_SLOT_LOSS=Resync",
		"HUBSPOT_ACCESS_TOKEN=pat-eu1-x", "HUBSPOT_BASE_URL=http://127.0.0.1:9999/", "HUBSPOT_API_VERSION=2026-03",
		"PGCRM_MAPPING={version: 1}", "PGCRM_BACKFILL=false", "PGCRM_DRY_RUN=1", "PGCRM_HOLD_ABOVE=0",
		"PGCRM_BATCH_SIZE= 7 ", "PGCRM_FLUSH_INTERVAL=0", "PGCRM_MAX_IN_FLIGHT=1", "PGCRM_RATE_LIMIT=50/10s",
		"PGCRM_QUOTA_SHARE=12.5%", "PGCRM_DAILY_LIMIT=1000", "PGCRM_BUFFER_BYTES=1MB",
		"PGCRM_RECHECK_MISSING=90s", "PGCRM_RECHECK_PROPERTIES=30s", "PGCRM_DLQ_RETENTION=30d", "PGCRM_SHUTDOWN_TIMEOUT=1m",
		"PGCRM_LISTEN=:0", "PGCRM_ADMIN_TOKEN=letmein", "PGCRM_SHOW_VALUES=true",
		"PGCRM_LOG_LEVEL=WARN", "PGCRM_LOG_FORMAT=json")
	zero := int64(0)
	want := &Config{
		Source: Source{
			URL:      Secret{name: "PGCRM_DATABASE_URL", value: dbURL},
			StateURL: Secret{name: "PGCRM_STATE_DATABASE_URL", value: "host=state dbname=pgcrm"},
			Name:     "sales", Slot: "slot_1", Publication: "My Publication", Schema: "State",
			PublishColumns: "mapped", Origin: "none", OnSlotLoss: "resync",
		},
		CRM: CRM{
			Token:   Secret{name: "HUBSPOT_ACCESS_TOKEN", value: "pat-eu1-x"},
			BaseURL: "http://127.0.0.1:9999", APIVersion: "2026-03",
		},
		Mapping: Mapping{Document: Document{Name: "PGCRM_MAPPING", Text: "{version: 1}"}, DryRun: true, HoldAbove: &zero},
		Delivery: Delivery{
			BatchSize: 7, MaxInFlight: 1, RateLimit: Rate{50, 10 * time.Second}, QuotaShare: 0.125, DailyLimit: 1000,
			BufferBytes: 1e6, RecheckMissing: Duration{90 * time.Second}, RecheckProperties: Duration{30 * time.Second}, LateWindow: Duration{150 * time.Second}, DLQRetention: Duration{720 * time.Hour},
		},
		Process: Process{ShutdownTimeout: Duration{time.Minute}},
		Admin:   Admin{Listen: ":0", Token: Secret{name: "PGCRM_ADMIN_TOKEN", value: "letmein"}, ShowValues: true},
		Log:     Log{Level: LogLevel{slog.LevelWarn}, Format: "json"},
	}
	if diff := cmp.Diff(want, cfg, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Error(diff)
	}
}

// TestProblems gives one bad setting at a time and wants exactly one line, which
// starts with the variable and holds the text.
func TestProblems(t *testing.T) {
	t.Chdir(t.TempDir())
	long := strings.Repeat("a", 64)
	for _, tt := range []struct{ set, name, want string }{
		{"PGCRM_DATABASE_URL=nonsense", "PGCRM_DATABASE_URL", "not a Postgres URL"},
		{"PGCRM_DATABASE_URL=mysql://u:p@h/d", "PGCRM_DATABASE_URL", "not a Postgres URL"},
		{"PGCRM_DATABASE_URL=postgres://u:p w@h:x/d", "PGCRM_DATABASE_URL", "%-encoded"},
		{`PGCRM_DATABASE_URL="postgres://u:p@h/d"`, "PGCRM_DATABASE_URL", "quotes"},
		{"PGCRM_DATABASE_URL=postgres://h/d?sslmode=verify-full&sslrootcert=/none.pem", "PGCRM_DATABASE_URL", "sslrootcert"},
		{"DATABASE_URL=nonsense", "DATABASE_URL", "not a Postgres URL"},
		{"PGCRM_STATE_DATABASE_URL=nonsense", "PGCRM_STATE_DATABASE_URL", "not a Postgres URL"},
		{"PGCRM_NAME=Sales", "PGCRM_NAME", "lower-case"},
		{"PGCRM_NAME=a-b", "PGCRM_NAME", "lower-case"},
		{"PGCRM_NAME=" + long, "PGCRM_NAME", "63"},
		{"PGCRM_NAME=pg_sales", "PGCRM_NAME", "pg_"},
		{"PGCRM_NAME=public", "PGCRM_NAME", "schema that others use"},
		{"PGCRM_SLOT=Sales", "PGCRM_SLOT", "lower-case"},
		{"PGCRM_PUBLICATION=" + long, "PGCRM_PUBLICATION", "63 bytes"},
		{"PGCRM_PUBLICATION=a\tb", "PGCRM_PUBLICATION", "control character"},
		{"PGCRM_SCHEMA=pg_state", "PGCRM_SCHEMA", "pg_"},
		{"PGCRM_SCHEMA=public", "PGCRM_SCHEMA", "schema that others use"},
		{"PGCRM_SCHEMA=\xff", "PGCRM_SCHEMA", "UTF-8"},
		{"PGCRM_PUBLISH_COLUMNS=some", "PGCRM_PUBLISH_COLUMNS", "all or mapped"},
		{"PGCRM_ON_SLOT_LOSS=panic", "PGCRM_ON_SLOT_LOSS", "stop or resync"},
		{"HUBSPOT_ACCESS_TOKEN=pat eu1", "HUBSPOT_ACCESS_TOKEN", "space"},
		{"HUBSPOT_ACCESS_TOKEN='pat'", "HUBSPOT_ACCESS_TOKEN", "quotes"},
		{"HUBSPOT_BASE_URL=api.hubapi.com", "HUBSPOT_BASE_URL", "absolute URL"},
		{"HUBSPOT_BASE_URL=http://api.hubapi.com", "HUBSPOT_BASE_URL", "plain http"},
		{"HUBSPOT_BASE_URL=http://8.8.8.8", "HUBSPOT_BASE_URL", "plain http"},
		{"HUBSPOT_BASE_URL=http://134744072", "HUBSPOT_BASE_URL", "plain http"},
		{"HUBSPOT_BASE_URL=http://[2001:4860:4860::8888]", "HUBSPOT_BASE_URL", "plain http"},
		{"HUBSPOT_BASE_URL=http://127.0.0.1.example.com", "HUBSPOT_BASE_URL", "plain http"},
		{"HUBSPOT_BASE_URL=https://a:b@api.hubapi.com", "HUBSPOT_BASE_URL", "user or password"},
		{"HUBSPOT_BASE_URL=https://api.hubapi.com?x=1", "HUBSPOT_BASE_URL", "query"},
		{"HUBSPOT_BASE_URL=https://api.hubapi.com:0", "HUBSPOT_BASE_URL", "port"},
		{"HUBSPOT_BASE_URL=ftp://localhost", "HUBSPOT_BASE_URL", "neither https nor http"},
		{"HUBSPOT_API_VERSION=v4", "HUBSPOT_API_VERSION", "v3"},
		{"HUBSPOT_API_VERSION=2026-13", "HUBSPOT_API_VERSION", "YYYY-MM"},
		{"PGCRM_MAPPING=/etc/pgcrm.yaml", "PGCRM_MAPPING", "PGCRM_MAPPING_FILE"},
		{"PGCRM_MAPPING_FILE=/none/pgcrm.yaml", "PGCRM_MAPPING_FILE", "/none/pgcrm.yaml"},
		{"PGCRM_BACKFILL=maybe", "PGCRM_BACKFILL", "true or false"},
		{"PGCRM_DRY_RUN=2", "PGCRM_DRY_RUN", "true or false"},
		{"PGCRM_HOLD_ABOVE=-1", "PGCRM_HOLD_ABOVE", "below 0"},
		{"PGCRM_HOLD_ABOVE=few", "PGCRM_HOLD_ABOVE", "whole number"},
		{"PGCRM_BATCH_SIZE=0", "PGCRM_BATCH_SIZE", "below 1; give a whole number from 1 to 100, or unset it for 100"},
		{"PGCRM_BATCH_SIZE=101", "PGCRM_BATCH_SIZE", "above 100"},
		{"PGCRM_BATCH_SIZE=10.5", "PGCRM_BATCH_SIZE", "is not a whole number"},
		{"PGCRM_BATCH_SIZE=99999999999999999999", "PGCRM_BATCH_SIZE", "whole number"},
		{`PGCRM_BATCH_SIZE="50"`, "PGCRM_BATCH_SIZE", "take off the quotes"},
		{"PGCRM_FLUSH_INTERVAL=5", "PGCRM_FLUSH_INTERVAL", "no unit"},
		{"PGCRM_FLUSH_INTERVAL=soon", "PGCRM_FLUSH_INTERVAL", "not a duration"},
		{"PGCRM_FLUSH_INTERVAL=-1s", "PGCRM_FLUSH_INTERVAL", "below 0"},
		{"PGCRM_FLUSH_INTERVAL=2h", "PGCRM_FLUSH_INTERVAL", "above 1h"},
		{"PGCRM_MAX_IN_FLIGHT=0", "PGCRM_MAX_IN_FLIGHT", "below 1"},
		{"PGCRM_RATE_LIMIT=100", "PGCRM_RATE_LIMIT", "not a rate"},
		{"PGCRM_RATE_LIMIT=0/10s", "PGCRM_RATE_LIMIT", "1 to 1000000 calls"},
		{"PGCRM_RATE_LIMIT=1/2h", "PGCRM_RATE_LIMIT", "window"},
		{"PGCRM_QUOTA_SHARE=0%", "PGCRM_QUOTA_SHARE", "above 0%"},
		{"PGCRM_QUOTA_SHARE=101%", "PGCRM_QUOTA_SHARE", "100%"},
		{"PGCRM_QUOTA_SHARE=80", "PGCRM_QUOTA_SHARE", "80%"},
		{"PGCRM_QUOTA_SHARE=NaN", "PGCRM_QUOTA_SHARE", "80%"},
		{"PGCRM_DAILY_LIMIT=0", "PGCRM_DAILY_LIMIT", "below 1"},
		{"PGCRM_BUFFER_BYTES=64XB", "PGCRM_BUFFER_BYTES", "unit"},
		{"PGCRM_BUFFER_BYTES=lots", "PGCRM_BUFFER_BYTES", "not a size"},
		{"PGCRM_BUFFER_BYTES=1", "PGCRM_BUFFER_BYTES", "below 4KiB"},
		{"PGCRM_BUFFER_BYTES=99999999999GiB", "PGCRM_BUFFER_BYTES", "too large"},
		{"PGCRM_RECHECK_MISSING=0", "PGCRM_RECHECK_MISSING", "below 100ms"},
		{"PGCRM_RECHECK_PROPERTIES=0", "PGCRM_RECHECK_PROPERTIES", "below 100ms"},
		{"PGCRM_DLQ_RETENTION=1ms", "PGCRM_DLQ_RETENTION", "below 1s"},
		{"PGCRM_SHUTDOWN_TIMEOUT=2d", "PGCRM_SHUTDOWN_TIMEOUT", "above 24h"},
		{"PGCRM_LISTEN=9847", "PGCRM_LISTEN", "host:port"},
		{"PGCRM_LISTEN=localhost:http", "PGCRM_LISTEN", "port from 0 to 65535"},
		{"PGCRM_LISTEN=localhost:65536", "PGCRM_LISTEN", "port from 0 to 65535"},
		{"PGCRM_LISTEN=http://localhost:9847", "PGCRM_LISTEN", "address"},
		{"PGCRM_SHOW_VALUES=please", "PGCRM_SHOW_VALUES", "true or false"},
		{"PGCRM_LOG_LEVEL=loud", "PGCRM_LOG_LEVEL", "debug, info, warn or error"},
		{"PGCRM_LOG_FORMAT=xml", "PGCRM_LOG_FORMAT", "text or json"},
	} {
		t.Run(tt.set, func(t *testing.T) {
			_, _, err := Load([]string{tt.set})
			got := problemsOf(t, err)
			if len(got) != 1 || !strings.HasPrefix(got[0], tt.name+": ") || !strings.Contains(got[0], tt.want) || !strings.Contains(got[0], "; ") {
				t.Errorf("got %q, want one line that starts with %s and holds %q", got, tt.name, tt.want)
			}
		})
	}
}

func TestPrivateBaseURL(t *testing.T) {
	for _, value := range []string{
		"http://localhost:8080", "http://127.9.9.9", "http://[::1]:80", "http://10.1.2.3", "http://192.168.0.9:1/prefix/",
		"http://172.31.0.1", "http://[fd00::1]", "http://[::ffff:10.0.0.1]", "http://simulator:9849",
		"http://sim.default.svc.cluster.local", "http://sim.default.svc", "http://host.docker.internal:1", "HTTPS://eu1.hubapi.com/",
	} {
		var b BaseURL
		if err := b.EnvDecode(value); err != nil {
			t.Errorf("%s: %v", value, err)
		}
		if strings.HasSuffix(string(b), "/") {
			t.Errorf("%s kept its trailing slash", value)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	_, warnings, err := Load([]string{
		"PGCRM_BATCH_SIZE=many", "PGCRM_LISTEN=x", "PGCRM_BATCHSIZE=3", "HUBSPOT_BASE_URL=http://example.com", "PGCRM_LOG_LEVEL=x",
	}, NeedDatabase, NeedCRM, NeedMapping)
	var names []string
	for _, line := range problemsOf(t, err) {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	want := []string{
		"HUBSPOT_BASE_URL", "PGCRM_BATCH_SIZE", "PGCRM_LISTEN", "PGCRM_LOG_LEVEL",
		"PGCRM_DATABASE_URL", "HUBSPOT_ACCESS_TOKEN", "PGCRM_MAPPING",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if len(warnings) != 1 {
		t.Errorf("warnings %q, want the one about PGCRM_BATCHSIZE", warnings)
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(want) {
		t.Errorf("Error has %d lines, want %d", got, len(want))
	}
}

func TestNeeds(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		name  string
		pairs []string
		needs []Need
		want  string // the variable of the only problem, or none
	}{
		{"nothing needed", nil, nil, ""},
		{"no database", nil, []Need{NeedDatabase}, "PGCRM_DATABASE_URL"},
		{"its own URL", []string{"PGCRM_DATABASE_URL=" + dbURL}, []Need{NeedDatabase}, ""},
		{"DATABASE_URL", []string{"DATABASE_URL=" + dbURL}, []Need{NeedDatabase}, ""},
		{"libpq", []string{"PGHOST=/run/postgresql"}, []Need{NeedDatabase}, ""},
		{"user alone", []string{"PGUSER=me"}, []Need{NeedDatabase}, "PGCRM_DATABASE_URL"},
		{"broken URL is one problem", []string{"PGCRM_DATABASE_URL_FILE=/none/x"}, []Need{NeedDatabase}, "PGCRM_DATABASE_URL_FILE"},
		{"no token", nil, []Need{NeedCRM}, "HUBSPOT_ACCESS_TOKEN"},
		{"token", []string{"HUBSPOT_ACCESS_TOKEN=pat"}, []Need{NeedCRM}, ""},
		{"broken token is one problem", []string{"HUBSPOT_ACCESS_TOKEN=p t"}, []Need{NeedCRM}, "HUBSPOT_ACCESS_TOKEN"},
		{"OAuth", []string{"HUBSPOT_CLIENT_ID=a", "HUBSPOT_CLIENT_SECRET=b", "HUBSPOT_REFRESH_TOKEN=c"}, []Need{NeedCRM}, ""},
		{"half of OAuth", []string{"HUBSPOT_CLIENT_ID=a", "HUBSPOT_CLIENT_SECRET=b"}, nil, "HUBSPOT_REFRESH_TOKEN"},
		{"token and OAuth", []string{"HUBSPOT_ACCESS_TOKEN=pat", "HUBSPOT_REFRESH_TOKEN=c"}, nil, "HUBSPOT_ACCESS_TOKEN"},
		{"no mapping", nil, []Need{NeedMapping}, "PGCRM_MAPPING"},
		{"mapping", []string{"PGCRM_MAPPING=version: 1"}, []Need{NeedMapping}, ""},
		{"blank mapping", []string{"PGCRM_MAPPING= \n "}, []Need{NeedMapping}, "PGCRM_MAPPING"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(tt.pairs, tt.needs...)
			got := problemsOf(t, err)
			if tt.want == "" && len(got) == 0 {
				return
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], tt.want+": ") {
				t.Errorf("got %q, want one line about %q", got, tt.want)
			}
		})
	}
}

func TestTokenUnderAnotherName(t *testing.T) {
	_, _, err := Load([]string{"HUBSPOT_API_KEY=x"}, NeedCRM)
	if got := problemsOf(t, err); len(got) != 1 || !strings.Contains(got[0], "HUBSPOT_API_KEY is set but not read") {
		t.Errorf("got %q", got)
	}
}

func TestNameFallsThrough(t *testing.T) {
	t.Chdir(t.TempDir())
	s := mustLoad(t, "PGCRM_NAME=sales", "PGCRM_SLOT=other", "DATABASE_URL="+dbURL).Source
	if s.Slot != "other" || s.Publication != "sales" || s.Schema != "sales" {
		t.Errorf("slot %s, publication %s, schema %s", s.Slot, s.Publication, s.Schema)
	}
	for _, url := range []Secret{s.URL, s.StateURL} {
		if got, err := url.Value(t.Context()); got != dbURL || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, near := range map[string]string{
		"PGCRM_BATCHSIZE":          "PGCRM_BATCH_SIZE",
		"PGCRM_FLUSH_INTERVALL":    "PGCRM_FLUSH_INTERVAL",
		"PGCRM_DATABSE_URL_FILE":   "PGCRM_DATABASE_URL_FILE",
		"PGCRM_LOGLEVEL":           "PGCRM_LOG_LEVEL",
		"PGCRM_SOMETHING_ENTIRELY": "",
	} {
		_, warnings, err := Load([]string{name + "=value-given"})
		if err != nil || len(warnings) != 1 || !strings.HasPrefix(warnings[0], name+": ") {
			t.Errorf("%s: %q, %v", name, warnings, err)
			continue
		}
		if got := strings.Contains(warnings[0], "did you mean"); got != (near != "") || !strings.Contains(warnings[0], near) {
			t.Errorf("%s: %q, want %q suggested", name, warnings[0], near)
		}
		if strings.Contains(warnings[0], "value-given") {
			t.Errorf("%s: %q holds the value", name, warnings[0])
		}
	}
}

// TestNoSecretInMessages pastes secrets into every variable, and into the path
// of every file, and looks for them in all that Load says.
func TestNoSecretInMessages(t *testing.T) {
	t.Chdir(t.TempDir())
	secrets := []string{
		"pat-eu1-hunter2", "postgres://u:hunter2@db:bad/x", "postgres://u:hun ter2@db/x?sslmode=hunter2", "user=u password=hunter2 port=hunter2",
		"https://hunter2@host/?hunter2", "http://hunter2.example.com", `"hunter2"`, "hunter2/10s", "10/hunter2", "1hunter2", "hunter2%",
		"hunter2:9847", "host:hunter2", "hunter2\n", "9hunter2GiB",
	}
	file := write(t, "value", "hunter2 in a file")
	for _, name := range append(variables(), "DATABASE_URL", "PGCRM_UNHEARD_OF") {
		for _, secret := range secrets {
			for _, pairs := range [][]string{
				{name + "=" + secret},
				{name + "_FILE=" + secret},
				{name + "=" + secret, name + "_FILE=" + secret},
				{name + "_FILE=" + file},
			} {
				cfg, warnings, err := Load(pairs, NeedDatabase, NeedCRM, NeedMapping)
				said := strings.Join(warnings, "\n") + fmt.Sprint(err)
				if strings.Contains(said, "hunter2") || strings.Contains(said, "hun ter2") {
					t.Errorf("%q gives %q", pairs, said)
				}
				_ = cfg
			}
		}
	}
}

// TestWarnsOfAnUnverifiedDatabase on a public host, where anybody may answer.
func TestWarnsOfAnUnverifiedDatabase(t *testing.T) {
	for query, warned := range map[string]bool{
		"": true, "?sslmode=disable": true, "?sslmode=prefer": true, "?sslmode=require": true,
		"?sslmode=verify-full": false,
	} {
		for host, public := range map[string]bool{"db.example.com": true, "8.8.8.8:6432": true, "localhost": false, "10.0.0.7": false, "db": false, "db.prod.svc": false} {
			for _, name := range []string{"PGCRM_DATABASE_URL", "PGCRM_STATE_DATABASE_URL", "DATABASE_URL"} {
				_, warnings, err := Load([]string{name + "=postgres://u:hunter2@" + host + "/app" + query})
				if err != nil {
					t.Fatal(err)
				}
				if got := len(warnings) > 0; got != (warned && public) {
					t.Errorf("%s to %s%s: warnings %q", name, host, query, warnings)
				}
				for _, w := range warnings {
					if !strings.HasPrefix(w, name+": ") || strings.Contains(w, "hunter2") {
						t.Errorf("%s: warning %q", name, w)
					}
				}
			}
		}
	}
}
