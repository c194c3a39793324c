package hubspotsim

import (
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"
)

func (c *call) account() answer {
	p := c.portal
	now := p.now().In(p.zone)
	_, offset := now.Zone()
	name := p.zone.String()
	if name == "America/New_York" {
		name = "US/Eastern"
	}
	out := map[string]any{
		"portalId": p.id, "accountType": p.accountType, "timeZone": name, "companyCurrency": "USD", "additionalCurrencies": []string{},
		"utcOffset": now.Format("-07:00"), "utcOffsetMilliseconds": offset * 1000,
		"uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
	}
	if c.route.version != "v3" && c.route.version >= "2026-09" {
		out["portalName"], out["createdAt"] = "Simulator", "2026-01-01T00:00:00Z"
	}
	return answer{status: http.StatusOK, body: mustJSON(out)}
}

func (c *call) usage() answer {
	p := c.portal
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().In(p.zone)
	p.quota.turn(now)
	midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, p.zone)
	return answer{status: http.StatusOK, body: mustJSON(map[string]any{"results": []any{map[string]any{
		"name": "private-apps-api-calls-daily", "usageLimit": p.limits.Daily, "currentUsage": p.quota.daily,
		"collectedAt": now.UTC().Format(isoMillis), "fetchStatus": "SUCCESS", "resetsAt": midnight.UTC().Format(isoMillis),
	}}})}
}

// oauth answers the token endpoint and introspection.
func (c *call) oauth() answer {
	p := c.portal
	app := p.oauth
	kind, _, _ := strings.Cut(c.request.Header.Get("Content-Type"), ";")
	form, err := url.ParseQuery(string(c.body))
	if kind != "application/x-www-form-urlencoded" || err != nil {
		return c.refuse(http.StatusUnsupportedMediaType, refusal{Message: "HTTP 415 Unsupported Media Type"})
	}
	if app == nil {
		return c.oauthRefusal("BAD_CLIENT_ID", "missing or unknown client id")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.route.op == "introspect" {
		t := p.tokens[form.Get("token")]
		active := t != nil && (t.Expires.IsZero() || p.now().Before(t.Expires))
		return answer{status: http.StatusOK, body: mustJSON(map[string]any{"active": active, "hub_id": p.id, "token_use": "access_token"})}
	}
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	switch {
	case form.Get("grant_type") != "refresh_token":
		return c.oauthRefusal("BAD_GRANT_TYPE", "unsupported grant type")
	case !same(form.Get("client_id"), app.ClientID):
		return c.oauthRefusal("BAD_CLIENT_ID", "missing or unknown client id")
	case !same(form.Get("client_secret"), app.ClientSecret):
		return c.oauthRefusal("BAD_CLIENT_SECRET", "missing or invalid client secret")
	case !same(form.Get("refresh_token"), app.RefreshToken):
		return c.oauthRefusal("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
	}
	life := app.Lifetime
	if life == 0 {
		life = 30 * time.Minute
	}
	access := c.longToken()
	p.tokens[access] = &Token{Value: access, Scopes: app.Scopes, Expires: p.now().Add(life), OAuth: true}
	if p.quirks.RotateRefreshToken.on(false, c.rng) {
		app.RefreshToken = c.longToken()[:60]
	}
	return answer{status: http.StatusOK, body: mustJSON(map[string]any{
		"access_token": access, "refresh_token": app.RefreshToken, "token_type": "bearer", "expires_in": int(life / time.Second), "hub_id": p.id,
	})}
}

func (c *call) oauthRefusal(status, message string) answer {
	return answer{status: http.StatusBadRequest, body: mustJSON(map[string]string{
		"status": status, "message": message, "error": "invalid_grant", "correlationId": c.id,
	})}
}

// longToken is as long as HubSpot's access tokens may get.
func (c *call) longToken() string {
	raw := make([]byte, 180)
	for i := range raw {
		raw[i] = byte(c.rng.Uint32()) //nolint:gosec // opens nothing but the simulator
	}
	return "C" + hex.EncodeToString(raw)
}
