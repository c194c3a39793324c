package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestATokenOfAnotherPortalIsNotTakenWhileRunning: a secret that is mistaken when
// it is rotated must not write one customer's records into another's CRM.
func TestATokenOfAnotherPortalIsNotTakenWhileRunning(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	limits := hubspotsim.Unthrottled()
	other, _ := serve(t, hubspotsim.Options{
		PortalID: 4711, Limits: &limits, Tokens: []hubspotsim.Token{{Value: "pat-other"}},
		Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()},
	})
	if _, err := other.Seed("companies", map[string]string{"account_id": "1", "name": "theirs"}); err != nil {
		t.Fatal(err)
	}
	// One address for both, as HubSpot has it: the token says which portal is meant.
	hubspot := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer pat-other" {
			other.ServeHTTP(rw, r)
			return
		}
		w.portal.ServeHTTP(rw, r)
	}))
	t.Cleanup(hubspot.Close)
	file := filepath.Join(t.TempDir(), "token")
	give := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	give(hubspotsim.DefaultToken)
	w = w.with("HUBSPOT_ACCESS_TOKEN=", "HUBSPOT_ACCESS_TOKEN_FILE="+file, "HUBSPOT_BASE_URL="+hubspot.URL)
	p := w.start()
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 1)`)
	w.arrives(p, 1, "name=One")

	give("pat-other")
	w.portal.RevokeToken(hubspotsim.DefaultToken)
	w.exec(`UPDATE accounts SET name = 'Two'`)
	p.says("the new token is of portal 4711", "belongs to portal 21939747")
	for call, n := range other.Stats().Calls {
		if !strings.HasPrefix(call, "account ") {
			t.Errorf("the other portal had %d calls %q", n, call)
		}
	}
	w.portal.AddToken(hubspotsim.Token{Value: "pat-next"})
	give("pat-next")
	w.arrives(p, 1, "name=Two")
	if r, _ := other.Find("companies", "account_id", "1"); r.Properties["name"] != "theirs" {
		t.Errorf("the other portal has %q", r.Properties["name"])
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
