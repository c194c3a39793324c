package mapping

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// streamed is the table as the stream announces it: of types, it tells numbers.
func streamed(columns ...string) *change.Relation {
	rel := table("accounts", columns...)
	for i := range rel.Columns {
		rel.Columns[i].Type = change.Type{OID: rel.Columns[i].Type.OID}
	}
	rel.PrimaryKey = nil
	return rel
}

// mapRow maps an insert and returns its patch in words.
func mapRow(t *testing.T, x *Mapper, rel *change.Relation, values map[string]string) string {
	t.Helper()
	patches, err := x.Map(&change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, values)}, nil)
	switch {
	case err != nil:
		return err.Error()
	case len(patches) != 1:
		return "no patch"
	case patches[0].Unfit != "":
		return patches[0].Unfit
	case patches[0].Rejection != nil:
		return patches[0].Rejection.Category
	}
	return string(patches[0].Key) + " " + show(patches[0])
}

// TestRelationsOfTheStream maps each row by the columns that it had, whatever
// the table was before or is now, and waits where the mapping cannot take them.
func TestRelationsOfTheStream(t *testing.T) {
	m := compile(t, `version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: account_name, seats: seats}
`)
	good := []string{"id bigint", "account_name text", "seats integer"}
	values := map[string]string{"id": "7", "account_name": "A", "seats": "3"}
	for name, test := range map[string]struct {
		columns []string
		want    string
	}{
		"as compiled":         {good, "7 name=A seats=3"},
		"another order":       {[]string{"plan text", "seats integer", "account_name text", "id bigint"}, "7 name=A seats=3"},
		"varchar now":         {[]string{"id bigint", "account_name character varying", "seats integer"}, "7 name=A seats=3"},
		"smaller numbers":     {[]string{"id integer", "account_name text", "seats smallint"}, "7 name=A seats=3"},
		"decimals":            {[]string{"id bigint", "account_name text", "seats numeric"}, "7 name=A seats=3"},
		"key retyped":         {[]string{"id text", "account_name text", "seats integer"}, "7 name=A seats=3"},
		"text for number":     {[]string{"id bigint", "account_name text", "seats text"}, "7 name=A seats=3"},
		"number for text":     {[]string{"id bigint", "account_name integer", "seats integer"}, "7 name=A seats=3"},
		"gone":                {[]string{"id bigint", "seats integer"}, "column account_name of table public.accounts is no longer there"},
		"key gone":            {[]string{"account_name text", "seats integer"}, "column id of table public.accounts is no longer there"},
		"date for number":     {[]string{"id bigint", "account_name text", "seats date"}, "column seats of table public.accounts is of another type now"},
		"array for number":    {[]string{"id bigint", "account_name text", "seats text[]"}, "column seats of table public.accounts is of another type now"},
		"a type not met yet":  {[]string{"id bigint", "account_name ltree", "seats integer"}, "column account_name of table public.accounts is of another type now"},
		"two gone":            {[]string{"id bigint"}, "columns account_name, seats of table public.accounts are no longer there; bring them back"},
		"gone and retyped":    {[]string{"id bigint", "account_name integer"}, "column seats of table public.accounts is no longer there"},
		"another with no use": {[]string{"id bigint", "account_name text", "seats integer", "more ltree"}, "7 name=A seats=3"},
	} {
		t.Run(name, func(t *testing.T) {
			rel := streamed(test.columns...)
			here := map[string]string{}
			for k, v := range values {
				if rel.Column(k) >= 0 {
					here[k] = v
				}
			}
			x := m.Mapper()
			for range 2 { // the table becomes what it was and back
				if got := mapRow(t, x, rel, here); !strings.HasPrefix(got, test.want) {
					t.Errorf("got %s, want %s", got, test.want)
				}
				if got := mapRow(t, x, streamed(good...), values); got != "7 name=A seats=3" {
					t.Errorf("the mended table gives %s", got)
				}
			}
			if got := m.Mapper().Unfit(m.Sources()[0], rel); (got == "") != strings.HasPrefix(test.want, "7") {
				t.Errorf("Unfit is %q", got)
			}
		})
	}
	other := table("other", "id bigint")
	other.OID = 3
	if got := mapRow(t, m.Mapper(), other, nil); got != "no patch" {
		t.Error("a table that is not mapped gives", got)
	}
}

