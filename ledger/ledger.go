package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dchest/siphash"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcrm/pgcrm/change"
)

// Config says where the state lives.
type Config struct {
	// URL gives the address of the state database, anew for each connection, so
	// that a rotated password is found.
	URL func(context.Context) (string, error)
	// Schema is the state schema.
	Schema string
	// Connections is how many the pool may open; 0 means 6.
	Connections int32
	// Timeout bounds each call; 0 means 30 seconds.
	Timeout time.Duration
	// Rand gives the key of the fingerprints; nil means crypto/rand.
	Rand io.Reader
	// Logger is required.
	Logger *slog.Logger
}

// Ledger is an open state schema.
type Ledger struct {
	config Config
	pool   *pgxpool.Pool
	logger *slog.Logger

	// key is nil until Peek or Begin have seen the state.
	key   atomic.Pointer[[2]uint64]
	epoch atomic.Int64 // 0 until Begin
	// ascii is set where the database's encoding cannot hold every text.
	ascii atomic.Bool

	names   names
	letters letterFilter

	settle  sync.Mutex // held through a settle
	scratch scratch
	batches int32 // the number of the last call that was stored; under settle
}

// Open connects lazily: it fails only where the address cannot be read.
func Open(ctx context.Context, c Config) (*Ledger, error) {
	if c.Connections == 0 {
		c.Connections = 6
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	url, err := c.URL(ctx)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, refuse("the address of the state database cannot be read (%v); mend PGCRM_STATE_DATABASE_URL or the source's", err)
	}
	l := &Ledger{config: c, logger: c.Logger}
	l.names.reset()
	pc.MaxConns = c.Connections
	pc.MinConns = 0
	shape(pc.ConnConfig)
	pc.BeforeConnect = func(ctx context.Context, cc *pgx.ConnConfig) error {
		url, err := c.URL(ctx)
		if err != nil {
			return err
		}
		fresh, err := pgx.ParseConfig(url)
		if err != nil {
			return errors.New("the address of the state database cannot be read any more")
		}
		shape(fresh)
		*cc = *fresh
		return nil
	}
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		switch conn.PgConn().ParameterStatus("server_encoding") {
		case "UTF8", "SQL_ASCII":
		default:
			l.ascii.Store(true)
		}
		_, err := conn.PgConn().Exec(ctx, session(c.Schema)).ReadAll()
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open the state database: %w", err)
	}
	l.pool = pool
	return l, nil
}

// Close closes the connections. Calls under way are waited for.
func (l *Ledger) Close() { l.pool.Close() }

// shape sets what every connection has beyond its address: half-open links are
// noticed within a quarter of a minute.
func shape(cc *pgx.ConnConfig) {
	cc.RuntimeParams["application_name"] = "pgcrm ledger"
	// Statements are prepared by hand; all others are rare, and must not fill a
	// cache of plans made under other statistics.
	cc.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}}
	cc.DialFunc = dialer.DialContext
}

// session is run once on every connection.
//
// The statements of the data path have one good plan, a nested loop over an
// index, which must not depend on statistics that lag behind a table growing
// from nothing. A settle that is confirmed to the slot must be on disk whatever
// the role's default is. The server drops a connection whose client has vanished
// in the middle of a settle, so that a successor need not wait for its lock.
func session(schema string) string {
	return "SET search_path = " + pgx.Identifier{schema}.Sanitize() + `;
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = '60s';
SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
SET plan_cache_mode = force_generic_plan; SET jit = off;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_material = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')`
}

// within bounds a call.
func (l *Ledger) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.config.Timeout)
}

// Fingerprint is what is remembered of a value: SipHash-2-4 of its text under
// this ledger's key. It may be called once Begin has returned, or Peek has found
// a state.
func (l *Ledger) Fingerprint(text []byte) uint64 {
	key := l.key.Load()
	if key == nil {
		panic("ledger: Fingerprint before Begin")
	}
	return siphash.Hash(key[0], key[1], text)
}

// position is a Position as the tables hold it. An ordinal beyond what the
// column takes is lowered, which can only have a change delivered again.
func position(p change.Position) (lsn uint64, ordinal int32) {
	const last = 1<<31 - 1
	return uint64(p.LSN), int32(min(p.Ordinal, last))
}
