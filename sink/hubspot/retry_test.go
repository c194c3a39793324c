package hubspot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const goodAnswer = `{"status":"COMPLETE","results":[{"id":"1","properties":{}}]}`

var oneInput = []Input{{ID: "1", Properties: []Property{{"name", "a"}}}}

// failing answers the first n requests with a status, the rest well.
func failing(n, status int, header map[string]string, body string) *portal {
	return &portal{answer: func(r request) (int, map[string]string, string) {
		if r.n <= n {
			return status, header, body
		}
		return 200, nil, goodAnswer
	}}
}

func TestTransientAnswersAreRetried(t *testing.T) {
	tests := []struct {
		status     int
		header     map[string]string
		body       string
		least      time.Duration // before the second attempt
		unanswered bool
	}{
		{status: 408, unanswered: true},
		{status: 423, least: 2 * time.Second},
		{status: 429, body: `{"policyName":"SECONDLY"}`, least: time.Second},
		{status: 429, body: `{}`, header: map[string]string{"Retry-After": "7"}, least: 7 * time.Second},
		{status: 477, header: map[string]string{"Retry-After": "3600"}, least: time.Hour},
		{status: 500, unanswered: true},
		{status: 502, body: "<html>", unanswered: true},
		{status: 503, header: map[string]string{"Retry-After": "20"}, least: 20 * time.Second, unanswered: true},
		{status: 504, unanswered: true},
		{status: 521},
		{status: 522, unanswered: true},
		{status: 523},
		{status: 524, unanswered: true},
		{status: 525, least: 30 * time.Second},
		{status: 302, header: map[string]string{"Location": "https://elsewhere.example"}},
		{status: 200, body: "<html>sign in</html>", unanswered: true},
		{status: 200, body: `{"status":"COMPLETE","results":[{"id":"1"`, unanswered: true},
		{status: 200, body: "", unanswered: true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.body), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := failing(2, tt.status, tt.header, tt.body)
				c := newTestClient(t, p, nil)
				start := time.Now()
				answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
				if err != nil || answer.Outcomes[0].State != Written {
					t.Fatalf("%+v, %v", answer, err)
				}
				if answer.Attempts != 3 || p.count() != 3 {
					t.Errorf("%d attempts, %d requests", answer.Attempts, p.count())
				}
				if answer.Unanswered != tt.unanswered {
					t.Errorf("unanswered %v", answer.Unanswered)
				}
				if wait := p.requests[1].at.Sub(start); wait < tt.least || wait == 0 || wait > tt.least+12*time.Second {
					t.Errorf("tried again after %v", wait)
				}
			})
		})
	}
}

func TestAnOutageOfDaysIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(72 * time.Hour)
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			if r.at.Before(end) {
				return 503, nil, ""
			}
			return 200, nil, goodAnswer
		}}
		c := newTestClient(t, p, nil)
		if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(end); late > time.Minute {
			t.Errorf("noticed %v after the end", late)
		}
		if n := p.count(); n < 5000 || n > 20000 {
			t.Errorf("%d attempts in three days", n)
		}
	})
}

func TestNetworkErrors(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	synctest.Test(t, func(t *testing.T) {
		p := failing(0, 0, nil, "")
		p.fail = func(r request) error {
			if r.n < 3 {
				return dial
			}
			return nil
		}
		c := newTestClient(t, p, nil)
		answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
		if err != nil || answer.Attempts != 3 {
			t.Errorf("%+v %v", answer, err)
		}
	})
}

// With a real transport it is known whether the request may have arrived.
func TestRequestsThatNeverLeftAreNotUnanswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // nobody listens there now
	c := realClient(t, "http://"+address)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answer, err := c.BatchUpdate(ctx, "companies", oneInput)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
	if answer.Unanswered || answer.Attempts == 0 {
		t.Errorf("%+v", answer)
	}
}

