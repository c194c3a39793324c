package expression

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// row is a table of one row: names, types and values.
type row map[string]any

var types = map[string]Type{
	"name": {Kind: String}, "host": {Kind: String}, "mrr": {Kind: Number}, "mrr_cents": {Kind: Number}, "seats": {Kind: Number}, "score": {Kind: Number},
	"active": {Kind: Bool}, "created_at": {Kind: Moment}, "seen_at": {Kind: Timestamp}, "born": {Kind: Date}, "meta": {}, "tags": listOf(Type{Kind: String}),
	"stage": {Kind: String, Labels: []string{"lead", "won"}}, "deleted_at": {Kind: Moment}, "len": {Kind: String}, "My Col": {Kind: Number}, "in": {Kind: Bool}, "attrs": {Kind: Map},
}

func (row) Column(name string) (Type, error) {
	if t, ok := types[name]; ok {
		return t, nil
	}
	return Type{}, fmt.Errorf("no column %s", name)
}

func number(s string) any {
	n, ok := ParseNumber(s)
	if !ok {
		panic(s)
	}
	return n
}

func moment(s string, kind Kind) any {
	t, ok := ParseTime(s, kind)
	if !ok {
		panic(s)
	}
	return t
}

func sample() row {
	meta, err := ParseJSON(`{"industry": "Software", "n": 12345678901234567.89, "list": [1, "two", null], "deep": {"er": {"x": true}}, "null": null}`)
	if err != nil {
		panic(err)
	}
	return row{
		"name": "Acmé Inc", "host": " WWW.Acme.example ", "mrr": number("12345678901234567.89"), "mrr_cents": number("123456"), "seats": number("5"),
		"score": number("0.1"), "active": true, "created_at": moment("2026-01-31 23:30:00.5+00", Moment), "seen_at": moment("2026-01-31 23:30:00", Timestamp),
		"born": moment("2026-01-31", Date), "meta": meta, "tags": []any{"a", "b", nil, "c"}, "stage": "won", "len": "L", "My Col": number("1"), "in": true,
		"attrs": map[string]any{"k": "v"},
	}
}

func eval(t testing.TB, src string, r row) (string, error) {
	t.Helper()
	p, problems := Compile(src, r)
	if p == nil {
		t.Fatalf("%s: %v", src, problems)
	}
	f := &Frame{Load: func(i int) (any, error) { return r[p.Columns[i]], nil }}
	v, err := p.Eval(f)
	if v == nil {
		return "NULL", err
	}
	if k := kindOf(v); p.Type.Kind != Any && p.Type.Kind != k {
		t.Errorf("%s: typed %s, got %s", src, p.Type, Type{Kind: k})
	}
	return Text(v), err
}

