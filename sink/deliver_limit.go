package sink

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// endpoint is where a batch goes to.
type endpoint struct{ object, verb string }

// batchLimit is what an endpoint takes in one call: so many inputs, and, above 0,
// so many bytes of them. HubSpot documents the first alone, and may lower it; what
// stands before it may have a limit of the second kind.
type batchLimit struct{ inputs, bytes int }

// fits reports whether a batch is within the limit. One input always is: that it
// is too large for itself, its own refusal says.
func (l batchLimit) fits(inputs, bytes int) bool {
	return inputs <= 1 || inputs <= l.inputs && (l.bytes == 0 || bytes <= l.bytes)
}

// limit is the endpoint's, as far as it was learned.
func (d *Deliverer) limit(e endpoint) batchLimit {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.limits[e]; ok {
		return l
	}
	return batchLimit{inputs: hubspot.MaxBatch}
}

// learn takes note that a batch of several inputs was refused as too large, so
// that no other of its size is sent. What the endpoint takes is learned once in
// the life of the process, and not with every batch.
func (d *Deliverer) learn(e endpoint, inputs, bytes int, refusal *hubspot.Error) {
	l := d.limit(e)
	if refusal.Status == http.StatusRequestEntityTooLarge && bytes > 1 {
		if half := bytes / 2; l.bytes == 0 || half < l.bytes {
			l.bytes = half
		}
	} else {
		half := max(1, inputs/2)
		if n := statedLimit(refusal.Message); n > 0 && n < inputs {
			half = n
		}
		l.inputs = min(l.inputs, half)
	}
	d.mu.Lock()
	d.limits[e] = l
	d.mu.Unlock()
	d.log.Warn("smaller_batches",
		slog.String("note", "HubSpot refuses larger ones"),
		slog.String("object", e.object), slog.String("call", e.verb), slog.Int("status", refusal.Status),
		slog.Int("inputs", l.inputs), slog.Int("bytes", l.bytes))
}

// statedLimit reads the number in "the maximum number of inputs supported in a
// batch is 100"; 0 where there is none.
func statedLimit(message string) int {
	_, rest, found := strings.Cut(message, "in a batch is ")
	if !found {
		return 0
	}
	end := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, _ := strconv.Atoi(rest[:end]) // 0 where it is no number
	return n
}

func (r *deliveryRun) endpoint(upsert bool) endpoint {
	if upsert {
		return endpoint{r.target.Object, "upsert"}
	}
	return endpoint{r.target.Object, "update"}
}

// size is about how many bytes of a call's body the item takes.
func (r *deliveryRun) size(it *deliveryItem) int {
	const frame = 64 // braces, names of fields, a trace id
	n := frame + 2*len(it.id) + len(r.target.Match)
	for _, p := range it.props {
		n += len(r.target.Properties[p.Slot]) + len(p.Text) + 6
	}
	return n
}

func (r *deliveryRun) sizeOf(items []*deliveryItem) int {
	n := 0
	for _, it := range items {
		n += r.size(it)
	}
	return n
}
