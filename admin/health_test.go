package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// clock is a time that tests move by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func TestHealthz(t *testing.T) {
	c := &clock{start}
	h := NewHeartbeats(c.Now)
	s := New(Options{Heartbeats: h})
	want := func(code int, words ...string) {
		t.Helper()
		w := get(t, s, "/healthz")
		if w.Code != code {
			t.Errorf("%s: status %d, want %d: %s", c.now.Sub(start), w.Code, code, w.Body)
		}
		for _, word := range words {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("%q lacks %q", w.Body, word)
			}
		}
	}
	want(http.StatusOK)
	reader, settler := h.Loop("reader"), h.Loop("settler")
	c.now = c.now.Add(StaleAfter - time.Nanosecond)
	want(http.StatusOK)
	reader.Turn()
	c.now = c.now.Add(time.Nanosecond)
	want(http.StatusServiceUnavailable, "the loop settler has not turned for 1m0s")
	if strings.Contains(get(t, s, "/healthz").Body.String(), "reader") {
		t.Error("a loop that turns is named")
	}
	c.now = c.now.Add(StaleAfter)
	want(http.StatusServiceUnavailable, "reader", "settler")
	reader.Turn()
	settler.End()
	want(http.StatusOK)
	if beats := h.Beats(); len(beats) != 1 || beats[0] != (Beat{"reader", 0}) {
		t.Errorf("beats %v", beats)
	}
}

// TestCRMTroubleLeavesHealthAlone: an outage never restarts a Pod nor takes it
// out of service.
func TestCRMTroubleLeavesHealthAlone(t *testing.T) {
	s := New(Options{Snapshot: func() Snapshot {
		return Snapshot{State: Streaming, CRM: CRM{Paused: []Pause{{Reason: "credentials"}}}}
	}})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/readyz?strict": 503} {
		if w := get(t, s, path); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

func TestReadyz(t *testing.T) {
	accepts := CRM{Accepts: true}
	long := start.Add(-2 * time.Minute)
	for _, tt := range []struct {
		name          string
		snap          Snapshot
		plain, strict int
		words         string // in the strict answer
	}{
		{"starting", Snapshot{State: Starting, Detail: "creating the slot"}, 503, 503, "not ready: starting: creating the slot"},
		{"redoing", Snapshot{State: Redoing, CRM: accepts}, 503, 503, "redoing"},
		{"reconnecting", Snapshot{State: Reconnecting, CRM: accepts}, 503, 503, "reconnecting"},
		{"stopping", Snapshot{State: Stopping, CRM: accepts}, 503, 503, "stopping"},
		{"unset", Snapshot{}, 503, 503, "not ready"},
		{"streaming", Snapshot{State: Streaming, CRM: accepts}, 200, 200, "ok: streaming"},
		{"loading", Snapshot{State: Loading, CRM: accepts}, 200, 200, "ok: loading"},
		{"standby is strictly ready without a CRM", Snapshot{State: Standby}, 200, 200, "ok: standby"},
		{"CRM does not accept", Snapshot{State: Streaming}, 200, 503, "the CRM does not accept"},
		{"paused", Snapshot{State: Streaming, CRM: CRM{Accepts: true, Paused: []Pause{{Reason: "daily_quota", Detail: "until midnight"}}}}, 200, 503, "paused: daily_quota: until midnight\n"},
		{"held", Snapshot{State: Streaming, CRM: accepts, Held: []Held{{What: "public.accounts", Reason: "column plan is gone"}}}, 200, 503, "held: public.accounts: column plan is gone"},
		{"old but moving", Snapshot{State: Streaming, At: start, CRM: accepts, Queue: Queue{Records: 9, OldestUnsentSeconds: 300, LastProgress: &start}}, 200, 200, "ok"},
		{"stuck", Snapshot{State: Streaming, At: start, CRM: accepts, Queue: Queue{Records: 9, OldestUnsentSeconds: 300, LastProgress: &long}}, 200, 503, "waits for 300 s"},
		{"never moved", Snapshot{State: Streaming, At: start, CRM: accepts, Queue: Queue{Records: 9, OldestUnsentSeconds: 61}}, 200, 503, "no progress"},
		{"just arrived", Snapshot{State: Streaming, At: start, CRM: accepts, Queue: Queue{Records: 9, OldestUnsentSeconds: 2, LastProgress: &long}}, 200, 200, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Options{Snapshot: func() Snapshot { return tt.snap }})
			for path, want := range map[string]int{
				"/readyz": tt.plain, "/readyz?strict=0": tt.plain, "/readyz?strict=false": tt.plain,
				"/readyz?strict": tt.strict, "/readyz?strict=1": tt.strict, "/readyz?strict=true": tt.strict,
			} {
				if w := get(t, s, path); w.Code != want {
					t.Errorf("%s: status %d, want %d: %s", path, w.Code, want, w.Body)
				}
			}
			if got := get(t, s, "/readyz?strict").Body.String(); !strings.Contains(got, tt.words) {
				t.Errorf("got %q, want %q in it", got, tt.words)
			}
		})
	}
}
