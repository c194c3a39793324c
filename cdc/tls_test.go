package cdc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// authority is a certificate authority of a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // the certificate's, as sslrootcert wants it
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	})
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue signs a certificate; the first one signs itself.
func (a *authority) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = template.NotAfter.Add(-24 * time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// serve has the server answer with a certificate of the authority.
func (a *authority) serve(d *database, server *pgtest.Server, template *x509.Certificate) {
	a.t.Helper()
	cert, key := a.issue(template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: cert.Raw},
		"server.key": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := server.WriteFile(name, pem.EncodeToMemory(block)); err != nil {
			a.t.Fatal(err)
		}
	}
	d.exec(`ALTER SYSTEM SET ssl = on`, `SELECT pg_reload_conf()`)
	// The server takes note in its own time, in which it still has the last one.
	for d.ctx.Err() == nil {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port()))
		if err != nil {
			a.t.Fatal(err)
		}
		if served(conn) == string(cert.Raw) {
			return
		}
	}
	a.t.Fatal("the server does not serve the certificate")
}

func TestTLS(t *testing.T) {
	server := pgtest.New(t, "shared_buffers", "16MB")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	good, other := newAuthority(t, "the right CA"), newAuthority(t, "another CA")
	try := func(name, host, query, refusal string) {
		t.Helper()
		u, err := url.Parse(d.url)
		if err != nil {
			t.Fatal(err)
		}
		u.Host, u.RawQuery = net.JoinHostPort(host, u.Port()), query
		cfg := d.cfg
		cfg.URL = func(context.Context) (string, error) { return u.String(), nil }
		for kind, connect := range map[string]func() (encrypted bool, err error){
			"replication": func() (bool, error) {
				s, err := Open(d.ctx, cfg, 0)
				if err != nil {
					return false, err
				}
				defer s.Close(d.ctx)
				d.exec(`TRUNCATE t`, `INSERT INTO t VALUES (1)`)
				d.until(s, "insert public.t (1)")
				var encrypted bool
				err = d.conn.QueryRow(d.ctx, `SELECT ssl FROM pg_stat_ssl WHERE pid = $1`, s.PID()).Scan(&encrypted)
				return encrypted, err
			},
			"ordinary": func() (encrypted bool, err error) {
				conn, err := Connect(d.ctx, cfg)
				if err != nil {
					return false, err
				}
				defer conn.Close(d.ctx)
				err = conn.QueryRow(d.ctx, `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&encrypted)
				return encrypted, err
			},
		} {
			encrypted, err := connect()
			switch {
			case refusal == "" && err != nil:
				t.Errorf("%s, %s connection: %v", name, kind, err)
			case refusal == "" && encrypted != !strings.Contains(query, "disable"):
				t.Errorf("%s, %s connection: encrypted is %v", name, kind, encrypted)
			case refusal != "" && (!isProblem(err, refusal) || !strings.HasPrefix(err.Error(), "PGCRM_DATABASE_URL: ") || strings.Contains(err.Error(), "\n")):
				t.Errorf("%s, %s connection: %v", name, kind, err)
			case refusal != "" && Transient(err):
				t.Errorf("%s, %s connection: it would be tried again", name, kind)
			}
		}
	}
	root, wrong := "&sslrootcert="+good.file, "&sslrootcert="+other.file
	for _, mode := range []string{"require", "verify-ca" + root, "verify-full" + root} {
		try("a server without TLS, "+mode, "localhost", "sslmode="+mode, "the server offers no TLS: turn it on there")
	}

	good.serve(d, server, &x509.Certificate{DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)})
	for _, c := range []struct{ name, host, query, refusal string }{
		{"disable", "localhost", "sslmode=disable", ""},
		{"require", "127.0.0.1", "sslmode=require", ""},
		{"prefer", "127.0.0.1", "sslmode=prefer", ""},
		{"verify-ca by another name", "127.0.0.1", "sslmode=verify-ca" + root, ""},
		{"verify-full", "localhost", "sslmode=verify-full" + root, ""},
		{"verify-full by another name", "127.0.0.1", "sslmode=verify-full" + root, "cannot validate certificate for 127.0.0.1"},
		{"require of a CA", "localhost", "sslmode=require" + wrong, "set sslrootcert in PGCRM_DATABASE_URL"},
		{"verify-ca of another CA", "localhost", "sslmode=verify-ca" + wrong, "set sslrootcert in PGCRM_DATABASE_URL"},
		{"verify-full of another CA", "localhost", "sslmode=verify-full" + wrong, "signed by unknown authority; set sslrootcert"},
		{"verify-full of the system's CAs", "localhost", "sslmode=verify-full", "set sslrootcert in PGCRM_DATABASE_URL"},
	} {
		try(c.name, c.host, c.query, c.refusal)
	}

	const hba = "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl postgres all 127.0.0.1/32 scram-sha-256\n"
	if err := server.WriteFile("pg_hba.conf", []byte(hba)); err != nil {
		t.Fatal(err)
	}
	good.serve(d, server, &x509.Certificate{DNSNames: []string{"db.internal"}, NotAfter: time.Now().Add(time.Hour)})
	try("disable where TLS is asked for", "127.0.0.1", "sslmode=disable", "set sslmode=require in PGCRM_DATABASE_URL")
	try("a certificate of another host", "localhost", "sslmode=verify-full"+root,
		"certificate is valid for db.internal, not localhost; connect by a name that the certificate has")
	good.serve(d, server, &x509.Certificate{DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(-time.Hour)})
	try("an expired certificate", "localhost", "sslmode=verify-full"+root, "have the server's certificate renewed")
}

// served is the certificate that the server shows, empty without TLS.
func served(conn net.Conn) string {
	defer conn.Close()
	request := []byte{0, 0, 0, 8, 4, 210, 22, 47} // SSLRequest
	answer := make([]byte, 1)
	if _, err := conn.Write(request); err != nil {
		return ""
	}
	if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'S' {
		return ""
	}
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return ""
	}
	return string(c.ConnectionState().PeerCertificates[0].Raw)
}
