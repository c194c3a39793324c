// Package deploy_test holds what is written for other programs to what pgcrm is:
// metrics that alerts and dashboards ask for, settings that manifests make,
// playbooks that alerts point at.
package deploy_test

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/pgcrm/pgcrm/admin"
)

type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Record      string            `yaml:"record"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readRules(t *testing.T) (r rules) {
	t.Helper()
	if err := yaml.UnmarshalWithOptions([]byte(read(t, "prometheus/alerts.yml")), &r, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if len(r.Groups) != 1 || len(r.Groups[0].Rules) < 10 {
		t.Fatalf("got %d groups", len(r.Groups))
	}
	return r
}

// TestEachAlertHasItsPlaybook, which the index names, and its test.
func TestEachAlertHasItsPlaybook(t *testing.T) {
	const base = "https://github.com/pgcrm/pgcrm/blob/main/"
	index, tests := read(t, "../docs/playbooks/README.md"), read(t, "prometheus/alerts_test.yml")
	linked := map[string]bool{"README.md": true}
	for _, r := range readRules(t).Groups[0].Rules {
		if r.Alert == "" {
			continue
		}
		if r.Labels["severity"] == "" || r.For == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks severity, for, summary or description", r.Alert)
		}
		page, ok := strings.CutPrefix(r.Annotations["runbook_url"], base)
		if !ok {
			t.Errorf("%s: the runbook_url does not start with %s", r.Alert, base)
			continue
		}
		text := read(t, "../"+page)
		for _, part := range []string{"# ", "**Meaning.**", "**Cause", "**How to tell.**", "**What to do.**"} {
			if !strings.Contains(text, part) && page != "docs/playbooks/paused.md" {
				t.Errorf("%s has no part %q", page, part)
			}
		}
		linked[filepath.Base(page)] = true
		if !regexp.MustCompile(`\| [^|\n]*` + r.Alert + `[^|\n]*\| \[[a-z-]+\]\(` + filepath.Base(page) + `\)`).MatchString(index) {
			t.Errorf("docs/playbooks/README.md does not lead from %s to %s", r.Alert, filepath.Base(page))
		}
		if !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
			t.Errorf("alerts_test.yml does not test %s", r.Alert)
		}
	}
	pages, err := filepath.Glob("../docs/playbooks/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		if !linked[filepath.Base(page)] {
			t.Errorf("no alert leads to %s", page)
		}
	}
}

// TestMetricsExist: alerts and dashboard ask only for what pgcrm exports, with
// labels that it has.
func TestMetricsExist(t *testing.T) {
	known := exported(t)
	asked := map[string][]string{}
	for _, r := range readRules(t).Groups[0].Rules {
		asked["rule "+r.Alert+r.Record] = []string{r.Expr}
		if r.Record != "" {
			known[r.Record] = true
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/pgcrm.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			asked["panel "+p.Title] = append(asked["panel "+p.Title], target.Expr)
		}
	}
	if len(asked) < 25 {
		t.Fatalf("only %d expressions were found", len(asked))
	}
	metric := regexp.MustCompile(`\b(pgcrm[:_]|process_|go_)[a-z_]+`)
	for where, exprs := range asked {
		for _, expr := range exprs {
			names := metric.FindAllString(expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks for no metric: %s", where, expr)
			}
			for _, name := range names {
				if !known[name] && !known[strings.TrimSuffix(name, "_bucket")] {
					t.Errorf("%s asks for %s, which pgcrm does not export", where, name)
				}
			}
		}
	}
}

// exported are the metrics of a server that has seen some of everything.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	many := int64(1)
	recorder := admin.NewRecorder()
	recorder.CountChanges("public.accounts", "insert", 1)
	recorder.CountRecords("companies", "delivered", 1)
	recorder.CountBackfillRows("public.accounts", 1)
	recorder.ObserveCall("companies/batch/update", http.StatusOK, time.Second)
	recorder.ObserveDelivery(time.Second, 1)
	server := admin.New(admin.Options{Recorder: recorder, Snapshot: func() admin.Snapshot {
		return admin.Snapshot{
			Slot: admin.Slot{Status: "reserved", RetainedWALBytes: &many, SafeWALBytes: &many},
			Log:  admin.Log{LagBytes: &many, CheckpointLSN: 1},
			CRM:  admin.CRM{Quota: []admin.Quota{{Window: "day", Limit: 2, Remaining: 1}}}, Parked: map[string]int64{"not_found": 1},
		}
	}})
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(body), -1) {
		known[m[1]] = true
	}
	return known
}

// TestSettingsExist: manifests, units and compose files make only settings that
// there are.
func TestSettingsExist(t *testing.T) {
	documented := read(t, "../docs/configuration.md")
	setting := regexp.MustCompile(`\b(PGCRM|HUBSPOT)_[A-Z_]+\b`)
	files := []string{"../Dockerfile", "../docker-compose.yml"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".service", ".tpl", ".txt"}, filepath.Ext(path)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		for _, name := range setting.FindAllString(read(t, file), -1) {
			found++
			if !strings.Contains(documented, "`"+strings.TrimSuffix(name, "_FILE")+"`") {
				t.Errorf("%s sets %s, which is no setting", file, name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d settings were found", found)
	}
}

// TestManifestsAreYAML, each document of each; charts are linted by `make test-deploy`.
func TestManifestsAreYAML(t *testing.T) {
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "../docker-compose.yml", "../.goreleaser.yaml", "prometheus/alerts_test.yml", "helm/pgcrm/Chart.yaml", "helm/pgcrm/values.yaml") {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(read(t, file)), &doc); err != nil || len(doc) == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
