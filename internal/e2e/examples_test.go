package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const examples = "../../examples"

// TestExamples runs each example as it stands: its own tests, the check against
// the lock file, the load, the changes, and what the CRM holds then.
func TestExamples(t *testing.T) {
	t.Parallel()
	mappings, err := filepath.Glob(filepath.Join(examples, "*", "pgcrm.yaml"))
	if err != nil || len(mappings) < 5 {
		t.Fatal(mappings, err)
	}
	for _, path := range mappings {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			runExample(t, filepath.Dir(path))
		})
	}
}

func runExample(t *testing.T, dir string) {
	file := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	limits := hubspotsim.Unthrottled()
	w := newWorldOn(t, pgtest.Shared(t), file("schema.sql"), "", hubspotsim.Options{Limits: &limits, Properties: exampleProperties(t, file("portal.yaml"))})
	exampleRecords(t, w, file("portal.yaml"))
	w.env["PGCRM_MAPPING_FILE"] = absolute(t, filepath.Join(dir, "pgcrm.yaml"))
	delete(w.env, "PGCRM_MAPPING")

	// The lock file says what the database and the portal say, so that the check
	// without a network is worth something.
	fresh := filepath.Join(t.TempDir(), "pgcrm.yaml")
	if err := os.WriteFile(fresh, []byte(file("pgcrm.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, w.with("PGCRM_MAPPING_FILE="+fresh).environ(), "check", "--update-lock"); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	lock, err := os.ReadFile(filepath.Join(filepath.Dir(fresh), "pgcrm.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("PGCRM_UPDATE_EXAMPLES") != "" {
		if err := os.WriteFile(filepath.Join(dir, "pgcrm.lock"), lock, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(lock), file("pgcrm.lock")); diff != "" {
		t.Errorf("pgcrm.lock is out of date; run PGCRM_UPDATE_EXAMPLES=1 go test ./internal/e2e -run TestExamples\n%s", diff)
	}
	for _, args := range [][]string{{"check", "--offline"}, {"test"}} {
		if code, out, errs := run(t, w.environ(), args...); code != 0 {
			t.Errorf("pgcrm %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
	}

	p := w.start()
	w.streams(p)
	for step := range strings.SplitSeq(file("changes.sql"), "-- next transaction") {
		w.exec(step)
		w.settles(p)
	}
	var want map[string]map[string]map[string]map[string]string
	if err := yaml.Unmarshal([]byte(file("expected.yaml")), &want); err != nil {
		t.Fatal(err)
	}
	for object, byMatch := range want {
		for match, records := range byMatch {
			for _, key := range slices.Sorted(maps.Keys(records)) {
				eventually(t, patience, func() string {
					p.alive()
					return exampleDiff(w, object, match, key, records[key])
				})
			}
		}
	}
	if letters := w.letters(); len(letters) > 0 {
		t.Errorf("something was parked: %q", letters)
	}
}

// exampleDiff compares a record with what is expected of it; nil: that there is none.
func exampleDiff(w *world, object, match, key string, want map[string]string) string {
	r, found := w.portal.Find(object, match, key)
	if match == "hs_object_id" {
		r, found = w.portal.Record(object, key)
	}
	if want == nil || !found {
		if found == (want != nil) {
			return ""
		}
		return fmt.Sprintf("%s with %s %s: found is %t", object, match, key, found)
	}
	got := map[string]string{}
	for name := range want {
		got[name] = r.Properties[name]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Sprintf("%s with %s %s: -want +got\n%s", object, match, key, diff)
	}
	return ""
}

func exampleProperties(t *testing.T, portal string) map[string][]hubspotsim.Property {
	var file struct{ Properties map[string][]string }
	if err := yaml.Unmarshal([]byte(portal), &file); err != nil {
		t.Fatal(err)
	}
	properties := map[string][]hubspotsim.Property{}
	for object, specs := range file.Properties {
		for _, spec := range specs {
			name, typ, _ := strings.Cut(spec, ":")
			typ, list, _ := strings.Cut(typ, "=")
			properties[object] = append(properties[object], exampleProperty(t, name, typ, strings.Split(list, ",")))
		}
	}
	return properties
}

// exampleProperty is what `pgcrm simulator --property` would make of it.
func exampleProperty(t *testing.T, name, typ string, options []string) hubspotsim.Property {
	switch typ {
	case "string":
		return hubspotsim.Text(name)
	case "number":
		return hubspotsim.Number(name)
	case "bool":
		return hubspotsim.Bool(name)
	case "date":
		return hubspotsim.Date(name)
	case "datetime":
		return hubspotsim.DateTime(name)
	case "unique":
		return hubspotsim.Unique(name)
	case "enumeration":
		return hubspotsim.Enum(name, options...)
	case "checkbox":
		return hubspotsim.Checkboxes(name, options...)
	}
	t.Fatalf("property %s has the type %q", name, typ)
	return hubspotsim.Property{}
}

func exampleRecords(t *testing.T, w *world, portal string) {
	var file struct {
		Records map[string][]map[string]string
	}
	if err := yaml.Unmarshal([]byte(portal), &file); err != nil {
		t.Fatal(err)
	}
	for object, records := range file.Records {
		if _, err := w.portal.Seed(object, records...); err != nil {
			t.Fatal(err)
		}
	}
}

func absolute(t *testing.T, path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
