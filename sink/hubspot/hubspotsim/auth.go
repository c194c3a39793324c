package hubspotsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AddToken makes the portal accept a token, or changes one.
func (p *Portal) AddToken(t Token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[t.Value] = &t
}

// RevokeToken makes the portal refuse a token.
func (p *Portal) RevokeToken(value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tokens, value)
}

// authenticate finds the token. A token that nobody issued is answered either
// as missing or, where it doesn't even look like a static one, as expired since
// 1970: HubSpot does both.
func (c *call) authenticate() (answer, bool) {
	p := c.portal
	scheme, value, _ := strings.Cut(c.request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || value == "" {
		return c.unauthenticated(), false
	}
	p.mu.Lock()
	t := p.tokens[value]
	p.mu.Unlock()
	now := p.now()
	switch {
	case t == nil && strings.HasPrefix(value, "pat-"):
		return c.unauthenticated(), false
	case t == nil:
		return c.expired(time.Unix(0, 0), now), false
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return c.expired(t.Expires, now), false
	}
	c.token = t
	return answer{}, true
}

func (c *call) unauthenticated() answer {
	return c.refuse(http.StatusUnauthorized, refusal{
		Message: "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at " +
			"https://developers.hubspot.com/docs/methods/auth/oauth-overview",
		Category: "INVALID_AUTHENTICATION",
	})
}

func (c *call) expired(at, now time.Time) answer {
	ago := now.Sub(at)
	text := strconv.Itoa(int(ago/time.Second)) + " second(s)"
	if days := int(ago / (24 * time.Hour)); days > 0 {
		text = strconv.Itoa(days) + " day(s)"
	}
	return c.refuse(http.StatusUnauthorized, refusal{
		Message:  "The OAuth token used to make this call expired " + text + " ago.",
		Category: "EXPIRED_AUTHENTICATION",
		Context:  map[string][]string{"expire time": {at.UTC().Format(time.RFC3339)}},
	})
}

// permitted checks scopes. The portal is locked.
func (c *call) permitted(o *objectType) (answer, bool) {
	verb, family := "write", "objects"
	switch op := c.route.op; {
	case op == "read" || op == "get" || op == "list" || op == "search":
		verb = "read"
	case op == "properties.list" || op == "properties.get" || op == "properties.groups" || op == "properties.batch.read":
		verb, family = "read", "schemas"
	case strings.HasPrefix(op, "properties."):
		family = "schemas"
	}
	scope := o.Scope
	if scope == "" {
		scope = "custom"
	}
	need := []string{fmt.Sprintf("crm.%s.%s.%s", family, scope, verb)}
	if family == "schemas" && verb == "read" {
		need = append(need, "crm.objects."+scope+".read") // suffices for definitions
	}
	if c.token.Scopes == nil || slices.ContainsFunc(need, func(s string) bool { return slices.Contains(c.token.Scopes, s) }) {
		return answer{}, true
	}
	return c.missingScopes(need[:1]), false
}

func (c *call) missingScopes(scopes []string) answer {
	names := map[string][]string{"requiredGranularScopes": scopes}
	r := refusal{
		Message: "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: " +
			"https://developers.hubspot.com/scopes.",
		Category: "MISSING_SCOPES",
	}
	if c.portal.quirks.ScopesOnTop.on(false, c.rng) {
		r.Context = names
	} else {
		r.Errors = []detail{{Message: "One or more of the following scopes are required.", Context: names}}
	}
	return c.refuse(http.StatusForbidden, r)
}
