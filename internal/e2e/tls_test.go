package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// selfSigned makes a certificate for localhost that is its own CA, as a server
// that was set up by hand has, and the path of a file that holds it.
func selfSigned(t testing.TB) (cert, key []byte, path string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "made by hand"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if der, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(path, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), path
}

// TestTLS: every connection of the program is encrypted and knows whom it speaks
// to where it is told so, and no other server gets as far as the password.
func TestTLS(t *testing.T) {
	t.Parallel()
	limits := hubspotsim.Unthrottled()
	server := pgtest.New(t, "shared_buffers", "16MB")
	w := newWorldOn(t, server, oneTable, oneMapping, hubspotsim.Options{
		Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": oneTableProperties()},
	})
	w.seed(1)
	cert, key, root := selfSigned(t)
	_, _, other := selfSigned(t)
	for name, content := range map[string][]byte{"server.crt": cert, "server.key": key} {
		if err := server.WriteFile(name, content); err != nil {
			t.Fatal(err)
		}
	}
	w.execOutside("ALTER SYSTEM SET ssl = on")
	w.execOutside("SELECT pg_reload_conf()")
	eventually(t, patience, func() string { return w.query("SELECT 'TLS is off' WHERE current_setting('ssl') <> 'on'") })

	to := func(host, query string) string {
		u, err := url.Parse(w.url)
		if err != nil {
			t.Fatal(err)
		}
		u.Host, u.RawQuery = host+":"+u.Port(), query
		return u.String()
	}
	for _, c := range []struct{ url, want string }{
		{to("127.0.0.1", "sslmode=verify-full&sslrootcert="+root), "127.0.0.1…connect by a name that the certificate has"},
		{to("localhost", "sslmode=verify-full&sslrootcert="+other), "unknown authority…set sslrootcert in "},
		{to("localhost", "sslmode=verify-full"), "unknown authority…set sslrootcert in "},
	} {
		w.with("PGCRM_DATABASE_URL=" + c.url).refuses("PGCRM_DATABASE_URL…" + c.want)
		w.with("PGCRM_STATE_DATABASE_URL=" + c.url).refuses("PGCRM_STATE_DATABASE_URL…" + c.want)
	}
	elsewhere := w.with("PGCRM_STATE_DATABASE_URL=" + to("localhost", "sslmode=verify-full&sslrootcert="+other))
	for _, args := range [][]string{{"check"}, {"migrate"}, {"migrate", "--sql"}, {"status"}, {"dlq", "list"}, {"uninstall", "--yes"}} {
		code, stdout, stderr := run(t, elsewhere.environ(), args...)
		if says := stdout + stderr; code != 2 || !anyLine(strings.Split(says, "\n"), "PGCRM_STATE_DATABASE_URL…set sslrootcert in PGCRM_STATE_DATABASE_URL") {
			t.Errorf("%q: exit code %d\n%s", args, code, says)
		}
	}

	trusted := to("localhost", "sslmode=verify-full&sslrootcert="+root)
	w.env["PGCRM_DATABASE_URL"] = trusted
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 5)")
	p := w.start()
	w.arrives(p, 1, "seats=5")
	w.exec("UPDATE accounts SET seats = 6")
	w.arrives(p, 1, "seats=6")
	w.settles(p)
	if open := w.query(`SELECT string_agg(a.query, '; ') FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
		WHERE a.application_name LIKE 'pgcrm%' AND NOT s.ssl`); open != "" {
		t.Errorf("connections are not encrypted: %s", open)
	}
	if n := w.query(`SELECT count(*)::text FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name LIKE 'pgcrm%'`); n < "2" {
		t.Errorf("%s connections are seen", n)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
