package admin

import (
	"sync"
	"time"
)

const (
	// deliveriesKept is how many of the last deliveries the page can show.
	deliveriesKept = 50
	// deliveriesASecond bounds what is noted at high rates: a sample is as good to
	// look at, and costs nothing.
	deliveriesASecond = 25
)

// Delivery is one record that the CRM has accounted for.
type Delivery struct {
	// Number counts the deliveries that were noted.
	Number         int64      `json:"number"`
	At             time.Time  `json:"at"`
	Table          string     `json:"table"`
	Object         string     `json:"object"`
	Row            string     `json:"row,omitempty"` // primary key; hidden with the values
	Properties     []Property `json:"properties"`
	LatencySeconds float64    `json:"latency_seconds"`
	// Load is set where the row was read by a backfill.
	Load bool `json:"load,omitempty"`
}

// Property is a property that was written; the value is absent where values are
// hidden.
type Property struct {
	Name    string  `json:"name"`
	Value   *string `json:"value,omitempty"`
	Cleared bool    `json:"cleared,omitempty"`
}

// Deliveries remembers the last deliveries, without row values unless they are
// to be shown.
type Deliveries struct {
	values bool
	now    func() time.Time

	mu     sync.Mutex
	number int64
	second time.Time // the one that is counted
	noted  int       // in it
	last   []Delivery
}

// NewDeliveries takes PGCRM_SHOW_VALUES and the clock.
func NewDeliveries(values bool, now func() time.Time) *Deliveries {
	return &Deliveries{values: values, now: now}
}

// Note remembers a delivery, unless there were many in this second: then it is
// not called.
func (d *Deliveries) Note(delivery func() Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if second := now.Truncate(time.Second); !second.Equal(d.second) {
		d.second, d.noted = second, 0
	}
	if d.noted++; d.noted > deliveriesASecond {
		return
	}
	made := delivery()
	d.number++
	made.Number, made.At = d.number, now.UTC()
	if !d.values {
		made.Row = ""
		for i := range made.Properties {
			made.Properties[i].Value = nil
		}
	}
	if len(d.last) == deliveriesKept {
		d.last = append(d.last[:0], d.last[1:]...)
	}
	d.last = append(d.last, made)
}

// after lists what was noted after a number, the newest first, and the number of
// the newest.
func (d *Deliveries) after(number int64) ([]Delivery, int64) {
	if d == nil {
		return nil, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Delivery
	for i := len(d.last) - 1; i >= 0 && d.last[i].Number > number; i-- {
		list = append(list, d.last[i])
	}
	return list, d.number
}
