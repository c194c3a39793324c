package cdc

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/pgcrm/pgcrm/change"
)

// confirmWithin is how soon a confirmed position is sent, and how long positions
// gather before one is.
const confirmWithin = time.Second

// Confirm says that everything before lsn is accounted for; the next status
// update, within about a second, moves the slot there. A lower value than before
// changes nothing. It may be called from any goroutine.
//
// The value is the End of a Commit, or of a Progress outside a transaction when
// nothing received is still on its way; as it is, with nothing added.
func (s *Stream) Confirm(lsn change.LSN) {
	for {
		old := s.confirmed.Load()
		if uint64(lsn) <= old || s.confirmed.CompareAndSwap(old, uint64(lsn)) {
			return
		}
	}
}

// Confirmed is the highest position that Confirm was given, or where the stream
// started.
func (s *Stream) Confirmed() change.LSN { return change.LSN(s.confirmed.Load()) }

// RequestProgress asks the server for a keepalive: a Progress event follows that
// says how far its log has been read. It may be called from any goroutine.
func (s *Stream) RequestProgress() {
	s.wanted.Store(true)
	// Wakes the reader if it waits. Were it to set its own deadline after this,
	// it would see the wish first.
	_ = s.conn.Conn().SetReadDeadline(aLongTimeAgo)
}

// KeepAlive sends a status update if one is due and returns how long the caller
// may wait before it calls KeepAlive or Next again. It is for the goroutine that
// owns the stream, while it cannot take another event: the server drops a
// connection that is silent for wal_sender_timeout. It also finds out whether the
// server waits for the stream to end, so that it can stop.
func (s *Stream) KeepAlive(ctx context.Context) (time.Duration, error) {
	if s.err != nil {
		return 0, s.err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := time.Now()
	if err := s.keepUp(now); err != nil {
		return 0, s.fail(err)
	}
	if err := s.probe(ctx, now); err != nil {
		return 0, s.fail(err)
	}
	return min(confirmWithin, s.dueIn(now)), nil
}

// dueIn is how long the next status update can wait.
func (s *Stream) dueIn(now time.Time) time.Duration {
	if s.silence.toAsk() {
		return 0
	}
	due := s.lastSent.Add(s.interval)
	if s.flushable() > s.sent {
		due = s.lastSent.Add(min(s.interval, confirmWithin))
	}
	return max(0, due.Sub(now))
}

// keepUp sends a status update if one is due, asked for or wanted.
func (s *Stream) keepUp(now time.Time) error {
	if !s.pending && !s.wanted.Load() && s.dueIn(now) > 0 {
		return nil
	}
	return s.send(now)
}

// flushable is the position to send: what was confirmed, and in no case more
// than the server has spoken of. A server told of a position beyond its log
// skips what it writes up to there.
func (s *Stream) flushable() change.LSN { return min(s.Confirmed(), s.announced) }

// send sends a status update. All three positions are set: the server moves the
// slot by the second, and the library would fill in a zero.
func (s *Stream) send(now time.Time) error {
	lsn := max(s.sent, s.flushable())
	reply := s.wanted.Swap(false) || s.silence.strange()
	conn := s.conn.Conn()
	if err := conn.SetWriteDeadline(now.Add(userTimeout)); err != nil {
		return fmt.Errorf("replication connection: %w", err)
	}
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), s.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(lsn),
		WALFlushPosition: pglogrepl.LSN(lsn),
		WALApplyPosition: pglogrepl.LSN(lsn),
		ClientTime:       now,
		ReplyRequested:   reply,
	})
	if err != nil {
		return fmt.Errorf("send a status update: %w", err)
	}
	s.sent, s.lastSent, s.pending = lsn, now, false
	s.silence.asked = s.silence.asked || reply
	return nil
}
