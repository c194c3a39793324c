package hubspotsim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// outcome is what a client sees of a call, and what the portal did.
type outcome struct {
	status  int
	err     bool // no whole answer
	written int
	results int
	html    bool
}

// TestFaults plays each effect over a real connection: one batch of two
// records, and what became of it.
func TestFaults(t *testing.T) {
	whole := outcome{status: 200, written: 2, results: 2}
	tests := map[string]outcome{
		"503":                      {status: 503, html: true},
		"500":                      {status: 500},
		"401":                      {status: 401},
		"403":                      {status: 403},
		"423":                      {status: 423},
		"477,retryAfter=3s":        {status: 477},
		"429":                      {status: 429},
		"daily":                    {status: 429},
		"524,applied":              {status: 524, html: true, written: 2},
		"cut_before":               {err: true},
		"cut_after":                {err: true, written: 2},
		"cut_body":                 {err: true},
		"truncate":                 {status: 200, err: true, written: 2},
		"short":                    {status: 200, err: true, written: 2},
		"html":                     {status: 200, html: true},
		"html,applied":             {status: 200, html: true, written: 2},
		"empty":                    {status: 200},
		"empty,applied":            {status: 200, written: 2},
		"missing":                  {status: 200, written: 1, results: 1},
		"missing,applied":          {status: 200, written: 2, results: 1},
		"missing,inputs=2":         {status: 200},
		"missing,contains=t2":      {status: 200, written: 1, results: 1},
		"missing,contains=nothing": whole,
		"refuse":                   {status: 400},
		"delay_before,delay=1ms":   whole,
		"delay_after,delay=1ms":    whole,
		"503,op=upsert":            whole,
		"503,op=write":             {status: 503, html: true},
		"503,object=contacts":      whole,
		"503,skip=1":               whole,
		"503,start=1h":             whole,
		"503,rate=0.000001":        whole,
	}
	for spec, want := range tests {
		t.Run(spec, func(t *testing.T) {
			p := New(Options{})
			server := httptest.NewServer(p)
			defer server.Close()
			defer p.Close()
			ids, err := p.Seed("companies", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			fs, err := ParseFaults(spec)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.AddFaults(fs...); err != nil {
				t.Fatal(err)
			}
			var got outcome
			r, text := send(t, server.URL, `{"inputs":[{"id":"`+ids[0]+`","objectWriteTraceId":"t1","properties":{"name":"a"}},{"id":"`+ids[1]+`","objectWriteTraceId":"t2","properties":{"name":"b"}}]}`)
			if r == nil {
				got.err = true
			} else {
				got.status = r.StatusCode
				got.html = strings.HasPrefix(r.Header.Get("Content-Type"), "text/html")
				got.results = strings.Count(text, `"hs_object_id"`)
				if got.status == 200 && !got.html && !strings.HasSuffix(text, "}") {
					got.err, got.results = true, 0
				}
				if strings.HasPrefix(spec, "477") && r.Header.Get("Retry-After") != "3" {
					t.Errorf("headers %v", r.Header)
				}
			}
			got.written = len(p.Journal(2))
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// send posts an update with a connection of its own. It returns nil where no
// answer came at all.
func send(t *testing.T, server, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/crm/v3/objects/companies/batch/update", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+DefaultToken)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, ""
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r, string(text)
}

// TestRefuse names a property, and leaves alone the inputs that lack it.
func TestRefuse(t *testing.T) {
	c := newClient(t, Options{Quirks: Quirks{UpdateErrorsPerInput: On}})
	ids := c.seed(nil, nil)
	fs, err := ParseFaults("refuse,property=city,inputs=100")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.portal.AddFaults(fs...); err != nil {
		t.Fatal(err)
	}
	r := c.update(`{"id":"` + ids[0] + `","objectWriteTraceId":"t1","properties":{"name":"a","city":"Rome"}},{"id":"` + ids[1] + `","objectWriteTraceId":"t2","properties":{"name":"b"}}`)
	if r.status != 207 || len(r.body.Results) != 1 || r.body.Results[0].ID != ids[1] || !strings.Contains(r.body.Errors[0].Message, `"name":"city"`) {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := c.update(`{"id":"` + ids[0] + `","properties":{"name":"a"}}`); r.status != 200 {
		t.Errorf("without the property: %d %s", r.status, r.text)
	}
}

// TestLate applies a request after its sender saw the connection break, and
// after a newer one.
func TestLate(t *testing.T) {
	p := New(Options{})
	server := httptest.NewServer(p)
	defer server.Close()
	defer p.Close()
	ids, err := p.Seed("companies", nil)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string) *http.Response {
		r, _ := send(t, server.URL, `{"inputs":[{"id":"`+ids[0]+`","properties":{"name":"`+name+`"}}]}`)
		return r
	}
	if err := p.AddFaults(Fault{Effect: Late, Times: 1, Delay: Duration(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	if r := set("old"); r != nil {
		t.Fatalf("an answer came: %v", r.Status)
	}
	if got := p.Stats().Late; got != 1 {
		t.Errorf("%d requests wait", got)
	}
	if r := set("new"); r == nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v", r)
	}
	for p.Stats().Late > 0 {
		time.Sleep(time.Millisecond)
	}
	j := p.Journal(1)
	if len(j) != 2 || j[0].Late || !j[1].Late || !j[1].Received.Before(j[0].Received) {
		t.Fatalf("journal %+v", j)
	}
	if rec, _ := p.Record("companies", ids[0]); rec.Properties["name"] != "old" {
		t.Errorf("name %q: the late request lost", rec.Properties["name"])
	}
}

// TestHang ends with the sender's patience.
func TestHang(t *testing.T) {
	p := New(Options{})
	server := httptest.NewServer(p)
	defer server.Close()
	defer p.Close()
	if err := p.AddFaults(Fault{Effect: Hang}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/account-info/v3/details", nil)
	if r, err := http.DefaultClient.Do(req); err == nil {
		r.Body.Close()
		t.Fatal("an answer came")
	} else if !strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
}

// TestReplay: the same seed and the same calls give the same answers.
func TestReplay(t *testing.T) {
	run := func(seed uint64) []string {
		at := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
		c := newClient(t, Options{Seed: seed, Now: at.now, Quirks: Hostile()})
		ids := c.seed(nil, nil, nil)
		if err := c.portal.AddFaults(Mix(0.6)...); err != nil {
			t.Fatal(err)
		}
		var out []string
		for range 60 {
			req, _ := http.NewRequest(http.MethodPost, "http://hubspot.test/crm/v3/objects/companies/batch/update",
				strings.NewReader(`{"inputs":[{"id":"`+ids[0]+`","properties":{"name":"x"}},{"id":"`+ids[1]+`","properties":{"name":"x"}}]}`))
			req.Header.Set("Authorization", "Bearer "+DefaultToken)
			req.Header.Set("Content-Type", "application/json")
			r, err := c.http.Do(req)
			if err != nil {
				out = append(out, err.Error())
				continue
			}
			text, err := io.ReadAll(r.Body)
			r.Body.Close()
			out = append(out, r.Status+string(text))
			if err != nil {
				out = append(out, err.Error())
			}
		}
		return out
	}
	first := run(1)
	if !reflect.DeepEqual(first, run(1)) {
		t.Error("two runs of one seed differ")
	}
	if reflect.DeepEqual(first, run(2)) {
		t.Error("two seeds give the same run")
	}
}

func TestMixRate(t *testing.T) {
	c := newClient(t, Options{Seed: 5, Limits: &Limits{}})
	fs := Mix(0.1)
	for i := range fs {
		if fs[i].Effect == DelayBefore || fs[i].Effect == DelayAfter {
			fs[i].Delay = 0
		}
	}
	if err := c.portal.AddFaults(fs...); err != nil {
		t.Fatal(err)
	}
	const calls = 20_000
	for range calls {
		r, err := c.http.Get("http://hubspot.test/account-info/v3/details")
		if err == nil {
			r.Body.Close()
		}
	}
	n := 0
	for effect, count := range c.portal.Stats().Faults {
		if !strings.HasPrefix(effect, "delay") {
			n += count
		}
	}
	// Five standard deviations of a binomial count.
	if mean, slack := calls*0.1, 5*43.0; float64(n) < mean-slack || float64(n) > mean+slack {
		t.Errorf("%d faults in %d calls at 10%%", n, calls)
	}
}

func TestFaultInTime(t *testing.T) {
	at := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	c := newClient(t, Options{Now: at.now})
	fs, err := ParseFaults("503,start=10s,for=5s,every=1m; 429,times=1,op=update")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.portal.AddFaults(fs...); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 200}, {10 * time.Second, 503}, {5 * time.Second, 200}, {55 * time.Second, 503}, {5 * time.Second, 200}} {
		at.t = at.t.Add(step.after)
		if r := c.do("GET", "/account-info/v3/details", ""); r.status != step.want {
			t.Errorf("at %v: %d, want %d", at.t, r.status, step.want)
		}
	}
	for _, want := range []int{429, 200} {
		if r := c.update(""); r.status != want {
			t.Errorf("update: %d, want %d", r.status, want)
		}
	}
}

func TestParseFaultsRefuses(t *testing.T) {
	for spec, want := range map[string]string{
		"nope":                `effect "nope" is not one of`,
		"99":                  "status needs a code",
		"503,rate=2":          "not between 0 and 1",
		"503,rate=x":          "rate:",
		"503,nope=1":          `no key "nope"`,
		"503,for=x":           "not a duration",
		"503,for=-1s":         "not a duration",
		"503,every=1s":        "every needs a for",
		"503,op=nope":         `op "nope" is not one of`,
		"150%":                "between 0% and 100%",
		"NaN%":                "between 0% and 100%",
		"503,applied=perhaps": "applied:",
	} {
		if _, err := ParseFaults(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	if fs, err := ParseFaults(" ; "); err != nil || len(fs) != 0 {
		t.Errorf("nothing: %v %v", fs, err)
	}
}

func TestGzipAndRedirect(t *testing.T) {
	p := New(Options{Quirks: Quirks{Gzip: On}})
	server := httptest.NewServer(p)
	defer server.Close()
	if r, text := send(t, server.URL, `{}`); r == nil || !r.Uncompressed || !strings.Contains(text, "COMPLETE") {
		t.Errorf("%v %s", r, text)
	}
	if err := p.AddFaults(Fault{Effect: Status, Status: 307, Times: 1}); err != nil {
		t.Fatal(err)
	}
	// Go's client follows by itself, and so gets through: a client that must
	// not follow is told apart by its error.
	if r, _ := send(t, server.URL, `{}`); r == nil || r.StatusCode != http.StatusOK || r.Request.URL.RawQuery != "redirected=true" {
		t.Errorf("%v", r)
	}
}

func TestBodyTooLarge(t *testing.T) {
	c := newClient(t, Options{MaxBodyBytes: 100})
	if r := c.update(`{"id":"1","properties":{"name":"` + strings.Repeat("x", 100) + `"}}`); r.status != 413 {
		t.Errorf("%d", r.status)
	}
	if r := c.post("/crm/v3/objects/companies/batch/update", "{}"); r.status != 200 {
		t.Errorf("%d", r.status)
	}
}

// TestContentType: HubSpot answers 415 to what is not sent as JSON.
func TestContentType(t *testing.T) {
	p := New(Options{})
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "/crm/v3/objects/companies/batch/update", bytes.NewBufferString(`{}`))
	req.Header.Set("Authorization", "Bearer "+DefaultToken)
	p.ServeHTTP(rec, req)
	if rec.Code != 415 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
