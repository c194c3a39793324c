package hubspot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// connect makes a client of a portal that runs in this process.
func connect(t *testing.T, portal *hubspotsim.Portal, change func(*hubspot.Config)) *hubspot.Client {
	t.Helper()
	t.Cleanup(portal.Close)
	cfg := hubspot.Config{
		BaseURL:   "http://127.0.0.1",
		Token:     func(context.Context) (string, error) { return hubspotsim.DefaultToken, nil },
		Transport: portal.Client(),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := hubspot.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A backlog of 3,000 calls against 100 in 10 s: the window is used to the full,
// and hardly a call is refused.
func TestABacklogUsesTheWindow(t *testing.T) {
	for _, play := range []hubspotsim.Play{hubspotsim.Off, hubspotsim.On} {
		synctest.Test(t, func(t *testing.T) {
			const records, batch = 3_000, 1
			portal := hubspotsim.New(hubspotsim.Options{JournalLimit: -1, Quirks: hubspotsim.Quirks{CountRefused: play}})
			if err := portal.AddFaults(
				hubspotsim.Fault{Effect: hubspotsim.DelayBefore, Delay: hubspotsim.Duration(40 * time.Millisecond), Rate: 0.5},
				hubspotsim.Fault{Effect: hubspotsim.DelayAfter, Delay: hubspotsim.Duration(200 * time.Millisecond)},
			); err != nil {
				t.Fatal(err)
			}
			c := connect(t, portal, nil)
			seeds := make([]map[string]string, records)
			for i := range seeds {
				seeds[i] = map[string]string{"name": "before"}
			}
			ids, err := portal.Seed("companies", seeds...)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for {
						from := int(next.Add(batch)) - batch
						if from >= records {
							return
						}
						inputs := make([]hubspot.Input, batch)
						for i := range inputs {
							inputs[i] = hubspot.Input{ID: ids[from+i], Properties: []hubspot.Property{{Name: "name", Value: "after"}}}
						}
						answer, err := c.BatchUpdate(t.Context(), "companies", inputs)
						if err != nil {
							t.Error(err)
							return
						}
						for _, o := range answer.Outcomes {
							if o.State != hubspot.Written {
								t.Errorf("%+v", o)
							}
						}
					}
				})
			}
			wg.Wait()
			calls := portal.Stats().Calls
			ok, refused := calls["update 200"], calls["update 429"]
			// The first window is there at once: the others take ten seconds each.
			possible := 100 * (1 + int(time.Since(start)/(10*time.Second)))
			if ok != records/batch || ok*100 < possible*97 || refused*1000 > ok {
				t.Errorf("%d calls of %d possible in %v, %d refused", ok, possible, time.Since(start), refused)
			}
		})
	}
}

func TestPropertiesAndAccountOfThePortal(t *testing.T) {
	for _, version := range []string{"v3", "2026-03", "2026-09"} {
		portal := hubspotsim.New(hubspotsim.Options{PortalID: 4711})
		c := connect(t, portal, func(cfg *hubspot.Config) { cfg.APIVersion = version })
		if err := portal.Define("companies", hubspotsim.Property{Name: "pg_key", Type: "string", FieldType: "text", HasUniqueValue: true}); err != nil {
			t.Fatal(err)
		}
		definitions, err := c.Properties(t.Context(), "companies")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]hubspot.Definition{}
		for _, d := range definitions {
			if _, twice := seen[d.Name]; twice {
				t.Errorf("%s is there twice", d.Name)
			}
			seen[d.Name] = d
		}
		id := seen["hs_object_id"]
		if !seen["pg_key"].Unique || seen["name"].Unique || !id.ReadOnly && !id.Calculated || len(seen["lifecyclestage"].Options) == 0 {
			t.Errorf("%s: %+v", version, seen["pg_key"])
		}
		account, err := c.Account(t.Context())
		if err != nil || account.PortalID != 4711 || account.TimeZone == "" {
			t.Errorf("%s: %+v %v", version, account, err)
		}
	}
}

