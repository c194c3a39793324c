package hubspotsim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRequest compares the scanner with encoding/json: what the scanner takes,
// encoding/json reads in the same way, and what encoding/json refuses, the
// scanner refuses.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"inputs":[{"id":"1","idProperty":"k","objectWriteTraceId":"t","properties":{"a":"b","c":null,"d":""}}]}`,
		`{"inputs":[{"id":"\u0031\ud83d\ude00\n","properties":{"a\"":"\\\/\b"}}],"x":[1,-2.5e+3,true,{"y":null}]}`,
		`{"inputs":[]}`, `{}`, `[]`, `{"inputs":[{"id":"1"}],"idProperty":"k","properties":["a","b"],"propertiesWithHistory":[]}`, `{"inputs":null}{`,
		`{"inputS":["0"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b batch
		if b.parse(text) != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatal("taken, though encoding/json says that it is no JSON")
		}
		if ambiguous(text) {
			return
		}
		var want struct {
			Inputs []struct {
				ID         *string            `json:"id"`
				Trace      *string            `json:"objectWriteTraceId"`
				Properties map[string]*string `json:"properties"`
			} `json:"inputs"`
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("taken, though encoding/json says %v", err)
		}
		if len(b.inputs) != len(want.Inputs) {
			t.Fatalf("%d inputs, want %d", len(b.inputs), len(want.Inputs))
		}
		for i := range b.inputs {
			in, w := &b.inputs[i], want.Inputs[i]
			if in.hasID != (w.ID != nil) || in.hasID && string(in.id) != *w.ID || in.hasTrace != (w.Trace != nil) || in.hasTrace && string(in.trace) != *w.Trace {
				t.Fatalf("input %d: id %q trace %q", i, in.id, in.trace)
			}
			for _, p := range in.props {
				v, ok := w.Properties[string(p.name)]
				if !ok || p.null != (v == nil) || v != nil && *v != string(p.value) {
					t.Fatalf("property %q: %q %v", p.name, p.value, p.null)
				}
			}
		}
	})
}

// ambiguous says whether any object names a key twice or in another case, where
// encoding/json, which takes "inputS" for "inputs", and the scanner rightly differ.
func ambiguous(text []byte) bool {
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		s, ok := tok.(string)
		if !ok {
			continue
		}
		for _, name := range []string{"inputs", "id", "objectWriteTraceId", "properties"} {
			if s != name && strings.EqualFold(s, name) {
				return true
			}
		}
		key := strings.ToLower(s)
		if seen[key] {
			return true
		}
		seen[key] = true
	}
}

// FuzzString: what appendString writes, encoding/json reads back.
func FuzzString(f *testing.F) {
	f.Add("a\"\\\n\x00\x1f😀é\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != s {
			t.Fatalf("%q: %v", back, err)
		}
	})
}

// FuzzCheck: no value makes a check panic, and what a date or a moment is
// shown as is accepted again.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"2026-01-31", "1769817600000", "-1", "2026-01-31T10:00:00.123+02:00", "1.5", "true", ";sso", "sso;api", "NaN", "a@b.c"} {
		f.Add(s)
	}
	defs := []*definition{
		define(Text("s")), define(Number("n")), define(Bool("b")), define(Date("d")), define(DateTime("m")),
		define(Enum("e", "x", "y")), define(Checkboxes("c", "sso", "api")), define(owner()), define(Unique("email")),
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || !utf8.ValidString(s) {
			return
		}
		for _, d := range defs {
			for _, v := range []version{"v3", "2026-09"} {
				_, ok, canonical := d.check([]byte(s), v)
				if !ok {
					continue
				}
				if canonical == "" {
					canonical = s
				}
				if shown := d.shown(canonical); shown != "" && d.Type != "enumeration" {
					if p, ok, _ := d.check([]byte(shown), "v3"); !ok {
						t.Errorf("%s: %q is shown as %q, which is refused: %s", d.Type, s, shown, p.message)
					}
				}
			}
		}
	})
}
