package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// EnsureSlot returns the slot, made first if there is none. The publication must
// exist before: a slot older than its publication cannot be read.
//
// Making a slot waits for every open transaction that has written to end. Each
// attempt is bounded by Config.LockTimeout, so that nothing queues behind it for
// long, and logged with what it waits for; attempts go on until ctx ends, and the
// error is then a [*SlotBlockedError].
//
// EnsureSlot must not be used where a position is stored for the slot: there a
// missing slot means a gap, and [Open] says so.
func EnsureSlot(ctx context.Context, cfg Config) (Slot, error) {
	if err := cfg.problems(); err != nil {
		return Slot{}, err
	}
	conn, _, err := connectReplication(ctx, cfg)
	if err != nil {
		return Slot{}, err
	}
	defer closeHard(conn)
	server, err := identify(ctx, conn)
	if err != nil {
		return Slot{}, err
	}
	if err := server.Primary(); err != nil {
		return Slot{}, err
	}
	slot, ok, err := slotInfo(ctx, conn, cfg.Slot)
	switch {
	case err != nil:
		return Slot{}, err
	case ok && slot.ConfirmedFlush == 0 && slot.Active && !slot.Lost():
		return Slot{}, slotActive(slot, errors.New("the slot is being created"))
	case ok:
		return slot, slot.usable(server)
	}
	if err := publicationExists(ctx, conn, cfg.Publication); err != nil {
		return Slot{}, err
	}
	start, err := createSlot(ctx, cfg, conn, lastingSlot(server.Version))
	if err != nil {
		return Slot{}, err
	}
	slot, ok, err = slotInfo(ctx, conn, cfg.Slot)
	if err != nil {
		return Slot{}, err
	}
	if !ok {
		return Slot{}, &SlotMissingError{Slot: cfg.Slot}
	}
	slot.Created, slot.ConsistentPoint = true, start
	return slot, nil
}

// slotKind is what comes after the slot's name in CREATE_REPLICATION_SLOT.
type slotKind string

const (
	temporarySlot slotKind = "TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
	plainSlot     slotKind = "LOGICAL pgoutput NOEXPORT_SNAPSHOT"
	// A failover slot is copied to the standbys that ask for it, and costs
	// nothing where none does.
	failoverSlot slotKind = "LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER true)"
)

// lastingSlot is the kind of slot to stream from.
func lastingSlot(version int) slotKind {
	if version >= 170000 {
		return failoverSlot
	}
	return plainSlot
}

// createSlot tries until it succeeds, or ctx ends.
func createSlot(ctx context.Context, cfg Config, conn *pgconn.PgConn, kind slotKind) (change.LSN, error) {
	if _, err := simpleQuery(ctx, conn, "SET lock_timeout = "+milliseconds(cfg.lockTimeout())); err != nil {
		return 0, fmt.Errorf("create replication slot %s: %w", cfg.Slot, err)
	}
	started := time.Now()
	for {
		result, err := pglogrepl.ParseCreateReplicationSlot(conn.Exec(ctx, fmt.Sprintf("CREATE_REPLICATION_SLOT %s %s", quote(cfg.Slot), kind)))
		if err == nil {
			return change.ParseLSN(result.ConsistentPoint)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "55P03" {
			return 0, createRefused(ctx, cfg, err)
		}
		blocked := &SlotBlockedError{Slot: cfg.Slot, cause: err}
		open, err := writers(ctx, conn)
		if err != nil {
			return 0, err
		}
		blocked.Blockers = inWords(open)
		cfg.logger().WarnContext(ctx, "slot_waits",
			"slot", cfg.Slot, "waited", time.Since(started).Round(time.Second), "transactions", blocked.Blockers)
		if ctx.Err() != nil {
			return 0, blocked
		}
	}
}

// EnsureFailover makes a slot that was created otherwise a failover slot, where
// the server knows such (17 and later), and reports whether it did. A slot in
// use is a [*SlotActiveError].
func EnsureFailover(ctx context.Context, cfg Config) (changed bool, err error) {
	conn, _, err := connectReplication(ctx, cfg)
	if err != nil {
		return false, err
	}
	defer closeHard(conn)
	server, err := identify(ctx, conn)
	if err != nil || server.Version < 170000 || server.InRecovery {
		return false, err
	}
	slot, ok, err := slotInfo(ctx, conn, cfg.Slot)
	if err != nil || !ok || slot.Failover || slot.Temporary {
		return false, err
	}
	if slot.Active {
		return false, slotActive(slot, nil)
	}
	if _, err := simpleQuery(ctx, conn, fmt.Sprintf("ALTER_REPLICATION_SLOT %s (FAILOVER true)", quote(cfg.Slot))); err != nil {
		return false, fmt.Errorf("make %s a failover slot: %w", cfg.Slot, err)
	}
	return true, nil
}

// createRefused explains why a slot could not be made.
func createRefused(ctx context.Context, cfg Config, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if ctx.Err() != nil {
			return &SlotBlockedError{Slot: cfg.Slot, Blockers: lookForWriters(cfg), cause: ctx.Err()}
		}
		return fmt.Errorf("create replication slot %s: %w", cfg.Slot, err)
	}
	v, user := cfg.whose(ctx)
	switch pg.Code {
	case "42710": // another instance was faster; it is there now
		return slotActive(Slot{Name: cfg.Slot}, err)
	case "53400":
		return problemBecause(err, "replication slot %s cannot be created: %s; %s, or drop a slot that nobody reads (SELECT * FROM pg_replication_slots WHERE NOT active)",
			cfg.Slot, pg.Message, v.set("max_replication_slots", "20", true))
	case "55000":
		return problemBecause(err, "replication slot %s cannot be created: %s; %s", cfg.Slot, pg.Message, v.logical())
	case "42501":
		return problemBecause(err, "replication slot %s cannot be created: %s; %s", cfg.Slot, pg.Message, v.replicate(change.QuoteName(user)))
	}
	return fmt.Errorf("create replication slot %s: %w", cfg.Slot, err)
}

// writers lists the open transactions that have written, oldest first, prepared
// ones too. A role without pg_read_all_stats sees of others' sessions the process
// alone.
func writers(ctx context.Context, conn *pgconn.PgConn) ([]blocker, error) {
	rows, err := simpleQuery(ctx, conn, `
		SELECT coalesce(pid, 0), gid, application, date_trunc('second', clock_timestamp() - since)::text FROM (
			SELECT a.pid, '' AS gid, coalesce(a.application_name, '') AS application, a.xact_start AS since
			FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
			WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
			GROUP BY 1, 3, 4
			UNION ALL
			SELECT NULL, gid, '', prepared FROM pg_prepared_xacts) t
		ORDER BY since NULLS LAST LIMIT 20`)
	if err != nil {
		return nil, fmt.Errorf("look for open transactions: %w", err)
	}
	list := make([]blocker, len(rows))
	for i, row := range rows {
		pid, err := strconv.ParseInt(string(row[0]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("look for open transactions: %w", err)
		}
		list[i] = blocker{pid: int32(pid), gid: string(row[1]), application: string(row[2]), age: string(row[3])}
	}
	return list, nil
}

// inWords describes the transactions.
func inWords(list []blocker) []string {
	words := make([]string, len(list))
	for i, b := range list {
		words[i] = b.String()
	}
	return words
}

// lookForWriters is for the end of the wait, when ctx is done and the connection
// with it.
func lookForWriters(cfg Config) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return nil
	}
	defer conn.Close(ctx)
	list, _ := writers(ctx, conn.PgConn())
	return inWords(list)
}