func TestWhatIsWrongWithTheSetupIsAProblem(t *testing.T) {
	for _, tt := range []struct {
		name, object string
		token        hubspotsim.Token
		change       func(*hubspot.Config)
		want         string
	}{
		{"token", "companies", hubspotsim.Token{Value: "pat-other"}, nil, "HUBSPOT_ACCESS_TOKEN"},
		{"scope", "companies", hubspotsim.Token{Value: hubspotsim.DefaultToken, Scopes: []string{"crm.objects.contacts.read"}}, nil, "companies.read"},
		{"object", "butterflies", hubspotsim.Token{Value: hubspotsim.DefaultToken}, nil, "butterflies"},
		{"path", "companies", hubspotsim.Token{Value: hubspotsim.DefaultToken}, func(cfg *hubspot.Config) { cfg.BaseURL += "/elsewhere" }, "HUBSPOT_BASE_URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			portal := hubspotsim.New(hubspotsim.Options{Tokens: []hubspotsim.Token{tt.token}})
			c := connect(t, portal, tt.change)
			_, err := c.Properties(t.Context(), tt.object)
			var problems interface{ Problems() []string }
			if !errors.As(err, &problems) || len(problems.Problems()) != 1 || !strings.Contains(problems.Problems()[0], tt.want) {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(fmt.Sprint(err), hubspotsim.DefaultToken) {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestWriteScopeIsCheckedWithoutWriting(t *testing.T) {
	for _, tt := range []struct {
		scopes []string
		want   string
	}{
		{nil, ""},
		{[]string{"crm.objects.companies.read"}, "crm.objects.companies.write"},
	} {
		portal := hubspotsim.New(hubspotsim.Options{Tokens: []hubspotsim.Token{{Value: hubspotsim.DefaultToken, Scopes: tt.scopes}}})
		c := connect(t, portal, nil)
		err := c.CheckWrite(t.Context(), "companies")
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: %v", tt.scopes, err)
		}
		if n := len(portal.Journal(0)); n != 0 {
			t.Errorf("%d writes", n)
		}
	}
}

func TestOAuthTokensAreRenewed(t *testing.T) {
	for _, rotate := range []hubspotsim.Play{hubspotsim.Off, hubspotsim.On} {
		synctest.Test(t, func(t *testing.T) {
			portal := hubspotsim.New(hubspotsim.Options{
				OAuth:  &hubspotsim.OAuth{ClientID: "app", ClientSecret: "shh", RefreshToken: "first"},
				Quirks: hubspotsim.Quirks{RotateRefreshToken: rotate},
			})
			source := oauth(portal, "app", "shh", "first")
			c := connect(t, portal, func(cfg *hubspot.Config) { cfg.Token = source.Token })
			for range 20 {
				if _, err := c.Properties(t.Context(), "companies"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(7 * time.Minute)
			}
			// A token of half an hour is renewed by the call at 35, 70 and 105 minutes.
			if n := portal.Stats().Calls["token 200"]; n != 4 {
				t.Errorf("%d tokens: %v", n, portal.Stats().Calls)
			}
		})
	}
}

func oauth(portal *hubspotsim.Portal, id, secret, refresh string) *hubspot.OAuth {
	given := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
	return &hubspot.OAuth{BaseURL: "http://127.0.0.1", ClientID: id, ClientSecret: given(secret), RefreshToken: given(refresh), Transport: portal.Client()}
}

func TestOAuthSettingsThatAreWrong(t *testing.T) {
	for _, tt := range []struct{ id, secret, refresh, want string }{
		{"other", "shh", "first", "HUBSPOT_CLIENT_ID"},
		{"app", "other", "first", "HUBSPOT_CLIENT_SECRET"},
		{"app", "shh", "other", "HUBSPOT_REFRESH_TOKEN"},
	} {
		portal := hubspotsim.New(hubspotsim.Options{OAuth: &hubspotsim.OAuth{ClientID: "app", ClientSecret: "shh", RefreshToken: "first"}})
		c := connect(t, portal, func(cfg *hubspot.Config) { cfg.Token = oauth(portal, tt.id, tt.secret, tt.refresh).Token })
		_, err := c.Properties(t.Context(), "companies")
		var problems interface{ Problems() []string }
		if !errors.As(err, &problems) || !strings.HasPrefix(problems.Problems()[0], tt.want+": ") {
			t.Errorf("%+v: %v", tt, err)
		}
		for _, secret := range []string{"shh", "first"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells a secret: %v", err)
			}
		}
	}
}

// The token endpoint may be down for a while.
func TestOAuthWaitsForTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		portal := hubspotsim.New(hubspotsim.Options{OAuth: &hubspotsim.OAuth{ClientID: "app", ClientSecret: "shh", RefreshToken: "first"}})
		if err := portal.AddFaults(hubspotsim.Fault{Op: "token", Effect: hubspotsim.Status, Status: 503, Times: 3}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, portal, func(cfg *hubspot.Config) { cfg.Token = oauth(portal, "app", "shh", "first").Token })
		if _, err := c.Properties(t.Context(), "companies"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAllRecordsAreListed(t *testing.T) {
	portal := hubspotsim.New(hubspotsim.Options{})
	seeds := make([]map[string]string, 250)
	for i := range seeds {
		seeds[i] = map[string]string{"name": fmt.Sprint("n", i)}
	}
	if _, err := portal.Seed("companies", seeds...); err != nil {
		t.Fatal(err)
	}
	c := connect(t, portal, nil)
	seen := map[string]bool{}
	after := ""
	for pages := 1; ; pages++ {
		page, err := c.List(t.Context(), "companies", after, []string{"name"})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Records {
			name, _ := f.Value("name")
			seen[f.ID+name] = true
		}
		if after = page.After; after == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(seen) != 250 {
		t.Errorf("%d records", len(seen))
	}
}

// Definitions are read again in as few calls as will do, and what cannot be seen
// just now does not look deleted.
func TestPropertiesAreReadAgainInFewCalls(t *testing.T) {
	portal := hubspotsim.New(hubspotsim.Options{})
	c := connect(t, portal, nil)
	calls := func() int { return portal.Stats().Calls["properties.list 200"] }
	again := func(kinds ...string) (names []string, n int) {
		t.Helper()
		before := calls()
		definitions, err := c.PropertiesAgain(t.Context(), "companies", kinds)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range definitions {
			names = append(names, d.Name)
		}
		return names, calls() - before
	}
	secret := hubspotsim.Text("secret")
	secret.DataSensitivity = "highly_sensitive"
	all, err := c.Properties(t.Context(), "companies")
	if err != nil || len(hubspot.Sensitivities(all)) != 0 {
		t.Fatal(hubspot.Sensitivities(all), err)
	}
	if names, n := again(); n != 1 || len(names) != len(all) {
		t.Errorf("%d calls, %d of %d properties", n, len(names), len(all))
	}
	if err := portal.Define("companies", secret); err != nil {
		t.Fatal(err)
	}
	all, err = c.Properties(t.Context(), "companies")
	kinds := hubspot.Sensitivities(all)
	if err != nil || !slices.Equal(kinds, []string{"highly_sensitive"}) {
		t.Fatal(kinds, err)
	}
	if names, n := again(kinds...); n != 2 || len(names) != len(all) || !slices.Contains(names, "secret") {
		t.Errorf("%d calls, %d of %d properties", n, len(names), len(all))
	}
	if err := portal.AddFaults(hubspotsim.Fault{Op: "properties", Effect: hubspotsim.Status, Status: 403, Skip: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.PropertiesAgain(t.Context(), "companies", kinds); err == nil {
		t.Errorf("%d properties, though those of one kind were refused", len(got))
	}
}
