package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatusRoundTrip(t *testing.T) {
	w := get(t, serverWith(t, full), "/api/status")
	var got Snapshot
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := full()
	want.Fill()
	want.Records, want.Changes = map[string]int64{"delivered": 2, "unchanged": 1}, 3
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStatusHasNoNullLists(t *testing.T) {
	body := get(t, New(Options{}), "/api/status").Body.String()
	for _, want := range []string{
		`"state": "starting"`, `"tables": []`, `"paused": []`, `"quota": []`, `"held": []`, `"parked": {}`, `"backfills": []`, `"records": {}`,
		`"checkpoint_lsn": null`, `"lag_bytes": null`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

func TestLSN(t *testing.T) {
	for _, want := range []LSN{0, 1, 0x16B374D848, 1<<64 - 1} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got LSN = 7
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	if got := LSN(0x16B374D848).String(); got != "16/B374D848" {
		t.Error(got)
	}
	for _, bad := range []string{`"x"`, `"1/2/3"`, `7`, `"/"`} {
		if err := new(LSN).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	s := serverWith(t, full)
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", 200},
		{"HEAD", "/", 200},
		{"GET", "/assets/page.css", 200},
		{"GET", "/assets/page.js", 200},
		{"GET", "/assets/icon.svg", 200},
		{"POST", "/", 405},
		{"POST", "/healthz", 405},
		{"PUT", "/api/status", 405},
		{"DELETE", "/metrics", 405},
		{"OPTIONS", "/readyz", 405},
		{"GET", "/nothing", 404},
		{"GET", "/assets/page.html", 404},
		{"GET", "/assets/", 404},
		{"GET", "/assets/none.css", 404},
	} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.want {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, w.Code, tt.want)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s %s: policy %q", tt.method, tt.path, got)
		}
		if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s %s: X-Content-Type-Options %q", tt.method, tt.path, got)
		}
	}
}

// TestPageHasNoInlineCode, which its policy forbids, and names nothing foreign.
func TestPageHasNoInlineCode(t *testing.T) {
	body := get(t, New(Options{}), "/").Body.String()
	if !strings.Contains(body, `src="/assets/page.js"`) {
		t.Error("the page has no script")
	}
	for _, never := range []string{"<style", " style=", " onclick=", " onload=", "javascript:", "//", "<script>"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %s", never)
		}
	}
}

func TestServe(t *testing.T) {
	s := serverWith(t, full)
	addr, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()

	for host, want := range map[string]int{
		"": 200, "localhost:9847": 200, "LOCALHOST": 200, "[::1]:9847": 200, "127.0.0.2": 200, "a.localhost:1": 200,
		"evil.example": 421, "evil.example:9847": 421, "10.0.0.1": 421, "localhost.evil.example": 421,
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: status %d, want %d", host, resp.StatusCode, want)
		}
	}

	_, err = New(Options{Listen: addr.String()}).Listen(t.Context())
	var p interface{ Problems() []string }
	if !errors.As(err, &p) || len(p.Problems()) != 1 || !strings.HasPrefix(p.Problems()[0], "PGCRM_LISTEN: "+addr.String()+" is in use; ") {
		t.Errorf("a port in use gives %v", err)
	}

	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(Options{Listen: "off"}).Serve(ctx); err != nil {
		t.Error(err)
	}
}

func TestListenProblems(t *testing.T) {
	_, err := New(Options{Listen: "192.0.2.1:1234"}).Listen(t.Context())
	var p interface{ Problems() []string }
	if !errors.As(err, &p) || !strings.Contains(p.Problems()[0], "is no address of this machine") {
		t.Errorf("got %v", err)
	}
}

// TestGuardIsForLoopbackOnly: behind another address any name may be ours.
func TestGuardIsForLoopbackOnly(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequest(http.MethodGet, "http://pgcrm.example/", nil)
	w := httptest.NewRecorder()
	guardHost(&net.TCPAddr{IP: net.IPv4zero}, ok).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}
