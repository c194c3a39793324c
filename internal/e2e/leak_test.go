package e2e

import (
	"bytes"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// rowMark is in the row values of the larger tests. No program may print it that
// was not asked to show values.
const rowMark = "rowvalue7f3a"

// secretSettings hold nothing but a secret.
var secretSettings = []string{"HUBSPOT_ACCESS_TOKEN", "HUBSPOT_CLIENT_SECRET", "HUBSPOT_REFRESH_TOKEN", "PGCRM_ADMIN_TOKEN", "PGPASSWORD"}

var keywordPassword = regexp.MustCompile(`password=(\S+)`)

// secretsOf finds the secrets in a program's environment, by the setting that has
// them. Very short ones are in any text.
func secretsOf(env []string) map[string]string {
	found := map[string]string{}
	keep := func(name, secret string) {
		if len(secret) >= 6 {
			found[name] = secret
		}
	}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if setting, ok := strings.CutSuffix(name, "_FILE"); ok {
			text, err := os.ReadFile(value)
			if err != nil {
				continue
			}
			name, value = setting, strings.TrimSuffix(string(text), "\n")
		}
		for _, s := range secretSettings {
			if name == s {
				keep(name, value)
			}
		}
		if strings.HasSuffix(name, "DATABASE_URL") || name == "HUBSPOT_BASE_URL" {
			if u, err := url.Parse(value); err == nil && u.User != nil {
				password, _ := u.User.Password()
				keep(name, password)
			}
			if m := keywordPassword.FindStringSubmatch(value); m != nil {
				keep(name, m[1])
			}
		}
	}
	return found
}

// leakScan passes a program's output on, and fails the test where there is a
// secret or a marked row value in it.
type leakScan struct {
	t       testing.TB
	to      io.Writer
	mu      sync.Mutex
	secrets map[string]string
	end     []byte // of what was written, for what is cut in two
}

func scanned(t testing.TB, env, args []string, to io.Writer) io.Writer {
	s := &leakScan{t: t, to: to, secrets: secretsOf(env)}
	runs := len(args) == 0 || args[0] == "run"
	for _, pair := range env {
		runs = runs && pair != "PGCRM_SHOW_VALUES=true"
	}
	if runs { // other commands show rows to whoever asks for them
		s.secrets["a row value"] = rowMark
	}
	return s
}

func (s *leakScan) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.end, b...)
	for name, secret := range s.secrets {
		if bytes.Contains(text, []byte(secret)) {
			s.t.Errorf("the program printed %s: %s", name, text)
			delete(s.secrets, name) // said once
		}
	}
	s.end = bytes.Clone(text[max(0, len(text)-1024):])
	return s.to.Write(b)
}

// TestLeaksAreFound: the scan of all other tests' output is able to fail.
func TestLeaksAreFound(t *testing.T) {
	file := t.TempDir() + "/token"
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"HUBSPOT_ACCESS_TOKEN_FILE=" + file, "PGCRM_DATABASE_URL=postgres://u:in-a-url@h/d", "PGCRM_STATE_DATABASE_URL=host=h password=in-keywords",
		"PGCRM_ADMIN_TOKEN=as-it-is", "PGCRM_NAME=no-secret",
	}
	for text, leaks := range map[string]bool{
		"level=INFO msg=started": false, "no-secret": false,
		"x from-a-file x": true, "in-a-url": true, "(in-keywords)": true, "as-it-is": true, rowMark + " 17": true,
	} {
		failed := &recordedFailure{TB: t}
		w := scanned(failed, env, []string{"run"}, io.Discard)
		for i := range text { // however it is cut
			_, _ = io.WriteString(w, text[i:i+1])
		}
		if failed.failed != leaks {
			t.Errorf("%q: reported %v, want %v", text, failed.failed, leaks)
		}
	}
}

// recordedFailure stands in for a test that may fail.
type recordedFailure struct {
	testing.TB
	failed bool
}

func (r *recordedFailure) Errorf(string, ...any) { r.failed = true }
