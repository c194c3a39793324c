package admin

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Recorder counts what passes by on the hot path. All methods may be called
// from any goroutine; a count is one lock-free map read and one atomic add.
type Recorder struct {
	changes  family
	records  family
	calls    family
	rows     family
	call     prometheus.Histogram
	delivery prometheus.Histogram
	// latencies are those of delivery, finer, for the page.
	latencies spread
}

// NewRecorder returns a Recorder with all counts at zero.
func NewRecorder() *Recorder {
	counter := func(name, help string, labels ...string) family {
		return family{labels: len(labels), vec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: name, Help: help,
		}, labels)}
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		})
	}
	return &Recorder{
		changes: counter("changes_total", "Row changes read from the log, by table and operation.", "table", "op"),
		records: counter("records_total", "CRM records by what became of their changes.", "object", "outcome"),
		calls:   counter("api_calls_total", "Calls to the CRM's API; code is the HTTP status, or error where no answer came.", "endpoint", "code"),
		rows:    counter("backfill_rows_total", "Rows read by backfills.", "table"),
		call: histogram("api_call_duration_seconds", "Time from sending a call to having its whole answer.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60),
		delivery: histogram("commit_to_crm_duration_seconds", "Time from the source's commit to the CRM's answer, per record.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400),
	}
}

// Announce brings the series of mapped tables and objects into being at zero,
// so that the first change shows as an increase and not as a new series.
func (r *Recorder) Announce(tables, objects []string) {
	for _, table := range tables {
		for _, op := range []string{"insert", "update", "delete", "truncate"} {
			r.CountChanges(table, op, 0)
		}
		r.CountBackfillRows(table, 0)
	}
	for _, object := range objects {
		for _, outcome := range outcomes {
			r.CountRecords(object, outcome, 0)
		}
	}
}

var outcomes = []string{"delivered", "unchanged", "coalesced", "parked", "skipped", "would_deliver"}

// CountChanges counts changes read from the log: op is insert, update, delete
// or truncate.
func (r *Recorder) CountChanges(table, op string, n int) { r.changes.add(table, op, n) }

// CountRecords counts records: outcome is delivered, unchanged, coalesced,
// parked, skipped or would_deliver.
func (r *Recorder) CountRecords(object, outcome string, n int) { r.records.add(object, outcome, n) }

// CountBackfillRows counts rows that a backfill has read.
func (r *Recorder) CountBackfillRows(table string, n int) { r.rows.add(table, "", n) }

// ObserveCall takes one call to the API: the HTTP status, or 0 where no answer
// came. The endpoint is a name or a path pattern, never a path with ids in it.
func (r *Recorder) ObserveCall(endpoint string, code int, d time.Duration) {
	word := "error"
	if code != 0 {
		word = strconv.Itoa(code)
	}
	r.calls.add(endpoint, word, 1)
	r.call.Observe(d.Seconds())
}

// ObserveDelivery takes the time from the source's commit to the CRM's answer
// for n records.
func (r *Recorder) ObserveDelivery(d time.Duration, n int) {
	seconds := max(0, d.Seconds()) // the two clocks may differ
	for range n {
		r.delivery.Observe(seconds)
	}
	r.latencies.add(d, n)
}

// Records sums the records counted, by outcome.
func (r *Recorder) Records() map[string]int64 { return r.records.totals() }

// Describe implements prometheus.Collector.
func (r *Recorder) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range r.collectors() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (r *Recorder) Collect(ch chan<- prometheus.Metric) {
	for _, c := range r.collectors() {
		c.Collect(ch)
	}
}

func (r *Recorder) collectors() []prometheus.Collector {
	return []prometheus.Collector{r.changes.vec, r.records.vec, r.calls.vec, r.rows.vec, r.call, r.delivery}
}

// family is a counter with one or two labels and its children at hand. The map
// is replaced, never changed, when a child comes, so that readers need no lock.
type family struct {
	vec      *prometheus.CounterVec
	labels   int
	mu       sync.Mutex
	children atomic.Pointer[map[pair]*child]
}

type pair struct{ a, b string }

type child struct {
	counter prometheus.Counter
	n       atomic.Int64
}

func (f *family) add(a, b string, n int) {
	if n < 0 {
		return
	}
	c := f.child(pair{a, b})
	c.counter.Add(float64(n))
	c.n.Add(int64(n))
}

func (f *family) child(labels pair) *child {
	if m := f.children.Load(); m != nil {
		if c, ok := (*m)[labels]; ok {
			return c
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	grown := map[pair]*child{}
	if m := f.children.Load(); m != nil {
		if c, ok := (*m)[labels]; ok {
			return c
		}
		maps.Copy(grown, *m)
	}
	values := []string{labels.a, labels.b}
	c := &child{counter: f.vec.WithLabelValues(values[:f.labels]...)}
	grown[labels] = c
	f.children.Store(&grown)
	return c
}

// totals sums the counts by the second label.
func (f *family) totals() map[string]int64 {
	sums := map[string]int64{}
	if m := f.children.Load(); m != nil {
		for labels, c := range *m {
			sums[labels.b] += c.n.Load()
		}
	}
	return sums
}

// sum is that of all counts.
func (f *family) sum() (n int64) {
	for _, part := range f.totals() {
		n += part
	}
	return n
}
