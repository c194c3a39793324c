package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping"
)

// offline makes a directory with a mapping and its lock.
func offline(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pgcrm.yaml", text)
	if _, err := newLock(lockedRelations(), lockedProperties()).write(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func lockedRelations() []*change.Relation {
	typ := func(oid uint32, name string) change.Type {
		return change.Type{OID: oid, Modifier: -1, Schema: "pg_catalog", Name: name, Kind: 'b'}
	}
	text := typ(25, "text")
	tags := typ(1009, "_text")
	tags.Elem = &text
	code := change.Type{OID: 70000, Modifier: -1, Schema: "public", Name: "code", Kind: 'd', Base: &text}
	stage := change.Type{OID: 60000, Modifier: -1, Schema: "public", Name: "stage", Kind: 'e', Labels: []string{"lead", "won"}}
	return []*change.Relation{{
		Schema: "public", Name: "accounts", Identity: change.IdentityDefault, PrimaryKey: []int{0},
		Columns: []change.Column{
			{Name: "id", Type: typ(20, "int8"), InIdentity: true, NotNull: true},
			{Name: "name", Type: text},
			{Name: "plan", Type: code},
			{Name: "active", Type: typ(16, "bool")},
			{Name: "tags", Type: tags},
			{Name: "meta", Type: typ(3802, "jsonb")},
			{Name: "notes", Type: text},
			{Name: "stage", Type: stage},
		},
	}}
}

func lockedProperties() map[string][]mapping.Property {
	return map[string][]mapping.Property{"companies": {
		{Name: "account_id", Label: "Account", Type: "string", FieldType: "text", HasUniqueValue: true},
		{Name: "city", Type: "string", FieldType: "text"},
		{Name: "closed", Type: "bool", FieldType: "booleancheckbox", Options: []mapping.Option{{Value: "true", Label: "Yes"}, {Value: "false", Label: "No"}}},
		{Name: "description", Type: "string", FieldType: "textarea"},
		{Name: "name", Type: "string", FieldType: "text"},
		{Name: "plan", Type: "enumeration", FieldType: "select", Options: []mapping.Option{{Value: "FREE", Label: "Free"}, {Value: "PRO", Label: "Pro"}}},
	}, "contacts": {{Name: "account_id", Type: "string", HasUniqueValue: true}, {Name: "company", Type: "string"}}}
}

const offlineMapping = `version: 1
tables:
  accounts:
    - match: {account_id: id}
      when: "active ?? true"
      on_delete: {set: {plan: FREE}}
      properties:
        name: name
        plan: {column: plan, values: {free: FREE, pro: PRO}}
        city: {expr: "meta.city"}
        description: notes
    - object: contacts
      match: {account_id: id}
      when: "len(tags ?? []) > 1"
      properties: {company: name}
`

func TestLockComesBackAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockName)
	changed, err := newLock(lockedRelations(), lockedProperties()).write(path)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if changed, err := newLock(lockedRelations(), lockedProperties()).write(path); err != nil || changed {
		t.Errorf("written again: %v, %v", changed, err)
	}
	l, err := readLock(path)
	if err != nil {
		t.Fatal(err)
	}
	relations, err := l.relations()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lockedRelations(), relations); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lockedProperties(), l.properties()); diff != "" {
		t.Error(diff)
	}
}

// outside runs a command with an environment of its own.
func outside(t *testing.T, env []string, args ...string) output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), make(chan struct{}), Environment{Args: args, Env: env, Stdout: &stdout, Stderr: &stderr})
	return output{code, stdout.String(), stderr.String()}
}

