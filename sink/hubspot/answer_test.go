package hubspot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What a 2xx says of each input, whatever its shape and order.
func TestAnswersAccountForEveryInput(t *testing.T) {
	byID := []Input{
		{ID: "11", TraceID: "t-0", Properties: []Property{{"name", "a"}}},
		{ID: "12", TraceID: "t-1", Properties: []Property{{"name", "b"}}},
		{ID: "13", TraceID: "t-2", Properties: []Property{{"name", "c"}}},
	}
	byKey := []Input{
		{ID: "A@x", IDProperty: "email", TraceID: "t-0", Properties: []Property{{"email", "A@x"}, {"name", "a"}}},
		{ID: "b@x", IDProperty: "email", TraceID: "t-1", Properties: []Property{{"email", "b@x"}, {"name", "b"}}},
		{ID: "7", IDProperty: "email", TraceID: "t-2", Properties: []Property{{"email", "7"}, {"name", "c"}}},
	}
	tests := []struct {
		name   string
		inputs []Input
		body   string
		want   string // state and id of each
		stray  int
	}{
		{
			"in another order", byID,
			`{"status":"COMPLETE","results":[{"id":"13","properties":{}},{"id":"11","properties":{}},{"id":"12","properties":{}}]}`,
			"written 11, written 12, written 13", 0,
		},
		{
			"one left out", byID,
			`{"status":"COMPLETE","results":[{"id":"13"},{"id":"11"}]}`,
			"written 11, unaccounted , written 13", 0,
		},
		{"nothing at all", byID, `{"status":"COMPLETE","results":[]}`, "unaccounted , unaccounted , unaccounted ", 0},
		{"no results", byID, `{"status":"CANCELED","startedAt":"x"}`, "unaccounted , unaccounted , unaccounted ", 0},
		{
			"one entry for many ids", byID,
			`{"results":[{"id":"12"}],"numErrors":1,"errors":[{"category":"OBJECT_NOT_FOUND","context":{"ids":["13","11"]}}]}`,
			"not found , written 12, not found ", 0,
		},
		{
			"error by trace id, numeric ids in results", byID,
			`{"results":[{"id":12},{"id":11}],"numErrors":1,"errors":[{"category":"VALIDATION_ERROR","context":{"objectWriteTraceId":["t-2"]}}]}`,
			"written 11, written 12, refused ", 0,
		},
		{
			"trace id and ids name one input", byID,
			`{"results":[{"id":"12"},{"id":"13"}],"errors":[{"category":"OBJECT_NOT_FOUND","context":{"objectWriteTraceId":["t-0"],"ids":["11"]}}]}`,
			"not found , written 12, written 13", 0,
		},
		{
			"trace ids echoed, one record merged", byID,
			`{"results":[{"id":"12"},{"id":"99","objectWriteTraceId":"t-0"},{"id":"13"}]}`,
			"written 99, written 12, written 13", 0,
		},
		{
			"an id that nobody sent", byID,
			`{"results":[{"id":"12"},{"id":"99"},{"id":"13"}]}`,
			"unaccounted , written 12, written 13", 0,
		},
		{
			"an error outweighs a result", byID,
			`{"results":[{"id":"11"},{"id":"12"},{"id":"13"}],"errors":[{"category":"VALIDATION_ERROR","context":{"ids":["12"]}}]}`,
			"written 11, refused , written 13", 0,
		},
		{
			"an error that names nobody", byID,
			`{"results":[{"id":"11"},{"id":"13"}],"numErrors":1,"errors":[{"category":"VALIDATION_ERROR","message":"Enter a numb"}]}`,
			"written 11, unaccounted , written 13", 1,
		},
		{
			"for a while", byID,
			`{"results":[{"id":"11"},{"id":"13"}],"errors":[{"category":"RATE_LIMITS","context":{"ids":["12"]}}]}`,
			"written 11, try again , written 13", 0,
		},
		{
			"unknown fields, null errors, nested rubbish", byID,
			`{"x":[{"y":[1,2,{"z":"]}"}]}],"results":[{"properties":{"a":null,"b":"\u00e4\"","n":5},"warnings":[{"context":{}}],"id":"11"},{"id":"12"},{"id":"13"}],"errors":null}`,
			"written 11, written 12, written 13", 0,
		},
		{
			"by key, normalised", byKey,
			`{"results":[{"id":"3","properties":{"email":"7.0"}},{"id":"1","properties":{"email":"a@x"}},{"id":"2","properties":{"email":"b@x"}}]}`,
			"written 1, written 2, written 3", 0,
		},
		{
			"by key, error by key", byKey,
			`{"results":[{"id":"1","properties":{"email":"A@x"}}],"errors":[{"category":"OBJECT_NOT_FOUND","context":{"ids":["b@x"]}},{"category":"OBJECT_NOT_FOUND","context":{"objectWriteTraceId":["t-2"]}}]}`,
			"written 1, not found , not found ", 0,
		},
		{
			"by key, the value under another property", byKey,
			`{"results":[{"id":"1","properties":{"other":"A@x"}}]}`,
			"unaccounted , unaccounted , unaccounted ", 0,
		},
		{
			"a record id that looks like a key", byKey,
			`{"results":[{"id":"7","properties":{"email":"b@x"}}]}`,
			"unaccounted , written 7, unaccounted ", 0,
		},
		{
			"no properties in the results", byKey,
			`{"results":[{"id":"1"},{"id":"2","properties":null}]}`,
			"unaccounted , unaccounted , unaccounted ", 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestClient(t, fixed(207, tt.body), nil)
			answer, err := c.BatchUpdate(t.Context(), "companies", tt.inputs)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range answer.Outcomes {
				got = append(got, fmt.Sprint(o.State, " ", o.ID))
			}
			if d := cmp.Diff(tt.want, strings.Join(got, ", ")); d != "" {
				t.Error(d)
			}
			if len(answer.Stray) != tt.stray {
				t.Errorf("%d stray errors, want %d", len(answer.Stray), tt.stray)
			}
			if answer.Unanswered {
				t.Error("a definite answer is taken for none")
			}
		})
	}
}

