package admin

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// start is the moment at which tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ref[T any](v T) *T { return &v }

// full is a Snapshot with everything set.
func full() Snapshot {
	return Snapshot{
		At: start, Version: Version{"1.2.3", "abcdef0", "go1.26"}, Started: start.Add(-time.Hour),
		State: Streaming, Since: start.Add(-time.Minute),
		Database: Database{Server: "PostgreSQL 17.2", SystemID: "7", Name: "app", Publication: "pgcrm", Schema: "pgcrm", Tables: []string{"public.accounts"}},
		Slot: Slot{
			Name: "pgcrm", Status: "extended", Detail: "more than max_wal_size is kept", ActivePID: ref(42),
			RestartLSN: 0x16B374D800, ConfirmedLSN: 0x16B374D840, RetainedWALBytes: ref(int64(2048)), SafeWALBytes: ref(int64(1 << 30)),
		},
		Log:   Log{ServerLSN: 0x16B374D900, ReadLSN: 0x16B374D8F0, CheckpointLSN: 0x16B374D848, LagBytes: ref(int64(184)), LagSeconds: ref(1.5)},
		Queue: Queue{Records: 12, Bytes: 3456, LimitBytes: 64 << 20, InFlight: 2, OldestUnsentSeconds: 1.5, LastProgress: ref(start.Add(-time.Second))},
		CRM: CRM{
			BaseURL: "https://api.hubapi.com", Portal: "4711", AccountType: "STANDARD", Accepts: true,
			Quota: []Quota{{Window: "10s", Limit: 100, Remaining: 93}, {Window: "day", Limit: 500000, Remaining: 499000, Usable: ref(int64(399000)), Resets: ref(start.Add(12 * time.Hour))}},
		},
		Parked:    map[string]int64{"missing": 3, "value": 1},
		Backfills: []Backfill{{ID: 1, Table: "public.accounts", Rows: 50, Estimate: 200, RemainingSeconds: ref(90.0)}},
	}
}

func serverWith(t *testing.T, snap func() Snapshot) *Server {
	t.Helper()
	r := NewRecorder()
	r.CountChanges("public.accounts", "insert", 3)
	r.CountRecords("companies", "delivered", 2)
	r.CountRecords("companies", "unchanged", 1)
	r.ObserveCall("companies/batch/update", 200, 120*time.Millisecond)
	r.ObserveCall("companies/batch/update", 0, time.Second)
	r.ObserveDelivery(250*time.Millisecond, 2)
	r.CountBackfillRows("public.accounts", 50)
	return New(Options{Listen: "127.0.0.1:0", Snapshot: snap, Recorder: r, Logger: slog.New(slog.DiscardHandler)})
}

func get(t *testing.T, s *Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// contract lists every metric, those beyond what users were promised too, with its type and the label names of its series.
var contract = map[string]string{
	"pgcrm_changes_total":                  "COUNTER op table",
	"pgcrm_records_total":                  "COUNTER object outcome",
	"pgcrm_api_calls_total":                "COUNTER code endpoint",
	"pgcrm_api_call_duration_seconds":      "HISTOGRAM",
	"pgcrm_commit_to_crm_duration_seconds": "HISTOGRAM",
	"pgcrm_oldest_unsent_seconds":          "GAUGE",
	"pgcrm_lag_bytes":                      "GAUGE",
	"pgcrm_retained_wal_bytes":             "GAUGE",
	"pgcrm_slot_safe_wal_bytes":            "GAUGE",
	"pgcrm_slot_status":                    "GAUGE status",
	"pgcrm_queue_records":                  "GAUGE",
	"pgcrm_queue_bytes":                    "GAUGE",
	"pgcrm_quota_remaining":                "GAUGE window",
	"pgcrm_quota_limit":                    "GAUGE window",
	"pgcrm_ready":                          "GAUGE",
	"pgcrm_problems":                       "GAUGE",
	"pgcrm_held":                           "GAUGE",
	"pgcrm_parked_records":                 "GAUGE reason",
	"pgcrm_paused":                         "GAUGE reason",
	"pgcrm_backfill_rows_total":            "COUNTER table",
	"pgcrm_checkpoint_lsn":                 "GAUGE",
	"pgcrm_build_info":                     "GAUGE commit goversion version",
}

func TestMetricsAreTheContracts(t *testing.T) {
	families, err := serverWith(t, full).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	runtime := false
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "pgcrm_") {
			runtime = runtime || f.GetName() == "go_goroutines"
			continue
		}
		words := []string{f.GetType().String()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			words = append(words, l.GetName())
		}
		slices.Sort(words[1:])
		got[f.GetName()] = strings.Join(words, " ")
	}
	if diff := cmp.Diff(contract, got); diff != "" {
		t.Error(diff)
	}
	if !runtime {
		t.Error("the Go runtime's metrics are missing")
	}
}

