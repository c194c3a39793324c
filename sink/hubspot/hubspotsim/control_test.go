package hubspotsim

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestControlInterface(t *testing.T) {
	c := newClient(t, Options{})
	c.token = ""
	steps := []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"POST", "/_sim/properties/companies", `[{"name":"tier","type":"enumeration","fieldType":"select","options":[{"value":"A"}]}]`, 204, ""},
		{"GET", "/_sim/properties/companies", "", 200, `"tier":{`},
		{"POST", "/_sim/objects/companies", `[{"hs_object_id":"7","name":"Seven","tier":"A"},{"hs_object_id":"8","city":"Rome"}]`, 200, `{"ids":["7","8"]}`},
		{"POST", "/_sim/objects/companies", `{"hs_object_id":"7"}`, 400, "is taken"},
		{"POST", "/_sim/objects/companies", `{"nope":"7"}`, 400, `no property "nope"`},
		{"PATCH", "/_sim/objects/companies/7", `{"name":"Sept"}`, 204, ""},
		{"GET", "/_sim/objects/companies/7", "", 200, `"name":"Sept"`},
		{"GET", "/_sim/objects/companies", "", 200, `"city":"Rome"`},
		{"GET", "/_sim/journal?since=1", "", 200, `"id":"8"`},
		{"GET", "/_sim/journal?since=2&limit=1", "", 200, `"properties":{"name":"Sept"}`},
		{"POST", "/_sim/objects/companies/merge", `{"primaryObjectId":"7","objectIdToMerge":"8"}`, 200, `{"id":"9000000001"}`},
		{"DELETE", "/_sim/objects/companies/7", "", 204, ""},
		{"GET", "/_sim/objects/companies/7", "", 400, "no companies with id 7"},
		{"POST", "/_sim/faults", `{"effect":"status","status":503,"op":"update","times":1}`, 200, `"id":1`},
		{"POST", "/_sim/faults", `{"effect":"delay_before","delay":"1.5s","for":"2s"}`, 200, `"delay":"1.5s"`},
		{"POST", "/_sim/faults", `{"effect":"delay_before","delay":20}`, 200, `"delay":"20ms"`},
		{"POST", "/_sim/faults", `{"effect":"nope"}`, 400, "is not one of"},
		{"POST", "/_sim/faults", `{"effekt":"status"}`, 400, "effekt"},
		{"DELETE", "/_sim/faults", "", 204, ""},
		{"GET", "/_sim/faults", "", 200, "[]"},
		{"PUT", "/_sim/quirks", `{"echoTrace":"on"}`, 204, ""},
		{"PUT", "/_sim/quirks", `{"echoTrace":"perhaps"}`, 400, "off, on, random"},
		{"GET", "/_sim/quirks", "", 200, `{"echoTrace":"on"}`},
		{"PUT", "/_sim/limits", `{"calls":5,"window":"1s","daily":9}`, 200, `"Calls":5`},
		{"POST", "/_sim/spend", `{"calls":9}`, 204, ""},
		{"POST", "/_sim/tokens", `{"token":"other","scopes":["oauth"]}`, 204, ""},
		{"DELETE", "/_sim/tokens?token=other", "", 204, ""},
		{"DELETE", "/_sim/properties/companies?name=tier", "", 204, ""},
		{"GET", "/_sim/stats", "", 200, `"dailyUsed":9`},
		{"GET", "/_sim/calls", "", 200, "[]"},
		{"GET", "/_sim/objects/ducks", "", 400, `no object type "ducks"`},
		{"GET", "/_sim", "", 404, ""},
		{"PUT", "/_sim/stats", "", 404, ""},
	}
	for _, s := range steps {
		if r := c.do(s.method, s.path, s.body); r.status != s.status || !strings.Contains(r.text, s.contains) {
			t.Errorf("%s %s %s: %d %s", s.method, s.path, s.body, r.status, r.text)
		}
	}
}

// TestJournalWaits for something to tell.
func TestJournalWaits(t *testing.T) {
	c := newClient(t, Options{})
	got := make(chan string)
	go func() {
		got <- c.do("GET", "/_sim/journal?since=0&wait=1m", "").text
	}()
	for {
		c.portal.mu.Lock()
		waiting := len(c.portal.journal.waiting)
		c.portal.mu.Unlock()
		if waiting == 1 {
			break
		}
	}
	c.seed(map[string]string{"name": "One"})
	if text := <-got; !strings.Contains(text, `"name":"One"`) {
		t.Errorf("%s", text)
	}
	if text := c.do("GET", "/_sim/journal?since=1&wait=1ms", "").text; strings.TrimSpace(text) != "[]" {
		t.Errorf("%q", text)
	}
}