func TestValues(t *testing.T) {
	for src, want := range map[string]string{
		// text
		`lower(trim(host))`:                             "www.acme.example",
		`host | trim() | lower() | replace("www.", "")`: "acme.example",
		`name + "!"`:                                    "Acmé Inc!",
		`upper(name[:4])`:                               "ACMÉ",
		`name[-3:]`:                                     "Inc",
		`name[2:1]`:                                     "",
		`len(name)`:                                     "8",
		`len`:                                           "L",
		`indexOf(name, "Inc")`:                          "5",
		`split("a.b.c", ".")[1]`:                        "b",
		`split("a.b.c", ".")[-1]`:                       "c",
		`split("a.b.c", ".")[9]`:                        "NULL",
		`name contains "Inc" and not (name startsWith "x")`: "true",
		`name matches "^A.*c$"`:                             "true",
		`trimSuffix("a.com", ".com")`:                       "a",
		`repeat("ab", 3)`:                                   "ababab",
		`name not contains "x"`:                             "true",
		// numbers
		`mrr_cents / 100`:             "1234.56",
		`mrr * 12`:                    "148148146814814814.68",
		`mrr * 0.2 + 1`:               "2469135780246914.578",
		`1 / 3`:                       "0.33333333333333333333",
		`2 / 3`:                       "0.66666666666666666667",
		`-2 / 3`:                      "-0.66666666666666666667",
		`100 / 10`:                    "10",
		`1000 / 0.1`:                  "10000",
		`1e3 / 3 * 3`:                 "999.99999999999999999999",
		`7 / 2`:                       "3.5",
		`0 / 5`:                       "0",
		`9223372036854775807 * 2`:     "18446744073709551614",
		`9223372036854775807 + 1`:     "9223372036854775808",
		`-9223372036854775807 - 2`:    "-9223372036854775809",
		`0.1 + 0.2`:                   "0.3",
		`12345678901234567.89 + 0.01`: "12345678901234567.90",
		`score * 3`:                   "0.3",
		`7 % 3`:                       "1",
		`-7 % 3`:                      "-1",
		`5.5 % 2`:                     "1.5",
		`2 ** 10`:                     "1024",
		`2 ** -2`:                     "0.25",
		`1.5 ^ 2`:                     "2.25",
		`-mrr`:                        "-12345678901234567.89",
		`abs(-5)`:                     "5",
		`round(2.5)`:                  "3",
		`round(-2.5)`:                 "-3",
		`round(1234.567, 2)`:          "1234.57",
		`round(1250, -2)`:             "1300",
		`floor(-0.5)`:                 "-1",
		`ceil(0.1)`:                   "1",
		`int(2.9)`:                    "2",
		`int("42")`:                   "42",
		`int(active)`:                 "1",
		`float(" 1.50 ")`:             "1.50",
		`max(1, 2.5, seats)`:          "5",
		`min([3, 1, 2])`:              "1",
		`sum([1, 2.5, nil])`:          "3.5",
		`mean([1, 2])`:                "1.5",
		`median([3, 1, 2])`:           "2",
		`string(mrr)`:                 "12345678901234567.89",
		`0x1f + 1_000`:                "1031",
		`seats > 3 && seats <= 5`:     "true",
		`1 < seats < 4`:               "false",
		`1.0 == 1`:                    "true",
		// NULL
		`deleted_at == nil`:                          "true",
		`nil != deleted_at`:                          "false",
		`deleted_at > created_at`:                    "NULL",
		`not (deleted_at > created_at)`:              "NULL",
		`deleted_at > created_at ? "y" : "n"`:        "n",
		`deleted_at > created_at or true`:            "true",
		`deleted_at > created_at and false`:          "false",
		`deleted_at > created_at and true`:           "NULL",
		`coalesce(meta.none, meta["industry"], "x")`: "Software",
		`meta.none.deeper[3].x ?? "unknown"`:         "unknown",
		`meta?.industry ?? "unknown"`:                "Software",
		`meta.null`:                                  "NULL",
		`lower(meta.none)`:                           "NULL",
		`string(meta.none)`:                          "NULL",
		`meta.none + 1`:                              "NULL",
		`meta.none in ["a"]`:                         "NULL",
		`[1, nil] == [1, nil]`:                       "true",
		`max(1, meta.none)`:                          "NULL",
		`meta.none[1:2]`:                             "NULL",
		`deleted_at.Year()`:                          "NULL",
		`any(meta.none, # == 1)`:                     "NULL",
		`any(meta.none, # == 1) ? 1 : 2`:             "2",
		// jsonb
		`meta.n * 2`:            "24691357802469135.78",
		`meta.list[1]`:          "two",
		`meta.list[0] + 1`:      "2",
		`meta.deep.er.x`:        "true",
		`meta.industry == 5`:    "false",
		`"industry" in meta`:    "true",
		`len(meta.list)`:        "3",
		`toJSON(meta.list)`:     `[1,"two",null]`,
		`fromJSON("[1.10]")[0]`: "1.10",
		`attrs.k`:               "v",
		`attrs["no"]`:           "NULL",
		`keys(meta)[0]`:         "deep",
		// lists
		`"b" in tags`:                         "true",
		`"x" not in tags`:                     "true",
		`any(tags, # == "c")`:                 "true",
		`all(tags, # != "x")`:                 "false", // NULL counts as not satisfied
		`none(tags, # == "x")`:                "true",
		`one(tags, # == "a")`:                 "true",
		`count(tags, # >= "b")`:               "2",
		`join(map(tags, upper(#)), "/")`:      "A/B/C",
		`join(filter(tags, # != "b"), ";")`:   "a;c",
		`find(tags, # > "a")`:                 "b",
		`findIndex(tags, # == "c")`:           "3",
		`filter(tags, #index == 1)[0]`:        "b",
		`sum(1..4)`:                           "10",
		`sum([1, 2], # * 10)`:                 "30",
		`first(tags) + last(tags)`:            "ac",
		`join(uniq(["a", "a", "b"]), ",")`:    "a,b",
		`join(sort(["b", "a"]), ",")`:         "a,b",
		`join(reverse(["b", "a"]), ",")`:      "a,b",
		`join(concat(["a"], ["b"]))`:          "ab",
		`len(flatten([[1], [2, [3]]]))`:       "3",
		`map([1, 2], map([10], # + 1))[1][0]`: "11",
		`any([{"a": 1}, {"a": 2}], .a == 2)`:  "true",
		`get(tags, 1)`:                        "b",
		// time
		`created_at.Year()`:                            "2026",
		`created_at.In("America/New_York").Day()`:      "31",
		`created_at.In("Asia/Tokyo").Format("02.01.")`: "01.02.",
		`created_at > date("2026-01-01")`:              "true",
		`born == date("2026-01-31")`:                   "true",
		`(created_at - seen_at).Seconds()`:             "0.5",
		`string(created_at)`:                           "2026-01-31 23:30:00.5+00",
		`string(born)`:                                 "2026-01-31",
		`string(born + duration("36h"))`:               "2026-02-01 12:00:00",
		`string(born.AddDate(0, 1, 0))`:                "2026-03-03",
		`date("31.01.2026", "02.01.2006") == born`:     "true",
		`string(date("2026-01-31T12:00:00+01:00"))`:    "2026-01-31 11:00:00+00",
		`created_at.Weekday()`:                         "6",
		// forms
		`active ? "yes" : "no"`:                     "yes",
		`if active { 1 } else { 2 }`:                "1",
		`let h = trim(host); let n = len(h); n + 1`: "17",
		`let name = "x"; name`:                      "x",
		`$env["My Col"] + 1`:                        "2",
		`$env["in"]`:                                "true",
		`stage == "won"`:                            "true",
		`stage in ["won", "lead"]`:                  "true",
		"1 +\n2":                                    "3",
		`deleted_at == nil ? nil : "x"`:             "NULL",
	} {
		got, err := eval(t, src, sample())
		if err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", src, got, err, want)
		}
	}
}

