package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

const docsFile = "../docs/mapping.md"

// docExample is a fenced mapping of the documentation, and under it the rows
// that it maps or the lines that it is refused with.
type docExample struct {
	line    int
	source  string
	header  []string
	rows    [][]string
	refused []string
}

// whole reports whether the example is a whole file and not one property.
func (e *docExample) whole() bool {
	return strings.HasPrefix(e.source, "version:") || strings.HasPrefix(e.source, "{")
}

// file is the whole mapping that the example stands for.
func (e *docExample) file() string {
	if e.whole() {
		return e.source
	}
	return "version: 1\ntables:\n  accounts:\n    match: {account_id: id}\n    properties:\n      " + e.source
}

// readDocs takes the examples and the SQL out of the documentation.
func readDocs(t *testing.T) (examples []*docExample, sql string) {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	var now *docExample
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		language, fence := strings.CutPrefix(lines[i], "```")
		switch {
		case fence:
			first := i + 1
			i = first + slices.Index(lines[first:], "```")
			switch block := strings.Join(lines[first:i], "\n") + "\n"; language {
			case "yaml", "json":
				now = &docExample{line: first, source: block}
				examples = append(examples, now)
			case "text":
				now.refused = lines[first:i]
			case "sql":
				sql += block
			}
		case strings.HasPrefix(lines[i], "|---"):
		case strings.HasPrefix(lines[i], "|") && now != nil:
			cells := strings.Split(strings.Trim(lines[i], "|"), " |")
			for j := range cells {
				cells[j] = strings.TrimSpace(cells[j])
			}
			if now.header == nil {
				now.header = cells
			} else {
				now.rows = append(now.rows, cells)
			}
		case lines[i] != "":
			now = nil
		}
	}
	return examples, sql
}

// docTables makes the tables that the documentation's SQL creates.
func docTables(t *testing.T, sql string) []*change.Relation {
	t.Helper()
	types := strings.NewReplacer("timestamptz", "timestamp with time zone", "stage_enum", "stage")
	var tables []*change.Relation
	for _, found := range regexp.MustCompile(`(?s)CREATE TABLE (\S+) \((.*?)\n\);`).FindAllStringSubmatch(sql, -1) {
		var columns []string
		for _, c := range regexp.MustCompile(`,\s`).Split(found[2], -1) {
			columns = append(columns, types.Replace(strings.TrimSuffix(strings.TrimSpace(c), " PRIMARY KEY")))
		}
		rel := table(strings.Trim(found[1], `"`), columns...)
		for i := range rel.Columns {
			c := &rel.Columns[i]
			if name, rest, quoted := strings.Cut(strings.TrimPrefix(columns[i], `"`), `" `); quoted {
				c.Name, c.Type = name, typ(rest)
			}
		}
		tables = append(tables, rel)
	}
	return tables
}

// docProperties are those of the portal that the documentation speaks of.
func docProperties() map[string][]Property {
	properties := companies()
	properties["deals"] = []Property{
		{Name: "deal_key", Type: "string", FieldType: "text", HasUniqueValue: true},
		{Name: "dealname", Type: "string", FieldType: "text"},
		{Name: "amount", Type: "number", FieldType: "number"},
	}
	return properties
}

// TestDocumentedExamples maps the rows of docs/mapping.md by the mappings above
// them.
func TestDocumentedExamples(t *testing.T) {
	examples, sql := readDocs(t)
	tables := docTables(t, sql)
	for _, e := range examples {
		if len(e.rows) == 0 && len(e.refused) == 0 {
			t.Errorf("line %d: an example that shows nothing", e.line)
		}
		if len(e.refused) == 0 {
			if err := checkSchema(t, e.file()); err != nil {
				t.Errorf("line %d: the schema refuses it: %v", e.line, err)
			}
		}
		f, err := Parse("pgcrm.yaml", []byte(e.file()))
		var m *Mapping
		if err == nil {
			m, err = Compile(f, tables, docProperties())
		}
		var mistakes *Error
		if errors.As(err, &mistakes) {
			if diff := gocmp.Diff(e.refused, mistakes.Problems()); diff != "" {
				t.Errorf("line %d: -documented +got\n%s", e.line, diff)
			}
			continue
		}
		if len(e.refused) > 0 {
			t.Errorf("line %d: it is refused nowhere", e.line)
		}
		for _, cells := range e.rows {
			x := m.Mapper()
			patches, err := x.Map(docEvent(t, tables, e.header, cells), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := docSent(patches, e.whole())
			if x.Skipped(m.Sources()[0]) > 0 {
				got = "skipped"
			}
			if want := cells[len(cells)-1]; got != want {
				t.Errorf("line %d: %v\ngot  %s", e.line, cells, got)
			}
		}
	}
}

// TestTheMappingOfTheREADME holds its form against the parser and the schema.
func TestTheMappingOfTheREADME(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "   ```yaml\n")
	example, _, found := strings.Cut(rest, "   ```\n")
	if !found {
		t.Fatal("the README has no mapping")
	}
	if _, err := Parse("README.md", []byte(example)); err != nil {
		t.Error(err)
	}
	if err := checkSchema(t, example); err != nil {
		t.Error(err)
	}
}

