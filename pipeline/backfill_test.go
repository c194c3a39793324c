package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// before puts a row into the table as it was before the slot was made.
func (l *lab) before(id int, a, b string) {
	c := l.row(id, a, b)
	l.pg.exists(*c.after)
}

// loaded waits for the end of all backfills.
func (l *lab) loaded() {
	l.t.Helper()
	l.until("all is loaded", func() bool {
		for _, b := range l.state.backfills {
			if b.State != ledger.Done {
				return false
			}
		}
		return len(l.state.backfills) > 0
	})
}

// when runs something as a call is made, once.
func (l *lab) when(call string, do func()) {
	done := false
	before := l.onCall
	l.onCall = func(p *process, what string) callFate {
		if what == call && !done {
			done = true
			do()
		}
		if before != nil {
			return before(p, what)
		}
		return callFate{}
	}
}

// Of a row that the stream touches between the marks, the chunk gives what the
// stream did not carry, and no more (trap 2).
func TestB1TheStreamWinsPerProperty(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "big")
		l.before(2, "1", "1")
		l.when("sent to", func() { // the chunk is read, the high mark not yet written
			l.commitLate(0, l.row(1, "2", same))
			l.commitLate(0, rowChange{before: l.pg.rows[rowID{0, 2}]})
		})
		l.run(shape{backfill: true})
		l.loaded()
		l.crmHas(1, "2", "big")
		l.crmHas(2, "theirs a", "theirs b") // deleted meanwhile
	})
}

// What a table changes that is mapped no longer goes by unseen. That it is to be
// loaded anew must be on disk before the checkpoint passes such a change.
func TestATableThatIsMappedNoLongerIsForgottenFirst(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		const unmapped = "public.gone\x00companies\x00key"
		l.state.hashes[unmapped] = "h"
		var attempts int
		var early bool
		l.onCall = func(_ *process, what string) callFate {
			switch {
			case what == "forget" && attempts < 5:
				attempts++
				return callFate{err: errNetwork}
			case what == "settle":
				early = early || l.state.hashes[unmapped] != ""
			}
			return callFate{}
		}
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		if early || attempts < 5 {
			t.Errorf("the checkpoint was saved first, after %d attempts", attempts)
		}
	})
}

// A commit is in the log before it is visible: a chunk that does not show what
// the stream has delivered is read again (trap 3).
func TestB2AChunkThatIsBehindTheStreamIsReadAgain(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "1")
		l.when("mark", func() { l.commitLate(5*time.Second, l.row(1, "2", "2")) })
		l.run(shape{backfill: true})
		l.loaded()
		l.crmHas(1, "2", "2")
		l.locked(func() {
			if n := strings.Count(strings.Join(l.trace.all(), "\n"), "read_again"); n == 0 {
				t.Error("the chunk was taken though it did not show what was streamed before")
			}
		})
	})
}

// What was streamed before pgcrm began to take note may be invisible still: the
// first chunk waits for the end of every transaction that was open then.
func TestB2TheFirstChunkWaitsForOpenTransactions(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "1")
		const late = 20 * time.Second
		l.locked(func() { l.commitLate(late, l.row(1, "2", "2")) })
		began := time.Now()
		l.when("chunk", func() {
			if waited := time.Since(began); waited < late {
				l.fault("the first chunk is read after %v", waited)
			}
		})
		p := l.run(shape{backfill: true})
		l.until("status says what it waits for", func() bool {
			st := p.pipeline.Status()
			return len(st.Backfills) == 1 && st.Backfills[0].Waiting != ""
		})
		l.loaded()
		l.crmHas(1, "2", "2")
	})
}

// A chunk's rows stand at the position of its high mark: the bound must be beyond
// it before one is sent.
func TestB3ChunksHoldToTheBound(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "1")
		down := true
		l.onCall = func(_ *process, what string) callFate {
			if what == "raise bound" && down {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		l.when("sent to", func() { l.pg.end += 64 << 20 })
		l.run(shape{backfill: true})
		time.Sleep(time.Minute)
		l.locked(func() {
			if len(l.crm.log) > 0 {
				t.Errorf("sent beyond the bound: %q", l.crm.log)
			}
			down = false
		})
		l.loaded()
		l.crmHas(1, "1", "1")
	})
}

