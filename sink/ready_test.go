package sink

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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

// Whatever comes late, or back, is taken in the order of first positions.
func TestReadyVersionsAreTakenInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o order
		var model []*Entry
		byFirst := func(a, b *Entry) int { return a.First.Compare(b.First) }
		for next := range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2, 3, 4: // in order, or late
				at := next * 10
				if rapid.IntRange(0, 4).Draw(t, "late") == 0 {
					at = rapid.IntRange(0, at).Draw(t, "at")
				}
				e := &Entry{First: change.Position{LSN: change.LSN(at), Ordinal: uint32(next)}}
				o.push(e)
				model = append(model, e)
			case 5:
				for _, e := range model {
					if rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
						e.state = gone
					}
				}
				o.sweep()
				model = slices.DeleteFunc(model, func(e *Entry) bool { return e.state == gone })
			default:
				if o.len() == 0 {
					continue
				}
				want := slices.MinFunc(model, byFirst)
				if got := o.first(); got != want || o.pop() != want {
					t.Fatalf("took %v, not %v", got.First, want.First)
				}
				model = slices.DeleteFunc(model, func(e *Entry) bool { return e == want })
			}
			if o.len() != len(model) {
				t.Fatalf("%d are ready, not %d", o.len(), len(model))
			}
		}
	})
}