func TestMetricValues(t *testing.T) {
	body := get(t, serverWith(t, full), "/metrics").Body.String()
	for _, line := range []string{
		`pgcrm_changes_total{op="insert",table="public.accounts"} 3`,
		`pgcrm_records_total{object="companies",outcome="delivered"} 2`,
		`pgcrm_api_calls_total{code="200",endpoint="companies/batch/update"} 1`,
		`pgcrm_api_calls_total{code="error",endpoint="companies/batch/update"} 1`,
		`pgcrm_api_call_duration_seconds_count 2`,
		`pgcrm_commit_to_crm_duration_seconds_bucket{le="0.25"} 2`,
		`pgcrm_oldest_unsent_seconds 1.5`,
		`pgcrm_lag_bytes 184`,
		`pgcrm_slot_status{status="extended"} 1`,
		`pgcrm_slot_status{status="lost"} 0`,
		`pgcrm_paused{reason="credentials"} 0`,
		`pgcrm_quota_remaining{window="day"} 499000`,
		`pgcrm_quota_limit{window="day"} 500000`,
		`pgcrm_ready 1`,
		`pgcrm_problems 0`,
		`pgcrm_held 0`,
		`pgcrm_parked_records{reason="missing"} 3`,
		`pgcrm_backfill_rows_total{table="public.accounts"} 50`,
		fmt.Sprintf(`pgcrm_checkpoint_lsn %g`, float64(0x16B374D848)),
		`pgcrm_build_info{commit="abcdef0",goversion="go1.26",version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

// TestUnknownHasNoSeries: before anything is known, gauges are absent, not 0.
func TestUnknownHasNoSeries(t *testing.T) {
	body := get(t, serverWith(t, func() Snapshot { return Snapshot{State: Starting} }), "/metrics").Body.String()
	for _, name := range []string{"lag_bytes", "retained_wal_bytes", "slot_safe_wal_bytes", "slot_status", "checkpoint_lsn", "quota_remaining"} {
		if strings.Contains(body, "\npgcrm_"+name) {
			t.Errorf("pgcrm_%s has a value", name)
		}
	}
}

// TestRepeatedLabels: a snapshot that names a thing twice must not break the
// scrape.
func TestRepeatedLabels(t *testing.T) {
	w := get(t, serverWith(t, func() Snapshot {
		snap := full()
		snap.CRM.Quota = append(snap.CRM.Quota, snap.CRM.Quota...)
		snap.CRM.Paused = []Pause{{Reason: "held"}, {Reason: "held"}, {Reason: "a new one"}}
		snap.Slot.Status = "a new one"
		return snap
	}), "/metrics")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `pgcrm_paused{reason="a new one"} 1`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPromlint(t *testing.T) {
	var own strings.Builder
	for line := range strings.Lines(get(t, serverWith(t, full), "/metrics").Body.String()) {
		if strings.HasPrefix(line, "pgcrm_") || strings.Contains(line, " pgcrm_") {
			own.WriteString(line)
		}
	}
	problems, err := promlint.New(strings.NewReader(own.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestAnnounce(t *testing.T) {
	r := NewRecorder()
	r.Announce([]string{"public.accounts"}, []string{"companies"})
	body := get(t, New(Options{Recorder: r}), "/metrics").Body.String()
	for _, line := range []string{
		`pgcrm_changes_total{op="truncate",table="public.accounts"} 0`,
		`pgcrm_records_total{object="companies",outcome="would_deliver"} 0`,
		`pgcrm_backfill_rows_total{table="public.accounts"} 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestRecorderFromManyGoroutines(t *testing.T) {
	r := NewRecorder()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				r.CountRecords("companies", fmt.Sprintf("outcome%d", (g+i)%5), 2)
			}
		})
	}
	wg.Wait()
	var sum int64
	for _, n := range r.records.totals() {
		sum += n
	}
	if sum != 8*200*2 {
		t.Errorf("counted %d, want %d; %v", sum, 8*200*2, slices.Collect(maps.Keys(r.records.totals())))
	}
}

func TestCountAllocatesNothing(t *testing.T) {
	r := NewRecorder()
	r.CountChanges("public.accounts", "update", 1)
	if n := testing.AllocsPerRun(100, func() { r.CountChanges("public.accounts", "update", 1) }); n > 0 {
		t.Errorf("%v allocations a count", n)
	}
}

func BenchmarkCountChanges(b *testing.B) {
	r := NewRecorder()
	for b.Loop() {
		r.CountChanges("public.accounts", "update", 1)
	}
}