// TestEveryKeyHasAnExample asks the schema for the keys and their choices.
func TestEveryKeyHasAnExample(t *testing.T) {
	examples, _ := readDocs(t)
	var all strings.Builder
	for _, e := range examples {
		if len(e.refused) == 0 {
			all.WriteString(e.file())
		}
	}
	written := func(key, value string) bool {
		return regexp.MustCompile(`\b` + key + `"?: "?` + value).MatchString(all.String())
	}
	var walk func(key string, schema any)
	walk = func(key string, schema any) {
		s, _ := schema.(map[string]any)
		if key != "" && !written(key, "") {
			t.Errorf("no example has the key %s", key)
		}
		for _, choice := range asList(s["enum"]) {
			if choice != s["default"] && !written(key, choice.(string)) {
				t.Errorf("no example has %s: %v", key, choice)
			}
		}
		for _, alternative := range asList(s["anyOf"]) {
			walk(key, alternative)
		}
		properties, _ := s["properties"].(map[string]any)
		for key, value := range properties {
			walk(key, value)
		}
	}
	root := schemaOf(t)
	walk("", root)
	for _, def := range root["$defs"].(map[string]any) {
		walk("", def)
	}
}

// docEvent makes the change that a row of an example is: of the columns' values
// after it and, under "old", before it.
func docEvent(t *testing.T, tables []*change.Relation, header, cells []string) *change.Event {
	t.Helper()
	ev := &change.Event{Kind: change.Insert, Relation: tables[0]}
	values, old := map[string]string{}, map[string]string{}
	for i, name := range header[:len(header)-1] {
		before, wasOld := strings.CutPrefix(name, "old ")
		switch {
		case name == "op":
			ev.Kind = map[string]change.Kind{"insert": change.Insert, "update": change.Update, "delete": change.Delete}[cells[i]]
		case name == "table":
			at := slices.IndexFunc(tables, func(rel *change.Relation) bool { return rel.Name == docCell(cells[i]) })
			ev.Relation = tables[at]
		case cells[i] == "":
		case wasOld:
			ev.Kind = change.Update
			old[strings.Trim(before, "`")] = docCell(cells[i])
		default:
			values[strings.Trim(name, "`")] = docCell(cells[i])
		}
	}
	key := ev.Relation.Columns[0].Name
	values[key] = cmp.Or(values[key], "7")
	switch {
	case ev.Kind == change.Delete:
		ev.Old = row(t, ev.Relation, values)
		return ev
	case len(old) > 0:
		for name, v := range values {
			if _, stands := old[name]; !stands && v != unchanged {
				old[name] = v
			}
		}
		ev.Old = row(t, ev.Relation, old)
	}
	ev.New = row(t, ev.Relation, values)
	return ev
}

var repeated = regexp.MustCompile("^([0-9,]+) times `(.)`$")

// docCell reads a value of an example: code, NULL, unchanged, the empty text, or
// a character many times.
func docCell(s string) string {
	switch s {
	case "NULL":
		return null
	case "unchanged":
		return unchanged
	case "the empty text":
		return ""
	}
	if many := repeated.FindStringSubmatch(s); many != nil {
		var n int
		_, _ = fmt.Sscan(strings.ReplaceAll(many[1], ",", ""), &n)
		return strings.Repeat(many[2], n)
	}
	return strings.Trim(s, "`")
}

// docSent writes what patches ask in the words of the documentation.
func docSent(patches []change.Patch, whole bool) string {
	var sent []string
	for i := range patches {
		if s := docPatch(&patches[i], whole); s != "" {
			sent = append(sent, s)
		}
	}
	return cmp.Or(strings.Join(sent, " and "), "nothing")
}

func docPatch(p *change.Patch, whole bool) string {
	var set, doubtful, cleared []string
	var refused string
	for prop := range p.Props.All() {
		name := p.Source.Target.Properties[prop.Slot]
		switch prop.Kind {
		case change.Set:
			if slices.Contains(p.Source.ClearFirst, prop.Slot) {
				cleared = append(cleared, name)
			}
			set = append(set, name+"="+docText(string(prop.Text)))
		case change.Clear:
			cleared = append(cleared, name)
		case change.ClearIfDelivered:
			doubtful = append(doubtful, name)
		case change.Refused:
			refused = "parked: " + prop.Rejection().Category
		}
	}
	if p.Rejection != nil {
		refused = "parked: " + p.Rejection.Category
	}
	var parts []string
	add := func(when bool, s string) {
		if when {
			parts = append(parts, s)
		}
	}
	if !whole {
		add(refused != "", refused)
		add(len(cleared) > 0, "cleared")
		add(len(set) > 0, "`"+strings.Join(set, " ")+"`")
		add(len(doubtful) > 0, "cleared if delivered")
		add(p.Reread, "the row is read again")
		return strings.Join(parts, ", ")
	}
	if p.Rejection != nil {
		return refused
	}
	record := p.Source.Target.Match + " " + string(p.Key)
	if object := p.Source.Target.Object; object != DefaultObject {
		record = object + " " + record
	}
	add(p.Gone, "gone")
	add(p.Gone && p.Source.OnDelete == change.Archive, "archived")
	add(true, "`"+strings.TrimSuffix(record+": "+strings.Join(set, " "), ": ")+"`")
	add(len(p.OldKey) > 0, "renamed from `"+string(p.OldKey)+"`")
	add(len(doubtful) > 0, "cleared if delivered: `"+strings.Join(doubtful, " ")+"`")
	add(refused != "", refused)
	add(p.Source.OnMissing == change.Create, "created if missing")
	add(p.Source.OnMissing == change.Skip, "skipped if missing")
	return strings.Join(parts, ", ")
}

// docText is a text as an example shows it: of a long one, its length.
func docText(s string) string {
	if len(s) < 1000 {
		return s
	}
	return fmt.Sprintf("(%d characters)", len(s))
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
