package admin

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const namespace = "pgcrm"

// slotStatuses are always shown, at 0 or 1, so that an alert on one of them has
// a series to look at before it happens.
var slotStatuses = []string{"reserved", "extended", "unreserved", "lost", "missing"}

// gauges turns a Snapshot into metrics at scrape time. What the snapshot does
// not know has no series, rather than a zero that would say all is well.
type gauges struct {
	snapshot func() Snapshot

	oldestUnsent, lag, retained, safe, slot *prometheus.Desc
	queueRecords, queueBytes                *prometheus.Desc
	quota, quotaLimit, parked, paused       *prometheus.Desc
	ready, problems, held                   *prometheus.Desc
	checkpoint, build                       *prometheus.Desc
}

func newGauges(snapshot func() Snapshot) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &gauges{
		snapshot:     snapshot,
		oldestUnsent: desc("oldest_unsent_seconds", "Age of the oldest change that the CRM has not accounted for, 0 where nothing waits."),
		lag:          desc("lag_bytes", "Log between the checkpoint and the server's position."),
		retained:     desc("retained_wal_bytes", "Log that the server keeps for the slot."),
		safe:         desc("slot_safe_wal_bytes", "Log that may still be written before the slot is lost; absent where the server sets no limit."),
		slot:         desc("slot_status", "1 for the slot's present status, 0 for the others.", "status"),
		queueRecords: desc("queue_records", "Records that wait or are in flight."),
		queueBytes:   desc("queue_bytes", "Memory that waiting changes use."),
		quota:        desc("quota_remaining", "Calls left in a window, as the API reported or as counted since.", "window"),
		quotaLimit:   desc("quota_limit", "Calls that a window allows, as the API reported.", "window"),
		ready:        desc("ready", "1 while /readyz answers 200."),
		problems:     desc("problems", "Things that keep it from being ready though it streams: a mapped table that is not published, say."),
		held:         desc("held", "Mappings and changes that wait for somebody."),
		parked:       desc("parked_records", "Records in the dead letters, by reason.", "reason"),
		paused:       desc("paused", "1 for each reason for which nothing is sent now, 0 for those that have passed.", "reason"),
		checkpoint:   desc("checkpoint_lsn", "Stored log position that is accounted for, in bytes."),
		build:        desc("build_info", "1, labelled by the build.", "version", "commit", "goversion"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		g.oldestUnsent, g.lag, g.retained, g.safe, g.slot, g.queueRecords, g.queueBytes,
		g.quota, g.quotaLimit, g.parked, g.paused, g.ready, g.problems, g.held, g.checkpoint, g.build,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	s := g.snapshot()
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	maybe := func(d *prometheus.Desc, value *int64) {
		if value != nil {
			set(d, float64(*value))
		}
	}
	set(g.build, 1, s.Version.Version, s.Version.Commit, s.Version.Go)
	set(g.oldestUnsent, s.Queue.OldestUnsentSeconds)
	set(g.queueRecords, float64(s.Queue.Records))
	set(g.queueBytes, float64(s.Queue.Bytes))
	maybe(g.lag, s.Log.LagBytes)
	maybe(g.retained, s.Slot.RetainedWALBytes)
	maybe(g.safe, s.Slot.SafeWALBytes)
	if s.Log.CheckpointLSN != 0 {
		set(g.checkpoint, float64(s.Log.CheckpointLSN))
	}
	if s.Slot.Status != "" {
		states(slotStatuses, []string{s.Slot.Status}, func(word string, value float64) { set(g.slot, value, word) })
	}
	reasons := make([]string, 0, len(s.CRM.Paused))
	for _, p := range s.CRM.Paused {
		reasons = append(reasons, p.Reason)
	}
	states(PauseReasons(), reasons, func(word string, value float64) { set(g.paused, value, word) })
	windows := map[string]Quota{}
	for _, q := range s.CRM.Quota {
		windows[q.Window] = q
	}
	for window, q := range windows {
		set(g.quota, float64(q.Remaining), window)
		if q.Limit > 0 {
			set(g.quotaLimit, float64(q.Limit), window)
		}
	}
	ready := 1.0
	if len(notReady(s)) > 0 {
		ready = 0
	}
	set(g.ready, ready)
	set(g.problems, float64(len(s.Problems)))
	set(g.held, float64(len(s.Held)))
	for reason, n := range s.Parked {
		set(g.parked, float64(n), reason)
	}
}

// PauseReasons lists the labels of paused that are shown even while they do not
// apply. A Snapshot may carry others.
func PauseReasons() []string {
	return []string{"credentials", "scopes", "daily_quota", "crm_unavailable", "mapping", "held"}
}

// states emits 1 for each present word and 0 for the known rest, each once.
func states(known, present []string, emit func(word string, value float64)) {
	values := map[string]float64{}
	for _, word := range known {
		values[word] = 0
	}
	for _, word := range present {
		values[word] = 1
	}
	for _, word := range slices.Sorted(maps.Keys(values)) {
		emit(word, values[word])
	}
}

// newRegistry gathers ours, the Go runtime's and the process's metrics.
func newRegistry(r *Recorder, snapshot func() Snapshot) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(r, newGauges(snapshot), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}
