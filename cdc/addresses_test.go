package cdc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// closedPort is one that refuses.
func closedPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestAddresses: every address of every host is tried, over IPv6 and IPv4.
func TestAddresses(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	} else {
		l.Close()
	}
	server := pgtest.New(t, "shared_buffers", "16MB")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	d.publish("t")
	closed := closedPort(t)
	four, six := fmt.Sprintf("127.0.0.1:%d", server.Port()), fmt.Sprintf("[::1]:%d", server.Port())
	try := func(name, hosts, address, refusal string) {
		t.Helper()
		cfg := d.cfg
		cfg.URL = func(context.Context) (string, error) { return strings.Replace(d.url, four, hosts, 1), nil }
		conn, err := Connect(d.ctx, cfg)
		if err == nil {
			defer conn.Close(d.ctx)
			var got string
			if err = conn.QueryRow(d.ctx, `SELECT host(inet_server_addr())`).Scan(&got); got != address {
				t.Errorf("%s: connected to %q, not %q: %v", name, got, address, err)
			}
			s, err := OpenTemporary(d.ctx, cfg)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			defer s.Close(d.ctx)
			d.exec(`TRUNCATE t`, `INSERT INTO t VALUES (1)`)
			d.until(s, "insert public.t (1)")
			return
		}
		if refusal == "" || !isProblem(err, refusal) || !Transient(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	try("localhost of which IPv4 alone listens", fmt.Sprintf("localhost:%d", server.Port()), "127.0.0.1", "")
	try("nobody", fmt.Sprintf("[::1]:%d,127.0.0.1:%[1]d", closed), "", fmt.Sprintf("dial tcp [::1]:%d: connect: connection refused, dial tcp 127.0.0.1:%[1]d: connect: connection refused; is it running", closed))
	try("no name", fmt.Sprintf("nowhere.invalid:%d", server.Port()), "", "check the host name")
	try("no name, and nobody", fmt.Sprintf("nowhere.invalid:1,127.0.0.1:%d", closed), "", "nowhere.invalid")

	if err := server.WriteFile("pg_hba.conf", []byte("host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n")); err != nil {
		t.Fatal(err)
	}
	d.exec(`ALTER SYSTEM SET listen_addresses = '127.0.0.1, ::1'`)
	d.conn.Close(d.ctx)
	if err := server.Restart(d.ctx); err != nil {
		t.Fatal(err)
	}
	d.conn = d.connect()
	try("IPv6", six, "::1", "")
	try("IPv4", four, "127.0.0.1", "")
	try("one that refuses first", fmt.Sprintf("[::1]:%d,%s", closed, four), "127.0.0.1", "")
	try("one that refuses first over IPv4", fmt.Sprintf("127.0.0.1:%d,%s", closed, six), "::1", "")
	try("no name first", "nowhere.invalid:1,"+six, "::1", "")
	d.url += "&target_session_attrs=read-write"
	try("the primary of two", fmt.Sprintf("[::1]:%d,%s", closed, four), "127.0.0.1", "")
}
