package sink

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of a backfill that nobody wants any more only what was never handed out leaves,
// and only where nothing else is in it.
func TestWhatIsAbandonedIsNotTaken(t *testing.T) {
	q := newTestQueue(t)
	feed(q, 5, patch("busy", set(0, "0")))
	busy := takeNow(q)
	cancelled := load(q, 10, "busy", "out", "back", "r1", "live", "r2", "both")
	cancelled.Backfill = 1
	other := load(q, 20, "both", "r3")
	other.Backfill = 2
	feed(q, 30, patch("live", set(1, "1")))

	settle(q, takeNow(q)...) // live, out and back: what is live goes first
	if q.Stats().Records != 6 {
		t.Fatalf("%d records are left", q.Stats().Records)
	}
	again := load(q, 40, "out", "back")
	again.Backfill = 1
	taken := takeNow(q) // r1, r2 and both
	q.Return(taken[:1], 0)

	left := q.Abandon(1)
	if diff := cmp.Diff(map[*Chunk]int{again: 2}, left); diff != "" {
		t.Errorf("left -want +got\n%s", diff)
	}
	settle(q, busy...)
	settle(q, taken[1:]...)
	var rest []string
	for batch := takeNow(q); len(batch) > 0; batch = takeNow(q) {
		rest = append(rest, keys(batch)...)
		settle(q, batch...)
	}
	if diff := cmp.Diff([]string{"busy", "r1", "r3"}, rest); diff != "" {
		t.Errorf("taken afterwards -want +got\n%s", diff)
	}
	if !q.ChunkDone(cancelled) || !q.ChunkDone(again) || !q.ChunkDone(other) || !q.Empty() {
		t.Error("something is left")
	}
	if q.Stats().Bytes != 0 {
		t.Errorf("%d bytes are left", q.Stats().Bytes)
	}
}
