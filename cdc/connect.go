package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcrm/pgcrm/change"
)

// connectTimeout applies where the connection string sets none.
const connectTimeout = 15 * time.Second

// pinned are the session settings that decide how values look as text, those
// that would cut long work short, and those by which the server lets go of a lock
// where we have vanished while it answered. They override what the server, the
// database or the role sets.
func pinned() map[string]string {
	return map[string]string{
		"client_encoding":             "UTF8",
		"standard_conforming_strings": "on",
		"DateStyle":                   "ISO, YMD",
		"IntervalStyle":               "postgres",
		"TimeZone":                    "UTC",
		"extra_float_digits":          "1",
		"bytea_output":                "hex",
		"lc_monetary":                 "C",
		"statement_timeout":           "0",
		"lock_timeout":                "0",
		"idle_session_timeout":        "0", // since 14, the oldest version that will do

		"default_transaction_isolation":  "read committed",
		"default_transaction_read_only":  "off", // as a role for reading may have it: the publication is ours to write
		"default_transaction_deferrable": "off",

		"idle_in_transaction_session_timeout": "60s",
		"tcp_keepalives_idle":                 "15",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    milliseconds(userTimeout),
	}
}

// Connect opens an ordinary connection with the pinned settings: values read
// over it look like those of the stream. Its errors have Problems where they
// tell of a wrong set-up; ask [Transient] before giving up.
func Connect(ctx context.Context, cfg Config) (*pgx.Conn, error) {
	url, err := cfg.url(ctx)
	if err != nil {
		return nil, err
	}
	pc, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, unparsable()
	}
	w := cfg.prepare(&pc.Config)
	conn, err := pgx.ConnectConfig(ctx, pc)
	if err != nil {
		return nil, connectError(err, &pc.Config)
	}
	if err := w.begin(ctx, conn.PgConn()); err != nil {
		return nil, err
	}
	return conn, nil
}

// connectReplication opens a connection that speaks the replication commands and
// simple-protocol SQL. The frames are where its bytes are read from.
func connectReplication(ctx context.Context, cfg Config) (*pgconn.PgConn, *frames, error) {
	url, err := cfg.url(ctx)
	if err != nil {
		return nil, nil, err
	}
	pc, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, nil, unparsable()
	}
	watch := cfg.prepare(pc)
	pc.RuntimeParams["replication"] = "database"
	pc.RuntimeParams["wal_sender_timeout"] = milliseconds(cfg.walSenderTimeout())

	dial := dialer(pc.ConnectTimeout).DialContext
	pc.DialFunc = watch.dial(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return gulping(conn)
	})
	byConn := map[io.Writer]*frames{} // one for each address tried
	pc.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		f := newFrames(r)
		byConn[w] = f
		return pgproto3.NewFrontend(f, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, pc)
	if err != nil {
		return nil, nil, connectError(err, pc)
	}
	if err := watch.begin(ctx, conn); err != nil {
		return nil, nil, err
	}
	return conn, byConn[conn.Conn()], nil
}

// whose tells who runs the server, by the host's name, and which user asks: for
// the words of a refusal.
func (c Config) whose(ctx context.Context) (v vendor, user string) {
	url, err := c.url(ctx)
	if err != nil {
		return ownServer, ""
	}
	pc, err := pgconn.ParseConfig(url)
	if err != nil {
		return ownServer, ""
	}
	return vendorOfHost(pc.Host), pc.User
}

func (c Config) url(ctx context.Context) (string, error) {
	if c.URL == nil {
		return "", nil
	}
	return c.URL(ctx)
}

// prepare puts our settings over those of the connection string. The watch is to
// begin once a connection is made.
func (c Config) prepare(pc *pgconn.Config) *watch {
	if _, named := pc.RuntimeParams["application_name"]; !named {
		pc.RuntimeParams["application_name"] = c.applicationName()
	}
	for name := range pc.RuntimeParams {
		for pin := range pinned() {
			if strings.EqualFold(name, pin) {
				delete(pc.RuntimeParams, name)
			}
		}
	}
	for name, value := range pinned() {
		pc.RuntimeParams[name] = value
	}
	if pc.ConnectTimeout == 0 {
		pc.ConnectTimeout = connectTimeout
	}
	w := &watch{cfg: c, after: orDefault(c.querySilence, querySilence)}
	pc.DialFunc = w.dial(dialer(pc.ConnectTimeout).DialContext)
	log := c.logger()
	pc.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		log.Debug("postgres_notice", "severity", n.Severity, "message", n.Message)
	}
	return w
}

