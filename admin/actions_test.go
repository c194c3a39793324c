package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sesame = "open sesame"

// desk is an Operator that remembers what it was asked for.
type desk struct {
	letters []Letter
	asked   []string
	err     error
}

func (d *desk) Letters(_ context.Context, f LetterFilter) ([]Letter, error) {
	d.asked = append(d.asked, fmt.Sprintf("letters %q after %d", f.Category, f.After))
	return d.letters[:min(len(d.letters), f.Limit)], d.err
}

func (d *desk) Retry(_ context.Context, f LetterFilter) (int64, error) {
	d.asked = append(d.asked, fmt.Sprintf("retry %v %q", f.IDs, f.Category))
	return 2, d.err
}

func (d *desk) Drop(_ context.Context, f LetterFilter) (int64, error) {
	d.asked = append(d.asked, fmt.Sprintf("drop %v %q", f.IDs, f.Category))
	return 3, d.err
}

func (d *desk) Resume(_ context.Context, digest string) error {
	d.asked = append(d.asked, "resume "+digest)
	return d.err
}

func guardedServer(d *desk) *Server {
	return New(Options{Operator: d, Token: func(context.Context) (string, error) { return sesame, nil }})
}

func post(path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://localhost:9847"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+sesame)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	return r
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		request *http.Request
		code    int
		asked   string
		answer  string
	}{
		{"retry by number", post("/api/letters/retry", `{"ids":[7,9]}`), 200, `retry [7 9] ""`, `"concerned":2`},
		{"retry by category", post("/api/letters/retry", `{"category":"not_found"}`), 200, `retry [] "not_found"`, `"concerned":2`},
		{"drop", post("/api/letters/drop", `{"ids":[7]}`), 200, `drop [7] ""`, `"concerned":3`},
		{"resume", post("/api/resume", `{"digest":"ab12"}`), 200, "resume ab12", `"concerned":1`},
		{"unlock", post("/api/unlock", `{}`), 200, "", `"concerned":0`},
		{"from the page", post("/api/letters/drop", `{"ids":[7]}`, "Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:9847"), 200, `drop [7] ""`, ""},

		{"everything, by mistake", post("/api/letters/drop", `{}`), 400, "", "say which"},
		{"no JSON", post("/api/letters/drop", `ids=7`), 400, "", "say which"},
		{"no digest", post("/api/resume", `{}`), 400, "", "say which change"},
		{"from another site", post("/api/letters/drop", `{"ids":[7]}`, "Sec-Fetch-Site", "cross-site"), 403, "", "other pages"},
		{"from another port", post("/api/letters/drop", `{"ids":[7]}`, "Sec-Fetch-Site", "same-site"), 403, "", "other pages"},
		{"from another origin", post("/api/letters/drop", `{"ids":[7]}`, "Origin", "http://evil.example"), 403, "", "other pages"},
		{"from no origin", post("/api/letters/drop", `{"ids":[7]}`, "Origin", "null"), 403, "", "other pages"},
		{"as a form", post("/api/letters/drop", `{"ids":[7]}`, "Content-Type", "text/plain"), 415, "", "application/json"},
		{"by GET", httptest.NewRequest(http.MethodGet, "http://localhost/api/letters/drop?ids=7", nil), 405, "", ""},
		{"too much", post("/api/letters/drop", `{"ids":[7`+strings.Repeat(" ", bodyAtMost)+`]}`), 413, "", "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &desk{}
			w := httptest.NewRecorder()
			guardedServer(d).Handler().ServeHTTP(w, tt.request)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.answer) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, tt.code, tt.answer)
			}
			if got := strings.Join(d.asked, ", "); got != tt.asked {
				t.Errorf("asked %q, want %q", got, tt.asked)
			}
		})
	}
}

