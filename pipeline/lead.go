package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// How far reading runs ahead of sending is bounded by the buffer. But what is read
// early is worth its memory only where it saves calls: where calls are scarce, or
// where changes meet others of their record that still wait. A backlog that has few
// of those is safe in the log, and is read as fast as it is sent. One that has many
// is read faster than it is sent: its changes are late already, and a moment later
// most of them have merged.

const (
	// farAhead is how many versions that could be sent keep every worker busy.
	farAhead = 4 << 10
	// mergesFew is the part of changes that merge up to which reading ahead is not
	// worth while, and mergesMany from which on sending may wait; it is that of
	// about the last mergesOf changes.
	mergesFew  = 1.0 / 16
	mergesMany = 1.0 / 2
	mergesOf   = 512
	// lateFrom is how old a change is, when it is read, whose reader is behind, and
	// idleFrom how long after its last transaction a reader is not.
	lateFrom = 2 * time.Second
	idleFrom = 150 * time.Millisecond
	// stalls is after how long in which nothing left the queue it is read on.
	stalls = time.Second
)

// lead tells what comes of reading ahead.
type lead struct {
	now     func() time.Time
	longest time.Duration // to linger

	merging float64   // the part of the last changes that merged
	left    uint64    // how much has left the queue
	leftAt  time.Time // when that was seen first

	commits atomic.Uint64
	behind  atomic.Bool

	seen   uint64    // the dispatcher's: commits, when it last looked
	seenAt time.Time // and since when there were no more
}

// note takes note of a change.
func (l *lead) note(merged bool) {
	l.merging -= l.merging / mergesOf
	if merged {
		l.merging += 1.0 / mergesOf
	}
}

// committed takes note of a transaction that was read whole.
func (l *lead) committed(at time.Time) {
	l.commits.Add(1)
	l.behind.Store(l.merging > mergesMany && l.now().Sub(at) > lateFrom)
}

// linger is how long a change may wait for newer ones now. It is the dispatcher's.
func (l *lead) linger() time.Duration {
	if l.longest <= 0 || !l.behind.Load() {
		return 0
	}
	now := l.now()
	if n := l.commits.Load(); n != l.seen {
		l.seen, l.seenAt = n, now
	}
	if now.Sub(l.seenAt) > idleFrom {
		return 0
	}
	return l.longest
}

// keepLead waits between two transactions while more is read than is of use, and as
// long as something leaves the queue.
func (s *session) keepLead(ctx context.Context) error {
	l := &s.lead
	for s.Plentiful != nil && l.merging < mergesFew && !s.redoing.Load() && !s.read.mergeOnly {
		ready, left := s.queue.Ahead()
		if left != l.left {
			l.left, l.leftAt = left, s.Now()
		}
		if ready < farAhead || s.Now().Sub(l.leftAt) > stalls || !s.Plentiful() {
			return nil
		}
		s.takeUp()
		if err := s.idle(ctx, s.queue.Room()); err != nil {
			return err
		}
	}
	return nil
}