// dialer notices a peer that is gone though nothing closed the connection: by
// keepalive probes while nothing is under way, and by unacknowledged status
// updates where the system can be told (see control). Neither mistakes a server
// that is busy for one that is gone; for what they miss see [SilentError].
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         control,
	}
}

// userTimeout is how long sent data may stay unacknowledged by the peer's
// kernel.
const userTimeout = 30 * time.Second

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// unparsable leaves out pgx's own words, which quote the string.
func unparsable() error {
	return problem("PGCRM_DATABASE_URL: not a connection string; " +
		"use postgres://USER:PASSWORD@HOST:5432/DATABASE and percent-encode special characters of the password")
}

// ConnectProblem words the refusal of a connection that was made with pgx, by an
// address that another setting than PGCRM_DATABASE_URL gives.
func ConnectProblem(err error, pc *pgconn.Config, setting string) error {
	err = connectError(err, pc)
	if p, ok := errors.AsType[*Problems](err); ok {
		for i := range p.list {
			p.list[i] = strings.ReplaceAll(p.list[i], "PGCRM_DATABASE_URL", setting)
		}
	}
	return err
}

// connectError words what went wrong and what to do. The causes' own texts name
// host, user and database, never the password.
func connectError(err error, pc *pgconn.Config) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return problemBecause(err, "%s", connectMend(pg, vendorOfHost(pc.Host), pc.User))
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, pgconn.ErrStandbyConnection) || errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return &StandbyError{cause: err} // no host is the primary now
	}
	says, mend := telling(err)
	return problemBecause(err, "PGCRM_DATABASE_URL: cannot connect to the database: %s; %s", says, mend)
}

// connectMend explains the server's refusal of a connection.
func connectMend(pg *pgconn.PgError, v vendor, user string) string {
	says := fmt.Sprintf("PGCRM_DATABASE_URL: the database refuses the connection: %s (SQLSTATE %s); ", pg.Message, pg.Code)
	switch {
	case pg.Code == "08P01" && strings.Contains(pg.Message, "startup parameter"), pooler(pg):
		return says + poolerSays + v.direct()
	case pg.Code == "42704" && strings.Contains(pg.Message, "idle_session_timeout"):
		return says + "pgcrm needs Postgres 14 or later"
	case pg.Code == "28P01":
		return says + "check user and password in PGCRM_DATABASE_URL"
	case pg.Code == "28000" && strings.HasSuffix(pg.Message, "no encryption"):
		return says + "set sslmode=require in PGCRM_DATABASE_URL, or add a line for this user, database and address to pg_hba.conf and run SELECT pg_reload_conf()"
	case pg.Code == "28000" && strings.Contains(pg.Message, "pg_hba.conf"):
		return says + "add a line for this user, database and address to pg_hba.conf and run SELECT pg_reload_conf()"
	case strings.HasPrefix(pg.Code, "28"):
		return says + "check the user in PGCRM_DATABASE_URL"
	case pg.Code == "3D000":
		return says + "check the database name in PGCRM_DATABASE_URL"
	case pg.Code == "42501" && (strings.Contains(pg.Message, "walsender") || strings.Contains(pg.Message, "WAL sender")):
		return says + "give it the right to replicate: " + v.replicate(change.QuoteName(user))
	case pg.Code == "42501":
		return says + "GRANT CONNECT ON DATABASE ... TO the user in PGCRM_DATABASE_URL"
	case pg.Code == "53300" && strings.Contains(pg.Message, "max_wal_senders"):
		return says + v.set("max_wal_senders", "20", true) + ", or end another replication client"
	case strings.HasPrefix(pg.Code, "53"):
		return says + "raise max_connections, or close other connections"
	case pg.Code == "57P03":
		return says + "wait until the server has started"
	}
	return says + "see the server's log"
}

const poolerSays = "this looks like a connection pooler, and replication needs a direct connection: "

// pooler recognises refusals that only poolers give.
func pooler(pg *pgconn.PgError) bool {
	m := strings.ToLower(pg.Message)
	return strings.Contains(m, "pgbouncer") || strings.Contains(m, "pooler") || strings.Contains(m, "supavisor") ||
		strings.Contains(m, "unsupported startup parameter") ||
		pg.Code == "42601" && strings.Contains(m, "identify_system")
}
