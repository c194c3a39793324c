package hubspotsim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkUpdate is a batch of 100 records with 8 properties by a unique
// property, without network: ns/op is the time for 100 records.
func BenchmarkUpdate(b *testing.B) {
	limits := Unthrottled()
	p := New(Options{Limits: &limits, JournalLimit: -1, Properties: map[string][]Property{"companies": {Unique("account_id"), Date("renewal")}}})
	const records = 10_000
	for i := range records {
		if _, err := p.Seed("companies", map[string]string{"account_id": strconv.Itoa(i)}); err != nil {
			b.Fatal(err)
		}
	}
	bodies := make([][]byte, 200)
	for n := range bodies {
		var body bytes.Buffer
		body.WriteString(`{"inputs":[`)
		for i := range 100 {
			if i > 0 {
				body.WriteByte(',')
			}
			id := (n*100 + i) % records
			fmt.Fprintf(&body, `{"id":"%d","idProperty":"account_id","objectWriteTraceId":"t%d","properties":{"account_id":"%d","name":"Company %d.%d","domain":"c%d.example","city":"Rome",`+
				`"industry":"COMPUTER_SOFTWARE","numberofemployees":"%d","annualrevenue":"12.5","renewal":"2026-01-31"}}`, id, i, id, id, n, id, n)
		}
		body.WriteString(`]}`)
		bodies[n] = body.Bytes()
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r := httptest.NewRequest(http.MethodPost, "/crm/v3/objects/companies/batch/update", nil)
		r.Body = io.NopCloser(bytes.NewReader(bodies[n%len(bodies)]))
		r.Header.Set("Authorization", "Bearer "+DefaultToken)
		r.Header.Set("Content-Type", "application/json")
		p.ServeHTTP(discard{http.Header{}}, r)
	}
	if got := p.Stats().Calls["update 200"]; got != b.N {
		b.Fatalf("%d of %d calls were answered with 200: %v", got, b.N, p.Stats().Calls)
	}
}
