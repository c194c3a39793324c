package cli

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthURL(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		listen string
		ready  bool
		want   string
	}{
		{"", false, "http://127.0.0.1:9847/healthz"},
		{":9847", false, "http://localhost:9847/healthz"},
		{"0.0.0.0:80", true, "http://localhost:80/readyz"},
		{"[::]:80", false, "http://localhost:80/healthz"},
		{"[::1]:80", false, "http://[::1]:80/healthz"},
		{"10.0.0.7:80", false, "http://10.0.0.7:80/healthz"},
		{"off", false, ""},
	} {
		// A problem elsewhere is not this command's business.
		got, err := healthURL([]string{"PGCRM_LISTEN=" + tt.listen, "PGCRM_BATCH_SIZE=bad"}, tt.ready)
		if got != tt.want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", tt.listen, got, err, tt.want)
		}
	}
	for _, bad := range []string{"nonsense", ":0"} {
		if got, err := healthURL([]string{"PGCRM_LISTEN=" + bad}, false); err == nil {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Chdir(t.TempDir())
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "asked for "+r.URL.Path)
	}))
	defer server.Close()
	check := func(args ...string) error {
		cmd := newHealthcheckCommand([]string{"PGCRM_LISTEN=" + server.Listener.Addr().String()})
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return cmd.ExecuteContext(t.Context())
	}
	if err := check(); err != nil {
		t.Errorf("a healthy process: %v", err)
	}
	code = http.StatusServiceUnavailable
	for want, args := range map[string][]string{
		"asked for /healthz": nil,
		"asked for /readyz":  {"--ready"},
		"asked for /other":   {"--url", server.URL + "/other"},
	} {
		if err := check(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	_ = closed.Close()
	if err := check("--url", "http://"+addr+"/healthz"); err == nil {
		t.Error("nobody listens, and all is well")
	}
}
