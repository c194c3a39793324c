package mapping

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/pgcrm/pgcrm/change"
)

// FuzzParse: any text is either a mapping or a list of problems that lie in it,
// and what parses compiles or is refused in the same way.
func FuzzParse(f *testing.F) {
	mistakes, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(mistakes), oneProperty("plan", "{column: plan, values: {a: FREE}, on_other: keep, tz: UTC, by: label}"),
		oneProperty("mrr", `{expr: "mrr_cents / 100", on_null: keep}`), `{"version": 1, "tables": {"a": [{"match": {"x": "y"}, "properties": {"p": null}}]}}`,
		"version: 1\ntables: {'public.\"A\"': {when: 'a == nil', on_delete: {set: {status: x}}, match: {account_id: id}, properties: {name: {const: ~}}}}\n",
		"a: &x [*x, !!t 1]\n---\nb: >-\n  c\n",
	} {
		f.Add([]byte(seed))
	}
	relations, properties := []*change.Relation{accounts()}, companies()
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := Parse("m", src)
		if err == nil {
			_, err = Compile(file, relations, properties)
		}
		if err == nil {
			return
		}
		var e *Error
		if !errors.As(err, &e) || len(e.List) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, p := range e.List {
			if p.Line < 1 || p.Column < 1 || p.Line > strings.Count(string(src), "\n")+2 {
				t.Errorf("%s lies outside the file", p)
			}
			if line := p.String(); strings.ContainsAny(p.Text, "\n") {
				t.Errorf("%q is more than one line", line)
			}
			if n := len(p.Excerpt()); n != 0 && n != 2 {
				t.Errorf("%s shows %d lines", p, n)
			}
		}
	})
}

var numberPattern = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// valid reports whether HubSpot takes the text as the property's type. It knows
// nothing of how the text was made.
func valid(p *Property, text string) bool {
	if !utf8.ValidString(text) || len(utf16.Encode([]rune(text))) > MaxLength || text == "" {
		return false
	}
	isOption := func(s string) bool {
		return p.ExternalOptions || slices.ContainsFunc(p.Options, func(o Option) bool { return o.Value == s })
	}
	switch p.Type {
	case "number":
		return numberPattern.MatchString(text)
	case "bool":
		return text == "true" || text == "false"
	case "date":
		_, err := time.Parse("2006-01-02", text)
		return err == nil
	case "datetime":
		_, err := time.Parse("2006-01-02T15:04:05.000Z", text)
		return err == nil
	case "enumeration":
		if p.FieldType != "checkbox" {
			return isOption(text)
		}
		boxes := strings.Split(text, ";")
		slices.Sort(boxes)
		return !strings.HasPrefix(text, ";") && len(slices.Compact(boxes)) == strings.Count(text, ";")+1 && !slices.ContainsFunc(boxes, func(s string) bool { return s == "" || !isOption(s) })
	}
	return true
}

// rulesOf are ways to write each writable property from each column.
func rulesOf() []string {
	var rules []string
	for _, p := range companies()["companies"] {
		if t, ok := typeOf(&p); !ok || p.ReadOnly || p.Calculated || p.Archived || p.HasUniqueValue {
			continue
		} else if t == typeDate || t == typeDatetime {
			for _, c := range accounts().Columns {
				rules = append(rules, p.Name+"\x00{column: "+c.Name+", tz: America/New_York}", p.Name+"\x00{expr: "+c.Name+", tz: Asia/Kathmandu}")
			}
		}
		for _, c := range accounts().Columns {
			rules = append(rules, p.Name+"\x00"+c.Name, p.Name+"\x00{expr: "+c.Name+"}", p.Name+"\x00{column: "+c.Name+", on_overflow: truncate}",
				p.Name+"\x00{column: "+c.Name+", by: label}", p.Name+"\x00{expr: \"[string("+c.Name+"), meta.x]\"}")
		}
	}
	return rules
}

