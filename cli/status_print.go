package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/admin"
)

// print writes the snapshot for people: a line a topic, the worst first.
func (s *statusCommand) print(snap admin.Snapshot) {
	colour := green
	if !snap.State.Ready() || len(snap.Problems) > 0 {
		colour = yellow
	}
	state := s.out.paint(colour, string(snap.State))
	if !snap.Since.IsZero() {
		word := " since "
		if snap.State == admin.Stopped {
			word = ", last seen "
		}
		state += word + snap.Since.UTC().Format(time.DateTime) + " UTC"
	}
	if snap.Detail != "" {
		state += ": " + sayable(snap.Detail)
	}
	s.line("state", "%s", state)
	for _, p := range snap.Problems {
		s.line("problem", "%s", s.out.paint(red, sayable(p)))
	}
	s.line("database", "%s on %s, schema %s", sayable(snap.Database.Name), snap.Database.Server, sayable(snap.Database.Schema))
	s.printLog(snap)
	s.printCRM(snap)
	for _, h := range snap.Held {
		s.line("held", "%s: %s", sayable(h.What), sayable(h.Reason))
	}
	s.line("parked", "%s", parkedInWords(snap.Parked))
	for _, b := range snap.Backfills {
		rows := fmt.Sprintf("%d rows", b.Rows)
		if b.Estimate > 0 {
			rows = fmt.Sprintf("%d of about %d rows", b.Rows, b.Estimate)
		}
		if b.Waiting != "" {
			rows += ", waits " + sayable(b.Waiting)
		}
		s.line("backfill", "%d of %s: %s", b.ID, sayable(b.Table), rows)
	}
}

func (s *statusCommand) line(name, format string, args ...any) {
	s.out.printf("%-12s %s\n", name, fmt.Sprintf(format, args...))
}

func (s *statusCommand) printLog(snap admin.Snapshot) {
	slot := snap.Slot
	words := sayable(slot.Name) + ": " + slot.Status
	if slot.Detail != "" {
		words += ", " + sayable(slot.Detail)
	}
	if slot.ActivePID != nil {
		words += fmt.Sprintf("; read by process %d", *slot.ActivePID)
	}
	s.line("slot", "%s", words)
	if slot.RetainedWALBytes != nil {
		restart := sizeInWords(*slot.RetainedWALBytes) + " kept on the server's disk"
		if slot.SafeWALBytes != nil {
			restart += fmt.Sprintf(", %s more until the slot is in danger", sizeInWords(*slot.SafeWALBytes))
		} else {
			restart += ", without a limit"
		}
		s.line("restart gap", "%s", restart)
	}
	if slot.ConfirmedGapBytes != nil {
		s.line("confirmed", "%s behind the server, at %s", sizeInWords(*slot.ConfirmedGapBytes), slot.ConfirmedLSN)
	}
	if slot.SpilledBytes != nil && *slot.SpilledBytes > 0 {
		s.line("spilled", "%s to the server's disk: transactions exceed its logical_decoding_work_mem", sizeInWords(*slot.SpilledBytes))
	}
	if snap.Log.CheckpointLSN != 0 {
		lag := ""
		if snap.Log.LagBytes != nil {
			lag = ", " + sizeInWords(*snap.Log.LagBytes) + " behind"
		}
		if snap.Log.LagSeconds != nil {
			lag += fmt.Sprintf(", oldest change not accounted for is %.1f s old", *snap.Log.LagSeconds)
		}
		s.line("checkpoint", "%s%s", snap.Log.CheckpointLSN, lag)
	}
}

func (s *statusCommand) printCRM(snap admin.Snapshot) {
	if snap.Started.IsZero() {
		return // no instance was asked
	}
	s.line("queue", "%d records, %s of %s, %d calls in flight", snap.Queue.Records, sizeInWords(snap.Queue.Bytes), sizeInWords(snap.Queue.LimitBytes), snap.Queue.InFlight)
	crm := "accepts"
	if !snap.CRM.Accepts {
		crm = s.out.paint(yellow, "does not accept")
	}
	for _, q := range snap.CRM.Quota {
		crm += fmt.Sprintf("; %d of %d calls left in %s", q.Remaining, q.Limit, q.Window)
	}
	s.line("crm", "portal %s %s", snap.CRM.Portal, crm)
	for _, p := range snap.CRM.Paused {
		s.line("paused", "%s: %s", p.Reason, sayable(p.Detail))
	}
	var outcomes []string
	for name, n := range snap.Records {
		if n > 0 {
			outcomes = append(outcomes, fmt.Sprintf("%d %s", n, name))
		}
	}
	if len(outcomes) == 0 {
		return
	}
	slices.Sort(outcomes)
	s.line("records", "%s since the start", strings.Join(outcomes, ", "))
}

func parkedInWords(parked map[string]int64) string {
	var words []string
	for reason, n := range parked {
		if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, reason))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	slices.Sort(words)
	return strings.Join(words, ", ") + "; see pgcrm dlq list"
}

// sizeInWords writes a number of bytes as people say it.
func sizeInWords(n int64) string {
	f, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 && f > -1024 {
			break
		}
		f, unit = f/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