// TestWrongTokens are refused, late, one after the other, and nothing is done.
func TestWrongTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		h := guardedServer(d).Handler()
		for _, given := range []string{"", "Bearer ", "Bearer open", "Bearer open sesame ", "Basic open sesame", sesame} {
			began := time.Now()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, post("/api/letters/drop", `{"ids":[7]}`, "Authorization", given))
			if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "PGCRM_ADMIN_TOKEN") {
				t.Errorf("%q: %d %s", given, w.Code, w.Body)
			}
			if waited := time.Since(began); waited < penalty {
				t.Errorf("%q: answered after %s", given, waited)
			}
		}
		began := time.Now()
		done := make(chan struct{})
		for range 4 {
			go func() {
				h.ServeHTTP(httptest.NewRecorder(), post("/api/unlock", `{}`, "Authorization", "Bearer guess"))
				done <- struct{}{}
			}()
		}
		for range 4 {
			<-done
		}
		if took := time.Since(began); took < 4*penalty {
			t.Errorf("four guesses at a time took %s", took)
		}
		if len(d.asked) > 0 {
			t.Errorf("done all the same: %v", d.asked)
		}
	})
}

func TestWithoutTokenNothingCanBeChanged(t *testing.T) {
	d := &desk{}
	for name, token := range map[string]func(context.Context) (string, error){
		"not set":    nil,
		"empty":      func(context.Context) (string, error) { return "", nil },
		"unreadable": func(context.Context) (string, error) { return "", errors.New("the file is gone") },
	} {
		w := httptest.NewRecorder()
		New(Options{Operator: d, Token: token}).Handler().ServeHTTP(w, post("/api/letters/drop", `{"ids":[7]}`, "Authorization", "Bearer "))
		if w.Code < 400 || len(d.asked) > 0 {
			t.Errorf("%s: %d %s, %v", name, w.Code, w.Body, d.asked)
		}
	}
}

// TestErrorsOfTheOperator are told without what the database says.
func TestErrorsOfTheOperator(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		line string
	}{
		{ErrNotReady, 503, "not set up yet"},
		{fmt.Errorf("resume: %w", ErrNotFound), 404, "no such thing"},
		{errors.New("password of postgres://u:secret@db refused"), 503, "log says why"},
	} {
		w := httptest.NewRecorder()
		guardedServer(&desk{err: tt.err}).Handler().ServeHTTP(w, post("/api/resume", `{"digest":"x"}`))
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.line) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s", tt.err, w.Code, w.Body)
		}
	}
}

func TestLettersHideValues(t *testing.T) {
	letter := Letter{ID: 7, Object: "companies", Table: "public.accounts", Key: "a@b.example", Row: "12", Property: "plan", Category: "invalid_option", Reason: "“gold” is no option"}
	for _, values := range []bool{false, true} {
		s := New(Options{Operator: &desk{letters: []Letter{letter}}, ShowValues: values})
		body := get(t, s, "/api/letters?category=invalid_option").Body.String()
		for _, value := range []string{"a@b.example", `"12"`, "gold"} {
			if strings.Contains(body, value) != values {
				t.Errorf("values %v: %s in %s", values, value, body)
			}
		}
		if !strings.Contains(body, `"property":"plan"`) {
			t.Error(body)
		}
	}
}

func TestLettersComeInPages(t *testing.T) {
	d := &desk{}
	for i := range lettersAtMost + 5 {
		d.letters = append(d.letters, Letter{ID: int64(i + 1)})
	}
	s := New(Options{Operator: d})
	var page struct {
		Letters []Letter
		More    bool
	}
	if err := json.Unmarshal(get(t, s, "/api/letters?category=x&after=40").Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Letters) != lettersAtMost || !page.More {
		t.Errorf("%d letters, more %v", len(page.Letters), page.More)
	}
	if diff := cmp.Diff([]string{`letters "x" after 40`}, d.asked); diff != "" {
		t.Error(diff)
	}
	if w := get(t, s, "/api/letters?after=x"); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
	if w := get(t, New(Options{}), "/api/letters"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", w.Code)
	}
}