type rule struct {
	mapper *Mapper
	names  []string
}

// compiledRules compiles the rules that are legal.
func compiledRules(t testing.TB) []rule {
	t.Helper()
	var rules []rule
	for _, text := range rulesOf() {
		property, how, _ := strings.Cut(text, "\x00")
		f, err := Parse("m", []byte(oneProperty(property, how)))
		if err != nil {
			t.Fatal(text, err)
		}
		m, err := Compile(f, []*change.Relation{accounts()}, companies())
		if err != nil {
			continue
		}
		columns := slices.DeleteFunc(m.Columns(TableName{"public", "accounts"}), func(c string) bool { return c == "id" })
		rules = append(rules, rule{mapper: m.Mapper(), names: columns})
	}
	if len(rules) < 200 {
		t.Fatalf("only %d rules compile", len(rules))
	}
	return rules
}

// checkFormats writes the text, as if every column held it, by every rule.
func checkFormats(t interface{ Errorf(string, ...any) }, rules []rule, rel *change.Relation, defs map[string]*Property, text []byte) {
	ev := &change.Event{Kind: change.Insert, Relation: rel, New: make([]change.Value, len(rel.Columns))}
	for i := range ev.New {
		ev.New[i] = change.Value{Kind: change.Text, Text: text}
	}
	ev.New[0].Text = []byte("7")
	for _, r := range rules {
		patches, err := r.mapper.Map(ev, nil)
		if err != nil || len(patches) != 1 {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for p := range patches[0].Props.All() {
			name := patches[0].Source.Target.Properties[p.Slot]
			switch p.Kind {
			case change.Set:
				if !valid(defs[name], string(p.Text)) {
					t.Errorf("%s (%s) of %v: %.100q gives %.100q", name, defs[name].Type, r.names, text, p.Text)
				}
			case change.Refused:
				if p.Rejection().Category == "" || p.Rejection().Reason == "" {
					t.Errorf("%s: a refusal without reason", name)
				}
			}
		}
	}
}

func definitions() map[string]*Property {
	defs := map[string]*Property{}
	for _, p := range companies()["companies"] {
		defs[p.Name] = &p
	}
	return defs
}

// FuzzFormat: no text in any column makes a value that HubSpot would refuse for
// its form.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{"", "t", "FREE", "1.5e-7", "NaN", "{a,b}", `{"x;y",NULL}`, "2026-01-31", "2026-01-31 12:00:00.123456+00", "infinity", "0044-03-15 BC", "10000-01-01", ";a", "a;b", `{"x": [1, "a"]}`, "[0:1]={a}", "\xff", "1e400"} {
		f.Add([]byte(seed))
	}
	rules, rel, defs := compiledRules(f), accounts(), definitions()
	f.Fuzz(func(t *testing.T, text []byte) { checkFormats(t, rules, rel, defs, text) })
}

// TestFormatsAreValid draws texts of the forms that Postgres writes.
func TestFormatsAreValid(t *testing.T) {
	rules, rel, defs := compiledRules(t), accounts(), definitions()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`-?[0-9]{0,20}(\.[0-9]{0,20})?(e[+-]?[0-9]{1,3})?`),
			rapid.StringMatching(`[0-9]{4,6}-(0[1-9]|1[0-2])-[0-3][0-9]( [0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?([+-][01][0-9](:[0-5][0-9])?)?)?( BC)?`),
			rapid.StringMatching(`\{(a|b|c|"x;y"|NULL|z|""|"\\"")?(,(a|b|c|"x;y"|NULL))*\}`),
			rapid.StringMatching(`;?[abc](;[abcz]?){0,4}`),
			rapid.SampledFrom([]string{"t", "f", "true", "FREE", "Free", "infinity", "-infinity", "NaN", `{"x": "a"}`, `["a", 1e5, null]`, `"t"`}),
		).Draw(t, "text")
		checkFormats(t, rules, rel, defs, []byte(text))
	})
}