// Rows are written down as sent before any is, and as done after the last of them
// is settled.
func TestB4ProgressBeforeAndAfter(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		for id := 1; id <= 3; id++ {
			l.before(id, "1", "1")
		}
		release := l.busy("k1")
		sent := l.onRequest
		l.onRequest = func(p *process, jobs []sink.Job) string {
			if b := l.state.backfills[0]; len(b.SentTo) == 0 {
				l.fault("a chunk's row is sent, and nothing is written ahead")
			}
			return sent(p, jobs)
		}
		l.run(shape{backfill: true, batch: 1, chunk: 2})
		l.until("k1 is out", l.out("k1"))
		time.Sleep(time.Minute)
		l.locked(func() {
			if b := l.state.backfills[0]; len(b.DoneTo) > 0 {
				t.Errorf("done to %v while k1 has no answer", b.DoneTo)
			}
			release()
		})
		l.loaded()
		for id := 1; id <= 3; id++ {
			l.crmHas(id, "1", "1")
		}
	})
}

// What an earlier process sent of a chunk that it did not settle is known to
// nobody: whatever the row says next is sent without comparison, be it the chunk,
// the stream, or the row's being there again long after.
func TestB4ACutOffChunkIsInDoubt(t *testing.T) {
	cutOff := func(l *lab, a string) {
		l.before(1, a, null)
		l.locked(func() {
			l.since(firstLSN, firstLSN)
			id := l.state.addBackfill(ledger.Backfill{Table: "public.t0", Object: "companies0", Match: "key"})
			b := l.state.backfill(id)
			b.SentTo, b.State = []string{"2"}, ledger.Running
			l.state.sent = []ledger.SentChunk{{Backfill: id, Number: 1, Table: b.Table, Object: b.Object, Match: b.Match, Rows: []ledger.SentRow{{Key: "k1", Row: "1"}}}}
			// The earlier process sent {a: 2, b: 2}, and settled nothing.
			l.knows(1, change.Position{LSN: firstLSN - 100, Ordinal: 1}, known("1"), change.Fact{})
			r := l.history.records[0]
			r.values, r.written = [2]string{"2", "2"}, [2]bool{true, true}
		})
	}
	t.Run("the chunk", func(t *testing.T) {
		inLab(t, traits{}, func(l *lab) {
			cutOff(l, "1")
			l.run(shape{})
			l.loaded()
			l.crmHas(1, "1", "")
		})
	})
	t.Run("the stream", func(t *testing.T) {
		inLab(t, traits{}, func(l *lab) {
			cutOff(l, "2")
			l.locked(func() { l.pg.xid() }) // keeps the loader waiting
			l.run(shape{})
			l.until("it streams", func() bool { return l.pg.holder != nil && l.state.epoch == 2 })
			l.saved(l.commit(1, "1", null))
			l.crmHas(1, "1", "")
		})
	})
	t.Run("the row is deleted and comes back", func(t *testing.T) {
		inLab(t, traits{}, func(l *lab) {
			cutOff(l, "1")
			l.locked(func() { l.commitLate(0, rowChange{before: l.pg.rows[rowID{0, 1}]}) })
			p := l.run(shape{})
			l.loaded()
			l.crmHas(1, "2", "2")
			l.crash(p, 0)
			l.run(shape{}) // nor does the next process know
			l.until("it streams", func() bool { return l.pg.holder != nil && l.state.epoch == 3 })
			l.saved(l.commit(1, "1", null)) // what the ledger knew, and NULL
			l.crmHas(1, "1", "")
		})
	})
	t.Run("a load that was cancelled", func(t *testing.T) {
		inLab(t, traits{}, func(l *lab) {
			cutOff(l, "1")
			l.locked(func() { l.state.backfills[0].State = ledger.Cancelled })
			l.run(shape{})
			l.until("it streams", func() bool { return l.pg.holder != nil && l.state.epoch == 2 })
			l.saved(l.commit(1, "1", same))
			l.crmHas(1, "1", "2")
		})
	})
}