func TestOutcomesTellWhatIsStoredOtherwise(t *testing.T) {
	c := newTestClient(t, fixed(200, `{"results":[{"id":"1","new":true,"properties":{"a":"1","b":"2.0","lifecyclestage":"customer","sys":"x","e":""}}]}`), nil)
	answer, err := c.BatchUpsert(t.Context(), "companies", []Input{{ID: "1", Properties: []Property{
		{"a", "1"}, {"b", "2"}, {"lifecyclestage", "lead"}, {"gone", "v"}, {"e", ""},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{State: Written, ID: "1", Created: true, Stored: []Property{{"b", "2.0"}, {"lifecyclestage", "customer"}}}
	if d := cmp.Diff(want, answer.Outcomes[0]); d != "" {
		t.Error(d)
	}
}

func TestBatchReadFindsMergedRecords(t *testing.T) {
	p := fixed(207, `{"results":[
		{"id":"50","properties":{"name":"s","hs_merged_object_ids":"11;12"}},
		{"id":"13","properties":{"name":null}}],
		"errors":[{"category":"OBJECT_NOT_FOUND","context":{"ids":["14"]}}]}`)
	c := newTestClient(t, p, nil)
	found, err := c.BatchRead(t.Context(), "companies", "", []string{"11", "13", "14", "15"}, []string{"name"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Found{
		{State: Written, ID: "50", Properties: []Property{{"name", "s"}, {"hs_merged_object_ids", "11;12"}}},
		{State: Written, ID: "13"},
		{State: NotFound},
		{State: Unaccounted},
	}
	if d := cmp.Diff(want, found, cmpopts.IgnoreFields(Found{}, "Refusal"), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	const body = `{"properties":["hs_merged_object_ids","name"],"propertiesWithHistory":[],"inputs":[{"id":"11"},{"id":"13"},{"id":"14"},{"id":"15"}]}`
	if p.requests[0].body != body {
		t.Errorf("sent %s", p.requests[0].body)
	}
}

func TestBatchReadByProperty(t *testing.T) {
	p := fixed(200, `{"results":[{"id":"50","properties":{"pg_id":"b"}}]}`)
	c := newTestClient(t, p, nil)
	found, err := c.BatchRead(t.Context(), "companies", "pg_id", []string{"a", "b"}, nil)
	if err != nil || found[0].State != Unaccounted || found[1].ID != "50" {
		t.Errorf("%v %+v", err, found)
	}
	if !strings.Contains(p.requests[0].body, `"idProperty":"pg_id","inputs"`) {
		t.Errorf("sent %s", p.requests[0].body)
	}
}

func TestBatchesAreNeverTooLarge(t *testing.T) {
	p := fixed(200, `{"results":[]}`)
	c := newTestClient(t, p, nil)
	if _, err := c.BatchUpdate(t.Context(), "companies", make([]Input, MaxBatch+1)); err == nil {
		t.Error("101 inputs were sent")
	}
	if a, err := c.BatchUpdate(t.Context(), "companies", nil); err != nil || a.Outcomes != nil || p.count() != 0 {
		t.Errorf("an empty batch made a call: %v", err)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "q\"b\\s/", "\x00\x1f\n\r\t\x7f", "ä€𝄞", "\xff\xc3", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && got != jsonRoundTrip(s) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func jsonRoundTrip(s string) (out string) {
	b, _ := json.Marshal(s)
	_ = json.Unmarshal(b, &out)
	return out
}

// What the scanner accepts, it must read as encoding/json does; and it accepts
// every valid answer.
func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"status":"COMPLETE","results":[{"id":"1","properties":{"a":"b\n","c":null,"d":5},"new":true,"objectWriteTraceId":"t"}],"errors":[{"category":"X","context":{"ids":["2"]}}]}`))
	f.Add([]byte(`{"results":[]}`))
	f.Add([]byte(`{"results":[{"id":"1"`))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"results":[{"id":"\ud800"}]} x`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseBatch(body)
		if !json.Valid(body) {
			if err == nil && !bytes.Contains(body, []byte{'\\'}) && !hasControl(body) {
				t.Fatalf("took %q, which is not JSON", body)
			}
			return
		}
		var want struct {
			Results []struct {
				ID         string            `json:"id"`
				Properties map[string]string `json:"properties"`
			} `json:"results"`
			Errors []map[string]any `json:"errors"`
			Status *string          `json:"status"`
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		if dec.Decode(&want) != nil || want.Results == nil || err != nil {
			return // of another shape; the table tests say what becomes of it
		}
		if len(got.results) < len(want.Results) {
			t.Fatalf("%d results of %d in %q", len(got.results), len(want.Results), body)
		}
	})
}

func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x80 {
			return true
		}
	}
	return false
}

func TestScannerReadsWhatEncodingJSONReads(t *testing.T) {
	body := []byte(` {"results" : [ {"id":"1","properties":{"a":"x\u0041\"\\\n","é":"ä","n":1.5e3,"t":true,"z":null,"o":{"p":[]}}} ] , "k":[[],{},"",0,-1,false] } `)
	got, err := parseBatch(body)
	if err != nil {
		t.Fatal(err)
	}
	want := []Property{{"a", "xA\"\\\n"}, {"é", "ä"}, {"n", "1.5e3"}, {"t", "true"}, {"o", `{"p":[]}`}}
	if d := cmp.Diff(want, got.results[0].properties); d != "" {
		t.Error(d)
	}
	for i := 1; i < len(bytes.TrimSpace(body)); i++ {
		if _, err := parseBatch(body[:i]); err == nil {
			t.Errorf("took the cut-off body %q", body[:i])
		}
	}
	for _, bad := range []string{"", "null", "[]", `"x"`, `{}`, `{"a":1}`, `{"results":{}}`, `{"results":[1]}`, `{"results":[]}{}`, `{"results":[],}`, `{"results":[{"id":}]}`, strings.Repeat("[", 1000)} {
		if _, err := parseBatch([]byte(bad)); err == nil {
			t.Errorf("took %.40q", bad)
		}
	}
}

func BenchmarkParseBatch(b *testing.B) {
	var body bytes.Buffer
	body.WriteString(`{"status":"COMPLETE","results":[`)
	inputs := make([]Input, MaxBatch)
	traces := make([]string, MaxBatch)
	for i := range inputs {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"id":"%d","properties":{"pg_id":"k%d","name":"Company %d","plan":"FREE","seats":"12","hs_lastmodifieddate":"2026-01-01T00:00:00Z","hs_object_id":"%d"},"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","archived":false}`, 9000+i, i, i, 9000+i)
		inputs[i] = Input{ID: fmt.Sprint("k", i), IDProperty: "pg_id", Properties: []Property{{"name", fmt.Sprint("Company ", i)}, {"plan", "FREE"}, {"pg_id", fmt.Sprint("k", i)}}}
		traces[i] = traceID(1, i)
	}
	body.WriteString(`],"startedAt":"x","completedAt":"y"}`)
	b.ReportAllocs()
	for b.Loop() {
		parsed, err := parseBatch(body.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		if a := account(inputs, traces, &parsed); a.Outcomes[99].State != Written {
			b.Fatal(a.Outcomes[99])
		}
	}
}
