package mapping

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

var update = flag.Bool("update", false, "write the golden files anew")

func compileProblems(t *testing.T, src string) []string {
	t.Helper()
	f, err := Parse("m.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	keyless := table("keyless", "a text")
	keyless.PrimaryKey = nil
	generated := table("generated", "id bigint", "total numeric")
	generated.Columns[1].Generated = true
	_, err = Compile(f, []*change.Relation{accounts(), keyless, generated}, companies())
	if err == nil {
		return nil
	}
	return err.(interface{ Problems() []string }).Problems()
}

// TestCompileReportsEveryMistake compares with testdata/mistakes.txt, which
// go test -run Mistake -update writes anew.
func TestCompileReportsEveryMistake(t *testing.T) {
	src, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(compileProblems(t, string(src)), "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/mistakes.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestSourcesAndTargets(t *testing.T) {
	src := `version: 1
tables:
  accounts:
  - match: {account_id: id}
    on_missing: skip
    properties: {name: account_name, notes: {const: x}}
  - match: {hs_object_id: hubspot_id}
    properties: {seats: seats}
`
	m := compile(t, src)
	var targets []change.Target
	for _, x := range m.Targets() {
		targets = append(targets, *x)
	}
	if diff := cmp.Diff([]change.Target{
		{Index: 0, Object: "companies", Match: "account_id", Properties: []string{"name", "notes"}},
		{Index: 1, Object: "companies", Match: "hs_object_id", Properties: []string{"seats"}},
	}, targets); diff != "" {
		t.Error(diff)
	}
	sources := m.Sources()
	if len(sources) != 2 || sources[0].OnMissing != change.Skip || sources[0].Table != "public.accounts" || sources[1].Target != m.Targets()[1] {
		t.Errorf("sources %+v %+v", sources[0], sources[1])
	}
	if diff := cmp.Diff([]int{0, 1}, sources[0].Slots); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"account_name", "hubspot_id", "id", "seats"}, m.Columns(TableName{"public", "accounts"})); diff != "" {
		t.Error(diff)
	}
}

func TestHash(t *testing.T) {
	base := compile(t, oneProperty("plan", "{column: plan, values: {a: FREE, b: ENTERPRISE}}"))
	for name, test := range map[string]struct {
		src  string
		same bool
	}{
		"itself":        {oneProperty("plan", "{column: plan, values: {a: FREE, b: ENTERPRISE}}"), true},
		"another order": {oneProperty("plan", "{on_other: park, values: {b: ENTERPRISE, a: FREE}, column: plan} # words"), true},
		"a value":       {oneProperty("plan", "{column: plan, values: {a: FREE, b: FREE}}"), false},
		"a column":      {oneProperty("plan", "{column: notes, values: {a: FREE, b: ENTERPRISE}}"), false},
		"null policy":   {oneProperty("plan", "{column: plan, values: {a: FREE, b: ENTERPRISE}, on_null: keep}"), false},
		"no map":        {oneProperty("plan", "plan"), false},
	} {
		m := compile(t, test.src)
		if same := m.Hash() == base.Hash(); same != test.same {
			t.Errorf("%s: same hash: %v", name, same)
		}
		if same := m.SourceHash(m.Sources()[0]) == base.SourceHash(base.Sources()[0]); same != test.same {
			t.Errorf("%s: same source hash: %v", name, same)
		}
	}
	retyped := companies()
	for i := range retyped["companies"] {
		if p := &retyped["companies"][i]; p.Name == "plan" {
			p.FieldType = "checkbox"
		}
	}
	f, _ := Parse("m", []byte(oneProperty("plan", "{column: plan, values: {a: FREE, b: ENTERPRISE}}")))
	m, err := Compile(f, []*change.Relation{accounts()}, retyped)
	if err != nil || m.Hash() == base.Hash() {
		t.Errorf("a property of another type left the hash alone: %v", err)
	}
}
