package admin

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// TestHistoryIsBounded: more than a day of samples takes no more than one.
func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	at := start
	counts := reading{records: map[string]int64{}}
	for range (coarseKept+2)*coarseOf + 1 {
		counts.at = at
		counts.changes += 3
		counts.records = map[string]int64{"delivered": counts.changes}
		counts.latencies[bucketOf(80*time.Millisecond)] += 3
		h.take(Snapshot{Queue: Queue{Records: 4}}, counts)
		at = at.Add(fineEvery)
	}
	if n, m := len(h.fine.items), len(h.coarse.items); n != fineKept || m != coarseKept {
		t.Fatalf("%d fine and %d coarse samples", n, m)
	}
	for _, tt := range []struct {
		span    time.Duration
		samples int
		seconds float64
	}{
		{15 * time.Minute, 180, 5}, {time.Hour, 720, 5}, {6 * time.Hour, 360, 60}, {24 * time.Hour, 1440, 60},
	} {
		samples := h.since(tt.span)
		if len(samples) != tt.samples {
			t.Errorf("%s: %d samples", tt.span, len(samples))
		}
		for i, s := range samples {
			if i > 0 && !s.At.After(samples[i-1].At) {
				t.Fatalf("%s: %s after %s", tt.span, s.At, samples[i-1].At)
			}
			if perSecond := float64(s.Records["delivered"]) / s.Seconds; s.Seconds != tt.seconds || perSecond != 0.6 {
				t.Fatalf("%s: %v records a second in %v s", tt.span, perSecond, s.Seconds)
			}
			if s.Half == nil || math.Abs(*s.Half-0.08) > 0.008 {
				t.Fatalf("%s: median %v", tt.span, s.Half)
			}
		}
	}
}

// TestSamplesKeepTheWorst of a minute, and what was never known stays unknown.
func TestSamplesKeepTheWorst(t *testing.T) {
	h := newHistory()
	quota := func(left int64) []Quota { return []Quota{{Window: "10s", Limit: 100, Remaining: left}} }
	for i := range coarseOf + 1 {
		snap := Snapshot{CRM: CRM{Quota: quota(90)}, Slot: Slot{SafeWALBytes: ref(int64(1000 - i))}}
		if i == 5 {
			snap.CRM.Quota, snap.Log.LagBytes = quota(10), ref(int64(77))
		}
		h.take(snap, reading{at: start.Add(time.Duration(i) * fineEvery)})
	}
	s := h.since(24 * time.Hour)[0]
	if s.Used["10s"] != 0.9 || *s.LagBytes != 77 || *s.SafeWALBytes != 1000-coarseOf || s.RetainedWALBytes != nil || s.Half != nil {
		t.Errorf("%+v", s)
	}
}

func TestQuantiles(t *testing.T) {
	var s spread
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 10 * time.Millisecond, time.Second, 24 * time.Hour, 1 << 62} {
		s.add(d, 1)
	}
	read := s.read()
	if half := *read.quantile(0.5); math.Abs(half-0.01) > 0.001 {
		t.Errorf("median %v", half)
	}
	if most := *read.quantile(1); most < 60*86400 {
		t.Errorf("longest %v", most)
	}
	if low := *read.quantile(0.01); low > 0.001 {
		t.Errorf("shortest %v", low)
	}
	if none := read.minus(read).quantile(0.5); none != nil {
		t.Errorf("of nothing %v", *none)
	}
	for d := time.Millisecond; d < 1000*time.Hour; d += d / 3 {
		var one spread
		one.add(d, 1)
		one2 := one.read()
		if got := *one2.quantile(0.5); math.Abs(got/d.Seconds()-1) > 0.1 {
			t.Errorf("%s is read as %v s", d, got)
		}
	}
}

func TestPast(t *testing.T) {
	now := start
	s := New(Options{Now: func() time.Time { return now }})
	s.sample()
	now = now.Add(fineEvery)
	s.opts.Recorder.ObserveDelivery(2*time.Second, 10)
	s.opts.Recorder.CountRecords("companies", "delivered", 10)
	s.opts.Recorder.CountChanges("public.a", "insert", 11)
	s.sample()
	var got struct{ Samples []Sample }
	if err := json.Unmarshal(get(t, s, "/api/history?minutes=60").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Samples) != 1 || got.Samples[0].Records["delivered"] != 10 || got.Samples[0].Changes != 11 || math.Abs(*got.Samples[0].Most-2) > 0.2 {
		t.Errorf("%+v", got.Samples)
	}
	for _, bad := range []string{"", "0", "-1", "1441", "x"} {
		if w := get(t, s, "/api/history?minutes="+bad); w.Code != 400 {
			t.Errorf("minutes=%s: %d", bad, w.Code)
		}
	}
}
