package cdc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestTransient(t *testing.T) {
	for _, code := range []string{"08000", "08006", "25P03", "40001", "40P01", "53100", "53200", "53300", "55006", "55P03", "57014", "57P01", "57P02", "57P03", "58030"} {
		if err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}); !Transient(err) {
			t.Errorf("%s should be tried again", code)
		}
	}
	for _, code := range []string{"08P01", "0A000", "22023", "28000", "28P01", "3D000", "42501", "42601", "42704", "42P01", "55000", "58P01", "XX000"} {
		if Transient(&pgconn.PgError{Code: code}) {
			t.Errorf("%s does not go away by itself", code)
		}
	}
	for _, err := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, context.DeadlineExceeded, pgconn.ErrConnClosed,
		&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, &net.DNSError{IsNotFound: true},
		&SlotActiveError{}, &SlotBlockedError{}, &SilentError{}, &StandbyError{}, problemBecause(&pgconn.PgError{Code: "57P03"}, "p"),
	} {
		if !Transient(fmt.Errorf("wrapped: %w", err)) {
			t.Errorf("%T %v should be tried again", err, err)
		}
	}
	for _, err := range []error{
		nil, context.Canceled, errors.New("other"), errTruncated, problem("p"),
		x509.UnknownAuthorityError{},
		&SlotLostError{cause: &pgconn.PgError{Code: "57P01"}}, &SlotMissingError{}, &PositionError{},
	} {
		if Transient(err) {
			t.Errorf("%T %v does not go away by itself", err, err)
		}
	}
}

// TestRefusalsAreExplained has the words of servers and poolers that this machine
// does not run.
func TestRefusalsAreExplained(t *testing.T) {
	for _, c := range []struct {
		code, message, want string
		vendor              vendor
	}{
		{"08P01", "unsupported startup parameter: extra_float_digits", "direct connection", ownServer},
		{"08P01", "unsupported startup parameter: replication", "direct connection", ownServer},
		{"08P01", "pgbouncer cannot connect to server", "direct connection", ownServer},
		{"42601", `syntax error at or near "IDENTIFY_SYSTEM"`, "direct connection", ownServer},
		{"08P01", "unsupported startup parameter: replication", "-pooler", neon},
		{"42501", "permission denied to start WAL sender", "ALTER USER u WITH REPLICATION", cloudSQL},
		{"42704", `unrecognized configuration parameter "idle_session_timeout"`, "Postgres 14 or later", ownServer},
		{"28000", `no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", no encryption`, "pg_reload_conf", ownServer},
		{"28000", `role "u" is not permitted to log in`, "check the user", ownServer},
		{"28P01", `password authentication failed for user "u"`, "password", ownServer},
		{"42501", "permission denied to start WAL sender", "REPLICATION", ownServer},
		{"42501", "must be superuser or replication role to start walsender", "GRANT rds_replication TO u", rds},
		{"42501", `permission denied for database "d"`, "GRANT CONNECT", ownServer},
		{"53300", "number of requested standby connections exceeds max_wal_senders (currently 10)", "max_wal_senders = 20", ownServer},
		{"53300", "sorry, too many clients already", "max_connections", ownServer},
		{"57P03", "the database system is starting up", "has started", ownServer},
	} {
		got := connectMend(&pgconn.PgError{Code: c.code, Message: c.message}, c.vendor, "u")
		if !strings.Contains(got, c.want) || !strings.Contains(got, c.message) || strings.Contains(got, "\n") {
			t.Errorf("%s %s: %s", c.code, c.message, got)
		}
	}
}

// TestWhatCannotBeReached has what this machine's network does not do.
func TestWhatCannotBeReached(t *testing.T) {
	dial := func(address string, errno syscall.Errno) error {
		return fmt.Errorf("dial error: %w", &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 5432}, Err: os.NewSyscallError("connect", errno)})
	}
	six, four := dial("2001:db8::1", syscall.ENETUNREACH), dial("192.0.2.1", syscall.ECONNREFUSED)
	for _, c := range []struct {
		err        error
		says, mend string
	}{
		{six, "[2001:db8::1]:5432", "has an IPv6 address only"},
		{errors.Join(six, six), "[2001:db8::1]:5432: connect: network is unreachable", "has an IPv6 address only"},
		{errors.Join(six, four), "192.0.2.1:5432: connect: connection refused", "is it running"},
		{errors.Join(six, x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"db"}}, Host: "localhost"}), "valid for db, not localhost", "connect by a name"},
		{&net.DNSError{Err: "no such host", Name: "db", IsNotFound: true}, "lookup db", "check the host name"},
	} {
		says, mend := telling(c.err)
		if !strings.Contains(says, c.says) || !strings.Contains(mend, c.mend) || strings.Count(says, "2001") > 1 {
			t.Errorf("%s; %s", says, mend)
		}
	}
}
