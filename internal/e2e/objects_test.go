package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestOtherObjectsByOAuth: contacts, deals and a custom object, by an app whose
// access tokens live for a second and whose refresh token is another one each time,
// on every version of the API. The refresh tokens are kept in memory alone, so that
// the next process needs a new one and says so.
func TestOtherObjectsByOAuth(t *testing.T) {
	t.Parallel()
	const secret, first = "geheim-client", "geheim-refresh"
	for _, version := range []string{"v3", "2026-03", "2026-09"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			limits := hubspotsim.Unthrottled()
			w := newWorldOn(t, pgtest.Shared(t), `CREATE TABLE things (id bigint PRIMARY KEY, email text NOT NULL, name text NOT NULL, gone boolean NOT NULL DEFAULT false)`, `
version: 1
tables:
  things:
    - object: contacts
      match: {email: email}
      on_missing: create
      properties: {firstname: name}
    - object: deals
      match: {deal_no: id}
      on_missing: create
      properties: {dealname: name}
    - object: p1_subscriptions
      match: {sub_id: id}
      on_missing: create
      when: "!gone"
      on_delete: archive
      properties: {label: name}
`, hubspotsim.Options{
				Limits: &limits, Quirks: hubspotsim.Quirks{RotateRefreshToken: hubspotsim.On, Gzip: hubspotsim.On, NewFields: hubspotsim.On},
				OAuth:      &hubspotsim.OAuth{ClientID: "app", ClientSecret: secret, RefreshToken: first, Lifetime: time.Second},
				Objects:    []hubspotsim.Schema{{Name: "p1_subscriptions", TypeID: "2-77", Singular: "SUBSCRIPTION", Properties: []hubspotsim.Property{hubspotsim.Unique("sub_id"), hubspotsim.Text("label")}}},
				Properties: map[string][]hubspotsim.Property{"deals": {hubspotsim.Unique("deal_no")}},
			})
			w = w.with("HUBSPOT_ACCESS_TOKEN=", "HUBSPOT_CLIENT_ID=app", "HUBSPOT_CLIENT_SECRET="+secret, "HUBSPOT_REFRESH_TOKEN="+first, "HUBSPOT_API_VERSION="+version)
			has := func(p *process, object, match, key, property, want string) {
				t.Helper()
				eventually(t, patience, func() string {
					p.alive()
					if r, _ := w.portal.Find(object, match, key); r.Properties[property] != want {
						return fmt.Sprintf("%s %s has %s %q, not %q", object, key, property, r.Properties[property], want)
					}
					return ""
				})
			}
			p := w.start()
			for i, name := range []string{"Ada", "Bob", "Cid"} {
				w.exec(`INSERT INTO things VALUES (1, 'ada@example.com', $1) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, name)
				has(p, "contacts", "email", "ada@example.com", "firstname", name)
				has(p, "deals", "deal_no", "1", "dealname", name)
				has(p, "p1_subscriptions", "sub_id", "1", "label", name)
				if i == 0 {
					time.Sleep(1100 * time.Millisecond) // the access token ends
				}
			}
			w.exec(`UPDATE things SET gone = true`)
			eventually(t, patience, func() string {
				p.alive()
				if n := w.portal.Count("p1_subscriptions"); n != 0 {
					return fmt.Sprint(n, " subscriptions")
				}
				return ""
			})
			w.settles(p)
			if n := w.portal.Stats().Calls["token 200"]; n < 2 {
				t.Errorf("%d access tokens: none was renewed", n)
			}
			if got := w.letters(); len(got) > 0 {
				t.Errorf("parked: %q", got)
			}
			if code := p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if log := p.log.String(); strings.Contains(log, "geheim") {
				t.Errorf("a secret is in the log:\n%s", log)
			}
			w.refuses("HUBSPOT_REFRESH_TOKEN: …revoked or is wrong")
		})
	}
}

// TestAScopeThatIsTakenAway pauses the calls of its object, named, and of no other;
// what waits is delivered once it is granted again.
func TestAScopeThatIsTakenAway(t *testing.T) {
	t.Parallel()
	limits := hubspotsim.Unthrottled()
	w := newWorldOn(t, pgtest.Shared(t), `CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL)`, `
version: 1
tables:
  things:
    - match: {account_id: id}
      properties: {name: name}
    - object: deals
      match: {deal_no: id}
      properties: {dealname: name}
`, hubspotsim.Options{Limits: &limits, Properties: map[string][]hubspotsim.Property{
		"companies": {hubspotsim.Unique("account_id")}, "deals": {hubspotsim.Unique("deal_no")},
	}})
	w.seed(1)
	if _, err := w.portal.Seed("deals", map[string]string{"deal_no": "1"}); err != nil {
		t.Fatal(err)
	}
	url := w.listening()
	p := w.start()
	w.exec(`INSERT INTO things VALUES (1, 'One')`)
	w.arrives(p, 1, "name=One")
	w.portal.AddToken(hubspotsim.Token{Value: hubspotsim.DefaultToken, Scopes: []string{
		"crm.objects.companies.read", "crm.objects.deals.read", "crm.objects.deals.write", "crm.schemas.companies.read", "crm.schemas.deals.read",
	}})
	w.exec(`UPDATE things SET name = 'Two'`)
	eventually(t, patience, func() string {
		p.alive()
		if r, _ := w.portal.Find("deals", "deal_no", "1"); r.Properties["dealname"] != "Two" {
			return "the deal is " + r.Properties["dealname"]
		}
		_, body, err := get(t.Context(), url+"/api/status")
		if !strings.Contains(body, "crm.objects.companies.write") {
			return "the status does not name the scope" + errText(err)
		}
		return ""
	})
	if why := w.lacks(1, "name=One"); why != "" {
		t.Error(why)
	}
	w.portal.AddToken(hubspotsim.Token{Value: hubspotsim.DefaultToken})
	w.arrives(p, 1, "name=Two")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
