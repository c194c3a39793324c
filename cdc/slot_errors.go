package cdc

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// SlotActiveError says that another session reads the slot. Wait: it goes when
// that session ends, or once wal_sender_timeout after its peer has vanished.
type SlotActiveError struct {
	Slot        string
	PID         int
	Since       time.Time // when the session began; zero where the role may not see it
	Application string    // its application_name; empty where the role may not see it
	cause       error
}

func slotActive(s Slot, cause error) *SlotActiveError {
	return &SlotActiveError{Slot: s.Name, PID: s.ActivePID, Since: s.ActiveSince, Application: s.ActiveApplication, cause: cause}
}

// Error names the holder.
func (e *SlotActiveError) Error() string {
	end := "; wait until it ends"
	if e.PID != 0 {
		end += fmt.Sprintf(", or run SELECT pg_terminate_backend(%d)", e.PID)
	}
	return "replication slot " + e.Slot + " is " + e.holder() + end
}

// holder says who has the slot, and since when.
func (e *SlotActiveError) holder() string {
	var b strings.Builder
	b.WriteString("in use")
	if e.PID != 0 {
		fmt.Fprintf(&b, " by process %d", e.PID)
	}
	if e.Application != "" {
		fmt.Fprintf(&b, " (%s)", e.Application)
	}
	if !e.Since.IsZero() {
		fmt.Fprintf(&b, " since %s", e.Since.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// Unwrap returns the server's error.
func (e *SlotActiveError) Unwrap() error { return e.cause }

// SlotLostError says that the slot exists but can no longer be read. Changes
// since its confirmed position may be missing from the CRM.
type SlotLostError struct {
	Slot   string
	Reason string // in words
	// Undecodable is set where the slot itself is as it should be, and the log
	// behind it cannot be decoded.
	Undecodable bool
	cause       error
}

// recreate is the way back after a slot is gone.
const recreate = "changes since its last position may be missing from the CRM: " + again

// again has a slot made anew and what was missed made good.
const again = "run pgcrm migrate --recreate-slot, which has every mapped row sent again as pgcrm backfill --all does"

// Error says what happened and what to run.
func (e *SlotLostError) Error() string {
	if e.Undecodable {
		return fmt.Sprintf("replication slot %s cannot be read on: %s; run pgcrm migrate --recreate-slot --force, which has every mapped row sent again", e.Slot, e.Reason)
	}
	return fmt.Sprintf("replication slot %s is lost: %s; %s", e.Slot, e.Reason, recreate)
}

// Problems makes it an error of the environment.
func (e *SlotLostError) Problems() []string { return []string{e.Error()} }

// Unwrap returns the server's error.
func (e *SlotLostError) Unwrap() error { return e.cause }

// SlotMissingError says that there is no slot of that name where one is needed.
// It is never made anew over a stored position: what lies between would be lost
// in silence.
type SlotMissingError struct {
	Slot  string
	cause error
}

// Error says what happened and what to run.
func (e *SlotMissingError) Error() string {
	return fmt.Sprintf("replication slot %s does not exist: it was dropped, or this is another server; %s", e.Slot, recreate)
}

// Problems makes it an error of the environment.
func (e *SlotMissingError) Problems() []string { return []string{e.Error()} }

// Unwrap returns the server's error.
func (e *SlotMissingError) Unwrap() error { return e.cause }

// SlotBlockedError says that a slot cannot be created yet, because transactions
// that have written are still open.
type SlotBlockedError struct {
	Slot     string
	Blockers []string // one description each
	cause    error
}

// Error names the transactions.
func (e *SlotBlockedError) Error() string {
	blockers := "the role may not see which"
	if len(e.Blockers) > 0 {
		blockers = strings.Join(e.Blockers, ", ")
	}
	return fmt.Sprintf("creating replication slot %s waits for open transactions to end: %s; "+
		"end them, or run SELECT pg_terminate_backend(PID)", e.Slot, blockers)
}

// Unwrap returns the server's error.
func (e *SlotBlockedError) Unwrap() error { return e.cause }

// PositionError says that the stream cannot start at the position asked for: the
// server would skip changes without a word.
type PositionError struct {
	Slot      string
	Start     change.LSN // what was asked for
	Confirmed change.LSN // what the slot has confirmed
	Flushed   change.LSN // where the server's log ends
}

// Error says which side is behind, and what to run.
func (e *PositionError) Error() string {
	if e.Start > e.Flushed {
		return fmt.Sprintf("the stored position %s is beyond the end of the server's log, %s: this server was restored from a backup, "+
			"or is another; "+again, e.Start, e.Flushed)
	}
	return fmt.Sprintf("replication slot %s has confirmed %s, beyond the stored position %s: it was dropped and made anew, the state was restored from a backup, "+
		"or another program used the slot; "+again, e.Slot, e.Confirmed, e.Start)
}

// Problems makes it an error of the environment.
func (e *PositionError) Problems() []string { return []string{e.Error()} }
