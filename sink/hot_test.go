package sink_test

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// 100,000 changes of 1,000 hot records, with five calls a second: nearly every
// call is full, no record is written twice for one change, nothing that the portal
// holds already is sent, and in the end it holds the last values.
//
// Where half of the changes change nothing, a batch of the queue is no full call
// until it is filled up.
func TestHotRecordsCostAsFewCallsAsPossible(t *testing.T) {
	t.Run("every change changes something", func(t *testing.T) { hotRecords(t, time.Millisecond, 1) })
	t.Run("every second one changes nothing", func(t *testing.T) { hotRecords(t, time.Millisecond/2, 2) })
}

// hotRecords makes a change at the interval, of which one in share changes
// something.
func hotRecords(t *testing.T, interval time.Duration, share int) {
	const records, changes, batch = 1_000, 100_000, hubspot.MaxBatch
	synctest.Test(t, func(t *testing.T) {
		portal := newSimPortal(t, hubspotsim.Options{JournalLimit: -1})
		seeds := make([]map[string]string, records)
		for i := range seeds {
			seeds[i] = map[string]string{"pg_key": "k" + strconv.Itoa(i)}
		}
		if _, err := portal.Seed("companies", seeds...); err != nil {
			t.Fatal(err)
		}
		client := simClient(t, portal, func(cfg *hubspot.Config) { cfg.RateLimit = hubspot.RateLimit{Calls: 5, Per: time.Second} })
		source := &change.Source{Table: "public.accounts", Target: simTarget, Slots: []int{simSeats}}
		queue := sink.NewQueue(1, 64<<20, batch, time.Now)
		queue.SetBound(1 << 60)
		queue.Open()

		work, stop := context.WithCancel(t.Context())
		seed := maphash.MakeSeed()
		fingerprint := func(b []byte) uint64 { return maphash.Bytes(seed, b) }
		holds := newHeld(records)
		deliverer := sink.NewDeliverer(client, nil)
		var workers sync.WaitGroup
		slots := make(chan struct{}, 4)
		workers.Go(func() {
			for {
				slots <- struct{}{}
				if client.Ready(work, "") != nil {
					return
				}
				entries, err := queue.Take(work, func() time.Duration { return client.Gather(time.Second) }, func() time.Duration { return 0 })
				if err != nil {
					return
				}
				workers.Go(func() {
					defer func() { <-slots }()
					holds.deliver(t, deliverer, queue, entries, fingerprint)
				})
			}
		})

		rng := rand.New(rand.NewPCG(1, 2))
		last := make([]string, records)
		for i := range changes {
			n, at := rng.IntN(records), change.LSN(2*i+1)
			if last[n] == "" || rng.IntN(share) == 0 {
				last[n] = strconv.Itoa(i)
			}
			key := []byte("k" + strconv.Itoa(n))
			queue.BeginTransaction(at)
			queue.Add(sink.Add{
				Patch: &change.Patch{Source: source, Key: key, Row: key, Props: change.Props(nil).Append(simSeats, change.Set, []byte(last[n]))},
				Pos:   change.Position{LSN: at, Ordinal: 1}, Commit: time.Now(),
			})
			queue.EndTransaction(at + 1)
			time.Sleep(interval)
		}
		for !queue.Empty() {
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		workers.Wait()

		calls, least := portal.Stats().Calls["update 200"], (holds.sent+batch-1)/batch
		t.Logf("%d changes, %d records written, %d calls, %d at least", changes, holds.sent, calls, least)
		if calls*10 > least*11 {
			t.Errorf("%d calls for %d records: %d would do", calls, holds.sent, least)
		}
		for i, want := range last {
			if r, _ := portal.Find("companies", "pg_key", "k"+strconv.Itoa(i)); r.Properties["pg_seats"] != want {
				t.Errorf("record %d has %q, want %q", i, r.Properties["pg_seats"], want)
			}
		}
	})
}

// held is what the portal is known to hold, as the ledger would have it.
type held struct {
	mu    sync.Mutex
	facts map[string]*change.Record
	texts map[string]string
	sent  int
}

func newHeld(n int) *held {
	return &held{facts: make(map[string]*change.Record, n), texts: make(map[string]string, n)}
}

func (h *held) deliver(t *testing.T, d *sink.Deliverer, queue *sink.Queue, entries []*sink.Entry, fingerprint func([]byte) uint64) {
	var jobs []sink.Job
	h.mu.Lock()
	for batch := entries; len(batch) > 0; {
		for _, e := range batch {
			diff := e.Diff(h.facts[e.Key], fingerprint)
			if len(diff.Send) == 0 {
				continue
			}
			text, _ := diff.Send.Get(simSeats)
			if was, ok := h.texts[e.Key]; ok && was == string(text.Text) {
				t.Errorf("%s is sent again", e.Key)
			}
			jobs = append(jobs, sink.Job{Key: e.Key, Props: diff.Send})
		}
		batch = queue.More(simTarget, hubspot.MaxBatch-len(jobs))
		entries = append(entries, batch...)
	}
	h.mu.Unlock()
	if len(jobs) > 0 {
		verdicts, err := d.Deliver(t.Context(), simTarget, jobs)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		for i, j := range jobs {
			if verdicts[i].Outcome != sink.Delivered {
				t.Errorf("%s: %+v", j.Key, verdicts[i])
			}
			p, _ := j.Props.Get(simSeats)
			facts := make([]change.Fact, simSeats+1)
			facts[simSeats] = change.Fact{State: change.Known, Fingerprint: fingerprint(p.Text)}
			h.facts[j.Key], h.texts[j.Key] = &change.Record{Facts: facts}, string(p.Text)
			h.sent++
		}
		h.mu.Unlock()
	}
	queue.Settling(entries)
	queue.Remove(entries)
}
