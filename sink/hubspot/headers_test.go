package hubspot

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// Every header that HubSpot is known to send, and what is made of it.
func TestHeaders(t *testing.T) {
	type learned struct {
		window, daily int // the limits; 0 for a daily one that is not known
		correlation   string
	}
	for name, tt := range map[string]struct {
		header map[string]string
		want   learned
	}{
		"none, as of search": {nil, learned{window: 100}},
		"of a private app": {map[string]string{
			"X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Remaining": "189", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
			"X-HubSpot-RateLimit-Daily": "625000", "X-HubSpot-RateLimit-Daily-Remaining": "624000",
			"X-HubSpot-RateLimit-Secondly": "19", "X-HubSpot-RateLimit-Secondly-Remaining": "0", // deprecated and not enforced
		}, learned{window: 190, daily: 625000}},
		"of OAuth, without the day": {map[string]string{
			"X-HubSpot-RateLimit-Max": "110", "X-HubSpot-RateLimit-Remaining": "109", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
		}, learned{window: 110}},
		"garbage": {map[string]string{
			"X-HubSpot-RateLimit-Max": "many", "X-HubSpot-RateLimit-Remaining": "-1", "X-HubSpot-RateLimit-Interval-Milliseconds": "0", "X-HubSpot-RateLimit-Daily": "",
		}, learned{window: 100}},
		"names of the call": {map[string]string{
			"x-hubspot-correlation-id": "c-1", "x-request-id": "r-1", "CF-Ray": "ray-1",
		}, learned{window: 100, correlation: "c-1"}},
		"names without HubSpot's": {map[string]string{"x-request-id": "r-1", "CF-Ray": "ray-1"}, learned{window: 100, correlation: "r-1"}},
		"Cloudflare's name alone": {map[string]string{"CF-Ray": "ray-1"}, learned{window: 100, correlation: "ray-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &portal{answer: func(request) (int, map[string]string, string) { return 200, tt.header, goodAnswer }}
				c := newTestClient(t, p, nil)
				answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
				if err != nil {
					t.Fatal(err)
				}
				q := c.Quota()
				if got := (learned{q.WindowLimit, q.DailyLimit, answer.CorrelationID}); got != tt.want {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
				if q.DailyKnown != (tt.want.daily > 0) {
					t.Errorf("the day is known: %v", q.DailyKnown)
				}
			})
		})
	}
}

// An address that would be too long asks for the record alone.
func TestAnAddressIsNeverTooLong(t *testing.T) {
	p := fixed(200, `{"id":"512"}`)
	c := newTestClient(t, p, nil)
	many := strings.Split(strings.Repeat("a_property_with_a_name ", 500), " ")
	if f, err := c.Get(t.Context(), "companies", "512", many); err != nil || f.ID != "512" {
		t.Fatal(f, err)
	}
	if n := len(p.requests[0].url); n > 4200 {
		t.Errorf("an address of %d bytes", n)
	}
}

// At debug each call is logged with the name by which HubSpot's support finds it,
// and with none of what was sent or answered.
func TestCallsAreLoggedAtDebug(t *testing.T) {
	var log strings.Builder
	p := &portal{answer: func(request) (int, map[string]string, string) {
		return 200, map[string]string{"X-HubSpot-Correlation-Id": "c-7"}, `{"results":[{"id":"1","properties":{"name":"answered-value"}}]}`
	}}
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		log.Reset()
		c := newTestClient(t, p, func(cfg *Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
		})
		if _, err := c.BatchUpdate(t.Context(), "companies", []Input{{ID: "1", Properties: []Property{{"name", "sent-value"}}}}); err != nil {
			t.Fatal(err)
		}
		s := log.String()
		if got := strings.Contains(s, "correlation_id=c-7"); got != (level == slog.LevelDebug) {
			t.Errorf("at %v the log says %q", level, s)
		}
		if strings.Contains(s, "-value") || strings.Contains(s, "pat-test") {
			t.Errorf("at %v the log tells too much: %q", level, s)
		}
	}
}
