package mapping

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

const docsFile = "../docs/mapping.md"

// docExample is a fenced mapping of the documentation and the rows under it.
type docExample struct {
	line   int
	yaml   string
	header []string
	rows   [][]string
}

func docExamples(t *testing.T) []docExample {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	var examples []docExample
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		if lines[i] != "```yaml" {
			continue
		}
		e := docExample{line: i + 1}
		for i++; lines[i] != "```"; i++ {
			e.yaml += lines[i] + "\n"
		}
		for i++; i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "|")); i++ {
			if lines[i] == "" {
				continue
			}
			cells := strings.Split(strings.Trim(lines[i], "|"), " |")
			for j := range cells {
				cells[j] = strings.Trim(cells[j], " ")
			}
			switch {
			case e.header == nil:
				e.header = cells
			case !strings.HasPrefix(lines[i], "|---"):
				e.rows = append(e.rows, cells)
			}
		}
		i--
		examples = append(examples, e)
	}
	return examples
}

// cell reads a value of an example: code, NULL, unchanged or the empty text.
func cell(s string) string {
	switch s {
	case "NULL":
		return null
	case "unchanged":
		return unchanged
	case "the empty text":
		return ""
	}
	return strings.Trim(s, "`")
}

func TestDocumentedExamples(t *testing.T) {
	examples := docExamples(t)
	if len(examples) < 24 {
		t.Fatalf("only %d examples found", len(examples))
	}
	rel := accounts()
	for _, e := range examples {
		src, whole := e.yaml, strings.HasPrefix(e.yaml, "version:")
		if !whole {
			src = "version: 1\ntables:\n  accounts:\n    match: {account_id: id}\n    properties:\n      " + e.yaml
		}
		if err := checkSchema(t, src); err != nil {
			t.Errorf("line %d: the schema refuses it: %v", e.line, err)
		}
		m := compile(t, src)
		if len(e.rows) == 0 {
			t.Errorf("line %d: an example without rows", e.line)
		}
		for _, cells := range e.rows {
			ev := docEvent(t, rel, e.header, cells)
			x := m.Mapper()
			patches, err := x.Map(ev, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := docSent(patches, whole)
			if x.Skipped(m.Sources()[0]) > 0 {
				got = "skipped"
			}
			if want := cells[len(cells)-1]; got != want {
				t.Errorf("line %d: %v\ngot  %s", e.line, cells, got)
			}
		}
	}
}

func docEvent(t *testing.T, rel *change.Relation, header, cells []string) *change.Event {
	t.Helper()
	values, kind := map[string]string{"id": "7"}, change.Insert
	for i, name := range header[:len(header)-1] {
		if name == "op" {
			kind = map[string]change.Kind{"insert": change.Insert, "update": change.Update, "delete": change.Delete}[cells[i]]
			continue
		}
		values[strings.Trim(name, "`")] = cell(cells[i])
	}
	ev := &change.Event{Kind: kind, Relation: rel}
	if kind == change.Delete {
		ev.Old = row(t, rel, values)
	} else {
		ev.New = row(t, rel, values)
	}
	return ev
}

// docSent writes what patches ask in the words of the documentation.
func docSent(patches []change.Patch, whole bool) string {
	var sent []string
	for _, p := range patches {
		var set, doubtful, cleared []string
		var refused string
		for prop := range p.Props.All() {
			name := p.Source.Target.Properties[prop.Slot]
			switch prop.Kind {
			case change.Set:
				set = append(set, name+"="+string(prop.Text))
			case change.Clear:
				cleared = append(cleared, name)
			case change.ClearIfDelivered:
				doubtful = append(doubtful, name)
			case change.Refused:
				refused = prop.Rejection().Category
			}
		}
		s := ""
		switch {
		case whole:
			s = fmt.Sprintf("`%s %s: %s`", p.Source.Target.Match, p.Key, strings.Join(set, " "))
			if len(doubtful) > 0 {
				s += ", cleared if delivered: `" + strings.Join(doubtful, " ") + "`"
			}
			if p.Gone {
				s = "gone, " + s
			}
		case refused != "":
			s = "parked: " + refused
		case len(set) > 0:
			s = "`" + strings.Join(set, " ") + "`"
		case len(cleared) > 0:
			s = "cleared"
		case len(doubtful) > 0:
			s = "cleared if delivered"
		default:
			s = "nothing"
		}
		sent = append(sent, s)
	}
	if len(sent) == 0 {
		return "nothing"
	}
	return strings.Join(sent, " and ")
}

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

func TestDocumentedFunctionsExist(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"texts", "numbers", "lists", "maps"} {
		_, rest, _ := strings.Cut(string(text), "| "+kind+" | `")
		list, _, _ := strings.Cut(rest, "` |")
		names := strings.Fields(strings.Replace(list, "(x, places)", "", 1))
		if len(names) < 4 {
			t.Fatalf("no list of %s", kind)
		}
		for _, name := range names {
			for _, call := range []string{name + "(meta)", name + "(meta, meta)", name + "(meta, meta, meta)", name + "(tags, true)"} {
				p := compileProblemsOfExpression(t, call)
				if slices.ContainsFunc(p, func(s string) bool { return strings.Contains(s, "no function") || strings.Contains(s, "not supported") }) {
					t.Errorf("%s: %v", call, p)
				}
			}
		}
	}
}

func compileProblemsOfExpression(t *testing.T, src string) []string {
	t.Helper()
	return compileProblems(t, oneProperty("status", `{expr: "`+src+`"}`))
}