// TestTypesOfTheApplication: the stream tells only the number of a type that the
// application made; once the catalog has named it, its rows are mapped.
func TestTypesOfTheApplication(t *testing.T) {
	m := compile(t, oneProperty("name", "account_name"))
	x := m.Mapper()
	stream := streamed("id bigint", "account_name text")
	stream.Columns[1].Type.OID = 70001
	values := map[string]string{"id": "7", "account_name": "A"}
	if got := mapRow(t, x, stream, values); !strings.Contains(got, "of another type now") {
		t.Error(got)
	}
	catalog := table("accounts", "id bigint", "account_name text")
	catalog.Columns[1].Type = change.Type{OID: 70001, Schema: "public", Name: "plan", Kind: 'e', Labels: []string{"A"}}
	if got := mapRow(t, x, catalog, values); got != "7 name=A" {
		t.Error(got)
	}
	if got := mapRow(t, x, stream, values); got != "7 name=A" {
		t.Error(got)
	}
}

// TestDeletionsOfATableThatDoesNotFit: a row's key is all that they need.
func TestDeletionsOfATableThatDoesNotFit(t *testing.T) {
	for name, test := range map[string]struct {
		policy, columns string
		full            bool
		want            string
	}{
		"by key":           {"archive", "id bigint", false, "7 gone"},
		"whole row":        {"archive", "id bigint, plan text", true, "7 gone"},
		"when cannot tell": {"archive", "id bigint", true, "7 gone"},
		"without the key":  {"archive", "account_name text", true, "columns id, plan of table public.accounts are no longer there"},
		"nothing follows":  {"ignore", "account_name text", true, ""},
	} {
		m := compile(t, `version: 1
tables:
  accounts:
    match: {account_id: id}
    on_delete: `+test.policy+`
    when: 'plan == "FREE"'
    properties: {name: account_name}
`)
		rel := streamed(strings.Split(test.columns, ", ")...)
		values := map[string]string{"id": "7", "plan": "FREE", "account_name": "A"}
		for k := range values {
			if rel.Column(k) < 0 {
				delete(values, k)
			}
		}
		patches, err := m.Mapper().Map(&change.Event{Kind: change.Delete, Relation: rel, Old: row(t, rel, values), OldIsKey: !test.full}, nil)
		got := ""
		if err == nil && len(patches) == 1 {
			if got = patches[0].Unfit; patches[0].Gone {
				got = string(patches[0].Key) + " gone"
			}
		}
		if err != nil || !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// TestATableThatIsRenamed: its changes are owed while nobody has its name.
func TestATableThatIsRenamed(t *testing.T) {
	m := compile(t, oneProperty("name", "account_name"))
	x := m.Mapper()
	values := map[string]string{"id": "7", "account_name": "A"}
	away := streamed("id bigint", "account_name text")
	away.Name = "accounts_old"
	if got := mapRow(t, x, away, values); !strings.HasPrefix(got, "table public.accounts is called public.accounts_old now") {
		t.Error(got)
	}
	if got := mapRow(t, x, streamed("id bigint", "account_name text"), values); got != "7 name=A" {
		t.Error(got)
	}
	another := streamed("id bigint", "account_name text")
	another.OID = 2
	if got := mapRow(t, x, another, values); got != "7 name=A" {
		t.Error(got)
	}
	if got := mapRow(t, x, away, values); got != "no patch" {
		t.Errorf("of a table whose name another took: %s", got)
	}
}