func TestFixtures(t *testing.T) {
	dir := offline(t, offlineMapping)
	env := []string{"PGCRM_MAPPING_FILE=" + filepath.Join(dir, "pgcrm.yaml")}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "pgcrm.test.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
- name: everything
  table: accounts
  row: {id: 007, name: "Acme", plan: pro, meta: {city: Graz, no: [1, "x"]}, tags: [one], active: true}
  expect:
    object: companies
    key: 7
    properties: {name: Acme, plan: PRO, city: Graz, description: null}
- name: two records
  row: {id: 7, name: Acme, plan: gold, tags: [a, 'b "c"']}
  expect:
    - {object: companies, properties: {name: Acme, city: null, description: null}, refused: {plan: invalid_option}}
    - {object: contacts, key: "7", properties: {company: Acme}}
- name: deleted
  old: {id: 7}
  expect: {object: companies, gone: true, properties: {plan: FREE}}
- name: leaves
  old: {id: 7, active: true}
  row: {active: false}
  replica_identity: full
  expect: {object: companies, gone: true}
- name: another key, a large value left alone
  old: {id: 7, name: Acme, plan: free}
  row: {id: 8}
  unchanged: [notes]
  expect: {object: companies, key: 8, old_key: 7, reread: true, properties: {name: Acme, plan: FREE, city: null}}
- name: not active
  row: {id: 7, active: false}
  expect: nothing
- op: delete
  row: {id: 9}
  expect: {object: companies, gone: true, key: "9"}
`)
	// The first id is written 007 and goes to a text property as it is written.
	o := outside(t, env, "test")
	want := "FAIL  " + dir + "/pgcrm.test.yaml:2  everything\n      key\n        want  \"7\"\n        got   \"007\"\n6 passed, 1 failed\n"
	if diff := cmp.Diff(want, o.stdout); diff != "" || o.code != exitFailed || o.stderr != "pgcrm: 1 test of 7 failed\n" {
		t.Errorf("exit code %d, %s\n%s", o.code, o.stderr, diff)
	}

	write(`
- row: {id: 7, name: Acme, plan: pro}
  expect: {object: companies, key: 8, properties: {name: Acme Inc, plan: null, phone: "1"}}
- {old: {id: 7}, row: {active: false}, expect: nothing}
- row: {id: 7}
  expect:
    - {object: companies, rejected: invalid_key}
    - {object: contacts}
`)
	var results []tested
	o = outside(t, env, "test", "-o", "json")
	if err := json.Unmarshal([]byte(o.stdout), &results); err != nil {
		t.Fatal(err, o)
	}
	got := map[string]string{}
	for i, r := range results {
		for _, d := range r.Differences {
			got[string(rune('1'+i))+" "+d.What] = d.Want + " / " + d.Got
		}
	}
	if diff := cmp.Diff(map[string]string{
		"1 key": `"8" / "7"`, "1 name": `"Acme Inc" / "Acme"`, "1 plan": `cleared / "PRO"`, "1 phone": `"1" / not sent`,
		"1 city": "not sent / cleared", "1 description": "not sent / cleared",
		"2 companies":          `nothing / key "7", gone, plan "FREE"`,
		"3 companies.rejected": "invalid_key / no", "3 companies.city": "not sent / cleared", "3 companies.name": "not sent / cleared",
		"3 companies.plan": "not sent / cleared", "3 companies.description": "not sent / cleared",
		"3 contacts": "a change of the record / nothing",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFixtureMistakesAreSaidAtOnce(t *testing.T) {
	dir := offline(t, offlineMapping)
	env := []string{"PGCRM_MAPPING_FILE=" + filepath.Join(dir, "pgcrm.yaml")}
	bad := filepath.Join(dir, "bad.test.yaml")
	if o := outside(t, env, "test"); o.code != exitWrong || !strings.Contains(o.stderr, "there are no tests beside the mapping") {
		t.Errorf("got %+v", o)
	}
	for text, want := range map[string][]string{
		"tests: []\nmore: 1": {":2: unknown key more"},
		"row: {id: 1}":       {":1: a list of tests is wanted"},
		"- {table: nope, row: {}, expect: nothing}\n- {table: accounts, row: {nam: x}, expect: {object: companies, keys: 1}}": {
			":1: table public.nope is not mapped", ":2: table public.accounts has no column nam", ":2: unknown key keys",
		},
		"- {row: {id: 1}}": {"expect is missing"},
		"- {op: update, row: {id: 1}, expect: nothing}": {"update needs old"},
		"- {op: merge, row: {id: 1}, expect: nothing}":  {"op is insert, update or delete"},
		"- {row: {id: 1}, expect: {key: 1}}":            {"mapped to companies and contacts: say object"},
		"- {row: {id: 1}, expect: {object: deals}}":     {"is not mapped to deals but to companies, contacts"},
		"- {row: {name: [a]}, expect: nothing}":         {"column name: one value is wanted"},
		"- {row: {id: 1}, expect: [1]}":                 {"an expectation is a map"},
		"- row: {id: 1\n":                               {"bad.test.yaml"},
		"- &a {row: 1}":                                 {"anchors"},
		"":                                              {"no test is written there"},
		"- 1":                                           {"a test is a map"},
	} {
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := outside(t, env, "test")
		for _, w := range want {
			if o.code != exitWrong || !strings.Contains(o.stderr, w) {
				t.Errorf("%q: exit code %d, no %q in %q", text, o.code, w, o.stderr)
			}
		}
	}
	if o := outside(t, env, "test", filepath.Join(dir, "none.yaml")); o.code != exitWrong || !strings.Contains(o.stderr, "none.yaml cannot be read: no such file") {
		t.Errorf("got %+v", o)
	}
}

func TestOfflineMistakes(t *testing.T) {
	dir := offline(t, offlineMapping)
	env := []string{"PGCRM_MAPPING_FILE=" + filepath.Join(dir, "pgcrm.yaml")}
	wrong := func(want string) {
		t.Helper()
		if o := outside(t, env, "test"); o.code != exitWrong || !strings.Contains(o.stderr, want) {
			t.Errorf("exit code %d, want %q: %s", o.code, want, o.stderr)
		}
	}
	rewrite := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite("pgcrm.yaml", strings.Replace(offlineMapping, "name: name", "nane: name", 1))
	wrong("did you mean name?")
	rewrite("pgcrm.yaml", strings.Replace(offlineMapping, "accounts:", "users:", 1))
	wrong("pgcrm.lock does not know table public.users; run pgcrm check --update-lock")
	rewrite("pgcrm.yaml", offlineMapping)
	rewrite(lockName, `{"version": 2}`)
	wrong("is of version 2")
	rewrite(lockName, `{`)
	wrong("is damaged")
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	wrong("pgcrm check --update-lock")
}

func TestSchemaIsPrinted(t *testing.T) {
	o := outside(t, nil, "schema")
	if o.code != exitDone || !json.Valid([]byte(o.stdout)) {
		t.Errorf("got %+v", o)
	}
}

// TestTheTestsOfTheHelpPass runs the examples that "pgcrm test --help" shows.
func TestTheTestsOfTheHelpPass(t *testing.T) {
	dir := t.TempDir()
	relations, properties := lockedRelations(), lockedProperties()
	relations[0].Columns[3] = change.Column{Name: "seats", Type: change.Type{OID: 23, Modifier: -1, Schema: "pg_catalog", Name: "int4", Kind: 'b'}}
	properties["companies"] = append(properties["companies"], mapping.Property{Name: "seats", Type: "number", FieldType: "number"})
	if _, err := newLock(relations, properties).write(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for line := range strings.Lines(testHelp) {
		if example, ok := strings.CutPrefix(line, "  "); ok {
			examples.WriteString(example)
		}
	}
	for name, text := range map[string]string{
		"pgcrm.yaml": `version: 1
tables:
  accounts:
    match: {account_id: id}
    on_delete: archive
    properties:
      name: name
      plan: {column: plan, values: {pro: PRO}}
      seats: seats
      description: {column: notes, on_null: keep}
`,
		"help.test.yaml": examples.String(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := outside(t, []string{"PGCRM_MAPPING_FILE=" + filepath.Join(dir, "pgcrm.yaml")}, "test")
	if o.code != exitDone || o.stdout != "5 passed, 0 failed\n" {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}
