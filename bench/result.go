package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// result is one repetition of a workload: one JSON file.
type result struct {
	Workload   string            `json:"workload"`
	Title      string            `json:"title"`
	Repetition int               `json:"repetition"`
	Scale      float64           `json:"scale"`
	Rows       int               `json:"rows"`
	At         time.Time         `json:"at"`
	Versions   map[string]string `json:"versions"`
	Consumers  []measurement     `json:"consumers"`
}

// measurement is what one consumer took.
type measurement struct {
	Consumer string  `json:"consumer"`
	Seconds  float64 `json:"seconds"`
	Rows     int     `json:"rows"`
	// RowsPerSecond is the rate from the start of the process on, or, for an
	// outage, from its end.
	RowsPerSecond float64 `json:"rows_per_second"`
	CPU           float64 `json:"cpu_seconds"`
	// ServerCPU is that of the server process which serves the consumer's stream.
	ServerCPU float64 `json:"walsender_cpu_seconds,omitempty"`
	PeakRSS   int64   `json:"peak_rss_bytes"`
	Allocs    int64   `json:"allocations,omitempty"`
	AllocB    int64   `json:"allocated_bytes,omitempty"`
	Calls     int     `json:"calls,omitempty"`
	Records   int64   `json:"records_written,omitempty"`
	// Latency from COMMIT being sent to the request having arrived whole.
	Latency *latency `json:"latency_ms,omitempty"`
}

type latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	N   int     `json:"n"`
}

func percentiles(all []time.Duration) *latency {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Microseconds()) / 1000
	}
	return &latency{P50: at(.5), P90: at(.9), P99: at(.99), Max: at(1), N: len(all)}
}

// perMillion is a cost of one million rows.
func (m measurement) perMillion(cost float64) float64 {
	if m.Rows == 0 {
		return 0
	}
	return cost / float64(m.Rows) * 1e6
}

func (m measurement) String() string {
	s := fmt.Sprintf("%-15s %8.2f s %9.0f rows/s, CPU %.2f s + walsender %.2f s per million, %d MiB",
		m.Consumer, m.Seconds, m.RowsPerSecond, m.perMillion(m.CPU), m.perMillion(m.ServerCPU), m.PeakRSS>>20)
	if m.Calls > 0 {
		s += fmt.Sprintf(", %d calls for %d records", m.Calls, m.Records)
	}
	if m.Latency != nil {
		s += fmt.Sprintf(", p50 %.2f ms, p99 %.2f ms", m.Latency.P50, m.Latency.P99)
	}
	return s
}

func (r *result) write(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.json", r.Workload, r.Repetition)), append(text, '\n'), 0o600)
}

// readResults reads all of a directory, in order of workload and repetition.
func readResults(dir string) ([]result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []result
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // its own results
		if err != nil {
			return nil, err
		}
		var r result
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b result) int {
		if c := strings.Compare(a.Workload, b.Workload); c != 0 {
			return c
		}
		return a.Repetition - b.Repetition
	})
	return all, nil
}