func realClient(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: url, Token: func(context.Context) (string, error) { return "pat-real", nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// A connection cut before or after the work was done, and answers cut off in
// the middle, are all the same from here: unanswered.
func TestCutConnectionsAreUnanswered(t *testing.T) {
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(goodAnswer))
		default:
			_, _ = w.Write([]byte(goodAnswer))
		}
	}))
	defer server.Close()
	c := realClient(t, server.URL)
	answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
	if err != nil || !answer.Unanswered || answer.Attempts != 3 || answer.Outcomes[0].State != Written {
		t.Errorf("%+v %v", answer, err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var leaked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Store(true) }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c := realClient(t, server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.BatchUpdate(ctx, "companies", oneInput); err == nil {
		t.Error("a redirect was taken for an answer")
	}
	if leaked.Load() {
		t.Error("the redirect was followed")
	}
}

func TestAnswersAreNotReadWithoutEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"results":[`))
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL, MaxResponse: 1 << 20, Token: func(context.Context) (string, error) { return "t", nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	answer, err := c.BatchUpdate(ctx, "companies", oneInput)
	if err == nil || !strings.Contains(err.Error(), "longer than 1048576 bytes") || !answer.Unanswered {
		t.Errorf("%+v %v", answer, err)
	}
}

func TestTheContextEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := failing(1000, 503, map[string]string{"Retry-After": "3600"}, "")
		c := newTestClient(t, p, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		answer, err := c.BatchUpdate(ctx, "companies", oneInput)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Status != 503 {
			t.Errorf("the error does not say why: %v", err)
		}
		if !answer.Unanswered || answer.Attempts != 1 {
			t.Errorf("%+v", answer)
		}
	})
}

func TestARefusalIsReturnedAtOnce(t *testing.T) {
	p := fixed(400, `{"category":"VALIDATION_ERROR","correlationId":"c-9"}`)
	c := newTestClient(t, p, nil)
	answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
	var refusal *Error
	if !errors.As(err, &refusal) || p.count() != 1 || answer.Unanswered || answer.CorrelationID != "c-9" || answer.Attempts != 1 {
		t.Errorf("%+v %v after %d", answer, err, p.count())
	}
}

func TestARotatedTokenIsReadAgainWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Value
		now.Store("old")
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			if r.token != now.Load() {
				return 401, nil, `{"category":"INVALID_AUTHENTICATION"}`
			}
			return 200, nil, goodAnswer
		}}
		c := newTestClient(t, p, func(cfg *Config) {
			cfg.Token = func(context.Context) (string, error) { return now.Load().(string) + "\n", nil }
		})
		call := func() {
			t.Helper()
			start := time.Now()
			answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
			if err != nil || answer.Unanswered {
				t.Fatalf("%+v %v", answer, err)
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("took %v", d)
			}
		}
		call()
		now.Store("new")
		call()
		if p.count() != 3 {
			t.Errorf("%d requests", p.count())
		}
		if _, _, paused := c.Paused(); paused {
			t.Error("paused")
		}
	})
}

// A refused token pauses every call, tries gently, and work resumes by itself.
func TestARefusedTokenPausesEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var token atomic.Value
		token.Store("revoked")
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			if r.token == "revoked" {
				return 401, nil, `{"category":"INVALID_AUTHENTICATION","correlationId":"c"}`
			}
			return 200, nil, goodAnswer
		}}
		var log strings.Builder
		c := newTestClient(t, p, func(cfg *Config) {
			cfg.Token = func(context.Context) (string, error) { return token.Load().(string), nil }
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		var wg sync.WaitGroup
		var done atomic.Int32
		for range 8 {
			wg.Go(func() {
				answer, err := c.BatchUpdate(t.Context(), "companies", oneInput)
				if err != nil || answer.Outcomes[0].State != Written || answer.Unanswered {
					t.Errorf("%+v %v", answer, err)
				}
				done.Add(1)
			})
		}
		start := time.Now()
		time.Sleep(time.Hour)
		reason, since, paused := c.Paused()
		if !paused || !strings.Contains(reason, "HUBSPOT_ACCESS_TOKEN") || since.Sub(start) > time.Second {
			t.Errorf("paused %v since %v: %q", paused, since, reason)
		}
		// Four calls were in flight when the gate closed; then 5, 10, 20 s … 5 min.
		if n := p.count(); n < 10 || n > 30 {
			t.Errorf("%d requests in an hour", n)
		}
		if done.Load() != 0 {
			t.Error("a call came back")
		}
		token.Store("good")
		wg.Wait()
		if d := time.Since(start) - time.Hour; d > 5*time.Minute+time.Second {
			t.Errorf("resumed after %v", d)
		}
		if _, _, paused := c.Paused(); paused {
			t.Error("still paused")
		}
		if s := log.String(); strings.Contains(s, "revoked") || strings.Contains(s, "good") || strings.Count(s, "level=ERROR") != 1 {
			t.Errorf("log:\n%s", s)
		}
	})
}

// Scopes are granted by object: the calls of other objects go on.
func TestMissingScopesPauseTheirObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var granted atomic.Bool
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			if strings.Contains(r.url, "/contacts/") && !granted.Load() {
				return 403, nil, `{"category":"MISSING_SCOPES","context":{"requiredGranularScopes":["crm.objects.contacts.write"]}}`
			}
			return 200, nil, goodAnswer
		}}
		c := newTestClient(t, p, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.BatchUpdate(t.Context(), "contacts", oneInput); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
			t.Error(err)
		}
		if reason, _, paused := c.Paused(); !paused || !strings.Contains(reason, "crm.objects.contacts.write") {
			t.Errorf("paused %v: %s", paused, reason)
		}
		granted.Store(true)
		wg.Wait()
		if _, _, paused := c.Paused(); paused {
			t.Error("still paused")
		}
	})
}

func TestThePauseEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, fixed(401, `{}`), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := c.BatchUpdate(ctx, "companies", oneInput); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestTokensThatCannotBeSentAreRefused(t *testing.T) {
	for _, token := range []string{"", " \n", "two words", "line\nbreak", "ünicode"} {
		p := fixed(200, `{}`)
		c := newTestClient(t, p, func(cfg *Config) {
			cfg.Token = func(context.Context) (string, error) { return token, nil }
		})
		_, err := c.Account(t.Context())
		var problems interface{ Problems() []string }
		if !errors.As(err, &problems) || !strings.HasPrefix(problems.Problems()[0], "HUBSPOT_ACCESS_TOKEN: ") || p.count() != 0 {
			t.Errorf("%q: %v", token, err)
		}
		if token != "" && strings.TrimSpace(token) != "" && strings.Contains(err.Error(), token) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"5":                             5 * time.Second,
		"0.5":                           500 * time.Millisecond,
		"-3":                            0,
		"soon":                          0,
		"9999999999999":                 24 * time.Hour,
		"Sun, 01 Nov 2026 12:01:00 GMT": time.Minute,
		"Sun, 01 Nov 2026 11:01:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
