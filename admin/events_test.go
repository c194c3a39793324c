package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// follow opens the events and returns a function that reads the next.
func follow(t *testing.T, url string) func() page {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, kind)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return func() (p page) {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &p); err != nil {
					t.Fatal(err)
				}
				return p
			}
		}
		t.Fatalf("no event: %v", lines.Err())
		return p
	}
}

func TestEvents(t *testing.T) {
	d := NewDeliveries(false, func() time.Time { return start })
	note := func() {
		d.Note(func() Delivery {
			return Delivery{Table: "public.a", Row: "secret", Properties: []Property{{Name: "plan", Value: ref("secret")}}}
		})
	}
	note()
	s := New(Options{Snapshot: full, Deliveries: d, Token: func(context.Context) (string, error) { return "x", nil }})
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	next := follow(t, srv.URL)
	first := next()
	if first.Status.State != Streaming || !first.Actions || first.Values || len(first.Deliveries) != 1 {
		t.Errorf("%+v", first)
	}
	note()
	note()
	for seen := 0; seen < 2; {
		p := next()
		for _, delivery := range p.Deliveries {
			if delivery.Row != "" || delivery.Properties[0].Value != nil {
				t.Errorf("values are shown: %+v", delivery)
			}
			if delivery.Number < 2 {
				t.Error("a delivery comes twice")
			}
		}
		seen += len(p.Deliveries)
	}
}

// TestServerStopsThoughPagesAreOpen, and at once.
func TestServerStopsThoughPagesAreOpen(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := New(Options{Listen: "127.0.0.1:0", Snapshot: full})
	addr, err := s.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	next := follow(t, "http://"+addr.String())
	next()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPagesAreBounded(t *testing.T) {
	s := New(Options{Snapshot: full})
	for range watchersAtMost {
		s.watchers <- struct{}{}
	}
	if w := get(t, s, "/api/events"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d", w.Code)
	}
}

func TestDeliveriesAreBounded(t *testing.T) {
	now := start
	d := NewDeliveries(true, func() time.Time { return now })
	made := 0
	for range 10 {
		for range 1000 {
			d.Note(func() Delivery { made++; return Delivery{Row: "7"} })
		}
		now = now.Add(time.Second)
	}
	list, number := d.after(0)
	if made != 10*deliveriesASecond || len(list) != deliveriesKept || number != int64(made) {
		t.Errorf("made %d, kept %d, number %d", made, len(list), number)
	}
	if list[0].Number != number || list[0].Row != "7" {
		t.Errorf("the newest is %+v", list[0])
	}
	if list, _ := d.after(number); len(list) > 0 {
		t.Errorf("%d after the last", len(list))
	}
}
