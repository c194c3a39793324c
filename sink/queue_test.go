package sink

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pgcrm/pgcrm/change"
)

var (
	companies = &change.Target{Index: 0, Object: "companies", Match: "account_id", Properties: []string{"a", "b"}}
	accounts  = &change.Source{Index: 0, Table: "public.accounts", Target: companies, Slots: []int{0, 1}}
	contacts  = &change.Target{Index: 1, Object: "contacts", Match: "user_id", Properties: []string{"c"}}
	users     = &change.Source{Index: 1, Table: "public.users", Target: contacts, Slots: []int{0}}
)

func atOnce() time.Duration { return 0 }

func epoch() time.Time { return time.Unix(1_800_000_000, 0) }

func newTestQueue(t interface{ Helper() }) *Queue {
	t.Helper()
	q := NewQueue(2, 1<<20, 3, epoch)
	q.SetBound(1 << 40)
	q.Open()
	return q
}

func set(slot int, text string) change.Props {
	return change.Props(nil).Append(slot, change.Set, []byte(text))
}

func patch(key string, props change.Props) *change.Patch {
	return &change.Patch{Source: accounts, Key: []byte(key), Row: []byte(key), Props: props}
}

// feed adds one transaction with the patches, committed at the position.
func feed(q *Queue, at change.LSN, patches ...*change.Patch) {
	q.BeginTransaction(at)
	for i, p := range patches {
		q.Add(Add{Patch: p, Pos: change.Position{LSN: at, Ordinal: uint32(i + 1)}, Commit: epoch()})
	}
	q.EndTransaction(at + 1)
}

func takeNow(q *Queue) []*Entry {
	batch, _ := q.take(0, 0)
	return batch
}

func keys(entries []*Entry) []string {
	var ks []string
	for _, e := range entries {
		ks = append(ks, e.Key)
	}
	return ks
}

func settle(q *Queue, entries ...*Entry) change.LSN {
	safe := q.Settling(entries)
	q.Remove(entries)
	return safe
}

func TestChangesOfAWaitingRecordMergeInItsPlace(t *testing.T) {
	q := newTestQueue(t)
	feed(q, 10, patch("k1", set(0, "1")))
	feed(q, 20, patch("k2", set(0, "2")))
	feed(q, 30, patch("k1", set(1, "3")))
	if got := q.Safe(); got != 0 {
		t.Errorf("safe %v, want the start: k1 was first dirty there", got)
	}
	batch := takeNow(q)
	if diff := cmp.Diff([]string{"k1", "k2"}, keys(batch)); diff != "" {
		t.Fatal(diff)
	}
	want := set(0, "1").Append(1, change.Set, []byte("3"))
	if diff := cmp.Diff(want, batch[0].Props); diff != "" {
		t.Error(diff)
	}
	if batch[0].First.LSN != 10 || batch[0].Newest.LSN != 30 {
		t.Errorf("k1 spans %v to %v", batch[0].First, batch[0].Newest)
	}
	if got := settle(q, batch[1]); got != 0 {
		t.Errorf("safe %v after k2 alone", got)
	}
	if got := settle(q, batch[0]); got != 31 {
		t.Errorf("safe %v after both, want 31", got)
	}
}

func TestAChangeOfARecordInFlightWaitsForIt(t *testing.T) {
	q := newTestQueue(t)
	feed(q, 10, patch("k1", set(0, "1")))
	first := takeNow(q)
	feed(q, 20, patch("k1", set(0, "2")))
	feed(q, 30, patch("k1", set(0, "3")))
	if batch := takeNow(q); batch != nil {
		t.Fatalf("took %v while the version before is out", keys(batch))
	}
	// The answer is not enough: the version before leaves with its COMMIT.
	if safe := q.Settling(first); safe != 11 {
		t.Errorf("safe %v with the first version settling, want 11", safe)
	}
	if batch := takeNow(q); batch != nil {
		t.Fatalf("took %v while the version before is being settled", keys(batch))
	}
	q.Remove(first)
	batch := takeNow(q)
	if len(batch) != 1 || cmp.Diff(set(0, "3"), batch[0].Props) != "" {
		t.Fatalf("took %v", batch)
	}
}