func TestBoundedJournal(t *testing.T) {
	told := 0
	c := newClient(t, Options{JournalLimit: 10, OnEntry: func(Entry) { told++ }})
	for range 57 {
		c.seed(nil)
	}
	j := c.portal.Journal(0)
	if len(j) < 10 || len(j) >= 20 || j[len(j)-1].Seq != 57 || told != 57 {
		t.Errorf("%d entries, the last %d, %d told", len(j), j[len(j)-1].Seq, told)
	}
	for i := 1; i < len(j); i++ {
		if j[i].Seq != j[i-1].Seq+1 {
			t.Errorf("%d after %d", j[i].Seq, j[i-1].Seq)
		}
	}
	if got := c.portal.Journal(55); len(got) != 2 {
		t.Errorf("%d entries after 55", len(got))
	}
}

func TestEntryRoundTrip(t *testing.T) {
	e := Entry{Seq: 1, Source: "update", Properties: Values{{"name", "a\"b\n"}, {"city", ""}}}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Entry
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got, ok := back.Properties.Get("name"); !ok || got != "a\"b\n" || len(back.Properties) != 2 {
		t.Errorf("%s gives %+v", text, back)
	}
}

// TestConcurrentWriters: the journal holds every write once, and the last one
// of each record is what is stored.
func TestConcurrentWriters(t *testing.T) {
	c := newClient(t, Options{Limits: &Limits{}, Quirks: Hostile(), HistoryDepth: 3})
	const records, writers, rounds = 20, 8, 50
	values := make([]map[string]string, records)
	for i := range values {
		values[i] = map[string]string{"account_id": fmt.Sprint("a", i)}
	}
	c.seed(values...)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range rounds {
				var inputs []string
				for i := w % 2; i < records; i += 2 {
					inputs = append(inputs, fmt.Sprintf(`{"id":"a%d","idProperty":"account_id","properties":{"account_id":"a%d","name":"%d.%d"}}`, i, i, w, n))
				}
				if r := c.update(strings.Join(inputs, ",")); r.status != 200 || len(r.body.Results) != records/2 {
					t.Errorf("%d %s", r.status, r.text)
				}
				switch n % 5 {
				case 0:
					c.portal.Journal(0)
					c.portal.Stats()
				case 1:
					c.do("GET", "/crm/v3/objects/companies?limit=100", "")
				case 2:
					c.do("GET", "/_sim/objects/companies", "")
				}
			}
		})
	}
	writing.Wait()
	last := map[string]string{}
	j := c.portal.Journal(records)
	if want := writers * rounds * records / 2; len(j) != want {
		t.Errorf("%d entries, want %d", len(j), want)
	}
	for i, e := range j {
		if e.Seq != int64(records+i+1) {
			t.Fatalf("entry %d has number %d", i, e.Seq)
		}
		last[e.ID], _ = e.Properties.Get("name")
	}
	for _, r := range c.portal.Records("companies") {
		if r.Properties["name"] != last[r.ID] {
			t.Errorf("record %s holds %q, the journal ends with %q", r.ID, r.Properties["name"], last[r.ID])
		}
	}
	if calls := c.portal.Calls(); len(calls) < writers*rounds {
		t.Errorf("%d calls logged", len(calls))
	}
}

// TestPropertyDelay hides a new property for a while, as HubSpot does.
func TestPropertyDelay(t *testing.T) {
	at := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	c := newClient(t, Options{Now: at.now, PropertyDelay: time.Second})
	id := c.seed(nil)[0]
	r := c.post("/crm/v3/properties/companies", `{"name":"plan","label":"P","type":"string","fieldType":"text","groupName":"companyinformation"}`)
	if r.status != 201 {
		t.Fatalf("%s", r.text)
	}
	set := func() int { return c.update(`{"id":"` + id + `","properties":{"plan":"x"}}`).status }
	if got := set(); got != 400 {
		t.Errorf("too early: %d", got)
	}
	at.t = at.t.Add(time.Second)
	if got := set(); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
}