// The keys of a chunk's records are on disk before one of them is sent.
func TestB4TheRecordsOfAChunkAreWrittenAhead(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "2")
		l.onCall = func(p *process, what string) callFate {
			if what == "settle" && p == l.procs[0] {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		p := l.run(shape{backfill: true})
		l.until("the chunk is sent", func() bool { return l.history.records[0].values == [2]string{"1", "2"} })
		l.crash(p, 0)
		l.commit(1, "1", null)
		l.run(shape{backfill: true})
		l.loaded()
		l.crmHas(1, "1", "")
	})
}

// A retry reads the row again and never sends what was parked: the record gets
// what the row says now, and the letter is closed.
func TestB5ARetryReadsTheRowAgain(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.locked(func() { // the CRM does not have the record
			l.history.records[0].exists = false
			delete(l.crm.byKey, recordKey{0, "k1"})
		})
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		l.saved(l.commit(1, "2", same))
		l.locked(func() {
			if l.letterOf(1, ledger.WholeRecord) == nil {
				t.Error("a record that is missing is in no letter")
			}
			l.theirs(1)
			l.state.addBackfill(ledger.Backfill{Table: "public.t0", Object: "companies0", Match: "key", Reason: pipeline.Retry, Keys: []string{"1"}})
		})
		l.loaded()
		l.crmHas(1, "2", "1")
		l.locked(func() {
			if len(l.state.letters) > 0 {
				t.Error("the letter is still open")
			}
		})
	})
}

// A repair is for a CRM that holds something else than the ledger knows.
func TestB5ARepairDoesNotAskTheLedger(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		l.locked(func() {
			l.history.records[0].values[0] = "somebody's"
			l.state.addBackfill(ledger.Backfill{Table: "public.t0", Object: "companies0", Match: "key", Reason: pipeline.Repair, Keys: []string{"1"}})
		})
		l.loaded()
		l.crmHas(1, "1", "1")
	})
}

// A value that the stream does not bring is read from the table.
func TestT2WhatTheStreamLeavesOutIsReadAgain(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "big")
		l.run(shape{})
		l.saved(l.commit(1, "2", same))
		l.until("b is there", func() bool { return l.history.records[0].values[1] == "big" })
		l.crmHas(1, "2", "big")
	})
}

// A backfill of more than the queue holds gets on, and live changes with it.
func TestLoadingWithASmallQueue(t *testing.T) {
	inLab(t, traits{policy: change.Create}, func(l *lab) {
		for id := 1; id <= 40; id++ {
			l.before(id, "1", "1")
		}
		l.run(shape{backfill: true, buffer: 1000, batch: 2, chunk: 10})
		for id := 1; id <= 40; id++ {
			l.commit(id, "2", same)
		}
		l.loaded()
		l.saved(l.commit(1, "3", same))
		l.locked(l.history.checkEnd)
	})
}

// A large load does not keep live changes waiting: each is sent before nearly all
// that was there to load when it was made. Counted in records, not in time.
func TestLiveChangesGoBeforeALoad(t *testing.T) {
	inLab(t, traits{policy: change.Create}, func(l *lab) {
		const rows, live = 3000, 10
		for id := 1; id <= rows; id++ {
			l.before(id, "1", "1")
		}
		delivered := 0
		var at []int
		l.onRequest = func(_ *process, jobs []sink.Job) string {
			delivered += len(jobs)
			for _, j := range jobs {
				if p, ok := j.Props.Get(0); ok && strings.HasPrefix(string(p.Text), "live") {
					at = append(at, delivered)
				}
			}
			return ""
		}
		l.run(shape{backfill: true, buffer: 4 << 20, batch: 10, chunk: 1000})
		for i := range live {
			l.until("the load goes on", func() bool { return delivered >= 200*(i+1) })
			l.locked(func() {
				before := delivered
				id := rows - i // the last to be loaded
				l.commitLate(0, l.row(id, "live", same))
				l.mu.Unlock()
				l.until("the change is sent", func() bool { return len(at) > i })
				l.mu.Lock()
				if n := at[i] - before; n > 200 {
					t.Errorf("%d records were sent before a live change", n)
				}
			})
		}
		if delivered > rows {
			t.Errorf("the load was over before the last change: %d records", delivered)
		}
		l.loaded()
		l.locked(l.history.checkEnd)
	})
}