func TestNothingIsTakenBeforeTheGateOpensOrBeyondTheBound(t *testing.T) {
	q := NewQueue(2, 1<<20, 3, epoch)
	feed(q, 10, patch("k1", set(0, "1")))
	if batch := takeNow(q); batch != nil {
		t.Fatal("taken before the gate was opened")
	}
	q.Open()
	q.SetBound(10)
	if batch := takeNow(q); batch != nil {
		t.Fatal("the bound is exclusive")
	}
	select {
	case <-q.BoundWanted():
	default:
		t.Fatal("nobody was told that the bound must rise, so no settle will ever come")
	}
	q.SetBound(11)
	q.SetBound(5) // it never decreases
	if batch := takeNow(q); len(batch) != 1 {
		t.Fatal("not taken below the bound")
	}
}

// A version is handed over by its newest position, not by its first.
func TestTheBoundHoldsForTheNewestChangeOfAVersion(t *testing.T) {
	q := NewQueue(2, 1<<20, 3, epoch)
	q.Open()
	q.SetBound(15)
	feed(q, 10, patch("k1", set(0, "1")))
	feed(q, 20, patch("k1", set(0, "2")))
	if batch := takeNow(q); batch != nil {
		t.Fatal("its newest change lies beyond the bound")
	}
}

func TestARenameIsBusyOnBothKeys(t *testing.T) {
	q := newTestQueue(t)
	rename := func(from, to string) *change.Patch {
		p := patch(to, set(0, from+to))
		p.OldKey = []byte(from)
		return p
	}
	feed(q, 10, patch("o", set(0, "before")))
	feed(q, 20, rename("o", "n"))
	feed(q, 30, patch("o", set(0, "another row took the old key")))
	feed(q, 40, patch("n", set(1, "merges into the rename")))
	first := takeNow(q)
	if diff := cmp.Diff([]string{"o"}, keys(first)); diff != "" {
		t.Fatal(diff)
	}
	settle(q, first...)
	second := takeNow(q)
	if diff := cmp.Diff([]string{"n"}, keys(second)); diff != "" {
		t.Fatal(diff)
	}
	if second[0].OldKey != "o" || second[0].Props.Len() != 2 {
		t.Errorf("rename: %+v", second[0])
	}
	if batch := takeNow(q); batch != nil {
		t.Fatalf("took %v while the rename holds both keys", keys(batch))
	}
	settle(q, second...)
	third := takeNow(q)
	if diff := cmp.Diff([]string{"o"}, keys(third)); diff != "" {
		t.Fatal(diff)
	}
	if got := settle(q, third...); got != 41 {
		t.Errorf("safe %v", got)
	}
}

func TestSwapThroughAThirdKeyEnds(t *testing.T) {
	q := newTestQueue(t)
	rename := func(from, to string) *change.Patch {
		p := patch(to, set(0, from+to))
		p.OldKey = []byte(from)
		return p
	}
	feed(q, 10, rename("a", "x"), rename("b", "a"), rename("x", "b"))
	var order []string
	for batch := takeNow(q); batch != nil; batch = takeNow(q) {
		for _, e := range batch {
			order = append(order, e.OldKey+">"+e.Key)
		}
		settle(q, batch...)
	}
	if diff := cmp.Diff([]string{"a>x", "b>a", "x>b"}, order); diff != "" {
		t.Fatal(diff)
	}
	if !q.Empty() {
		t.Error("not empty")
	}
}

