package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// eventsEvery is how often the page gets new figures.
	eventsEvery = time.Second
	// watchersAtMost bounds the pages that are open at one time.
	watchersAtMost = 32
	// sendWithin is how long a page may take to receive one event.
	sendWithin = 10 * time.Second
)

// page is what the page shows at one moment.
type page struct {
	Status Snapshot `json:"status"`
	// Deliveries are those since the event before, the newest first.
	Deliveries []Delivery `json:"deliveries"`
	// Sample is a new point for the charts, where there is one.
	Sample *Sample `json:"sample,omitempty"`
	// Actions and Values tell what the page may offer.
	Actions bool `json:"actions"`
	Values  bool `json:"values"`
}

// events streams the figures as server-sent events until the page goes away or
// the server stops.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies are to pass events on at once
	out := http.NewResponseController(w)
	tick := time.NewTicker(eventsEvery)
	defer tick.Stop()
	var (
		number  int64
		sampled = s.opts.Now()
	)
	for {
		p := page{Status: s.snapshot(), Actions: s.opts.Token != nil, Values: s.opts.ShowValues}
		p.Deliveries, number = s.opts.Deliveries.after(number)
		p.Deliveries = orEmpty(p.Deliveries)
		if sample, ok := s.history.latest(sampled); ok {
			p.Sample, sampled = &sample, sample.At
		}
		if err := sendEvent(w, out, p); err != nil {
			return // the page has gone away
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		case <-tick.C:
		}
	}
}

func sendEvent(w http.ResponseWriter, out *http.ResponseController, p page) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var event bytes.Buffer
	fmt.Fprintf(&event, "data: %s\n\n", body)
	_ = out.SetWriteDeadline(time.Now().Add(sendWithin)) // a recorder in tests has none
	if _, err := w.Write(event.Bytes()); err != nil {
		return err
	}
	return out.Flush()
}

// past answers with the samples of the last while, for the charts.
func (s *Server) past(w http.ResponseWriter, r *http.Request) {
	minutes, err := strconv.Atoi(r.URL.Query().Get("minutes"))
	if most := coarseKept * int(coarseEvery/time.Minute); err != nil || minutes < 1 || minutes > most {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("minutes is a number from 1 to %d", most))
		return
	}
	answer(w, struct {
		Samples []Sample `json:"samples"`
	}{orEmpty(s.history.since(time.Duration(minutes) * time.Minute))})
}

// sample notes what has happened since the last time.
func (s *Server) sample() {
	snap := s.snapshot()
	s.history.take(snap, reading{
		at: s.opts.Now().UTC(), records: snap.Records, changes: snap.Changes, latencies: s.opts.Recorder.latencies.read(),
	})
}
