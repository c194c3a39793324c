package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// progressWithin is how long records may wait with none accounted for before
// /readyz?strict says that work does not progress.
const progressWithin = 60 * time.Second

// healthz answers 200 while every loop turns. Trouble of the CRM or the database
// is none of its business: a restart would mend neither.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	stale := s.opts.Heartbeats.Stale()
	lines := make([]string, 0, len(stale))
	for _, b := range stale {
		lines = append(lines, fmt.Sprintf("the loop %s has not turned for %s", b.Name, b.Age.Truncate(time.Second)))
	}
	verdict(w, lines, "all loops turn")
}

// readyz answers 200 once set up and streaming, loading or standing by; with
// ?strict only if the CRM accepts and work progresses too.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	snap := s.opts.Snapshot()
	lines := notReady(snap)
	if strict(r) && len(lines) == 0 {
		lines = notProgressing(snap)
	}
	verdict(w, lines, string(snap.State))
}

// strict reports ?strict, ?strict=1 or ?strict=true.
func strict(r *http.Request) bool {
	values, ok := r.URL.Query()["strict"]
	return ok && values[0] != "0" && !strings.EqualFold(values[0], "false")
}

func notReady(snap Snapshot) []string {
	if snap.State.Ready() {
		return snap.Problems
	}
	line := "not ready: " + string(snap.State)
	if snap.Detail != "" {
		line += ": " + snap.Detail
	}
	return []string{line}
}

// notProgressing says why a ready process gets nothing done. A standby has
// nothing to do.
func notProgressing(snap Snapshot) []string {
	if snap.State == Standby {
		return nil
	}
	var lines []string
	for _, p := range snap.CRM.Paused {
		if slices.ContainsFunc(snap.Held, func(h Held) bool { return h.Reason == p.Detail }) {
			continue // said below
		}
		lines = append(lines, strings.TrimSuffix("paused: "+p.Reason+": "+p.Detail, ": "))
	}
	if !snap.CRM.Accepts && len(lines) == 0 {
		lines = append(lines, "the CRM does not accept")
	}
	for _, h := range snap.Held {
		lines = append(lines, "held: "+h.What+": "+h.Reason)
	}
	waited := snap.Queue.OldestUnsentSeconds > progressWithin.Seconds()
	idle := snap.Queue.LastProgress == nil || snap.At.Sub(*snap.Queue.LastProgress) > progressWithin
	if snap.Queue.Records > 0 && waited && idle {
		lines = append(lines, fmt.Sprintf("no progress: the oldest change waits for %.0f s and nothing was accounted for in the last minute",
			snap.Queue.OldestUnsentSeconds))
	}
	return lines
}

// verdict answers 503 with the lines, or 200 with a word where there are none.
func verdict(w http.ResponseWriter, lines []string, well string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(lines) == 0 {
		_, _ = fmt.Fprintln(w, "ok: "+well)
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n"))
}