func TestMergeOnlyLeavesOutWhatDoesNotMerge(t *testing.T) {
	q := newTestQueue(t)
	feed(q, 10, patch("k1", set(0, "1")))
	q.BeginTransaction(20)
	added, merged := q.Add(Add{Patch: patch("k1", set(0, "2")), Pos: change.Position{LSN: 20, Ordinal: 1}, MergeOnly: true})
	if !added || !merged {
		t.Error("a waiting record must take the change")
	}
	if added, _ := q.Add(Add{Patch: patch("k2", set(0, "2")), Pos: change.Position{LSN: 20, Ordinal: 2}, MergeOnly: true}); added {
		t.Error("k2 is not queued")
	}
	q.Ceiling(11)
	q.EndTransaction(21)
	if got := settle(q, takeNow(q)...); got != 11 {
		t.Errorf("safe %v, want 11: the transaction at 20 was left out in part", got)
	}
}

func TestAKeepaliveCountsOnlyWithNothingOpen(t *testing.T) {
	q := newTestQueue(t)
	q.Start(5)
	q.Progress(100)
	if q.Safe() != 100 || q.Horizon() != 100 {
		t.Errorf("idle: safe %v horizon %v", q.Safe(), q.Horizon())
	}
	q.BeginTransaction(110)
	q.Progress(120)
	if q.Safe() == 120 || q.Horizon() == 120 {
		t.Error("a keepalive between BEGIN and COMMIT says nothing")
	}
	q.Add(Add{Patch: patch("k1", set(0, "1")), Pos: change.Position{LSN: 110, Ordinal: 1}})
	q.EndTransaction(111)
	q.Progress(200)
	if q.Safe() != 5 {
		t.Errorf("safe %v with k1 open, want the end of the last transaction read whole before it", q.Safe())
	}
	settle(q, takeNow(q)...)
	if q.Safe() != 200 {
		t.Errorf("safe %v when idle again", q.Safe())
	}
}

func TestRowsWithoutARecordRideTheSameRoad(t *testing.T) {
	q := newTestQueue(t)
	p := &change.Patch{Source: accounts, Row: []byte("7"), Rejection: &change.Rejection{Category: change.InvalidKey}}
	feed(q, 10, p)
	if q.Safe() != 0 {
		t.Error("the rejection does not hold the checkpoint back until it is parked")
	}
	feed(q, 20, p)
	if batch := takeNow(q); len(batch) != 1 || batch[0].Rejection == nil {
		t.Fatalf("took %v", batch)
	}
}

func TestGatheringEndsAtAFullBatchOrTheInterval(t *testing.T) {
	now := epoch()
	q := NewQueue(2, 1<<20, 3, func() time.Time { return now })
	q.SetBound(1 << 40)
	q.Open()
	feed(q, 10, patch("k1", set(0, "1")))
	if batch, wait := q.take(time.Second, 0); batch != nil || wait != time.Second {
		t.Fatalf("took %v, wait %v", keys(batch), wait)
	}
	now = now.Add(400 * time.Millisecond)
	if batch, wait := q.take(time.Second, 0); batch != nil || wait != 600*time.Millisecond {
		t.Fatalf("took %v, wait %v", keys(batch), wait)
	}
	feed(q, 20, patch("k2", set(0, "1")), patch("k3", set(0, "1")))
	if batch, _ := q.take(time.Second, 0); len(batch) != 3 {
		t.Fatalf("a full batch has nothing to wait for; took %v", keys(batch))
	}
	feed(q, 30, patch("k4", set(0, "1")))
	now = now.Add(time.Second)
	if batch, _ := q.take(time.Second, 0); len(batch) != 1 {
		t.Fatal("held longer than the interval")
	}
}

func TestABatchHasOneTarget(t *testing.T) {
	q := newTestQueue(t)
	u := &change.Patch{Source: users, Key: []byte("k1"), Row: []byte("1"), Props: set(0, "x")}
	feed(q, 10, patch("k1", set(0, "1")), u, patch("k2", set(0, "1")))
	if diff := cmp.Diff([]string{"k1", "k2"}, keys(takeNow(q))); diff != "" {
		t.Error(diff)
	}
	if batch := takeNow(q); len(batch) != 1 || batch[0].Source != users {
		t.Errorf("took %v", keys(batch))
	}
}

