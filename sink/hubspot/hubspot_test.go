package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// portal answers requests in place of HubSpot, without a network, so that tests
// of time can run under synctest.
type portal struct {
	mu       sync.Mutex
	requests []request
	answer   func(r request) (status int, header map[string]string, body string)
	fail     func(r request) error // before the answer, where set
}

type request struct {
	n      int // from 1
	at     time.Time
	method string
	url    string
	token  string
	body   string
}

func (p *portal) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	p.mu.Lock()
	r := request{
		n: len(p.requests) + 1, at: time.Now(), method: req.Method, url: req.URL.RequestURI(),
		token: strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), body: string(body),
	}
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(r); err != nil {
			return nil, err
		}
	}
	status, header, text := p.answer(r)
	h := http.Header{"Content-Type": {"application/json"}}
	for k, v := range header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
}

func (p *portal) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

func newTestClient(t *testing.T, p *portal, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		Token:     func(context.Context) (string, error) { return "pat-test", nil },
		Transport: p,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fixed answers every request alike.
func fixed(status int, body string) *portal {
	return &portal{answer: func(request) (int, map[string]string, string) { return status, nil, body }}
}

func sent(t *testing.T, body string) (inputs []struct {
	ID, IDProperty, ObjectWriteTraceID string
	Properties                         map[string]string
},
) {
	t.Helper()
	var b struct {
		Inputs json.RawMessage `json:"inputs"`
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		t.Fatalf("body %s: %v", body, err)
	}
	dec = json.NewDecoder(bytes.NewReader(b.Inputs))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&inputs); err != nil {
		t.Fatalf("inputs %s: %v", b.Inputs, err)
	}
	return inputs
}

func TestBatchUpdateSendsStringsIDPropertyAndUniqueTraces(t *testing.T) {
	p := fixed(200, `{"status":"COMPLETE","results":[
		{"id":"9002","properties":{"pg_id":"b","name":"B \"2\""}},
		{"id":"9001","properties":{"pg_id":"a","name":""}}]}`)
	c := newTestClient(t, p, nil)
	answer, err := c.BatchUpdate(t.Context(), "companies", []Input{
		{ID: "a", IDProperty: "pg_id", Properties: []Property{{"name", ""}}},
		{ID: "b", IDProperty: "pg_id", Properties: []Property{{"name", "B \"2\""}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Outcome{{State: Written, ID: "9001"}, {State: Written, ID: "9002"}}
	if d := cmp.Diff(want, answer.Outcomes); d != "" {
		t.Error(d)
	}
	got := p.requests[0]
	if got.method != "POST" || got.url != "/crm/v3/objects/companies/batch/update" || got.token != "pat-test" {
		t.Errorf("request was %s %s with %q", got.method, got.url, got.token)
	}
	in := sent(t, got.body)
	if len(in) != 2 || in[0].ID != "a" || in[1].IDProperty != "pg_id" || in[1].Properties["name"] != `B "2"` ||
		in[0].ObjectWriteTraceID == "" || in[0].ObjectWriteTraceID == in[1].ObjectWriteTraceID {
		t.Errorf("inputs %+v", in)
	}
}

func TestPaths(t *testing.T) {
	tests := []struct{ version, call, want string }{
		{"v3", "update", "/crm/v3/objects/2-17%2Fx/batch/update"},
		{"2026-03", "update", "/crm/objects/2026-03/2-17%2Fx/batch/update"},
		{"v3", "get", "/crm/v3/objects/2-17%2Fx/512?properties=name"},
		{"2026-09", "get", "/crm/objects/2026-09/2-17%2Fx/512?properties=name"},
		{"v3", "properties", "/crm/v3/properties/2-17%2Fx"},
		{"2026-03", "properties", "/crm/properties/2026-03/2-17%2Fx"},
		{"v3", "account", "/account-info/v3/details"},
		{"2026-03", "account", "/account-info/2026-03/details"},
	}
	for _, tt := range tests {
		t.Run(tt.version+" "+tt.call, func(t *testing.T) {
			p := fixed(200, `{"id":"512","portalId":7,"results":[{"id":"512","name":"name"}]}`)
			c := newTestClient(t, p, func(cfg *Config) { cfg.APIVersion = tt.version })
			const object = "2-17/x"
			var err error
			switch tt.call {
			case "update":
				_, err = c.BatchUpdate(t.Context(), object, []Input{{ID: "1"}})
			case "get":
				_, err = c.Get(t.Context(), object, "512", []string{"name"})
			case "properties":
				_, err = c.Properties(t.Context(), object)
			case "account":
				_, err = c.Account(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.requests[0].url != tt.want {
				t.Errorf("called %s, want %s", p.requests[0].url, tt.want)
			}
		})
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	_, err := New(Config{
		BaseURL: "http://user:secret@api.hubapi.com", APIVersion: "v9", MaxInFlight: -1,
		QuotaShare: 2, DailyLimit: -1, RateLimit: RateLimit{Calls: 5},
	})
	var problems interface{ Problems() []string }
	if !errors.As(err, &problems) {
		t.Fatalf("no problems in %v", err)
	}
	if n := len(problems.Problems()); n != 7 {
		t.Errorf("%d problems: %q", n, problems.Problems())
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells a secret: %v", err)
	}
}

func TestPlainHTTPOnlyToPrivateAddresses(t *testing.T) {
	tests := []struct {
		url string
		ok  bool
	}{
		{"https://api.hubapi.com", true},
		{"http://127.0.0.1:8080", true},
		{"http://[::1]:8080", true},
		{"http://10.2.3.4", true},
		{"http://192.168.0.1", true},
		{"http://[::ffff:10.0.0.1]", true},
		{"http://localhost:8080", true},
		{"http://simulator:8080", true},
		{"http://host.docker.internal", true},
		{"http://api.hubapi.com", false},
		{"http://8.8.8.8", false},
		{"http://[2606:4700::1]", false},
		{"http://0.0.0.0", false},
		{"ftp://127.0.0.1", false},
		{"api.hubapi.com", false},
		{"https://", false},
		{"https://a.example?x=1", false},
	}
	for _, tt := range tests {
		_, err := New(Config{BaseURL: tt.url, Token: func(context.Context) (string, error) { return "t", nil }})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.url, err)
		}
	}
}

func TestNamesThatResolveToPublicAddressesAreRefusedInTheClear(t *testing.T) {
	// The check at the time of connecting must not depend on a resolver: give the
	// transport a public address as such.
	transport := newTransport(1, true)
	_, err := transport.DialContext(t.Context(), "tcp", "203.0.113.7:80")
	if err == nil || !strings.Contains(err.Error(), "HUBSPOT_BASE_URL") {
		t.Errorf("dialled: %v", err)
	}
}
