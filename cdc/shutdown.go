package cdc

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// shutdownWatch notices that the server is shutting down. A fast shutdown waits
// for every WAL sender until its peer has confirmed all that was sent, however
// long that takes, and asks again as soon as it is answered. We may not be able
// to confirm before the CRM has answered, so we leave: the application's
// database must be able to stop.
//
// At other times the server asks for a reply only when it has had none for half
// of wal_sender_timeout; two requests are then at least that far apart. Times are
// the server's own, so that it does not matter when they are read.
type shutdownWatch struct {
	timeout time.Duration // wal_sender_timeout
	last    time.Time     // of the request before
	hurried int           // requests that came too soon, in a row
}

var errShuttingDown = errors.New("the server is shutting down and waits for this connection to end")

// asked takes a request for a reply, and tells whether it shows a shutdown.
func (w *shutdownWatch) asked(at time.Time) bool {
	if gap := at.Sub(w.last); gap >= 0 && gap < w.timeout/4 {
		w.hurried++
	} else {
		w.hurried = 0
	}
	w.last = at
	return w.hurried >= 2
}

// How long a stream may be left unread before the server is asked, by another
// connection, whether it is shutting down, and how often it is asked then.
const (
	unreadFor  = 2 * time.Second
	probeEvery = 2 * time.Second
	probeTakes = 2 * time.Second
)

// probe finds out whether the server is shutting down while the stream is not
// read, as when the caller's buffer is full: its requests lie behind everything
// that is still to be read. A server that streams and takes no connection is.
func (s *Stream) probe(ctx context.Context, now time.Time) error {
	if now.Sub(s.lastRead) < unreadFor || now.Sub(s.lastProbe) < probeEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTakes)
	defer cancel()
	conn, err := Connect(ctx, s.cfg)
	s.lastProbe = time.Now()
	if err == nil {
		_ = conn.Close(ctx) // it has told what was asked
		return nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57P03" { // cannot_connect_now
		return errShuttingDown
	}
	return nil // the stream's own connection will tell
}
