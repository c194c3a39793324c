package cdc

import (
	"context"
	"time"
)

// silence is how long a stream has listened in vain. Time in which it was not
// read does not count: what the server said then still lies in the way.
type silence struct {
	bound    time.Duration
	listened time.Duration
	asked    bool         // for a word, since the last one
	dead     *SilentError // what the server was seen to do, where it is not at work
	looked   time.Time
	told     bool
}

// broken takes a word of the server.
func (l *silence) broken() { *l = silence{bound: l.bound, looked: l.looked} }

// lasts takes a wait in vain.
func (l *silence) lasts(d time.Duration) { l.listened += d }

// strange reports whether the server is to be asked for a word with each status
// update: an idle one has none to say by itself.
func (l *silence) strange() bool { return l.listened >= l.bound/3 }

// toAsk reports whether it is to be asked now.
func (l *silence) toAsk() bool { return l.strange() && !l.asked }

// silent tells whether the connection is dead, after a wait in vain.
func (s *Stream) silent(ctx context.Context) error {
	l := &s.silence
	switch {
	case l.listened < l.bound:
		return nil
	case l.dead != nil: // and its last word has not come either
		return l.dead
	case time.Since(l.looked) < probeEvery:
		return nil
	}
	l.dead = s.cfg.owes(ctx, s.server.pid, l.listened.Round(time.Second/10))
	l.looked = time.Now()
	if err := ctx.Err(); err != nil {
		l.dead = nil
		return err
	}
	if l.dead == nil && !l.told {
		l.told = true
		s.log.Info("server_at_work", "silent_for", l.listened.Round(time.Second), "reason", "the session of the stream is busy decoding, as with a transaction that changes many tables; it is waited for")
	}
	return nil
}
