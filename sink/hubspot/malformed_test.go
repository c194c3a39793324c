package hubspot

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is asked at start may be answered by a gateway's page for hours. That is
// waited out, calmly, and the log says what to look at.
func TestMalformedAnswersAtStartAreWaitedOut(t *testing.T) {
	const good = `{"portalId":7,"timeZone":"UTC","results":[{"name":"name"}],"access_token":"t"}`
	calls := map[string]func(*Client) error{
		"account":    func(c *Client) error { _, err := c.Account(context.Background()); return err },
		"properties": func(c *Client) error { _, err := c.Properties(context.Background(), "companies"); return err },
		"token":      func(c *Client) error { _, err := c.Account(context.Background()); return err },
	}
	for body, says := range map[string]string{
		"<!DOCTYPE html><html>Sign in</html>": "the body is a web page",
		`{"portalId":7,"results":[{"na`:       "cut off",
		"":                                    "the body is empty",
		"[]":                                  "another shape",
		"null":                                "another shape",
		"{}":                                  "another shape",
	} {
		for name, call := range calls {
			t.Run(fmt.Sprint(name, " ", body), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end := time.Now().Add(6 * time.Hour)
					p := &portal{answer: func(r request) (int, map[string]string, string) {
						if isToken := strings.Contains(r.url, "oauth"); r.at.Before(end) && isToken == (name == "token") {
							return 200, nil, body
						}
						return 200, nil, good
					}}
					var log strings.Builder
					c := newTestClient(t, p, func(cfg *Config) {
						cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
						if name == "token" {
							secret := func() (string, error) { return "s", nil }
							cfg.Token = (&OAuth{BaseURL: "http://127.0.0.1", APIVersion: "v3", ClientID: "id", ClientSecret: secret, RefreshToken: secret, Transport: p}).Token
						}
					})
					if err := call(c); err != nil {
						t.Fatal(err)
					}
					if late := time.Since(end); late < 0 || late > time.Minute {
						t.Errorf("it ended %v after the portal answered", late)
					}
					if n := p.count(); n > 6*60*4 {
						t.Errorf("%d calls in six hours", n)
					}
					if s := log.String(); !strings.Contains(s, says) || !strings.Contains(s, "check HUBSPOT_BASE_URL and any proxy") {
						t.Errorf("the log does not say %q and the mend:\n%.600s", says, s)
					}
				})
			})
		}
	}
}
