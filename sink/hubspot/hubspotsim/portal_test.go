package hubspotsim

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// client calls a portal the way a test wants to read: request in, answer out.
type client struct {
	t      *testing.T
	portal *Portal
	token  string
	http   *http.Client
}

func newClient(t *testing.T, o Options) *client {
	t.Helper()
	if o.Properties == nil {
		o.Properties = map[string][]Property{"companies": {
			Unique("account_id"), Date("renewal"), DateTime("seen_at"), Bool("active"),
			Checkboxes("features", "sso", "audit", "api"),
		}}
	}
	p := New(o)
	t.Cleanup(p.Close)
	return &client{t, p, DefaultToken, &http.Client{Transport: p.Client()}}
}

// response is an answer with its body taken apart.
type response struct {
	status int
	header http.Header
	text   string
	body   struct {
		Status, Message, Category, CorrelationID, ErrorType, PolicyName string
		Context                                                         map[string][]string
		NumErrors                                                       int
		Results                                                         []result
		Errors                                                          []entry
	}
}

type result struct {
	ID         string
	Properties map[string]*string
	New        *bool
	Trace      string `json:"objectWriteTraceId"`
	Warnings   []struct{ Category string }
}

type entry struct {
	Status, Category, Message, Code string
	Context                         map[string][]string
}

func (c *client) do(method, path, body string) response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://hubspot.test"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	r := response{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if strings.HasPrefix(r.text, "{") {
		if err := json.Unmarshal(text, &r.body); err != nil && len(text) > 0 {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return r
}

func (c *client) post(path, body string) response {
	c.t.Helper()
	return c.do("POST", path, body)
}

func (c *client) update(inputs string) response {
	c.t.Helper()
	return c.post("/crm/v3/objects/companies/batch/update", `{"inputs":[`+inputs+`]}`)
}

func (c *client) seed(values ...map[string]string) []string {
	c.t.Helper()
	ids, err := c.portal.Seed("companies", values...)
	if err != nil {
		c.t.Fatal(err)
	}
	return ids
}

// stored returns a property of a company as it is stored.
func (c *client) stored(id, property string) string {
	c.t.Helper()
	r, ok := c.portal.Record("companies", id)
	if !ok {
		c.t.Fatalf("company %s is gone", id)
	}
	return r.Properties[property]
}

func TestUpdateByUniqueProperty(t *testing.T) {
	c := newClient(t, Options{})
	ids := c.seed(map[string]string{"account_id": "a1", "name": "Old"}, map[string]string{"account_id": "a2"})
	r := c.update(`{"id":"a1","idProperty":"account_id","objectWriteTraceId":"t1","properties":{"account_id":"a1","name":"Ne\"w","numberofemployees":"12"}},
		{"id":"zz","idProperty":"account_id","objectWriteTraceId":"t2","properties":{"name":"Nobody"}}`)
	if r.status != 207 || len(r.body.Results) != 1 || r.body.NumErrors != 1 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	if got := r.body.Results[0]; got.ID != ids[0] || *got.Properties["name"] != `Ne"w` || *got.Properties["account_id"] != "a1" {
		t.Errorf("result %s", r.text)
	}
	if e := r.body.Errors[0]; e.Category != "OBJECT_NOT_FOUND" || e.Context["ids"][0] != "zz" || !strings.Contains(e.Message, "COMPANY") {
		t.Errorf("error %+v", e)
	}
	if got := c.stored(ids[0], "name"); got != `Ne"w` {
		t.Errorf("stored %q", got)
	}
	j := c.portal.Journal(2)
	if len(j) != 1 || j[0].ID != ids[0] || j[0].By != "account_id" || j[0].Key != "a1" || j[0].Trace != "t1" || len(j[0].Properties) != 3 {
		t.Errorf("journal %+v", j)
	}
}
