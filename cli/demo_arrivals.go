package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
)

// arrivals prints what the CRM has accounted for. The pipeline hands deliveries
// over without waiting; what comes faster than it is printed is only counted.
type arrivals struct {
	out   io.Writer
	lines chan string

	mu        sync.Mutex
	began     chan struct{} // closed when rows begin to change
	loaded    map[string]int
	unprinted int
	latencies []time.Duration
}

func newArrivals(out io.Writer) *arrivals {
	return &arrivals{out: out, began: make(chan struct{}), lines: make(chan string, 256), loaded: map[string]int{}}
}

// delivered is told of each record by the pipeline.
func (a *arrivals) delivered(d pipeline.Delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(d.Entry.Chunks) > 0 {
		a.loaded[d.Entry.Source.Table]++
		return
	}
	a.latencies = append(a.latencies, d.Latency)
	line := fmt.Sprintf("%-13s  %-20s %5s  %5.1f ms  %s", time.Now().Format("15:04:05.000"),
		d.Entry.Source.Table, d.Entry.Row, float64(d.Latency.Microseconds())/1000, changed(d))
	select {
	case a.lines <- line:
	default:
		a.unprinted++
	}
}

// changed lists the properties that were written.
func changed(d pipeline.Delivery) string {
	var parts []string
	for p := range d.Sent.All() {
		name, value := d.Entry.Source.Target.Properties[p.Slot], string(p.Text)
		if p.Kind == change.Clear {
			value = "(cleared)"
		}
		parts = append(parts, name+"="+value)
	}
	return strings.Join(parts, ", ")
}

// live ends the load: its figures are printed, and the table's head.
func (a *arrivals) live() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.began)
	var tables []string
	for t := range a.loaded {
		tables = append(tables, t)
	}
	slices.Sort(tables)
	for _, t := range tables {
		fmt.Fprintf(a.out, "  loaded     %-22s %4d records\n", t, a.loaded[t])
	}
	fmt.Fprintf(a.out, "\nNow rows change in Postgres, and this is what arrives in the CRM (Ctrl-C ends it):\n\n%-13s  %-20s %5s  %8s  %s\n",
		"arrived", "table", "key", "latency", "changed")
}

// print writes the lines until ctx ends.
func (a *arrivals) print(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-a.lines:
			fmt.Fprintln(a.out, line)
		}
	}
}

// summary closes the demo.
func (a *arrivals) summary(calls int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, "\n%d changed records arrived in %d calls", len(a.latencies), calls)
	if n := len(a.latencies); n > 0 {
		slices.Sort(a.latencies)
		fmt.Fprintf(a.out, "; half of them within %.1f ms of their commit", float64(a.latencies[n/2].Microseconds())/1000)
	}
	if a.unprinted > 0 {
		fmt.Fprintf(a.out, "; %d were too quick to print", a.unprinted)
	}
	fmt.Fprintln(a.out, ". The server and its data are gone.")
}
