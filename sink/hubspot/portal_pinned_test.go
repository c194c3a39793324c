package hubspot

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// portals answers each token for a portal of its own: 401 for none.
func portals(of func(token string) string) *portal {
	return &portal{answer: func(r request) (int, map[string]string, string) {
		id := of(r.token)
		switch {
		case id == "":
			return 401, nil, `{"category":"INVALID_AUTHENTICATION"}`
		case !strings.Contains(r.url, "account-info"):
			return 200, nil, goodAnswer
		case id == "silent":
			return 403, nil, `{"category":"MISSING_SCOPES"}`
		}
		return 200, nil, `{"portalId":` + id + `}`
	}}
}

// A token that is read again while it runs must be of the same portal: with
// another one nothing is written, until one is given that is.
func TestATokenOfAnotherPortalIsRefusedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, valid atomic.Value
		now.Store("first")
		valid.Store("first")
		p := portals(func(token string) string {
			if token != valid.Load() {
				return ""
			}
			return map[string]string{"first": "7", "stranger": "8", "second": "7", "silent": "silent"}[token]
		})
		c := newTestClient(t, p, func(cfg *Config) {
			cfg.Token = func(context.Context) (string, error) { return now.Load().(string), nil }
		})
		writes := func(token string) (n int) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, r := range p.requests {
				if r.token == token && !strings.Contains(r.url, "account-info") {
					n++
				}
			}
			return n
		}
		if _, err := c.Account(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 { // each looks once
			if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
				t.Fatal(err)
			}
		}
		valid.Store("stranger")
		now.Store("stranger")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Hour)
		reason, _, paused := c.Paused()
		if !paused || !strings.Contains(reason, "portal 8") || !strings.Contains(reason, "portal 7") || !strings.Contains(reason, "HUBSPOT_ACCESS_TOKEN") {
			t.Errorf("paused %v: %s", paused, reason)
		}
		if n := writes("stranger"); n != 0 {
			t.Errorf("%d calls to another portal", n)
		}
		var auth *AuthError
		if _, err := c.Properties(t.Context(), "companies"); !errors.As(err, &auth) || !strings.Contains(auth.Error(), "portal 8") {
			t.Errorf("a call that does not wait: %v", err)
		}
		valid.Store("second")
		now.Store("second")
		wg.Wait()
		if _, _, paused := c.Paused(); paused || writes("second") != 4 {
			t.Errorf("paused %v, %d calls", paused, writes("second"))
		}
		before := p.count()
		valid.Store("silent")
		now.Store("silent")
		if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil || writes("silent") != 1 {
			t.Error("a token that may not tell its portal is refused:", err)
		}
		if n := p.count() - before; n != 3 { // refused, which portal, again
			t.Errorf("%d calls for a token that is read again", n)
		}
	})
}