func TestReturnedVersionsComeFirstAndHoldTheirTarget(t *testing.T) {
	now := epoch()
	q := NewQueue(2, 1<<20, 3, func() time.Time { return now })
	q.SetBound(1 << 40)
	q.Open()
	feed(q, 10, patch("k1", set(0, "1")), patch("k2", set(0, "1")))
	batch := takeNow(q)
	feed(q, 20, patch("k3", set(0, "1")), patch("k1", set(1, "2")))
	q.Return(batch, time.Second)
	if got, wait := q.take(0, 0); got != nil || wait != time.Second {
		t.Fatalf("took %v, wait %v", keys(got), wait)
	}
	now = now.Add(time.Second)
	if diff := cmp.Diff([]string{"k1", "k2", "k3"}, keys(takeNow(q))); diff != "" {
		t.Fatal(diff)
	}
}

// A few hot records must not keep a cold one, and with it the checkpoint,
// waiting.
func TestTheOldestVersionGoesFirst(t *testing.T) {
	q := newTestQueue(t)
	hot := []string{"h1", "h2", "h3"}
	lsn := change.LSN(0)
	heat := func() {
		for _, key := range hot {
			lsn += 10
			feed(q, lsn, patch(key, set(0, fmt.Sprint(lsn))))
		}
	}
	heat()
	out := takeNow(q)
	lsn += 10
	feed(q, lsn, patch("cold", set(0, "1")))
	for range 3 {
		heat()
		settle(q, out...)
		if out = takeNow(q); slices.Contains(keys(out), "cold") {
			return
		}
	}
	t.Errorf("the cold record still waits behind later changes of hot ones; taken: %v", keys(out))
}

