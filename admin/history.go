package admin

import (
	"sync"
	"time"
)

// How finely the past is kept, and for how long. Together it is less than 2 MiB,
// whatever happens.
const (
	fineEvery   = 5 * time.Second
	fineKept    = 720 // an hour
	coarseOf    = 12  // fine samples to a coarse one: a minute
	coarseKept  = 1440
	fineCovers  = fineKept * fineEvery
	coarseEvery = coarseOf * fineEvery
)

// Sample is what happened in a stretch of time, for the charts. Counts are of
// that stretch, levels the highest in it; nil is not known.
type Sample struct {
	At      time.Time        `json:"at"` // the end of it
	Seconds float64          `json:"seconds"`
	Records map[string]int64 `json:"records"` // by outcome
	Changes int64            `json:"changes"`
	// Half and Most are the median and the 95th percentile of the time from the
	// commit to the CRM's answer, in seconds.
	Half *float64 `json:"p50"`
	Most *float64 `json:"p95"`

	LagBytes         *int64  `json:"lag_bytes"`
	RetainedWALBytes *int64  `json:"retained_wal_bytes"`
	SafeWALBytes     *int64  `json:"safe_wal_bytes"`
	QueueRecords     int     `json:"queue_records"`
	OldestSeconds    float64 `json:"oldest_unsent_seconds"`
	// Used is the part of each window's calls that was used up, 0 to 1.
	Used map[string]float64 `json:"quota_used"`

	latencies *sizes // while it is not finished
}

// reading is where the counts stood.
type reading struct {
	at        time.Time
	records   map[string]int64
	changes   int64
	latencies sizes
}

// history keeps samples of the last day in memory: fine ones of the last hour,
// coarse ones of the rest.
type history struct {
	mu     sync.Mutex
	last   *reading
	fine   ring
	coarse ring
	open   []Sample // fine samples of the coarse one that is not full yet
}

func newHistory() *history {
	return &history{fine: ring{kept: fineKept}, coarse: ring{kept: coarseKept}}
}

// take makes a sample of what has happened since the last call. The first call
// only notes where the counts stand.
func (h *history) take(snap Snapshot, now reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.last
	h.last = &now
	if before == nil {
		return
	}
	s := Sample{
		At: now.at, Seconds: now.at.Sub(before.at).Seconds(),
		Records: map[string]int64{}, Changes: now.changes - before.changes,
		LagBytes: snap.Log.LagBytes, RetainedWALBytes: snap.Slot.RetainedWALBytes, SafeWALBytes: snap.Slot.SafeWALBytes,
		QueueRecords: snap.Queue.Records, OldestSeconds: snap.Queue.OldestUnsentSeconds,
		Used: map[string]float64{},
	}
	latencies := now.latencies.minus(before.latencies)
	s.latencies = &latencies
	for outcome, n := range now.records {
		if n -= before.records[outcome]; n > 0 {
			s.Records[outcome] = n
		}
	}
	for _, q := range snap.CRM.Quota {
		if q.Limit > 0 {
			s.Used[q.Window] = 1 - min(1, max(0, float64(q.Remaining)/float64(q.Limit)))
		}
	}
	h.fine.add(s.finished())
	h.open = append(h.open, s)
	if len(h.open) == coarseOf {
		h.coarse.add(together(h.open))
		h.open = nil
	}
}

// since lists the samples of the last while: fine ones where they reach that far
// back, else coarse ones.
func (h *history) since(span time.Duration) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	if span <= fineCovers {
		return h.fine.last(int(span / fineEvery))
	}
	list := h.coarse.last(int(span / coarseEvery))
	if len(h.open) > 0 {
		list = append(list, together(h.open))
	}
	return list
}

// latest gives the newest fine sample after a moment.
func (h *history) latest(after time.Time) (Sample, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.fine.last(1)
	if len(last) == 0 || !last[0].At.After(after) {
		return Sample{}, false
	}
	return last[0], true
}

func (s Sample) finished() Sample {
	s.Half, s.Most = s.latencies.quantile(0.5), s.latencies.quantile(0.95)
	s.latencies = nil // all that was wanted of them
	return s
}

// together makes one sample of several in a row.
func together(parts []Sample) Sample {
	sum := Sample{At: parts[len(parts)-1].At, Records: map[string]int64{}, Used: map[string]float64{}, latencies: &sizes{}}
	for _, p := range parts {
		sum.Seconds += p.Seconds
		sum.Changes += p.Changes
		for outcome, n := range p.Records {
			sum.Records[outcome] += n
		}
		for window, used := range p.Used {
			sum.Used[window] = max(sum.Used[window], used)
		}
		sum.LagBytes = further(sum.LagBytes, p.LagBytes, true)
		sum.RetainedWALBytes = further(sum.RetainedWALBytes, p.RetainedWALBytes, true)
		sum.SafeWALBytes = further(sum.SafeWALBytes, p.SafeWALBytes, false)
		sum.QueueRecords = max(sum.QueueRecords, p.QueueRecords)
		sum.OldestSeconds = max(sum.OldestSeconds, p.OldestSeconds)
		*sum.latencies = sum.latencies.plus(*p.latencies)
	}
	return sum.finished()
}

// further is the higher or the lower of two, either of which may be unknown.
func further(a, b *int64, higher bool) *int64 {
	if a == nil || b != nil && (*b > *a) == higher {
		return b
	}
	return a
}

// ring keeps the last samples.
type ring struct {
	kept  int
	items []Sample
	next  int // where the next goes once it is full
}

func (r *ring) add(s Sample) {
	if len(r.items) < r.kept {
		r.items = append(r.items, s)
		return
	}
	r.items[r.next] = s
	r.next = (r.next + 1) % r.kept
}

// last copies the n newest, the oldest of them first.
func (r *ring) last(n int) []Sample {
	list := append(append([]Sample{}, r.items[r.next:]...), r.items[:r.next]...)
	return list[max(0, len(list)-n):]
}