// TestNullEverywhere gives NULL for every column: no value may become a text
// such as <nil>, and no error may come of it.
func TestNullEverywhere(t *testing.T) {
	for _, src := range []string{
		`lower(trim(host))`, `name + "!"`, `name[:3]`, `mrr_cents / 100`, `-mrr`, `round(mrr, 2)`, `string(mrr)`, `created_at.Year()`, `tags[0]`, `meta.a.b`, `map(tags, #)`, `join(tags, ";")`,
		`name matches "x"`, `seats > 10`, `len(name)`, `created_at + duration("1h")`, `max(seats, 1)`, `any(tags, # == "x")`, `toJSON(meta)`, `not active`,
	} {
		if got, err := eval(t, src, row{}); got != "NULL" || err != nil {
			t.Errorf("%s = %s, %v", src, got, err)
		}
	}
}

func TestRowErrors(t *testing.T) {
	for src, want := range map[string]string{
		`1 / (seats - 5)`:        "division by zero",
		`seats % 0`:              "division by zero",
		`int(name)`:              `"Acmé Inc" is not a number`,
		`meta.industry + 1`:      "+ does not take a text and a number",
		`meta.industry > 5`:      "> does not take a text and a number",
		`meta.deep ? 1 : 2`:      "a condition is true or false, not a map",
		`date(name)`:             `"Acmé Inc" is not a date such as 2026-01-31 or 2026-01-31 12:00:00+01`,
		`repeat(name, 10000000)`: "the text becomes too long",
		`10 ** 1000 ** 2`:        "** takes a whole exponent from -1000 to 1000",
		`1..1000000`:             "a list longer than 100000",
		`lower(meta.n)`:          "lower does not take a number",
	} {
		_, err := eval(t, src, sample())
		var e *Error
		if !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%s: %v; want %s", src, err, want)
		}
	}
}

