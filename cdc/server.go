package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Server says which server answers. SystemID is given to a cluster by initdb and
// shared by its physical copies; Timeline rises with each promotion, and with
// each restore to a point in time.
type Server struct {
	SystemID   string
	Timeline   int32
	Version    int        // server_version_num: 150018
	FlushLSN   change.LSN // how far the log is on disk: no client has seen more
	Database   string
	User       string
	InRecovery bool // a standby
	// WALSenderTimeout holds for the replication session that asked: what
	// [Config.WALSenderTimeout] says, unless something in between leaves startup
	// parameters out. 0 is never.
	WALSenderTimeout time.Duration
	// TimelineEnds says where the server left each timeline before the present
	// one. Nil on the first, and where the history is gone.
	TimelineEnds map[int32]change.LSN

	pid int32 // of the session that asked
}

// minVersion is the oldest server that will do: logical messages reach pgoutput
// since 14.
const minVersion = 140000

// Identify asks the server who it is, over a replication connection: a role that
// can do that can replicate, whatever pg_roles says of it.
func Identify(ctx context.Context, cfg Config) (Server, error) {
	conn, _, err := connectReplication(ctx, cfg)
	if err != nil {
		return Server{}, err
	}
	defer conn.Close(ctx)
	return identify(ctx, conn)
}

func identify(ctx context.Context, conn *pgconn.PgConn) (Server, error) {
	sys, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42601" {
			return Server{}, problemBecause(err, "PGCRM_DATABASE_URL: the database does not know IDENTIFY_SYSTEM (%s); %s", pg.Message, poolerSays+ownServer.direct())
		}
		return Server{}, fmt.Errorf("identify the server: %w", err)
	}
	rows, err := simpleQuery(ctx, conn, `SELECT current_setting('server_version_num'), current_user, pg_is_in_recovery(),
		(SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'), pg_backend_pid()`)
	if err != nil {
		return Server{}, fmt.Errorf("ask for the server's version: %w", err)
	}
	if len(rows) != 1 {
		return Server{}, fmt.Errorf("ask for the server's version: %d rows", len(rows))
	}
	s := Server{
		SystemID:   sys.SystemID,
		Timeline:   sys.Timeline,
		FlushLSN:   change.LSN(sys.XLogPos),
		Database:   sys.DBName,
		User:       string(rows[0][1]),
		InRecovery: string(rows[0][2]) == "t",
	}
	if s.Version, err = strconv.Atoi(string(rows[0][0])); err != nil {
		return Server{}, fmt.Errorf("the server's version: %w", err)
	}
	timeout, err := strconv.ParseInt(string(rows[0][3]), 10, 64)
	if err != nil {
		return Server{}, fmt.Errorf("the server's wal_sender_timeout: %w", err)
	}
	s.WALSenderTimeout = time.Duration(timeout) * time.Millisecond
	pid, err := strconv.ParseInt(string(rows[0][4]), 10, 32)
	if err != nil {
		return Server{}, fmt.Errorf("the number of the session: %w", err)
	}
	s.pid = int32(pid)
	s.TimelineEnds = timelineEnds(ctx, conn, s.Timeline)
	if s.Version < minVersion {
		return s, problem("Postgres %d is too old: pgcrm needs 14 or later", s.Version/10000)
	}
	return s, nil
}

// StandbyError says that a standby answers where the primary is needed, as while
// one server takes over from another. Wait: it is promoted, or the address leads
// to another.
type StandbyError struct{ cause error }

// Error says what to do if that does not happen.
func (e *StandbyError) Error() string {
	return "the server is a standby: wait until it is promoted, or set PGCRM_DATABASE_URL to the primary"
}

// Problems makes it an error of the environment at a start.
func (e *StandbyError) Problems() []string { return []string{e.Error()} }

// Unwrap returns what the connection was refused with, where target_session_attrs
// asks for a primary.
func (e *StandbyError) Unwrap() error { return e.cause }

// Primary refuses a standby.
func (s *Server) Primary() error {
	if s.InRecovery {
		return &StandbyError{}
	}
	return nil
}

// timelineEnds reads the history of the server's timeline: a line for each one
// before it, with where it was left and why. What cannot be read proves nothing.
func timelineEnds(ctx context.Context, conn *pgconn.PgConn, timeline int32) map[int32]change.LSN {
	if timeline <= 1 {
		return nil // which has no history
	}
	history, err := pglogrepl.TimelineHistory(ctx, conn, timeline)
	if err != nil {
		return nil
	}
	return parseHistory(string(history.Content))
}

func parseHistory(content string) map[int32]change.LSN {
	ends := map[int32]change.LSN{}
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		id, err := strconv.ParseInt(fields[0], 10, 32)
		if err != nil {
			return nil
		}
		lsn, err := change.ParseLSN(fields[1])
		if err != nil {
			return nil
		}
		ends[int32(id)] = lsn
	}
	return ends
}

// FlushLSN is how far the server's log is on disk. On a standby it fails.
func FlushLSN(ctx context.Context, conn *pgx.Conn) (change.LSN, error) {
	var text string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&text); err != nil {
		return 0, fmt.Errorf("ask for the flushed log position: %w", err)
	}
	return change.ParseLSN(text)
}

// simpleQuery runs one statement over the simple protocol, the only one that a
// replication connection speaks, and returns its rows as text.
func simpleQuery(ctx context.Context, conn *pgconn.PgConn, sql string) ([][][]byte, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, nil
	}
	return results[len(results)-1].Rows, nil
}
