package mapping

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// typeSamples are values of each type of column, for the table of types.
var typeSamples = []struct{ typ, text string }{
	{"text", "abc"},
	{"text", "12.50"},
	{"text", "2026-01-31"},
	{"character varying", "true"},
	{"character", "ab   "},
	{"citext", "Abc"},
	{"name", "abc"},
	{"stage", "won"},
	{"domain over numeric", "12.50"},
	{"boolean", "t"},
	{"smallint", "42"},
	{"integer", "42"},
	{"bigint", "9223372036854775807"},
	{"oid", "42"},
	{"numeric", "12.50"},
	{"numeric", "NaN"},
	{"real", "1e+20"},
	{"double precision", "1e-07"},
	{"double precision", "Infinity"},
	{"money", "$1,000.00"},
	{"date", "2026-01-31"},
	{"date", "infinity"},
	{"date", "0044-03-15 BC"},
	{"date", "10000-01-01"},
	{"timestamp", "2026-01-31 12:00:00.123456"},
	{"timestamp with time zone", "2026-01-31 12:00:00.123456+00"},
	{"timestamp with time zone", "infinity"},
	{"time without time zone", "12:00:00"},
	{"time with time zone", "12:00:00+00"},
	{"interval", "1 day 02:00:00"},
	{"uuid", "5e0ab0c4-…"},
	{"json", `{"a": 1}`},
	{"jsonb", `{"a": 1}`},
	{"jsonb", `["a", "b"]`},
	{"hstore", `"a"=>"1"`},
	{"xml", "<a/>"},
	{"bytea", `\x0aff`},
	{"bit", "101"},
	{"inet", "10.0.0.1/24"},
	{"cidr", "10.0.0.0/24"},
	{"macaddr", "08:00:2b:01:02:03"},
	{"point", "(1,2)"},
	{"tsvector", "'a':1"},
	{"pg_lsn", "16/B374D848"},
	{"int4range", "[1,5)"},
	{"tstzrange", `["2026-01-31 12:00:00+00",)`},
	{"int4multirange", "{[1,3),[5,7)}"},
	{"composite", "(1,abc)"},
	{"text[]", "{a,b}"},
	{"text[]", `{"a;b"}`},
	{"text[]", "{{a},{b}}"},
	{"citext[]", "{A,b}"},
	{"stage[]", "{won,lost}"},
	{"boolean[]", "{t,f,NULL}"},
	{"bigint[]", "{1,2}"},
	{"numeric[]", "{1.50,2}"},
	{"uuid[]", "{5e0ab0c4-…}"},
	{"date[]", "{2026-01-31}"},
	{"timestamp with time zone[]", `{"2026-01-31 12:00:00+00"}`},
	{"jsonb[]", `{"{\"a\": 1}"}`},
}

var typeColumns = []Property{
	{Name: "string", Type: "string"},
	{Name: "number", Type: "number"},
	{Name: "bool", Type: "bool"},
	{Name: "date", Type: "date"},
	{Name: "datetime", Type: "datetime"},
	{Name: "enumeration", Type: "enumeration", ExternalOptions: true},
	{Name: "checkboxes", Type: "enumeration", FieldType: "checkbox", ExternalOptions: true},
}

// TestTypeTable holds the documentation's table against what the mapping does;
// -update writes it anew.
func TestTypeTable(t *testing.T) {
	var table strings.Builder
	table.WriteString("| column | value |")
	for _, p := range typeColumns {
		table.WriteString(" " + p.Name + " |")
	}
	table.WriteString("\n|---|---|" + strings.Repeat("---|", len(typeColumns)) + "\n")
	for _, sample := range typeSamples {
		name := strings.NewReplacer("timestamp with time zone", "timestamptz", "time with time zone", "timetz", "time without time zone", "time",
			"character varying", "varchar", "character", "char(n)", "stage", "an enum", "domain over", "a domain over", "composite", "a composite").Replace(sample.typ)
		fmt.Fprintf(&table, "| %s | `%s` |", name, sample.text)
		for _, p := range typeColumns {
			cell := typeCell(t, p, sample.typ, sample.text)
			if phone := (Property{Name: "phone", Type: "phone_number", FieldType: "phonenumber"}); p.Type == "string" && typeCell(t, phone, sample.typ, sample.text) != cell {
				t.Errorf("%s: a phone number is not written as a string is", sample.typ)
			}
			table.WriteString(" " + cell + " |")
		}
		table.WriteString("\n")
	}
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), "-update -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end of types -->")
	if !ok1 || !ok2 {
		t.Fatal("the marks of the table are gone")
	}
	want := before + "-update -->\n" + table.String() + "<!-- end of types -->" + after
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("docs/mapping.md has another table of types; go test ./mapping -run TypeTable -update writes\n%s", table.String())
	}
}

func typeCell(t *testing.T, p Property, typ, text string) string {
	t.Helper()
	rel := table("t", "id bigint", "c "+typ)
	key := Property{Name: "k", Type: "string", HasUniqueValue: true}
	rule := "c"
	if p.Type == "date" && typ == "timestamp with time zone" {
		rule = "{column: c, tz: UTC}"
	}
	f, err := Parse("m", []byte("version: 1\ntables: {t: {match: {k: id}, properties: {"+p.Name+": "+rule+"}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(f, []*change.Relation{rel}, map[string][]Property{"companies": {p, key}})
	if err != nil {
		return ""
	}
	patches, err := m.Mapper().Map(&change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, map[string]string{"id": "1", "c": text})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := docSent(patches, false)
	if strings.HasPrefix(s, "parked") {
		return "✗"
	}
	return strings.Replace(s, p.Name+"=", "", 1)
}
