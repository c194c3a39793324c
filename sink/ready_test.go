package sink

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

// load puts rows of a backfill into the queue.
func load(q *Queue, at change.LSN, keys ...string) *Chunk {
	c := &Chunk{}
	for i, key := range keys {
		q.Add(Add{Patch: patch(key, set(0, "loaded")), Pos: change.Position{LSN: at, Ordinal: uint32(i + 1)}, Commit: epoch(), Chunk: c})
	}
	return c
}

// What people change goes before the rows of a backfill, however many wait; a row
// of the backfill that changes goes with it, once.
func TestLiveChangesOvertakeALoad(t *testing.T) {
	q := newTestQueue(t)
	var rows []string
	for i := range 30 {
		rows = append(rows, fmt.Sprintf("r%02d", i))
	}
	chunk := load(q, 10, rows...)
	feed(q, 20, patch("k1", set(0, "1")), patch("r20", set(0, "changed")), patch("k2", set(0, "2")))
	first := takeNow(q)
	// r20 was first dirty before the others, and keeps its place.
	if diff := cmp.Diff([]string{"r20", "k1", "k2"}, keys(first)); diff != "" {
		t.Fatal(diff)
	}
	settle(q, first...)
	seen := map[string]int{}
	for {
		batch := takeNow(q)
		if len(batch) == 0 {
			break
		}
		for _, key := range keys(batch) {
			seen[key]++
		}
		settle(q, batch...)
	}
	if len(seen) != 29 || seen["r20"] != 0 {
		t.Errorf("%d rows of the load were taken, r20 %d times", len(seen), seen["r20"])
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s was taken %d times", key, n)
		}
	}
	if !q.ChunkDone(chunk) || !q.Empty() {
		t.Error("something is left")
	}
}

// Live changes without end must not keep a load waiting for ever.
func TestALoadHasItsTurn(t *testing.T) {
	q := newTestQueue(t)
	load(q, 5, "r1", "r2", "r3")
	lsn := change.LSN(10)
	for i := range 3 * loadTurn {
		for k := range 4 {
			feed(q, lsn, patch(fmt.Sprintf("k%d-%d", i, k), set(0, "1")))
			lsn += 10
		}
		batch := takeNow(q)
		settle(q, batch...)
		if slices.Contains(keys(batch), "r1") {
			if i == 0 {
				t.Error("the load went first")
			}
			return
		}
	}
	t.Errorf("%d batches, and no row of the load was taken", 3*loadTurn)
}