// What was forgotten in redo is not taken, and the order of the rest stays.
func TestForgottenVersionsAreNotTaken(t *testing.T) {
	q := NewQueue(2, 1<<20, 10, epoch)
	q.SetBound(1 << 40)
	var want []string
	var forget []*Entry
	for i := range 20 {
		feed(q, change.LSN(10*i+10), patch(fmt.Sprint("k", i), set(0, "1")))
	}
	for i, e := range q.Waiting() {
		if i%3 == 0 {
			forget = append(forget, e)
		} else {
			want = append(want, e.Key)
		}
	}
	q.Forget(forget)
	q.Open()
	got := append(keys(takeNow(q)), keys(takeNow(q))...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A row that moves between partitions is deleted and inserted in one
// transaction: its record must not be archived between the two.
func TestARecordIsNotArchivedBeforeTheTransactionIsReadWhole(t *testing.T) {
	archiving := *accounts
	archiving.OnDelete = change.Archive
	gone := func(key string) *change.Patch {
		return &change.Patch{Source: &archiving, Key: []byte(key), Row: []byte(key), Gone: true}
	}
	add := func(q *Queue, at change.LSN, ordinal uint32, p *change.Patch) {
		q.Add(Add{Patch: p, Pos: change.Position{LSN: at, Ordinal: ordinal}, Commit: epoch()})
	}
	q := newTestQueue(t)
	q.Start(5)
	feed(q, 6, patch("k0", set(0, "1")))
	q.BeginTransaction(10)
	add(q, 10, 1, gone("k0"))
	add(q, 10, 2, gone("k1"))
	add(q, 10, 3, gone("k2"))
	add(q, 10, 4, patch("k3", set(0, "1")))
	if diff := cmp.Diff([]string{"k3"}, keys(takeNow(q))); diff != "" {
		t.Fatalf("in the middle of the transaction: %s", diff)
	}
	whole := patch("k1", set(0, "1"))
	whole.Whole = true
	add(q, 10, 5, whole)
	q.EndTransaction(11)
	select {
	case <-q.wake:
	default:
		t.Error("nobody was told that the transaction was read whole")
	}
	batch := takeNow(q)
	if diff := cmp.Diff([]string{"k0", "k1", "k2"}, keys(batch)); diff != "" {
		t.Fatalf("after COMMIT: %s", diff)
	}
	if !batch[0].Archives() || batch[1].Archives() || !batch[2].Archives() {
		t.Errorf("archived: %v %v %v, want all but k1", batch[0].Archives(), batch[1].Archives(), batch[2].Archives())
	}

	// A transaction that deletes more than the queue holds must not wait for its
	// end: nothing would be read any more.
	small := NewQueue(2, 1000, 3, epoch)
	small.SetBound(1 << 40)
	small.Open()
	small.BeginTransaction(10)
	for n := uint32(1); !small.Full(); n++ {
		for len(small.wake) > 0 {
			<-small.wake
		}
		add(small, 10, n, gone(fmt.Sprint("k", n)))
	}
	select {
	case <-small.wake:
	default:
		t.Error("nobody was told that the queue is full")
	}
	if batch := takeNow(small); len(batch) == 0 {
		t.Error("nothing is taken from a full queue")
	}
}

func TestTakeWakesUp(t *testing.T) {
	q := newTestQueue(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan []*Entry)
	go func() {
		for {
			batch, err := q.Take(ctx, atOnce, atOnce)
			if err != nil {
				close(got)
				return
			}
			got <- batch
		}
	}()
	for i := range 100 {
		feed(q, change.LSN(10*i+10), patch("k1", set(0, "1")))
		batch := <-got
		feed(q, change.LSN(10*i+15), patch("k1", set(0, "2")))
		settle(q, batch...)
		settle(q, <-got...)
	}
	cancel()
	if _, open := <-got; open {
		t.Error("took from an empty queue")
	}
}

// TestQueueAgainstAModel lets commits, batches, answers, settles and returns
// interleave at random and compares with a plain list of changes.
func TestQueueAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type step struct {
			pos  change.Position
			keys []string
		}
		var (
			q       = newTestQueue(t)
			lsn     = change.LSN(0)
			open    []step // changes not settled, in order
			ends    = map[change.LSN]change.LSN{}
			out     [][]*Entry          // taken
			busy    = map[string]bool{} // keys of taken or settling versions
			applied = map[string]change.Position{}
			written = map[string]map[int]string{} // what the CRM would hold
			truth   = map[string]map[int]string{} // what the changes give in sequence
			waiting = map[change.LSN]*Hold{}      // transactions that are held
		)
		release := func(at change.LSN) {
			q.Release(waiting[at])
			delete(waiting, at)
		}
		checkSafe := func(safe change.LSN) {
			for _, s := range open {
				if s.pos.LSN < safe {
					t.Fatalf("safe %v passes the open change at %v of %v", safe, s.pos, s.keys)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				lsn += 10
				var patches []*change.Patch
				for range rapid.IntRange(1, 3).Draw(t, "changes") {
					key := rapid.SampledFrom([]string{"k1", "k2", "k3", "k4"}).Draw(t, "key")
					slot := rapid.IntRange(0, 1).Draw(t, "slot")
					text := fmt.Sprint(lsn, len(patches))
					patches = append(patches, patch(key, set(slot, text)))
					if truth[key] == nil {
						truth[key] = map[int]string{}
					}
					truth[key][slot] = text
					open = append(open, step{change.Position{LSN: lsn, Ordinal: uint32(len(patches))}, []string{key}})
				}
				ends[lsn] = lsn + 1
				if rapid.IntRange(0, 2).Draw(t, "held") > 0 {
					feed(q, lsn, patches...)
					return
				}
				q.BeginTransaction(lsn)
				q.Withhold()
				for i, p := range patches {
					q.Add(Add{Patch: p, Pos: change.Position{LSN: lsn, Ordinal: uint32(i + 1)}, Commit: epoch()})
				}
				waiting[lsn] = q.Withheld()
				if rapid.Bool().Draw(t, "some") {
					last := patches[len(patches)-1]
					q.ReleaseSome(waiting[lsn], func(e *Entry) bool { return e.Key == string(last.Key) })
					again := change.Position{LSN: lsn, Ordinal: uint32(len(patches) + 1)}
					q.Add(Add{Patch: last, Pos: again, Commit: epoch()})
					open = append(open, step{again, []string{string(last.Key)}})
				}
				q.EndTransaction(lsn + 1)
			},
			"release": func(*rapid.T) {
				for at := range ends {
					if waiting[at] != nil {
						release(at)
						return
					}
				}
			},
			"take": func(t *rapid.T) {
				batch := takeNow(q)
				for i, e := range batch {
					if i > 0 && e.First.Before(batch[i-1].First) {
						t.Fatalf("%s at %v is taken after %v", e.Key, e.First, batch[i-1].First)
					}
					if busy[e.Key] {
						t.Fatalf("two versions of %s are out", e.Key)
					}
					busy[e.Key] = true
					for at := range waiting {
						for _, s := range open {
							if s.pos.LSN == at && s.keys[0] == e.Key && !e.Newest.Before(s.pos) {
								t.Fatalf("%s is taken at %v, though the transaction at %v is held", e.Key, e.Newest, at)
							}
						}
					}
				}
				if len(batch) == 0 && len(waiting) == 0 && len(open) > 0 && len(busy) == 0 {
					t.Fatal("nothing is taken, though nothing is held and nothing is out")
				}
				if len(batch) > 0 {
					out = append(out, batch)
				}
			},
			"settle": func(t *rapid.T) {
				if len(out) == 0 {
					return
				}
				i := rapid.IntRange(0, len(out)-1).Draw(t, "batch")
				batch := out[i]
				out = slices.Delete(out, i, i+1)
				for _, e := range batch {
					if e.Newest.Before(applied[e.Key]) {
						t.Fatalf("%s goes back from %v to %v", e.Key, applied[e.Key], e.Newest)
					}
					applied[e.Key] = e.Newest
					if written[e.Key] == nil {
						written[e.Key] = map[int]string{}
					}
					for p := range e.Props.All() {
						written[e.Key][p.Slot] = string(p.Text)
					}
					open = slices.DeleteFunc(open, func(s step) bool {
						return s.keys[0] == e.Key && !e.Newest.Before(s.pos)
					})
					delete(busy, e.Key)
				}
				safe := q.Settling(batch)
				checkSafe(safe)
				q.Remove(batch)
			},
			"return": func(t *rapid.T) {
				if len(out) == 0 {
					return
				}
				batch := out[len(out)-1]
				out = out[:len(out)-1]
				for _, e := range batch {
					delete(busy, e.Key)
				}
				q.Return(batch, 0)
			},
			"": func(t *rapid.T) {
				checkSafe(q.Safe())
				if len(open) == 0 && lsn > 0 && q.Safe() != ends[lsn] {
					t.Fatalf("all settled, safe %v, want %v", q.Safe(), ends[lsn])
				}
			},
		})
		if q.Stuck() != (len(out) == 0 && len(open) > 0 && !slices.ContainsFunc(q.Waiting(), func(e *Entry) bool { return e.waits == 0 && e.blocked == 0 })) {
			t.Fatalf("stuck: %v", q.Stuck())
		}
		for at := range ends {
			release(at)
		}
		for len(out) > 0 || !q.Empty() {
			for _, batch := range out {
				for _, e := range batch {
					for p := range e.Props.All() {
						if written[e.Key] == nil {
							written[e.Key] = map[int]string{}
						}
						written[e.Key][p.Slot] = string(p.Text)
					}
				}
				settle(q, batch...)
			}
			out = nil
			if batch := takeNow(q); batch != nil {
				out = append(out, batch)
			}
		}
		if diff := cmp.Diff(truth, written); diff != "" {
			t.Fatal(diff)
		}
		if s := q.Stats(); s.Records != 0 || s.Bytes != 0 {
			t.Fatalf("left over: %+v", s)
		}
	})
}
