package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
)

// Slot is a replication slot as pg_replication_slots shows it, together with
// what its holder tells of itself.
type Slot struct {
	Name     string
	Plugin   string
	Database string
	// Created is set by EnsureSlot where it made the slot, and ConsistentPoint is
	// then where decoding can start.
	Created         bool
	ConsistentPoint change.LSN

	Active    bool
	ActivePID int
	// ActiveSince and ActiveApplication describe the holder, as far as the role
	// may see that.
	ActiveSince       time.Time
	ActiveApplication string
	// WaitsForStandby tells that the server holds changes back until a standby has
	// them (17 and later).
	WaitsForStandby bool

	// ConfirmedFlush is what was confirmed: lag is counted from here. Zero while
	// the slot is still being created.
	ConfirmedFlush change.LSN
	// RestartLSN is where the server keeps its log from: disk is counted from
	// here. Zero when the slot is lost.
	RestartLSN change.LSN
	// WALStatus is reserved, extended, unreserved (minutes left) or lost.
	WALStatus string
	// SafeWALSize is how many bytes may still be written before the slot is in
	// danger of being lost; nil where max_slot_wal_keep_size sets no limit.
	SafeWALSize *int64
	// InvalidationReason is Postgres's own word (17 and later), or "conflicting"
	// (16), or empty.
	InvalidationReason string
	Temporary          bool
	TwoPhase           bool
	Failover           bool // 17 and later
	Synced             bool // 17 and later: a copy on a standby, not to be used

	// CurrentLSN is the end of the server's log when the slot was looked at.
	CurrentLSN change.LSN
	// SpilledBytes were written to disk while decoding, because transactions
	// exceeded logical_decoding_work_mem.
	SpilledBytes int64
}

// Lost reports whether the slot can no longer be read.
func (s *Slot) Lost() bool {
	return s.WALStatus == "lost" || s.InvalidationReason != ""
}

// RetainedBytes is how much log the server keeps for the slot.
func (s *Slot) RetainedBytes() int64 { return distance(s.RestartLSN, s.CurrentLSN) }

// LagBytes is how much log was written since the confirmed position.
func (s *Slot) LagBytes() int64 { return distance(s.ConfirmedFlush, s.CurrentLSN) }

func distance(from, to change.LSN) int64 {
	if from == 0 || to < from {
		return 0
	}
	return int64(to - from) //nolint:gosec // a log of 8 EiB has yet to be written
}

// Health says in words how the slot is.
func (s *Slot) Health() string {
	switch {
	case s.Lost():
		return "lost: " + s.lossReason()
	case s.WALStatus == "unreserved":
		return "about to be lost: the log it needs may be removed at the next checkpoint"
	case s.WALStatus == "extended":
		return "behind: it keeps more log than max_wal_size, which is allowed" + s.heldBack()
	case s.WaitsForStandby:
		return strings.TrimPrefix(s.heldBack(), "; ")
	default:
		return "good"
	}
}

func (s *Slot) heldBack() string {
	if !s.WaitsForStandby {
		return ""
	}
	return "; held back: the server sends no change before the standbys that synchronized_standby_slots names have it"
}

func (s *Slot) lossReason() string {
	switch s.InvalidationReason {
	case "idle_timeout":
		return "it was idle for longer than idle_replication_slot_timeout"
	case "rows_removed":
		return "rows of the catalog that it needs were removed"
	case "wal_level_insufficient":
		return "wal_level was lowered below logical"
	default:
		return "the log that it needs was removed (max_slot_wal_keep_size)"
	}
}

// slotQuery takes whole rows as JSON: their columns differ from version to
// version. Its parameter is a literal, so that it runs on replication
// connections too.
const slotQuery = `
SELECT to_jsonb(s) || jsonb_build_object(
	'current_lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
	'holder_since', a.backend_start,
	'holder_application', a.application_name,
	'holder_waits', a.wait_event,
	'spilled', (SELECT t.spill_bytes FROM pg_stat_replication_slots t WHERE t.slot_name = s.slot_name))
FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = `

