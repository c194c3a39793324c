package sink

import (
	"slices"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// withhold adds a transaction whose versions wait.
func withhold(q *Queue, at change.LSN, patches ...*change.Patch) *Hold {
	q.BeginTransaction(at)
	q.Withhold()
	for i, p := range patches {
		q.Add(Add{Patch: p, Pos: change.Position{LSN: at, Ordinal: uint32(i + 1)}, Commit: epoch()})
	}
	h := q.Withheld()
	q.EndTransaction(at + 1)
	return h
}

func TestWhatIsWithheldStaysAndOthersGo(t *testing.T) {
	q := newTestQueue(t)
	feed(q, 10, patch("a", set(0, "1")))
	h := withhold(q, 20, patch("a", set(1, "2")), patch("b", set(0, "2")), patch("b", set(1, "2")))
	feed(q, 30, patch("c", set(0, "3")), patch("b", set(0, "4")))
	if h.Len() != 2 || !slices.Equal(keys(q.Entries(h)), []string{"a", "b"}) {
		t.Fatalf("withheld are %q", keys(q.Entries(h)))
	}
	batch := takeNow(q)
	if !slices.Equal(keys(batch), []string{"c"}) {
		t.Fatalf("taken are %q", keys(batch))
	}
	if q.Stuck() {
		t.Error("stuck, while one is in flight")
	}
	if safe := settle(q, batch...); safe > 10 {
		t.Errorf("safe is %v, though a change at 10 waits", safe)
	}
	if !q.Stuck() || !q.Regained() || q.Regained() {
		t.Error("it is not known that all waits, or that a change went into what waits")
	}
	q.Release(h)
	if q.Stuck() {
		t.Error("stuck, though nothing waits")
	}
	batch = takeNow(q)
	if !slices.Equal(keys(batch), []string{"a", "b"}) {
		t.Fatalf("taken are %q", keys(batch))
	}
	if p, _ := batch[1].Props.Get(0); string(p.Text) != "4" {
		t.Errorf("b is %q", p.Text)
	}
	if safe := settle(q, batch...); safe != 31 {
		t.Errorf("safe is %v", safe)
	}
}

// More that waits than fits into a batch must not hide what does not.
func TestManyThatWaitHideNothing(t *testing.T) {
	q := newTestQueue(t)
	var many []*change.Patch
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		many = append(many, patch(key, set(0, "1")))
	}
	h := withhold(q, 10, many...)
	feed(q, 20, patch("z", set(0, "1")))
	if batch := takeNow(q); !slices.Equal(keys(batch), []string{"z"}) {
		t.Fatalf("taken are %q", keys(batch))
	}
	q.Forget(q.Entries(h)[:2])
	q.Release(h)
	if batch := takeNow(q); !slices.Equal(keys(batch), []string{"c", "d", "e"}) {
		t.Fatalf("taken are %q", keys(batch))
	}
}

// Rows of chunks do not wait with the transaction of their mark.
func TestChunksAreNotWithheld(t *testing.T) {
	q := newTestQueue(t)
	q.BeginTransaction(10)
	q.Withhold()
	q.Add(Add{Patch: patch("a", set(0, "1")), Pos: change.Position{LSN: 10, Ordinal: 1}, Chunk: &Chunk{}})
	if q.Withheld() != nil {
		t.Error("a row of a chunk waits")
	}
	q.EndTransaction(11)
	if batch := takeNow(q); len(batch) != 1 {
		t.Errorf("taken are %q", keys(batch))
	}
}
