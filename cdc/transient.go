package cdc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Transient reports whether trying again, with patience, may mend err: the
// server restarts, the network failed, the slot is still held by a session that
// has died, a lock or a limit is in the way. Everything else stays until
// somebody mends it. A cancelled context is not transient: the caller gave up.
//
// After any error of a stream ask [SlotInfo] too: a slot that was invalidated
// while streaming ends the connection with 57P01, as a restart does.
//
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func Transient(err error) bool {
	var active *SlotActiveError
	var blocked *SlotBlockedError
	var lost *SlotLostError
	var missing *SlotMissingError
	var position *PositionError
	var silent *SilentError
	var standby *StandbyError
	var behind *leftBehindError
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &active), errors.As(err, &blocked), errors.As(err, &silent), errors.As(err, &standby), errors.As(err, &behind), errors.Is(err, errShuttingDown):
		return true
	case errors.As(err, &lost), errors.As(err, &missing), errors.As(err, &position):
		return false
	case errors.As(err, &pg):
		return transientState(pg.Code)
	}
	return transientNetwork(err)
}

func transientState(code string) bool {
	switch code {
	case "55006", // object_in_use: the slot
		"55P03", // lock_not_available
		"57014", // query_canceled
		"57P01", // admin_shutdown
		"57P02", // crash_shutdown
		"57P03", // cannot_connect_now: starting up
		"57P05", // idle_session_timeout
		"25P03", // idle_in_transaction_session_timeout
		"25P04", // transaction_timeout
		"40001", // serialization_failure
		"40P01", // deadlock_detected
		"58030": // io_error
		return true
	case "08P01": // protocol_violation: a pooler's refusal
		return false
	}
	return strings.HasPrefix(code, "08") || // connection
		strings.HasPrefix(code, "53") // resources: connections, memory, disk
}

func transientNetwork(err error) bool {
	var unknownAuthority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var hostname x509.HostnameError
	var verification *tls.CertificateVerificationError
	var parse *pgconn.ParseConfigError
	if errors.As(err, &unknownAuthority) || errors.As(err, &invalid) || errors.As(err, &hostname) ||
		errors.As(err, &verification) || errors.As(err, &parse) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