type slotRow struct {
	SlotName           string     `json:"slot_name"`
	Plugin             string     `json:"plugin"`
	Database           string     `json:"database"`
	Temporary          bool       `json:"temporary"`
	Active             bool       `json:"active"`
	ActivePID          int        `json:"active_pid"`
	RestartLSN         string     `json:"restart_lsn"`
	ConfirmedFlushLSN  string     `json:"confirmed_flush_lsn"`
	WALStatus          string     `json:"wal_status"`
	SafeWALSize        *int64     `json:"safe_wal_size"`
	TwoPhase           bool       `json:"two_phase"`
	Conflicting        bool       `json:"conflicting"`
	InvalidationReason string     `json:"invalidation_reason"`
	Failover           bool       `json:"failover"`
	Synced             bool       `json:"synced"`
	CurrentLSN         string     `json:"current_lsn"`
	HolderSince        *time.Time `json:"holder_since"`
	HolderApplication  string     `json:"holder_application"`
	HolderWaits        string     `json:"holder_waits"`
	Spilled            int64      `json:"spilled"`
}

// SlotInfo looks a slot up. ok is false where there is none of that name.
func SlotInfo(ctx context.Context, conn *pgx.Conn, name string) (slot Slot, ok bool, err error) {
	return slotInfo(ctx, conn.PgConn(), name)
}

func slotInfo(ctx context.Context, conn *pgconn.PgConn, name string) (Slot, bool, error) {
	rows, err := simpleQuery(ctx, conn, slotQuery+literal(name))
	if err != nil {
		return Slot{}, false, fmt.Errorf("look up replication slot %s: %w", name, err)
	}
	if len(rows) == 0 {
		return Slot{}, false, nil
	}
	slot, err := parseSlot(rows[0][0])
	if err != nil {
		return Slot{}, false, fmt.Errorf("look up replication slot %s: %w", name, err)
	}
	return slot, true, nil
}

func parseSlot(row []byte) (Slot, error) {
	var r slotRow
	if err := json.Unmarshal(row, &r); err != nil {
		return Slot{}, err
	}
	s := Slot{
		Name: r.SlotName, Plugin: r.Plugin, Database: r.Database, Temporary: r.Temporary,
		Active: r.Active, ActivePID: r.ActivePID, ActiveApplication: r.HolderApplication,
		WaitsForStandby: r.HolderWaits == "WaitForStandbyConfirmation",
		WALStatus:       r.WALStatus, SafeWALSize: r.SafeWALSize, TwoPhase: r.TwoPhase,
		InvalidationReason: r.InvalidationReason, Failover: r.Failover, Synced: r.Synced, SpilledBytes: r.Spilled,
	}
	if r.HolderSince != nil {
		s.ActiveSince = *r.HolderSince
	}
	if r.Conflicting && s.InvalidationReason == "" {
		s.InvalidationReason = "conflicting"
	}
	var errs []error
	for _, f := range []struct {
		text string
		to   *change.LSN
	}{{r.RestartLSN, &s.RestartLSN}, {r.ConfirmedFlushLSN, &s.ConfirmedFlush}, {r.CurrentLSN, &s.CurrentLSN}} {
		if f.text == "" {
			continue
		}
		lsn, err := change.ParseLSN(f.text)
		*f.to = lsn
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// DropSlot removes the slot. One that does not exist is no error; one that is in
// use is a [*SlotActiveError].
func DropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", name)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42704":
			return nil
		case "55006":
			slot, _, _ := SlotInfo(ctx, conn, name)
			slot.Name = name
			return slotActive(slot, err)
		}
	}
	if err != nil {
		return fmt.Errorf("drop replication slot %s: %w", name, err)
	}
	return nil
}
