package cdc

import (
	"testing"
	"time"
)

func TestShutdownWatch(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		at   []time.Duration
		want bool
	}{
		{"one request", []time.Duration{0}, false},
		{"at half the timeout", []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second}, false},
		{"once in a hurry", []time.Duration{0, time.Millisecond, 6 * time.Second, 6*time.Second + 1}, false},
		{"in a row", []time.Duration{0, 5 * time.Second, 5*time.Second + time.Millisecond, 5*time.Second + 2*time.Millisecond}, true},
		{"the clock was set back", []time.Duration{time.Hour, 0, 5 * time.Second}, false},
	} {
		w := shutdownWatch{timeout: 10 * time.Second}
		got := false
		for _, at := range c.at {
			got = w.asked(start.Add(at))
		}
		if got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
