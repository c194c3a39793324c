package pipeline

import (
	"sync"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

const (
	// chunkTime is how long what one chunk reads should take to be settled, and
	// backlogTime how much of it may wait in the queue: live changes go before it,
	// but they wait for the calls that are under way, and redo reads it again.
	chunkTime   = 500 * time.Millisecond
	backlogTime = time.Second
	// firstChunk is how many rows are read while nothing is known.
	firstChunk = 200
	// chunkShare is the part of the buffer that the rows of one chunk may take.
	chunkShare = 8
)

// pace has the chunks of backfills follow what the queue gets rid of. The loader
// and the settler share it.
type pace struct {
	mu      sync.Mutex
	rate    float64 // rows settled in a second, zero while that is not known
	since   time.Time
	rowSize float64 // bytes, zero while that is not known
}

// settled takes note of rows that were settled.
func (p *pace) settled(rows int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := now.Sub(p.since).Seconds()
	p.since = now
	if took <= 0 || took > 60 { // nothing was to be done meanwhile
		return
	}
	rate := float64(rows) / took
	if p.rate > 0 {
		rate = p.rate + (rate-p.rate)*min(1, took*2)
	}
	p.rate = rate
}

// read takes note of how large rows are.
func (p *pace) read(rows [][]change.Value) {
	if len(rows) == 0 {
		return
	}
	size := 0
	for _, row := range rows {
		for i := range row {
			size += len(row[i].Text) + 32
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rowSize = max(float64(size)/float64(len(rows)), p.rowSize*0.9)
}

// chunk is how many rows the next chunk should have.
func (p *pace) chunk(most, buffer int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := firstChunk
	if p.rowSize > 0 {
		rows = max(rows, int(p.rate*chunkTime.Seconds()))
		rows = min(rows, int(float64(buffer/chunkShare)/p.rowSize))
	}
	return max(1, min(rows, most))
}

// backlog is how many rows may wait in the queue.
func (p *pace) backlog(most, buffer int) int {
	chunk := p.chunk(most, buffer)
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(4*chunk, int(p.rate*backlogTime.Seconds()))
}
