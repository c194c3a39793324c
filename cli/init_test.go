package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping"
)

const initSchema = `CREATE TYPE stage AS ENUM ('Lead', 'Customer', 'Partner');
	CREATE TABLE accounts (id bigint PRIMARY KEY, account_name text, website_host text, plan text, stage stage, seats int, renews_at timestamptz,
		"Odd Column" text, secret bytea, zipcode text, total numeric GENERATED ALWAYS AS (seats * 2) STORED);
	CREATE TABLE keyless (id int);`

func initWorld(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorldWith(t, initSchema, "")
	delete(w.env, "PGCRM_MAPPING")
	file := filepath.Join(t.TempDir(), "pgcrm.yaml")
	w.env["PGCRM_MAPPING_FILE"] = file
	return w, file
}

func TestInit(t *testing.T) {
	w, file := initWorld(t)
	if text := w.ok("init", "--table", "accounts"); text != "wrote "+file+"; look through it, then run pgcrm check and pgcrm plan\n" {
		t.Errorf("got %s", text)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"  public.accounts:", "    match: {account_id: id}",
		"      name: account_name", "      domain: website_host", "      plan: plan", "      seats: seats", "      zip: zipcode",
		"      lifecyclestage: {column: stage, values: {Lead: lead, Customer: customer}}   # values that are not listed are parked",
		"      # renews_at: renews_at   # the portal has no property of this name; --create-properties makes one",
		"      # odd_column: 'Odd Column'   # the portal has no property of this name; --create-properties makes one",
		"      # secret: secret   # the portal has no property of this name",
		"      # total: total   # the log does not carry generated columns; use an expression over the columns that it is made of",
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	// It is a mapping that runs.
	w.ok("plan", "--limit", "1")

	w.refused("exists and is never overwritten", "init", "--table", "accounts")
	if now, err := os.ReadFile(file); err != nil || string(now) != string(text) {
		t.Error("the file was touched")
	}
	if printed := w.ok("init", "--table", "accounts", "--file", "-"); printed != string(text) {
		t.Errorf("printed\n%s", cmp.Diff(string(text), printed))
	}
}

func TestInitCreatesProperties(t *testing.T) {
	w, file := initWorld(t)
	args := []string{"init", "--table", "accounts", "--match", "pg_id=id", "--columns", "id,account_name,Odd Column,renews_at,stage,total", "--create-properties"}
	shown := w.ok(args...)
	for _, want := range []string{"pg_id", "odd_column", "renews_at", "datetime", "companyinformation", "these companies properties would be created"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "total") || strings.Contains(shown, "account_name") {
		t.Errorf("a generated column, or one that has a property:\n%s", shown)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a mapping was written though nothing was created")
	}
	made := w.ok(append(args, "--yes")...)
	if !strings.Contains(made, "created 3 properties") || !strings.Contains(made, "wrote "+file) {
		t.Errorf("got\n%s", made)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"match: {pg_id: id}\n", "      odd_column: 'Odd Column'\n", "      renews_at: renews_at\n", "      # total: total   # "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	w.ok("plan", "--limit", "1")
	if again := w.ok(append(args, "--yes")...); !strings.Contains(again, "lacks no property") || !strings.Contains(again, "is left as it is") {
		t.Errorf("got\n%s", again)
	}
}

func TestInitWithoutAToken(t *testing.T) {
	w, file := initWorld(t)
	delete(w.env, "HUBSPOT_ACCESS_TOKEN")
	w.ok("init", "--table", "accounts", "--columns", "plan,seats")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "      plan: plan   # not checked: no token\n      seats: seats   # not checked: no token\n") {
		t.Errorf("got\n%s", text)
	}
	if _, err := mapping.Parse(file, text); err != nil {
		t.Error(err)
	}
}

func TestInitMistakes(t *testing.T) {
	w, _ := initWorld(t)
	w.refused("name a table", "init")
	w.refused("--yes belongs to", "init", "--table", "accounts", "--yes")
	w.refused("table public.nothing does not exist", "init", "--table", "nothing")
	w.refused("has no primary key", "init", "--table", "keyless")
	w.refused("has no column colour", "init", "--table", "accounts", "--columns", "colour")
	w.refused("--match is PROPERTY=COLUMN", "init", "--table", "accounts", "--match", "id")
	w.refused("is not a table name", "init", "--table", "a b")
	w.refused("run init for each", "init", "--table", "accounts,keyless", "--columns", "id")
	w.refused("cannot be written: no such file or directory", "init", "--table", "accounts", "--file", filepath.Join(t.TempDir(), "no", "file.yaml"))
	w.env["HUBSPOT_ACCESS_TOKEN"] = "pat-na1-wrong"
	w.refused("HUBSPOT_ACCESS_TOKEN", "init", "--table", "accounts")
}

func TestNamesOfInit(t *testing.T) {
	for in, want := range map[string]string{"Odd Column": "odd_column", "2nd": "p_2nd", "_x": "p_x", "Größe": "gr__e", "id": "id"} {
		if got := propertyName(in); got != want {
			t.Errorf("property of %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"accounts": "account", "companies": "company", "boxes": "box", "address": "address", "classes": "class", "staff": "staff"} {
		if got := singular(in); got != want {
			t.Errorf("one of %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"plain": "plain", "yes": "'yes'", "it's": "'it''s'", "a\nb": `"a\nb"`, "7": "'7'", `public."A"`: `'public."A"'`} {
		if got := yamlText(in); got != want {
			t.Errorf("YAML of %q: %s, want %s", in, got, want)
		}
	}
	stage := change.Type{Name: "stage", Kind: 'e', Labels: []string{"LEAD", "won deal"}}
	options := &mapping.Property{Type: "enumeration", Options: []mapping.Option{{Value: "lead", Label: "Lead"}, {Value: "7", Label: "Won Deal"}}}
	if got, complete := optionMap(&stage, options); got != "LEAD: lead, 'won deal': '7'" || !complete {
		t.Errorf("got %s, %v", got, complete)
	}
}
