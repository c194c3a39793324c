package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgcrm/pgcrm/admin"
)

// printed is what the commands print with --output json, by the headings of
// docs/json.md.
func printed() map[string]any {
	return map[string]any{
		"backfill":          []request{},
		"backfill --follow": []progress{},
		"backfill --cancel": cancelled{},
		"check":             []finding{},
		"dlq list":          []letter{},
		"dlq show":          []letter{},
		"dlq drop":          dropped{},
		"dlq retry":         retried{},
		"explain":           explanation{},
		"link":              linked{},
		"migrate":           migrated{},
		"plan":              planned{},
		"plan --count":      plannedTotal{},
		"resume":            []heldChange{},
		"resume DIGEST":     heldChange{},
		"status":            admin.Snapshot{},
		"test":              []tested{},
		"verify":            verification{},
		"version":           build{},
	}
}

// fieldsOf lists the fields of a type as docs/json.md does: path and kind.
func fieldsOf(path string, t reflect.Type) (fields [][2]string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("json") == "" {
			continue
		}
		kind := kindOf(f.Type)
		switch {
		case tagged && strings.HasPrefix(options, "omit"):
			kind += ", optional"
		case f.Type.Kind() == reflect.Pointer || f.Type == reflect.TypeFor[admin.LSN]():
			kind += " or null"
		}
		fields = append(fields, [2]string{"`" + path + name + "`", kind})
		if f.Type == reflect.TypeFor[[]letter]() {
			continue // as dlq list prints them
		}
		inner := path + name + "."
		if f.Type.Kind() == reflect.Slice {
			inner = path + name + "[]."
		}
		fields = append(fields, fieldsOf(inner, f.Type)...)
	}
	return fields
}

func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "time"
	case reflect.TypeFor[admin.LSN]():
		return "string"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array of " + kindOf(t.Elem()) + "s"
	case reflect.Map:
		return "object of " + kindOf(t.Elem()) + "s"
	case reflect.Struct:
		return "object"
	case reflect.Interface:
		return "string or null"
	default:
		return "integer"
	}
}

// TestPageOfJSON compares docs/json.md with the types that are printed.
func TestPageOfJSON(t *testing.T) {
	page, err := os.ReadFile("../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][][2]string{}
	row := regexp.MustCompile("^\\| (`[^|]*`) \\| ([^|]*) \\| ([^|]*) \\|$")
	var heading string
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "## "); ok {
			heading = name
			documented[heading] = nil
		}
		if cells := row.FindStringSubmatch(line); cells != nil {
			documented[heading] = append(documented[heading], [2]string{cells[1], cells[2]})
		}
	}
	for alias, other := range map[string]string{"dlq show": "dlq list", "resume DIGEST": "resume"} {
		if fields, ok := documented[alias]; !ok || fields != nil {
			t.Errorf("%s has fields of its own, or no place", alias)
		}
		documented[alias] = documented[other]
	}
	want := map[string][][2]string{}
	for heading, value := range printed() {
		want[heading] = fieldsOf("", reflect.TypeOf(value))
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("-printed +documented\n%s", diff)
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "pgcrm ")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, ok := documented[name]; f.Name == "output" && !ok {
				t.Errorf("docs/json.md does not say what %s prints", name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(nil, Environment{}))
}

// sameShape reads a document as the type that is said to be printed, and writes
// it again: a field that the type lacks, or one that the document lacks, shows.
func sameShape(t *testing.T, heading, document string) {
	t.Helper()
	value := reflect.New(reflect.TypeOf(printed()[heading]))
	dec := json.NewDecoder(strings.NewReader(document))
	dec.DisallowUnknownFields()
	if err := dec.Decode(value.Interface()); err != nil {
		t.Errorf("%s: %v\n%s", heading, err, document)
		return
	}
	var again bytes.Buffer
	if err := newPrinter(&again, nil).json(value.Interface()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(document, again.String()); diff != "" {
		t.Errorf("%s: -printed +as documented\n%s", heading, diff)
	}
}

// TestCommandsPrintWhatThePageSays runs every command that prints JSON.
func TestCommandsPrintWhatThePageSays(t *testing.T) {
	w := newWorld(t)
	w.env["PGCRM_LISTEN"] = freeAddress(t)
	left := maps.Clone(printed())
	prints := func(heading string, code int, args ...string) string {
		t.Helper()
		o := w.run(append(args, "-o", "json")...)
		if o.code != code {
			t.Fatalf("%v: exit code %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
		sameShape(t, heading, o.stdout)
		delete(left, heading)
		return o.stdout
	}
	prints("version", exitDone, "version")
	prints("check", exitDone, "check")
	prints("status", exitDone, "status")
	prints("migrate", exitDone, "migrate")
	prints("plan", exitDone, "plan")
	prints("plan --count", exitDone, "plan", "--count", "--read-crm")
	prints("link", exitDone, "link", "accounts", "--by", "name=name")
	w.start()
	w.exec("UPDATE accounts SET plan = 'gold' WHERE id = 2")
	w.settles()
	prints("status", exitDone, "status")
	prints("explain", exitDone, "explain", "accounts", "2")
	prints("dlq list", exitDone, "dlq", "list")
	letters := read[[]letter](w, "dlq", "list", "--key", "11")
	prints("dlq show", exitDone, "dlq", "show", string(mustJSON(t, letters[0].ID)))
	prints("dlq retry", exitDone, "dlq", "retry", "--key", "11")
	prints("dlq drop", exitDone, "dlq", "drop", "--key", "12")
	prints("backfill --follow", exitDone, "backfill", "accounts", "--follow")
	var filed []request
	if err := json.Unmarshal([]byte(prints("backfill", exitDone, "backfill", "accounts")), &filed); err != nil {
		t.Fatal(err)
	}
	prints("backfill --cancel", exitDone, "backfill", "--cancel", string(mustJSON(t, filed[0].ID)))
	one, _ := w.portal.Find("companies", "account_id", "1")
	w.patch(one.ID, map[string]string{"name": "edited"})
	prints("verify", exitDrift, "verify", "--all", "--repair")
	w.exec(`INSERT INTO ` + w.name + `.hold (digest, position, backfill, records, partial, samples) VALUES ('5f0c9a7be312', '0/1', 0, 900, true,
		'[{"table": "public.accounts", "row": "7", "object": "companies", "match": "account_id", "key": "7", "properties": ["name"]}]')`)
	prints("resume", exitDone, "resume")
	prints("resume DIGEST", exitDone, "resume", "5f0c9a7be312")

	dir := offline(t, offlineMapping)
	if err := os.WriteFile(dir+"/a.test.yaml", []byte("- {row: {id: 7}, expect: nothing}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := outside(t, []string{"PGCRM_MAPPING_FILE=" + dir + "/pgcrm.yaml"}, "test", "-o", "json")
	sameShape(t, "test", o.stdout)
	delete(left, "test")
	for heading := range left {
		t.Errorf("nothing was printed for %s", heading)
	}
}
