package mapping

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problems runs Parse and returns its lines.
func problems(t *testing.T, src string) []string {
	t.Helper()
	_, err := Parse("m.yaml", []byte(src))
	if err == nil {
		return nil
	}
	e, ok := err.(interface{ Problems() []string })
	if !ok {
		t.Fatalf("%T has no Problems", err)
	}
	return e.Problems()
}

func TestParseReportsEveryMistake(t *testing.T) {
	const head = "version: 1\ntables:\n  accounts:\n    match: {account_id: id}\n    properties:\n"
	for name, test := range map[string]struct {
		src  string
		want []string
	}{
		"empty":   {"", []string{"m.yaml:1:1: the mapping is empty; it starts with version: 1 and tables:"}},
		"comment": {"# nothing\n", []string{"m.yaml:1:1: the mapping is empty; it starts with version: 1 and tables:"}},
		"a list":  {"- a\n", []string{"m.yaml:1:1: the mapping is a map that starts with version: 1 and tables:, not a list"}},
		"no version, unknown key": {"verson: 1\ntables:\n  a: {match: {x: id}, properties: {n: b}}\n", []string{
			"m.yaml:1:1: unknown key verson in the mapping; did you mean version?",
			"m.yaml:1:1: version is missing; add version: 1 as the first line",
		}},
		"version 2": {"version: 2\ntables:\n  a: {match: {x: id}, properties: {n: b}}\n", []string{
			"m.yaml:1:10: version 2 is not known; this pgcrm reads version 1",
		}},
		"everything at once": {
			"version: 1\ntables:\n  accounts:\n    mach: {account_id: id}\n    on_missing: prak\n    on_delete: {sett: {a: b}}\n    properties:\n      name: {colum: n}\n      name: x\n      plan: {column: p, const: q}\n      a: {column: p, on_other: keep}\n      b: {const: p, tz: UTC}\n      c: {column: p, tz: Mars/Base}\n      d: [p]\n      e:\n      f: ~\n  1bad: x\n",
			[]string{
				"m.yaml:4:5: unknown key mach in a table's mapping; did you mean match?",
				"m.yaml:4:5: match is missing; add match: {PROPERTY: COLUMN}, the HubSpot property with unique values and the column that holds its value",
				`m.yaml:5:17: on_missing cannot be "prak"; did you mean park?`,
				"m.yaml:6:17: unknown key sett in on_delete; did you mean set?",
				"m.yaml:8:13: property name says not where its value comes from; add column, expr or const",
				"m.yaml:8:14: unknown key colum in property name; did you mean column?",
				"m.yaml:9:7: the key name stands here for the second time, first on line 8; keep one of them",
				"m.yaml:10:25: property plan has both column and const; keep one",
				"m.yaml:11:22: on_other belongs to values; add values or remove on_other",
				"m.yaml:12:21: tz has no effect on a const, which is taken as written; remove it",
				`m.yaml:13:26: "Mars/Base" is not a time zone; write a name of the IANA database such as America/New_York or UTC`,
				"m.yaml:14:10: d takes one value, not a list",
				"m.yaml:15:9: e has no value; write one, in quotes if you mean the text",
				"m.yaml:16:10: f has no value; write one, in quotes if you mean the text",
				`m.yaml:17:3: "1bad" is not a table name; write schema.table, and a name with capitals or other characters than letters, digits and _ in double quotes, 'public."My Table"'`,
				"m.yaml:17:9: the table has no mapping; add match and properties under it",
			},
		},
		"true and its quoted twin": {head + "      plan: {column: p, values: {true: A, \"true\": B}}\n", []string{
			"m.yaml:6:43: the key true stands here for the second time, first on line 6; keep one of them",
		}},
		"alias, anchor, tag, merge": {head + "      a: &x n\n      b: *x\n      c: !!str n\n      <<: {d: e}\n", []string{
			"m.yaml:6:10: YAML anchors are not supported; write the value out, in double quotes if it starts with &",
			"m.yaml:7:10: YAML aliases are not supported; write the value out, in double quotes if it starts with *",
			`m.yaml:8:10: "!!str" is a YAML tag, which the mapping does not use; put a value that starts with ! in double quotes`,
			"m.yaml:9:7: YAML merge keys are not supported; write the keys out",
		}},
		"second document": {head + "      a: n\n---\ntables: {}\n", []string{
			"m.yaml:8:1: a second YAML document starts here and would be ignored; put everything into one document, without ---",
		}},
		"the same table twice": {"version: 1\ntables:\n  accounts: {match: {x: id}, properties: {n: b}}\n  public.accounts: {match: {x: id}, properties: {n: b}}\n", []string{
			"m.yaml:4:3: table public.accounts stands here for the second time, first on line 3; give the first one a list of mappings",
		}},
		"unquoted expression in a flow map": {head + "      a: {expr: replace(host, 'www.', '')}\n", []string{
			`m.yaml:6:39: YAML: could not find flow map content; put the expression in double quotes, expr: "..."`,
		}},
		"unquoted expression in a block": {head + "      a:\n        expr: a ? 'x' : 'y'\n", []string{
			`m.yaml:7:15: YAML: mapping value is not allowed in this context; put the expression in double quotes, expr: "..."`,
		}},
		"negated condition": {"version: 1\ntables:\n  accounts:\n    match: {account_id: id}\n    when: !active\n    properties: {a: b}\n", []string{
			`m.yaml:5:11: "!active" is a YAML tag, which the mapping does not use; put a value that starts with ! in double quotes`,
		}},
		"tabs": {"version: 1\ntables:\n\taccounts:\n", []string{
			"m.yaml:3:1: YAML: found character '\\t' that cannot start any token; indent with spaces, not tabs",
		}},
		"latin-1": {"version: 1\n# caf\xe9\n", []string{"m.yaml:2:6: not UTF-8 text; save the file as UTF-8"}},
		"too deep": {strings.Repeat("[", 40) + strings.Repeat("]", 40), []string{
			"m.yaml:1:22: nested deeper than 20 levels; the mapping needs no more than 8",
			"m.yaml:1:1: the mapping is a map that starts with version: 1 and tables:, not a list",
		}},
		"broken JSON": {"{\n\t\"version\": 1,\n\t\"tables\": {]\n}", []string{
			"m.yaml:3:13: JSON: invalid character ']'; mend the JSON, or write YAML",
		}},
		"JSON with mistakes": {"{\n\t\"version\": 1,\n\t\"tables\": {\"accounts\": {\"match\": {\"a\": \"id\"},\n\t\t\"on_missing\": \"x\", \"properties\": {\"n\": null, \"n\": \"b\"}}}\n}", []string{
			`m.yaml:4:17: on_missing cannot be "x"; choose one of park, create, skip`,
			"m.yaml:4:42: n has no value; write one, in quotes if you mean the text",
			"m.yaml:4:48: the key n stands here for the second time, first on line 4; keep one of them",
		}},
		"match of two": {"version: 1\ntables:\n  accounts:\n    match: {a: id, b: id}\n    properties: {a: b}\n", []string{
			"m.yaml:4:12: match names one property and one column, match: {account_id: id}, not a map",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := problems(t, test.src)
			if name == "too deep" { // sorted by place
				test.want[0], test.want[1] = test.want[1], test.want[0]
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestParseTakes(t *testing.T) {
	for name, src := range map[string]string{
		"byte order mark": "\ufeffversion: 1\ntables: {accounts: {match: {a: id}, properties: {n: b}}}\n",
		"JSON":            `{"version": 1, "tables": {"accounts": {"match": {"a": "id"}, "properties": {"n": {"column": "b", "values": {"a": 1, "b": true}}}}}}`,
		"carriage return": "version: 1\r\ntables:\r\n  accounts:\r\n    match: {a: id}\r\n    properties:\r\n      n: b\r\n",
		"list":            "version: 1\ntables:\n  accounts:\n  - match: {a: id}\n    properties: {n: b}\n  - object: deals\n    match: {a: id}\n    properties: {n: b}\n",
		"leading ---":     "---\nversion: 1\ntables:\n  accounts:\n    match: {a: id}\n    properties:\n      n: b\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got := problems(t, src); got != nil {
				t.Error(strings.Join(got, "\n"))
			}
		})
	}
}

func TestParseKeepsScalarsAsWritten(t *testing.T) {
	f, err := Parse("m", []byte("version: 1\ntables:\n  accounts:\n    match: {a: id}\n    properties:\n"+
		"      p: {column: c, values: {007: 1.50, 2026-01-31: 0x1f, true: no, 1e3: .inf, ~: x, null: y}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range f.tables[0].mappings[0].props[0].values {
		got[v.from.text] = v.to.text
	}
	want := map[string]string{"007": "1.50", "2026-01-31": "0x1f", "true": "no", "1e3": ".inf", "~": "x", "null": "y"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTableNames(t *testing.T) {
	for in, want := range map[string]string{
		"accounts": "public.accounts", "crm.Accounts": "crm.accounts", `public."Accounts"`: `public."Accounts"`,
		`"My Schema"."a""b.c"`: `"My Schema"."a""b.c"`, `"x"`: "public.x", "sales.q1$": `sales."q1$"`, "größe": `public."größe"`,
	} {
		got, err := ParseTableName(in)
		if err != nil || got.String() != want {
			t.Errorf("ParseTableName(%s) = %s, %v; want %s", in, got, err, want)
		}
		if again, err := ParseTableName(got.String()); err != nil || again != got {
			t.Errorf("%s does not read back: %v, %v", got, again, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a.b.c", `"a`, `""`, "1a", "a b", `"a"b`, "a-b"} {
		if got, err := ParseTableName(bad); err == nil {
			t.Errorf("ParseTableName(%q) = %s", bad, got)
		}
	}
}

func TestExcerptPointsWithACaret(t *testing.T) {
	_, err := Parse("m.yaml", []byte("version: 1\ntables:\n  äö: {match: {a: id}, properties: {n: b}, wenn: x}\n"))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := map[string][]string{
		"m.yaml:3:44: unknown key wenn in a table's mapping; did you mean when?": {
			"  äö: {match: {a: id}, properties: {n: b}, wenn: x}",
			strings.Repeat(" ", 43) + "^",
		},
	}
	if diff := cmp.Diff(want, e.Excerpts()); diff != "" {
		t.Error(diff)
	}
}

func TestListings(t *testing.T) {
	f, err := Parse("m", []byte("version: 1\ntables:\n  b: {object: deals, match: {a: id}, properties: {n: b}}\n  a:\n  - {match: {a: id}, properties: {n: b}}\n  - {object: deals, match: {a: id}, properties: {n: b}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]TableName{{"public", "b"}, {"public", "a"}}, f.Tables()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"companies", "deals"}, f.Objects()); diff != "" {
		t.Error(diff)
	}
}