func TestProblems(t *testing.T) {
	for src, want := range map[string]string{
		``:                            "1:1: the expression is empty; write one, over the table's columns",
		`mame + 1`:                    "1:1: no column mame",
		`lower(naem) + uper(host)`:    "1:7: no column naem|1:15: there is no function uper; did you mean upper?",
		`name + seats`:                "1:6: + joins texts, not a text and a number; wrap the other in string(...)",
		`seats == "5"`:                "1:7: a number and a text are never equal; wrap the text in float(...), or the number in string(...)",
		`created_at > "2026-01-01"`:   `1:12: > does not compare a timestamp with time zone and a text; write date("2026-01-31") for the text`,
		`stage == "wonn"`:             `1:10: stage is never "wonn"; it is one of lead, won`,
		`stage in ["won", "lost"]`:    `1:18: stage is never "lost"; it is one of lead, won`,
		`name in "abc"`:               "1:6: in looks into a list; write contains for a text",
		`tags contains "a"`:           `1:6: contains looks into a text; write in for a list: "a" in tags`,
		`name and active`:             "1:1: and takes conditions, not a text; compare it with something",
		`now()`:                       "1:1: now is not there: an expression has no clock, so that the same row always gives the same value; store the moment in a column",
		`$env[name]`:                  `1:1: $env takes a column's name as a text, $env["My Column"], so that the columns read are known`,
		`name.first`:                  "1:6: a text has no parts; cut a text with [from:to]",
		`created_at.Local()`:          "1:12: a timestamp with time zone has no method Local; dates and timestamps have Year, Month, Day, Hour, Minute, Second, Weekday, YearDay, Unix, Format, In, AddDate",
		`born.In("UTC")`:              "1:6: In reads a timestamp with time zone as the clock of a zone shows it; a date has no zone",
		`lower(seats)`:                "1:7: lower takes a text here, not a number; wrap it in string(...)",
		`lower()`:                     "1:1: lower takes 1 argument, not 0",
		`replace(name, "a")`:          "1:1: replace takes 3 arguments, not 2",
		`substring(name, 1, 3)`:       "1:1: there is no function substring; use name[0:3]",
		`name matches "("`:            "1:14: the pattern is no regular expression: missing closing ): `(`; mend it, in RE2 syntax",
		`filter(tags, len(#))`:        `1:14: filter takes a condition for each element, # == "x", not a number`,
		`name = "x"`:                  `1:6: syntax: unexpected token Operator("="); compare with ==`,
		`name is null`:                `1:6: syntax: unexpected token Identifier("is"); write x == nil for x IS NULL`,
		`active AND active`:           `1:8: syntax: unexpected token Identifier("AND"); write and, or, not in lower case`,
		`case when active then 1 end`: `1:6: syntax: unexpected token Identifier("when"); write condition ? value : other for CASE`,
		`name +`:                      "1:6: syntax: unexpected token EOF; something is missing at the end",
		"1 +\n  nope":                 "2:3: no column nope",
		`active ? 1 : nope + nope2`:   "1:14: no column nope|1:21: no column nope2",
		`name; host`:                  "1:1: several expressions in a row; keep the one whose value is wanted, and name parts with let",
		strings.Repeat("(", 20000):    "1:1: the expression is longer than 16384 bytes; split it over several properties",
	} {
		_, problems := Compile(src, row{})
		var lines []string
		for _, p := range problems {
			lines = append(lines, fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Text))
		}
		if diff := cmp.Diff(want, strings.Join(lines, "|")); diff != "" {
			t.Errorf("%.60s: -want +got\n%s", src, diff)
		}
	}
}

func TestColumnsAndCanonicalForm(t *testing.T) {
	p, problems := Compile(`let x = seats;  name+$env["My Col"]  ?? len(tags)==x`, row{})
	if p != nil {
		t.Fatal("+ of text and number compiled")
	}
	_ = problems
	p, problems = Compile(` string(seats)  + name+string($env["My Col"])`, row{})
	if p == nil {
		t.Fatal(problems)
	}
	if diff := cmp.Diff([]string{"My Col", "name", "seats"}, p.Columns); diff != "" {
		t.Error(diff)
	}
	q, _ := Compile(`string(seats)+name + string( $env["My Col"] )`, row{})
	if p.Canonical != q.Canonical {
		t.Errorf("%s and %s", p.Canonical, q.Canonical)
	}
}

func TestTimesReadBack(t *testing.T) {
	for _, test := range []struct {
		text string
		kind Kind
		want string
	}{
		{"2026-01-31", Date, ""},
		{"infinity", Date, ""},
		{"-infinity", Moment, ""},
		{"0044-03-15 BC", Date, ""},
		{"10000-01-01", Date, ""},
		{"0001-02-29 BC", Date, ""},
		{"2026-01-31 12:00:00", Timestamp, ""},
		{"2026-01-31 12:00:00.000001", Timestamp, ""},
		{"294276-12-31 23:59:59.999999", Timestamp, ""},
		{"2026-01-31 12:00:00+00", Moment, ""},
		{"2026-01-31 12:00:00+05:30", Moment, "2026-01-31 06:30:00+00"},
		{"1883-11-18 12:00:00-04:56:02", Moment, "1883-11-18 16:56:02+00"},
		{"4713-11-24 00:00:00 BC", Timestamp, ""},
	} {
		got, ok := ParseTime(test.text, test.kind)
		want := test.want
		if want == "" {
			want = test.text
		}
		if !ok || got.String() != want {
			t.Errorf("%s reads as %s, %v", test.text, got, ok)
		}
	}
	for _, bad := range []string{"", "2026", "2026-13-01", "2026-02-29", "x", "2026-01-31 24:00:00", "26-01-31"} {
		if got, ok := ParseTime(bad, Date); ok {
			t.Errorf("%q reads as %s", bad, got)
		}
	}
	early, _ := ParseTime("-infinity", Moment)
	late, _ := ParseTime("infinity", Moment)
	now := Time{T: time.Unix(0, 0), Kind: Moment}
	if early.compare(now) >= 0 || late.compare(now) <= 0 {
		t.Error("infinities are out of order")
	}
}
