package cdc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A peer whose host is gone stops acknowledging, which the kernel notices (see
// [dialer]). What stands between may go on acknowledging while nothing passes it,
// and then only silence shows it. But silence is also what a server owes us that
// is at work on an answer, for hours perhaps. So whoever has waited in vain asks
// the server over another connection which of the two it is: a session that is at
// work is waited for, one that waits for its client has answered in vain.
//
// https://www.postgresql.org/docs/current/monitoring-stats.html#WAIT-EVENT-TABLE
const (
	// streamSilence is how long a stream listens without a word from a server
	// that was asked for one: as long as the server bears with us (see
	// [Config.WALSenderTimeout]), so that each side drops the other alike.
	streamSilence = 10 * time.Second
	// querySilence is how long a query takes before the server is asked.
	querySilence = 30 * time.Second
	// lookTakes bounds the question over another connection. A stream sends no
	// status update meanwhile.
	lookTakes = 5 * time.Second
	// lastWord is how long an answer may still be on its way.
	lastWord = time.Second
)

// SilentError says that a connection is up as far as the network tells, and dead:
// the server owes a word and none arrives.
type SilentError struct {
	For   time.Duration
	What  string // in words, what the server was seen to do
	cause error
}

// Error says what was seen.
func (e *SilentError) Error() string {
	return fmt.Sprintf("nothing has come from the server for %s though it was asked (%s): the connection is taken for dead, "+
		"as when a firewall or a load balancer has dropped it", e.For, e.What)
}

// Unwrap returns why the server could not be asked, if that is so.
func (e *SilentError) Unwrap() error { return e.cause }

// owes asks the server over a connection of its own what the session pid does. It
// returns nil where the session is at work.
func (c Config) owes(ctx context.Context, pid int32, after time.Duration) *SilentError {
	ctx, cancel := context.WithTimeout(ctx, lookTakes)
	defer cancel()
	conn, err := Connect(ctx, c)
	if err != nil {
		return &SilentError{For: after, What: "and no other connection can be made", cause: err}
	}
	defer conn.Close(ctx)
	rows, err := simpleQuery(ctx, conn.PgConn(), fmt.Sprintf(
		`SELECT coalesce(wait_event_type, '') IN ('Client', 'Activity') FROM pg_stat_activity WHERE pid = %d`, pid))
	switch {
	case err != nil:
		return &SilentError{For: after, What: "and it cannot be asked over another connection", cause: err}
	case len(rows) == 0:
		return &SilentError{For: after, What: "its session has ended"}
	case string(rows[0][0]) == "t":
		return &SilentError{For: after, What: "its session waits for us"}
	}
	return nil
}

// watch looks after the reads of a connection: after a long one it asks what the
// server does, and ends a connection that is dead.
type watch struct {
	cfg   Config
	after time.Duration
	pid   atomic.Int32 // of the session; 0 while it is being made, which has a bound of its own
}

// begin has the reads of a new connection watched. It lifts transaction_timeout,
// which servers since 17 know, and which would end the decoding of a large
// transaction again and again.
func (w *watch) begin(ctx context.Context, conn *pgconn.PgConn) error {
	// The number that the protocol tells is another where a proxy stands between.
	rows, err := simpleQuery(ctx, conn, `SELECT pg_backend_pid(),
		(SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout')`)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%d rows", len(rows))
	}
	var pid int64
	if err == nil {
		pid, err = strconv.ParseInt(string(rows[0][0]), 10, 32)
	}
	if err != nil {
		closeHard(conn)
		return fmt.Errorf("begin the session: %w", err)
	}
	w.pid.Store(int32(pid))
	return nil
}

// unwatch leaves a connection to a stream, which listens for itself.
func unwatch(conn net.Conn) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	if watched, ok := conn.(*watchedConn); ok {
		watched.watch.pid.Store(0)
	}
}

func (w *watch) dial(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn, watch: w}, nil
	}
}

// watchedConn is a connection whose reads are watched.
type watchedConn struct {
	net.Conn
	watch *watch
}

// Read waits as long as the server is at work.
func (c *watchedConn) Read(p []byte) (int, error) {
	pid := c.watch.pid.Load()
	if pid == 0 {
		return c.Conn.Read(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var silent *SilentError
	ended := make(chan struct{})
	timer := time.AfterFunc(c.watch.after, func() {
		defer close(ended)
		if silent = c.watch.wait(ctx, pid); silent != nil {
			// pgx keeps the reason of some calls to itself.
			c.watch.cfg.logger().Warn("connection_dead", "error", silent)
			_ = c.Close()
		}
	})
	n, err := c.Conn.Read(p)
	if timer.Stop() {
		return n, err
	}
	cancel()
	<-ended
	if silent != nil && errors.Is(err, net.ErrClosed) {
		err = silent
	}
	return n, err
}

// wait returns once the session owes an answer that does not come, or, with nil,
// when ctx ends.
func (w *watch) wait(ctx context.Context, pid int32) *SilentError {
	for {
		silent := w.cfg.owes(ctx, pid, w.after)
		pause := w.after
		if silent != nil {
			pause = lastWord
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if silent != nil {
			return silent
		}
	}
}
