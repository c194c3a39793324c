package pipeline

import (
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// Chunks have as many rows as are settled in half a second, within bounds, and
// share of the buffer.
func TestChunksFollowWhatTheQueueGetsRidOf(t *testing.T) {
	const most, buffer = 5000, 64 << 20
	row := func(bytes int) [][]change.Value {
		return [][]change.Value{{{Kind: change.Text, Text: make([]byte, bytes)}}}
	}
	for name, c := range map[string]struct {
		perSecond int64
		rowBytes  int
		want      int
	}{
		"nothing is known":             {want: firstChunk},
		"a CRM that takes ten records": {perSecond: 10, rowBytes: 200, want: firstChunk},
		"a hundred calls in ten":       {perSecond: 1000, rowBytes: 200, want: 500},
		"no limit":                     {perSecond: 100_000, rowBytes: 200, want: most},
		"rows of a megabyte":           {perSecond: 100_000, rowBytes: 1 << 20, want: 7},
		"rows larger than the buffer":  {perSecond: 100_000, rowBytes: 100 << 20, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var p pace
			if c.rowBytes > 0 {
				p.read(row(c.rowBytes))
			}
			for at := time.Unix(1000, 0); c.perSecond > 0 && at.Before(time.Unix(1060, 0)); at = at.Add(100 * time.Millisecond) {
				p.settled(c.perSecond/10, at)
			}
			if got := p.chunk(most, buffer); got != c.want {
				t.Errorf("chunks of %d rows, not %d", got, c.want)
			}
			if got := p.backlog(most, buffer); got < 4*c.want || got > max(4*c.want, 3*int(c.perSecond)) {
				t.Errorf("%d rows may wait", got)
			}
		})
	}
}

// A rate that fell is followed within seconds.
func TestChunksFollowACRMThatGetsSlow(t *testing.T) {
	var p pace
	p.read([][]change.Value{{{Kind: change.Text, Text: make([]byte, 200)}}})
	at := time.Unix(1000, 0)
	for range 20 {
		p.settled(5000, at)
		at = at.Add(500 * time.Millisecond)
	}
	if got := p.chunk(5000, 64<<20); got != 5000 {
		t.Errorf("chunks of %d rows", got)
	}
	for range 20 {
		p.settled(250, at)
		at = at.Add(500 * time.Millisecond)
	}
	if got := p.chunk(5000, 64<<20); got > 300 {
		t.Errorf("chunks of %d rows", got)
	}
}
