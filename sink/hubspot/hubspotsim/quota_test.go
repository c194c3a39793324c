package hubspotsim

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clock is moved by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestRollingWindow(t *testing.T) {
	at := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	c := newClient(t, Options{Now: at.now, Limits: &Limits{Calls: 3, Window: 10 * time.Second, Daily: 1000}})
	call := func() response { return c.do("GET", "/account-info/v3/details", "") }
	remaining := func(r response) string { return r.header.Get("X-HubSpot-RateLimit-Remaining") }

	for i, want := range []string{"2", "1", "0"} {
		at.t = at.t.Add(time.Second)
		if r := call(); r.status != 200 || remaining(r) != want {
			t.Fatalf("call %d: %d, remaining %s", i, r.status, remaining(r))
		}
	}
	r := call()
	if r.status != 429 || r.body.PolicyName != "TEN_SECONDLY_ROLLING" || r.body.ErrorType != "RATE_LIMIT" || r.header.Get("Retry-After") != "" {
		t.Fatalf("%d %s", r.status, r.text)
	}
	if r.header.Get("X-HubSpot-RateLimit-Max") != "3" || r.header.Get("X-HubSpot-RateLimit-Interval-Milliseconds") != "10000" {
		t.Errorf("headers %v", r.header)
	}
	// The first call leaves the window ten seconds after it was made, and makes
	// room for one call: it is no bucket that empties at once.
	at.t = at.t.Add(8*time.Second - time.Millisecond)
	if r := call(); r.status != 429 {
		t.Errorf("a millisecond early: %d", r.status)
	}
	at.t = at.t.Add(time.Millisecond)
	if r := call(); r.status != 200 || remaining(r) != "0" {
		t.Errorf("after the window: %d, remaining %s", r.status, remaining(r))
	}
	if r := call(); r.status != 429 {
		t.Errorf("one more: %d", r.status)
	}
	c.portal.SetQuirks(Quirks{RetryAfter: On})
	if r := call(); r.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
	}
}

func TestDailyLimitEndsAtTheAccountsMidnight(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	at := &clock{time.Date(2026, 11, 1, 21, 59, 0, 0, time.UTC)} // 23:59 there
	c := newClient(t, Options{Now: at.now, TimeZone: zone, Limits: &Limits{Daily: 10}})
	c.portal.Spend(8)
	call := func() response { return c.do("GET", "/account-info/v3/details", "") }
	for _, want := range []string{"1", "0"} {
		if r := call(); r.status != 200 || r.header.Get("X-HubSpot-RateLimit-Daily-Remaining") != want {
			t.Fatalf("%d %v", r.status, r.header)
		}
	}
	if r := call(); r.status != 429 || r.body.PolicyName != "DAILY" {
		t.Errorf("%d %s", r.status, r.text)
	}
	at.t = at.t.Add(time.Minute)
	if r := call(); r.status != 200 || r.header.Get("X-HubSpot-RateLimit-Daily-Remaining") != "9" {
		t.Errorf("after midnight: %d %v", r.status, r.header)
	}
}

func TestCredentials(t *testing.T) {
	at := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	c := newClient(t, Options{Now: at.now, Tokens: []Token{
		{Value: "all"},
		{Value: "reader", Scopes: []string{"crm.objects.companies.read"}},
		{Value: "old", Expires: at.t.Add(-75 * time.Second)},
	}})
	id := c.seed(map[string]string{"name": "One"})[0]
	const update = "/crm/v3/objects/companies/batch/update"
	body := `{"inputs":[{"id":"` + id + `","properties":{"name":"Two"}}]}`
	tests := []struct {
		token, path string
		status      int
		contains    string
	}{
		{"", update, 401, `"category":"INVALID_AUTHENTICATION"`},
		{"pat-na1-wrong", update, 401, `"category":"INVALID_AUTHENTICATION"`},
		{"garbage", update, 401, `expired 20758 day(s) ago`},
		{"old", update, 401, `expired 75 second(s) ago`},
		{"reader", update, 403, `"requiredGranularScopes":["crm.objects.companies.write"]`},
		{"reader", "/crm/v3/properties/companies", 200, ""},
		{"reader", "/crm/v3/properties/contacts", 403, "crm.schemas.contacts.read"},
		{"all", update, 200, ""},
	}
	for _, test := range tests {
		c.token = test.token
		method, b := "POST", body
		if test.path != update {
			method, b = "GET", ""
		}
		if r := c.do(method, test.path, b); r.status != test.status || !strings.Contains(r.text, test.contains) {
			t.Errorf("token %q: %d %s", test.token, r.status, r.text)
		}
	}
	c.token = "all"
	c.portal.RevokeToken("all")
	if r := c.do("POST", update, body); r.status != 401 {
		t.Errorf("a revoked token: %d", r.status)
	}
}

func TestOAuthRefresh(t *testing.T) {
	at := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	app := &OAuth{ClientID: "id", ClientSecret: "secret", RefreshToken: "refresh"}
	c := newClient(t, Options{Now: at.now, OAuth: app, Quirks: Quirks{RotateRefreshToken: On}})
	token := func(refresh, secret string) (status int, out map[string]any) {
		t.Helper()
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"id"}, "client_secret": {secret}, "refresh_token": {refresh}}
		req := strings.NewReader(form.Encode())
		r, err := c.http.Post("http://hubspot.test/oauth/2026-03/token", "application/x-www-form-urlencoded", req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, out
	}
	if status, out := token("refresh", "wrong"); status != 400 || out["status"] != "BAD_CLIENT_SECRET" {
		t.Errorf("%d %v", status, out)
	}
	status, out := token("refresh", "secret")
	if status != 200 || out["expires_in"] != 1800.0 || out["refresh_token"] == "refresh" {
		t.Fatalf("%d %v", status, out)
	}
	if app.RefreshToken != "refresh" {
		t.Error("the caller's options were changed")
	}
	c.token, _ = out["access_token"].(string)
	if r := c.do("GET", "/account-info/v3/details", ""); r.status != 200 || r.header.Get("X-HubSpot-RateLimit-Daily") != "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	at.t = at.t.Add(30 * time.Minute)
	if r := c.do("GET", "/account-info/v3/details", ""); r.status != 401 || r.body.Category != "EXPIRED_AUTHENTICATION" {
		t.Errorf("%d %s", r.status, r.text)
	}
	if status, out := token("refresh", "secret"); status != 400 || out["status"] != "BAD_REFRESH_TOKEN" {
		t.Errorf("the first refresh token still works: %d %v", status, out)
	}
}

func TestUnthrottledStillHasHeaders(t *testing.T) {
	limits := Unthrottled()
	c := newClient(t, Options{Limits: &limits})
	r := c.do("GET", "/account-info/v3/details", "")
	if n, err := strconv.Atoi(r.header.Get("X-HubSpot-RateLimit-Remaining")); err != nil || n < 1_000_000 {
		t.Errorf("%v", r.header)
	}
}
