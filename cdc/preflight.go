package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Preflight looks at all that streaming the tables needs and returns what has to
// be mended as [*Problems], or nil. It changes nothing. rels come from
// [Describe], which has reported missing tables and grants. columns is as for
// [Check].
func Preflight(ctx context.Context, cfg Config, rels []*change.Relation, columns func(*change.Relation) []string) error {
	c, err := check(ctx, cfg, rels, columns)
	if err != nil {
		return err
	}
	var p *Problems
	if c.refused != nil && !errors.As(c.refused, &p) {
		return c.refused
	}
	var list []string
	for _, f := range c.list {
		if f.Level == Bad {
			list = append(list, f.Line())
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &Problems{list: list, cause: c.refused}
}

// Check is [Preflight] that tells of what suits, and of what is worth knowing,
// too. columns tells of a table which of its columns are read; nil means that
// this is not known. The error says that looking itself failed: the database
// cannot be reached.
func Check(ctx context.Context, cfg Config, rels []*change.Relation, columns func(*change.Relation) []string) ([]Finding, error) {
	c, err := check(ctx, cfg, rels, columns)
	if err != nil {
		return nil, err
	}
	return c.list, nil
}

func check(ctx context.Context, cfg Config, rels []*change.Relation, columns func(*change.Relation) []string) (*checks, error) {
	if err := cfg.problems(); err != nil {
		return nil, err
	}
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	c := &checks{conn: conn, cfg: cfg, rels: rels, columns: columns}
	if c.vendor, err = vendorOf(ctx, conn); err != nil {
		return nil, err
	}
	for _, look := range []func(context.Context) error{
		c.connectionSuits, c.sendersSuffice, c.replicationSuits, c.serverSuits, c.clocksAgree,
		c.slotSuits, c.slotLasts, c.failoverKeepsIt, c.publicationSuits, c.listsSuit, c.tablesSuit,
	} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// checks is one look at the database.
type checks struct {
	findings
	conn    *pgx.Conn
	cfg     Config
	rels    []*change.Relation
	columns func(*change.Relation) []string
	vendor  vendor
	server  Server
	refused error // of the replication connection
	slot    *Slot // nil where there is none
}

// connectionSuits looks at the ordinary connection.
func (c *checks) connectionSuits(ctx context.Context) error {
	var pid uint32
	err := c.conn.QueryRow(ctx, `SELECT pg_backend_pid(), current_setting('server_version_num')::int, current_user::text,
		current_database()::text, pg_is_in_recovery()`).
		Scan(&pid, &c.server.Version, &c.server.User, &c.server.Database, &c.server.InRecovery)
	if err != nil {
		return fmt.Errorf("ask who is connected: %w", err)
	}
	where := fmt.Sprintf("%s:%d", c.conn.Config().Host, c.conn.Config().Port)
	if c.vendor != ownServer {
		where += " (" + string(c.vendor) + ")"
	}
	c.good("connection", "%s, database %s, as %s", where, change.QuoteName(c.server.Database), change.QuoteName(c.server.User))
	// A pooler gives its clients keys of its own to cancel with.
	if pid != c.conn.PgConn().PID() && c.vendor != neon {
		c.note("pooler", c.vendor.direct(), "something stands between here and the server, which may pool connections")
	} else {
		c.good("pooler", "the connection is the server's own")
	}
	return nil
}

// replicationSuits asks over a replication connection: what roles and settings
// say is one thing, what the server lets us do another.
func (c *checks) replicationSuits(ctx context.Context) error {
	const name = "replication"
	server, err := Identify(ctx, c.cfg)
	if server.SystemID != "" { // else keep what the ordinary connection says
		c.server = server
	}
	var p *Problems
	var pg *pgconn.PgError
	switch {
	case err == nil:
		c.good(name, "user %s can replicate", change.QuoteName(c.server.User))
		c.timeoutSuits()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case server.SystemID != "": // the version is told apart
		return nil
	}
	c.refused = err
	if errors.As(err, &pg) && pg.Code == "42501" {
		c.bad(name, c.vendor.replicate(change.QuoteName(c.server.User)), "user %s may not replicate (%s)", change.QuoteName(c.server.User), pg.Message)
	} else if errors.As(err, &pg) && pooler(pg) {
		c.bad(name, c.vendor.direct(), "a connection pooler answers, which lets no replication through (%s)", pg.Message)
	} else if errors.As(err, &p) {
		for _, line := range p.list {
			c.bad(name, "", "%s", line)
		}
	} else {
		c.bad(name, "", "%s", err)
	}
	return nil
}

// How short a wal_sender_timeout a pause of a busy machine may exceed, and how long
// one has another instance wait for the slot longer than it should.
const (
	shortTimeout = 3 * time.Second
	longTimeout  = 15 * time.Second
)

// timeoutSuits looks at what holds for pgcrm's own replication sessions. They set
// it, so that the server's own value matters only where that does not reach it.
func (c *checks) timeoutSuits() {
	const name = "wal_sender_timeout"
	got, wanted := c.server.WALSenderTimeout, c.cfg.walSenderTimeout()
	mend := c.vendor.set(name, milliseconds(wanted), false) + ", or " + c.vendor.direct()
	const overruled = "something between here and the server leaves out what pgcrm sets, and the server's own value is "
	switch {
	case got == wanted:
		c.good(name, "%s in the sessions of pgcrm, which set it", got)
	case got == 0:
		c.note(name, mend, overruled+"0: an instance that vanishes keeps the slot for ever")
	case got < shortTimeout:
		c.note(name, mend, overruled+"%s: any pause that long ends the stream", got)
	case got > longTimeout:
		c.note(name, mend, overruled+"%s: when an instance vanishes, another waits that long for the slot", got)
	default:
		c.good(name, "%s, which is the server's own", got)
	}
}

func (c *checks) serverSuits(ctx context.Context) error {
	if c.server.Version < minVersion {
		c.bad("server_version", "move to a newer version", "Postgres %d is too old, pgcrm needs 14 or later", c.server.Version/10000)
	} else {
		c.good("server_version", "Postgres %d.%d", c.server.Version/10000, c.server.Version%10000)
	}
	if c.server.InRecovery {
		c.bad("primary", "set PGCRM_DATABASE_URL to the primary", "the server is a standby")
	} else {
		c.good("primary", "the server is a primary")
	}
	if err := c.cfg.originSuits(c.server.Version); err != nil {
		c.bad("origin", "", "%s", err)
	} else if c.cfg.SkipOrigins {
		c.note("origin", "", "PGCRM_ORIGIN=none: changes that were applied under a replication origin, as by a subscription, are left out")
	}
	var level string
	var effective, libraries *string
	err := c.conn.QueryRow(ctx, `SELECT current_setting('wal_level'), current_setting('effective_wal_level', true),
		current_setting('output_plugin_libraries', true)`).Scan(&level, &effective, &libraries)
	if err != nil {
		return fmt.Errorf("ask for wal_level: %w", err)
	}
	// From 19 on the first logical slot raises the level.
	switch {
	case level == "logical" || effective != nil && *effective == "logical":
		c.good("wal_level", "logical")
	case effective != nil && level == "replica":
		c.good("wal_level", "replica, which the first logical slot raises to logical")
	default:
		c.bad("wal_level", c.vendor.logical(), "wal_level is %s", level)
	}
	if libraries != nil { // since 18.6, 17.11, 16.15
		if listed(*libraries, "pgoutput") {
			c.good("output_plugin_libraries", "%s", *libraries)
		} else {
			c.bad("output_plugin_libraries", c.vendor.set("output_plugin_libraries", strings.TrimPrefix(*libraries+", pgoutput", ", "), false),
				"pgoutput is not among the output plugins that are allowed (%s)", *libraries)
		}
	}
	return nil
}

// skewWorthTelling is how far two clocks may differ before figures of lag mislead.
const skewWorthTelling = 2 * time.Second

func (c *checks) clocksAgree(ctx context.Context) error {
	before := time.Now()
	var there time.Time
	if err := c.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
		return fmt.Errorf("ask for the server's time: %w", err)
	}
	after := time.Now()
	skew := there.Sub(before.Add(after.Sub(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > skewWorthTelling+after.Sub(before) {
		c.note("clock", "have both keep time by NTP", "the server's clock is %s from this one's, by which ages and latencies are wrong", skew)
	} else {
		c.good("clock", "within %s of this one", max(skew.Abs(), after.Sub(before).Round(time.Millisecond)))
	}
	return nil
}
