package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGauge(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	d := &desk{notes: &printer{w: &out, terminal: true, width: 140}, now: func() time.Time { return now }}
	g := d.gauge("verify public.accounts", 4000, "row", "rows")
	g.add(1000)
	now = now.Add(time.Second)
	g.add(1000)
	now = now.Add(gaugeEvery / 2)
	g.add(1000) // too soon to be shown
	now = now.Add(time.Second)
	g.add(0)
	g.end()
	want := "\r\x1b[K[######..................] verify public.accounts: 1,000 rows of about 4,000 (25 %)" +
		"\r\x1b[K[############............] verify public.accounts: 2,000 rows of about 4,000 (50 %), 1,000 rows/s, 2 s left" +
		"\r\x1b[K[##################......] verify public.accounts: 3,000 rows of about 4,000 (75 %), 952 rows/s, 1 s left" +
		"\r\x1b[K"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	d.notes.width = 0 // as some terminals say
	unknown := d.gauge("list companies", 0, "record", "records")
	unknown.add(1)
	if diff := cmp.Diff("\r\x1b[Klist companies: 1 record", out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestGaugeIsForAPersonAlone: in a pipe there is nothing of it.
func TestGaugeIsForAPersonAlone(t *testing.T) {
	var out bytes.Buffer
	for _, notes := range []*printer{nil, {w: &out}} {
		g := (&desk{notes: notes, now: time.Now}).gauge("verify", 10, "row", "rows")
		g.add(5)
		g.end()
	}
	if out.Len() > 0 {
		t.Errorf("got %q", out.String())
	}
}
