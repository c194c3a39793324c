package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Open starts reading the slot: the first transaction delivered is the first
// whose commit record starts at or after start. Zero means the slot's confirmed
// position.
//
// Its errors: [*SlotActiveError], [*SlotMissingError], [*SlotLostError],
// [*PositionError], those of [Connect], and [*Problems] for a slot that is not
// pgcrm's kind or a publication that does not exist.
func Open(ctx context.Context, cfg Config, start change.LSN) (*Stream, error) {
	if err := cfg.problems(); err != nil {
		return nil, err
	}
	conn, frames, err := connectReplication(ctx, cfg)
	if err != nil {
		return nil, err
	}
	stream, err := open(ctx, cfg, conn, frames, start)
	if err != nil {
		// A refused START leaves an answer unread; the connection is spent.
		closeHard(conn)
		return nil, err
	}
	return stream, nil
}

func open(ctx context.Context, cfg Config, conn *pgconn.PgConn, frames *frames, start change.LSN) (*Stream, error) {
	server, err := identify(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := server.Primary(); err != nil {
		return nil, err
	}
	if err := cfg.originSuits(server.Version); err != nil {
		return nil, err
	}
	slot, ok, err := slotInfo(ctx, conn, cfg.Slot)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &SlotMissingError{Slot: cfg.Slot}
	}
	if err := slot.usable(server); err != nil {
		return nil, err
	}
	if err := publicationExists(ctx, conn, cfg.Publication); err != nil {
		return nil, err
	}
	// A later start would skip what lies before it, an earlier one is forwarded
	// by the server to what was confirmed: both in silence.
	if start == 0 {
		start = slot.ConfirmedFlush
	} else if start < slot.ConfirmedFlush || start > server.FlushLSN {
		return nil, &PositionError{Slot: cfg.Slot, Start: start, Confirmed: slot.ConfirmedFlush, Flushed: server.FlushLSN}
	}

	if err := startReplication(ctx, cfg, conn, cfg.Slot, start); err != nil {
		return nil, startError(ctx, cfg, slot, err)
	}
	s := newStream(cfg, conn, frames, server, start, time.Now())
	s.restart = slot.RestartLSN
	return s, nil
}

// OpenTemporary reads from now on over a slot that ends with the stream, so that
// nothing is left and nothing lasting is moved. Making the slot waits for open
// transactions as [EnsureSlot] does.
func OpenTemporary(ctx context.Context, cfg Config) (*Stream, error) {
	if err := cfg.problems(); err != nil {
		return nil, err
	}
	conn, frames, err := connectReplication(ctx, cfg)
	if err != nil {
		return nil, err
	}
	// Named after its session: several may run beside one another.
	name := fmt.Sprintf("%.40s_temporary_%d", cfg.Slot, conn.PID())
	stream, err := func() (*Stream, error) {
		server, err := identify(ctx, conn)
		if err != nil {
			return nil, err
		}
		if err := cfg.originSuits(server.Version); err != nil {
			return nil, err
		}
		if err := publicationExists(ctx, conn, cfg.Publication); err != nil {
			return nil, err
		}
		cfg.Slot = name
		start, err := createSlot(ctx, cfg, conn, temporarySlot)
		if err != nil {
			return nil, err
		}
		if err := startReplication(ctx, cfg, conn, name, start); err != nil {
			return nil, startError(ctx, cfg, Slot{Name: name}, err)
		}
		return newStream(cfg, conn, frames, server, start, time.Now()), nil
	}()
	if err != nil {
		closeHard(conn)
		return nil, err
	}
	return stream, nil
}

// startReplication asks for protocol version 1, in which a transaction comes whole
// once it is committed, and for logical messages.
func startReplication(ctx context.Context, cfg Config, conn *pgconn.PgConn, slot string, start change.LSN) error {
	options := pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{
			"proto_version '1'",
			"publication_names " + literal(quote(cfg.Publication)),
			"messages 'true'",
		},
	}
	if cfg.SkipOrigins {
		options.PluginArgs = append(options.PluginArgs, "origin 'none'")
	}
	return pglogrepl.StartReplication(ctx, conn, quote(slot), pglogrepl.LSN(start), options)
}

// originsSince is the first version that filters by origin.
const originsSince = 160000

func (c Config) originSuits(version int) error {
	if c.SkipOrigins && version < originsSince {
		return problem("PGCRM_ORIGIN=none: Postgres %d does not filter by origin: unset it, or move to Postgres 16 or later", version/10000)
	}
	return nil
}

// usable checks that the slot is one that this stream can read.
func (s *Slot) usable(server Server) error {
	switch {
	case s.Lost():
		return &SlotLostError{Slot: s.Name, Reason: s.lossReason()}
	case s.Plugin != "pgoutput":
		return problem("PGCRM_SLOT: replication slot %s uses the output plugin %q, not pgoutput: choose another name", s.Name, s.Plugin)
	case s.Database != server.Database:
		return problem("PGCRM_SLOT: replication slot %s belongs to database %q, not %q: choose another name", s.Name, s.Database, server.Database)
	case s.TwoPhase:
		return problem("PGCRM_SLOT: replication slot %s was made for two-phase commit, which pgcrm does not read: choose another name", s.Name)
	}
	return nil
}

func publicationExists(ctx context.Context, conn *pgconn.PgConn, name string) error {
	rows, err := simpleQuery(ctx, conn, "SELECT 1 FROM pg_publication WHERE pubname = "+literal(name))
	if err != nil {
		return fmt.Errorf("look up publication %s: %w", name, err)
	}
	if len(rows) == 0 {
		return problem("PGCRM_PUBLICATION: publication %s does not exist: run pgcrm migrate", quote(name))
	}
	return nil
}

// startError explains why START_REPLICATION was refused.
func startError(ctx context.Context, cfg Config, slot Slot, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("start replication: %w", err)
	}
	// The words for these differ from version to version, the states do not, but
	// 55000 has more than one meaning. So look at the slot again.
	if fresh, ok := lookAgain(ctx, cfg); ok {
		slot = fresh
	}
	switch pg.Code {
	case "55006":
		return slotActive(slot, err)
	case "42704":
		return &SlotMissingError{Slot: cfg.Slot, cause: err}
	case "58P01":
		return &SlotLostError{Slot: cfg.Slot, Reason: "the log that it needs was removed", cause: err}
	case "55000":
		if slot.Lost() {
			return &SlotLostError{Slot: cfg.Slot, Reason: slot.lossReason(), cause: err}
		}
	case "53300":
		v, user := cfg.whose(ctx)
		return problemBecause(err, "%s", connectMend(pg, v, user))
	}
	return fmt.Errorf("start replication: %w", err)
}

// lookAgain reads the slot over a connection of its own.
func lookAgain(ctx context.Context, cfg Config) (Slot, bool) {
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return Slot{}, false
	}
	defer conn.Close(ctx)
	slot, ok, err := SlotInfo(ctx, conn, cfg.Slot)
	return slot, ok && err == nil
}

// closeHard closes a connection whose state is of no more use.
func closeHard(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
