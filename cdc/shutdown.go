package cdc

import (
	"errors"
	"time"
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
