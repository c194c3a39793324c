package cdc

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Config says which database to follow and under which names.
type Config struct {
	// URL gives the connection string, a URL or libpq's key=value form. It is
	// asked for each attempt to connect, so that a password kept in a file can
	// change. Nil or an empty string means libpq's PG* variables.
	URL func(context.Context) (string, error)
	// Slot names the replication slot: lower case letters, digits and
	// underscores, at most 63.
	Slot string
	// Publication names the publication.
	Publication string
	// ListColumns has the publication list the columns that are read, where it is
	// pgcrm's own, instead of publishing whole tables. From Postgres 15 on.
	ListColumns bool
	// SkipOrigins leaves out what was written under a replication origin, as
	// subscriptions do and whoever else marks what it applies. From Postgres 16 on.
	SkipOrigins bool
	// ApplicationName is shown in pg_stat_activity. Default "pgcrm".
	ApplicationName string
	// StatusInterval is the longest time between two status updates. Default
	// 10s, and never more than a third of the session's wal_sender_timeout.
	StatusInterval time.Duration
	// WALSenderTimeout is set for the replication session: how long the server
	// keeps the slot for a peer that has gone silent. Default 10s.
	WALSenderTimeout time.Duration
	// LockTimeout bounds one attempt to create the slot, which waits for every
	// open transaction that has written. Default 10s.
	LockTimeout time.Duration
	// OnRelation is told when the stream announces a table, which it does after
	// each change of it. It is called by the goroutine of the stream and must not
	// block. Nil is not called.
	OnRelation func()
	// Logger takes what is worth knowing while waiting. Nil discards.
	Logger *slog.Logger

	querySilence time.Duration // 0 is the constant; tests are in a hurry
}

// Marker is the comment by which a publication is known to be pgcrm's own to
// change.
const Marker = "managed by pgcrm"

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// problems checks the names.
func (c Config) problems() error {
	var list []string
	if !slotName.MatchString(c.Slot) {
		list = append(list, fmt.Sprintf("PGCRM_SLOT: %q cannot name a replication slot: use 1 to 63 lower case letters, digits and underscores", c.Slot))
	}
	if n := len(c.Publication); n == 0 || n > 63 {
		list = append(list, fmt.Sprintf("PGCRM_PUBLICATION: %q cannot name a publication: use 1 to 63 bytes", c.Publication))
	}
	return problemsError(list)
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

func (c Config) applicationName() string {
	if c.ApplicationName == "" {
		return "pgcrm"
	}
	return c.ApplicationName
}

func (c Config) walSenderTimeout() time.Duration {
	return orDefault(c.WALSenderTimeout, 10*time.Second)
}

// statusInterval is for a session of the wal_sender_timeout. 0 is never.
func (c Config) statusInterval(timeout time.Duration) time.Duration {
	return min(orDefault(c.StatusInterval, 10*time.Second), orDefault(timeout, c.walSenderTimeout())/3)
}

func (c Config) lockTimeout() time.Duration { return orDefault(c.LockTimeout, 10*time.Second) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
