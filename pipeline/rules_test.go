package pipeline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// The tests here show the protocol's rules one by one, each where it matters.
// TestCrashAndReplay shows that they hold together.

// busy keeps the CRM from answering about a record while it is set.
func (l *lab) busy(key string) (release func()) {
	held := true
	before := l.onRequest
	l.onRequest = func(p *process, jobs []sink.Job) string {
		if held && slices.ContainsFunc(jobs, func(j sink.Job) bool { return j.Key == key }) {
			return "unavailable"
		}
		if before != nil {
			return before(p, jobs)
		}
		return ""
	}
	return func() { held = false }
}

// hook looks at each request while other things happen.
func (l *lab) hook(onRequest func(*process, []sink.Job) string) {
	l.locked(func() { l.onRequest = onRequest })
}

func (l *lab) out(key string) func() bool {
	return func() bool { return l.crm.out[recordKey{0, key}] != nil }
}

// An entry keeps its place: what commits later is delivered and settled, and the
// checkpoint stays at the oldest open change.
func TestL1TheCheckpointStaysAtTheOldestOpenChange(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		release := l.busy("k1")
		l.run(shape{batch: 1})
		first := l.commit(1, "1", "1")
		l.until("k1 is out", l.out("k1"))
		second := l.commit(2, "2", "2")
		third := l.commit(1, "3", "3") // its next version, at the tail
		l.until("k2 is settled", func() bool { return l.state.records[recordKey{0, "k2"}] != nil })
		time.Sleep(10 * time.Second)
		l.locked(func() {
			if at := l.state.checkpoint; at > first.commit {
				t.Errorf("checkpoint %v passed the change at %v, which has no answer", at, first.commit)
			}
			release()
		})
		l.saved(third)
		if second.end >= third.end {
			t.Fatal("the transactions are out of order")
		}
		l.crmHas(1, "3", "3")
	})
}

// A settle whose COMMIT got no answer is done again, and nothing leaves the queue
// or is confirmed before one is heard of.
func TestL2ASettleWithoutAnAnswerIsDoneAgain(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		lost := 0
		l.onCall = func(_ *process, what string) callFate {
			if what == "settle" && lost < 3 {
				lost++
				return callFate{errNetwork, true}
			}
			return callFate{}
		}
		l.run(shape{})
		l.commit(1, "1", "x") // the second is refused: a letter
		tx := l.commit(2, "2", "2")
		l.saved(tx)
		l.until("confirmed", func() bool { return l.pg.confirmed >= tx.end })
		l.locked(func() {
			if lost != 3 || l.letterOf(1, 1) == nil || len(l.state.letters) != 1 {
				t.Errorf("%d answers lost, letters %v", lost, l.state.letters)
			}
			if n := len(l.requests("[k1")); n != 1 {
				t.Errorf("k1 was sent %d times", n)
			}
		})
	})
}

// The next version of a record waits for the COMMIT of the settle of the one
// before, not for the CRM's answer.
func TestL3OneVersionOfARecordAtATime(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		down := true
		l.onCall = func(_ *process, what string) callFate {
			if what == "settle" && down {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		l.run(shape{batch: 1, inFlight: 3})
		l.commit(1, "1", "1")
		l.until("k1 was sent", func() bool { return len(l.requests("[k1")) == 1 })
		l.commit(1, "2", same)
		tx := l.commit(1, "3", same)
		time.Sleep(time.Minute)
		l.locked(func() {
			if n := len(l.requests("[k1")); n != 1 {
				t.Errorf("k1 was sent %d times while its first version was not settled", n)
			}
			down = false
		})
		l.saved(tx)
		l.crmHas(1, "3", "1")
		l.locked(func() {
			if n := len(l.requests("[k1")); n != 2 {
				t.Errorf("k1 was sent %d times, want the two waiting changes as one", n)
			}
		})
	})
}

// Coalescing gives what the changes give one after the other: NULL is a value,
// unchanged is none, a refused value is one too.
func TestL4CoalescedChangesEqualTheSequence(t *testing.T) {
	for _, full := range []bool{false, true} {
		inLab(t, traits{full: full}, func(l *lab) {
			release := l.busy("k1")
			l.run(shape{})
			l.commit(1, "1", "1")
			l.until("k1 is out", l.out("k1"))
			l.commit(1, "2", "2")
			l.commit(1, "3", same)
			l.commit(1, null, same)
			tx := l.commit(1, "!no", same)
			l.locked(release)
			l.saved(tx)
			l.crmHas(1, "1", "2")
			l.locked(func() {
				if l.letterOf(1, 0) == nil {
					t.Error("the refused value is in no letter")
				}
			})
			// A value was waiting once, so NULL clears.
			tx = l.commit(1, null, same)
			l.saved(tx)
			l.crmHas(1, "", "2")
		})
	}
}

// TRUNCATE is counted, takes an ordinal, and sends nothing.
func TestL5TruncateSendsNothing(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		l.locked(func() { l.commitLate(0).truncated = true })
		l.saved(l.commit(2, "2", "2"))
		l.crmHas(1, "1", "1")
		l.locked(func() {
			if len(l.crm.log) != 2 {
				t.Errorf("sent: %q", l.crm.log)
			}
		})
	})
}

// Positions that were counted under another mapping or publication must not drop
// a change.
func TestL6PositionsOfAnotherPlanDropNothing(t *testing.T) {
	for _, plan := range []string{"", "new"} {
		inLab(t, traits{}, func(l *lab) {
			tx := l.commit(1, "1", "1")
			l.locked(func() {
				l.since(firstLSN, tx.end)
				// Ordinal 1 was another table's; k1's change was number 5.
				l.knows(1, change.Position{LSN: tx.commit, Ordinal: 5}, known("0"), known("0"))
			})
			l.history.records[0].values = [2]string{"1", "1"} // it was sent, as far as the checks go
			l.run(shape{plan: plan})
			l.saved(tx)
			l.locked(func() {
				if sent := len(l.crm.log) > 0; sent != (plan != "") {
					t.Errorf("plan %q: sent %q", plan, l.crm.log)
				}
			})
		})
	}
}

// A version goes out only below the bound that is on disk, and the bound is
// raised at once where nothing else would raise it (trap 5).
func TestR1NothingIsSentBeyondTheBoundOnDisk(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		down := true
		l.onCall = func(_ *process, what string) callFate {
			if what == "raise bound" && down {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		l.run(shape{})
		l.until("it streams", func() bool { return l.pg.holder != nil })
		l.locked(func() { l.pg.end += 64 << 20 }) // beyond any slack
		tx := l.commit(1, "1", "1")
		time.Sleep(time.Minute)
		l.locked(func() {
			if len(l.crm.log) > 0 {
				t.Errorf("sent beyond the bound %v: %q", l.state.bound, l.crm.log)
			}
			down = false
		})
		l.saved(tx)
	})
}

// Slot, then epoch with checkpoint and bound, and nothing is sent before the
// stream has passed what may have been sent.
func TestR2RedoBeforeSending(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		first := l.commit(1, "1", "1")
		last := l.commit(1, "2", same)
		l.locked(func() { l.since(firstLSN, last.end+1000) })
		var calls []string
		horizon := change.LSN(0)
		l.onCall = func(_ *process, what string) callFate {
			calls = append(calls, what)
			return callFate{}
		}
		l.onEvent = func(_ *process, ev *change.Event) {
			if ev.Kind == change.Commit {
				horizon = ev.End
			}
		}
		l.onRequest = func(*process, []sink.Job) string {
			if horizon < last.end {
				l.fault("sent while %v was read, and %v may have been sent before", horizon, last.end)
			}
			return ""
		}
		l.run(shape{})
		l.saved(last)
		l.locked(func() {
			opened, begun := slices.Index(calls, "open"), slices.Index(calls, "begin")
			if opened < 0 || begun < opened || !slices.Contains(calls[opened:begun], "identify") {
				t.Errorf("calls at the start: %v; the log's end and the ledger must be read once the slot is held", calls)
			}
			if n := len(l.requests("[k1")); n != 1 || first.end >= last.end {
				t.Errorf("sent: %q", l.crm.log)
			}
		})
	})
}

func TestR2PositionsThatContradictEachOtherStop(t *testing.T) {
	tests := map[string]func(l *lab){
		"beyond the end": func(l *lab) { l.since(l.pg.end+1000, l.pg.end+2000) },
		"confirmed up":   func(l *lab) { l.since(firstLSN, firstLSN); l.pg.confirmed = firstLSN + 10; l.pg.end += 100 },
	}
	for name, arrange := range tests {
		inLab(t, traits{}, func(l *lab) {
			l.locked(func() { arrange(l) })
			p := l.run(shape{})
			<-p.done
			var wrong interface{ Problems() []string }
			if !errors.As(p.err, &wrong) || !strings.Contains(p.err.Error(), name) {
				t.Errorf("%s: Run returned %v", name, p.err)
			}
			l.locked(func() {
				if l.pg.holder != nil {
					t.Error("the slot is still held")
				}
			})
		})
	}
}

// A queue that cannot hold what redo must read delivers what it can hold, pass by
// pass, also within one transaction, and also where the ledger remembers nothing
// of what was delivered (records that the CRM does not have).
func TestR3RedoWithAQueueThatIsTooSmall(t *testing.T) {
	for _, policy := range []change.Missing{change.Park, change.Skip, change.Create} {
		inLab(t, traits{policy: policy}, func(l *lab) {
			var tx *txn
			l.locked(func() {
				l.commitLate(0, l.row(1, "0", "0"))
				var changes []rowChange
				for id := 1; id <= 40; id++ {
					changes = append(changes, l.row(id, "1", "1"))
				}
				l.commitLate(0, changes...)
				l.commitLate(0, l.row(2, "2", same), l.row(30, "2", same))
				tx = l.commitLate(0, l.row(1, "3", same))
				l.since(firstLSN, l.pg.end+1000)
			})
			l.run(shape{buffer: 2000, batch: 2})
			l.saved(tx)
			l.crmHas(1, "3", "1")
			l.crmHas(2, "2", "1")
			l.locked(func() {
				if l.state.epoch < 4 {
					t.Errorf("%d sessions: the queue was not too small", l.state.epoch-1)
				}
				if n := len(l.requests("[k1 ")); n != 1 {
					t.Errorf("k1 was sent %d times: %q", n, l.requests("[k1 "))
				}
				l.history.checkEnd()
			})
		})
	}
}

// A restart with a smaller buffer cannot hold what was sent before the kill. The
// passes must not send the first versions of records that were sent as their last
// ones (trap 4).
func TestR3ASmallerBufferAfterARestart(t *testing.T) {
	inLab(t, traits{policy: change.Create}, func(l *lab) {
		const records = 40
		var tx *txn
		down := true
		l.onCall = func(_ *process, what string) callFate {
			if what == "settle" && down {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		l.locked(func() {
			for _, text := range []string{"1", "2", "3"} {
				for id := 1; id <= records; id++ {
					tx = l.commitLate(0, l.row(id, text, text))
				}
			}
			l.since(firstLSN, tx.end+1000)
		})
		p := l.run(shape{})
		l.until("the last versions are in the CRM, and nothing is settled", func() bool {
			for id := 1; id <= records; id++ {
				if r := l.crm.byKey[recordKey{0, keyName(id)}]; r == nil || r.values != [2]string{"3", "3"} {
					return false
				}
			}
			return true
		})
		l.crash(p, 0)
		l.locked(func() {
			down = false
			l.onRequest = func(_ *process, jobs []sink.Job) string {
				for _, j := range jobs {
					for prop := range j.Props.All() {
						if string(prop.Text) != "3" {
							l.fault("%s was sent %q after %q", j.Key, prop.Text, "3")
						}
					}
				}
				return ""
			}
		})
		l.run(shape{buffer: 2000, batch: 2})
		l.saved(tx)
		l.locked(func() {
			if l.state.epoch < 4 {
				t.Errorf("%d sessions: the queue was not too small", l.state.epoch-1)
			}
			l.history.checkEnd()
		})
	})
}

// The transaction that crosses the point of redo must not merge into what is sent
// below it: it may lie beyond the bound, which does not rise in redo.
func TestR3TheTransactionBeyondRedoStaysOut(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		var tx *txn
		l.locked(func() {
			for id := 1; id <= 20; id++ {
				l.commitLate(0, l.row(id, "1", "1"))
			}
			l.since(firstLSN, l.pg.end+10)
			l.pg.end += 64 << 20
			tx = l.commitLate(0, l.row(1, "2", same))
		})
		l.run(shape{buffer: 2000, batch: 2})
		l.saved(tx)
		l.crmHas(1, "2", "1")
	})
}

// The point of redo is not beyond the end of the flushed log: nothing beyond it
// was ever streamed, and an idle server would never reach it. It is exclusive: a
// keepalive says no more than that.
func TestR4RedoEndsOnAnIdleServer(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.locked(func() { l.since(firstLSN, firstLSN+100<<20) })
		p := l.run(shape{})
		l.until("redo has passed", func() bool { return p.pipeline.Status().Phase.Name == pipeline.Streaming })
	})
}

// A record may be twice in one transaction, the first half delivered.
func TestR5AccountedPositionsCountTheOrdinal(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		var tx *txn
		l.locked(func() {
			first := l.row(1, "1", "1")
			l.pg.rows[first.after.id] = first.after
			second := l.row(1, "2", same)
			delete(l.pg.rows, first.after.id)
			tx = l.commitLate(0, first, second)
			l.since(firstLSN, tx.end)
			l.knows(1, change.Position{LSN: tx.commit, Ordinal: 1}, known("1"), known("1"))
			r := l.history.records[0]
			r.values, r.written = [2]string{"1", "1"}, [2]bool{true, true}
		})
		l.run(shape{})
		l.saved(tx)
		l.crmHas(1, "2", "1")
	})
}

// What is accounted for is not sent again.
func TestR5AccountedChangesAreDropped(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		tx := l.commit(1, "1", "1")
		l.locked(func() {
			l.since(firstLSN, tx.end)
			l.knows(1, change.Position{LSN: tx.commit, Ordinal: 1}, known("1"), known("1"))
			r := l.history.records[0]
			r.values, r.written = [2]string{"1", "1"}, [2]bool{true, true}
		})
		l.run(shape{})
		l.saved(tx)
		l.locked(func() {
			if len(l.crm.log) > 0 {
				t.Errorf("sent: %q", l.crm.log)
			}
		})
	})
}

// What turns out to be unchanged is accounted for as well. The checkpoint says so;
// where something keeps that for long, the ledger does. Neither costs a call, and
// nothing of it is sent after a crash.
func TestR5UnchangedVersionsAreAccountedFor(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{batch: 1, inFlight: 4})
		l.commit(1, "0", "0")
		l.commit(2, "0", "0")
		l.saved(l.commit(3, "1", "1"))
		sent := func(key string) int { return len(l.requests("[" + key + " ")) }
		before := [2]int{sent("k2"), sent("k3")}

		unchanged := l.commit(2, "0", "0")
		l.saved(unchanged)
		l.locked(func() {
			if got := l.state.records[recordKey{0, "k2"}].accounted.LSN; got >= unchanged.commit {
				t.Errorf("the ledger was told of k2 at %v, though the checkpoint passed it", got)
			}
		})

		var release func()
		l.locked(func() { release = l.busy("k1") })
		l.commit(1, "1", "1")
		l.until("k1 is out", l.out("k1"))
		time.Sleep(time.Minute)
		unchanged = l.commit(2, "0", "0")
		l.until("k2 is accounted for", func() bool {
			return l.state.records[recordKey{0, "k2"}].accounted.LSN >= unchanged.commit
		})
		changed := l.commit(3, "2", same)
		l.until("k3 is accounted for", func() bool {
			return l.state.records[recordKey{0, "k3"}].accounted.LSN >= changed.commit
		})
		l.crash(p, 0)
		l.locked(release)
		if l.state.checkpoint > unchanged.commit {
			t.Errorf("the checkpoint %v is behind nothing", l.state.checkpoint)
		}
		l.run(shape{batch: 1, inFlight: 4})
		l.saved(l.commit(1, "2", same))
		l.crmHas(1, "2", "1")
		l.locked(func() {
			if got := [2]int{sent("k2"), sent("k3")}; got != [2]int{before[0], before[1] + 1} {
				t.Errorf("k2 and k3 were sent %d times, %d times before", got, before)
			}
		})
	})
}

// Unknown equals nothing, not even the value that the ledger held before.
func TestR6UnknownEqualsNothing(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		// a=2 is applied, but not heard of; the second attempt is refused.
		attempt := 0
		l.onRequest = func(*process, []sink.Job) string {
			if attempt++; attempt == 1 {
				r := l.history.records[0]
				r.values[0] = "x2"
				return "lost"
			}
			return ""
		}
		l.saved(l.commit(1, "x2", same))
		l.locked(func() {
			if got := l.state.records[recordKey{0, "k1"}].facts[0].State; got != change.Unknown {
				t.Errorf("fact of a after an attempt without an answer and a refusal: %v", got)
			}
		})
		// Back to what the ledger knew: it must be sent.
		l.saved(l.commit(1, "1", same))
		l.crmHas(1, "1", "1")
	})
}

// A version that comes back without an outcome, after an attempt that had no
// answer, is not compared with the ledger any more.
func TestR6HeldVersionsRememberAnUnansweredAttempt(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		attempt := 0
		l.onRequest = func(*process, []sink.Job) string {
			attempt++
			switch attempt {
			case 1:
				return "applied, not heard"
			case 2:
				return "held"
			}
			return ""
		}
		l.commit(1, "2", same)
		l.until("it is held", func() bool { return attempt == 2 })
		l.saved(l.commit(1, "1", same)) // merges into the version that came back
		l.crmHas(1, "1", "1")
	})
}

// NULL clears what was delivered, and leaves alone what the CRM had before.
func TestR8NullClearsWhatWasDelivered(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", null))
		l.crmHas(1, "1", "theirs b")
		l.saved(l.commit(1, null, null))
		l.crmHas(1, "", "theirs b")
	})
	// After an attempt without an answer that is now refused, the property counts
	// as delivered, also where the ledger never heard of the record.
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		attempt := 0
		l.onRequest = func(*process, []sink.Job) string {
			if attempt++; attempt == 1 {
				r := l.history.records[0]
				r.values[0], r.written[0] = "w1", true
				return "lost"
			}
			return ""
		}
		l.saved(l.commit(1, "w1", null))
		l.saved(l.commit(1, null, null))
		l.crmHas(1, "", "theirs b")
	})
}

// A value that the CRM accepts and does not store is sent once, and again when
// somebody asks; its letter is open until another value is delivered.
func TestR6AValueThatIsNotStoredIsNotSentWithEveryChange(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "n1", "1"))
		for _, b := range []string{"2", "3", "4"} {
			l.saved(l.commit(1, "n1", b))
			l.crmHas(1, substitute, b)
		}
		sent := func(want int) {
			t.Helper()
			l.locked(func() {
				if got := l.requests(`a="n1"`); len(got) != want {
					t.Errorf("sent %d times, want %d: %q", len(got), want, got)
				}
				if l.letterOf(1, 0) == nil {
					t.Error("the letter is gone")
				}
			})
		}
		sent(1)
		l.locked(func() {
			l.state.addBackfill(ledger.Backfill{
				Table: l.pg.tables[0].String(), Object: "companies0", Match: "key", Reason: pipeline.Retry, Keys: []string{"1"},
			})
		})
		l.until("it is sent again", func() bool { return len(l.requests(`a="n1"`)) == 2 })
		l.saved(l.commit(1, "n1", "5"))
		sent(2)
		l.saved(l.commit(1, "n2", "5"))
		l.saved(l.commit(1, "3", "5"))
		l.crmHas(1, "3", "5")
		l.locked(func() {
			if l.letterOf(1, 0) != nil {
				t.Error("the letter is open, though another value was delivered")
			}
		})
	})
}

// A reconnect is a restart: the queue is dropped, and redo comes first.
func TestR7AReconnectIsARestart(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		release := l.busy("k2")
		l.commit(2, "2", "2")
		l.until("k2 is out", l.out("k2"))
		l.locked(func() { release() })
		p.streaming.notice()
		tx := l.commit(1, "3", same)
		l.saved(tx)
		l.locked(func() {
			if l.state.epoch != 2 {
				t.Errorf("epoch %d after one reconnect", l.state.epoch)
			}
		})
		l.crmHas(1, "3", "1")
		l.crmHas(2, "2", "2")
	})
}

// An instance that was overtaken changes nothing in the ledger, stops, and waits
// for the slot.
func TestZ2AnOvertakenInstanceStops(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		release := l.busy("k1")
		old := l.run(shape{})
		l.commit(1, "1", "1")
		l.until("k1 is out", l.out("k1"))
		old.streaming.sever() // which it does not notice
		l.run(shape{})
		l.until("the other has begun", func() bool { return l.state.epoch == 2 })
		l.locked(func() {
			old.overtaken = false // its request is on the way
			release()
		})
		l.until("the old one has stopped", func() bool { return old.pipeline.Status().Phase.Name == pipeline.Standby })
		tx := l.commit(1, "2", same)
		l.saved(tx)
		l.crmHas(1, "2", "1")
		l.locked(func() {
			if l.state.epoch != 2 {
				t.Errorf("epoch %d: the old instance took over again", l.state.epoch)
			}
		})
	})
}

// A request begins only while the lease runs, and what waits goes on by itself
// once the ledger can be written again.
func TestZ3NothingIsSentWithoutWordFromTheLedger(t *testing.T) {
	inLab(t, traits{lease: 3 * time.Second}, func(l *lab) {
		p := l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		attempts := 0
		l.hook(func(p *process, _ []sink.Job) string {
			// They are two, four and eight seconds apart.
			if attempts++; attempts == 2 {
				p.down = true
			}
			return "unavailable"
		})
		l.commit(1, "2", "2")
		time.Sleep(5 * time.Minute)
		l.locked(func() {
			if attempts != 2 {
				t.Errorf("%d requests, 2 of them while the ledger could be written", attempts)
			}
			p.down, l.onRequest = false, nil
		})
		l.until("k1 is delivered", func() bool { return l.state.records[recordKey{0, "k1"}] != nil })
		l.saved(l.commit(2, "3", "3"))
		l.crmHas(1, "2", "2")
	})
}

// Whoever follows an instance that did not stop cleanly sends nothing until that
// one's lease is over, however often it starts over; after a clean stop it sends
// at once.
func TestZ3TheLeaseOfThePredecessorIsWaitedOut(t *testing.T) {
	const length = 3 * time.Second
	for name, tc := range map[string]struct {
		between func(l *lab, old *process) // on the way from one instance to the next
		waits   bool
	}{
		"killed":    {func(l *lab, old *process) { l.crash(old, 0) }, true},
		"overtaken": {func(_ *lab, old *process) { old.streaming.sever() }, true},
		"stopped":   {func(_ *lab, old *process) { old.terminate() }, false},
		"killed, and the next was stopped": {func(l *lab, old *process) {
			l.crash(old, 0)
			next := l.run(shape{})
			l.until("the next has begun", func() bool { return l.state.epoch == 2 })
			time.Sleep(time.Second)
			next.terminate()
		}, true},
		"killed, and the next lost its stream": {func(l *lab, old *process) {
			l.crash(old, 0)
			next := l.run(shape{})
			l.until("the next has begun", func() bool { return l.state.epoch == 2 })
			next.streaming.notice()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{lease: length}, func(l *lab) {
				old := l.run(shape{})
				l.saved(l.commit(1, "1", "1"))
				began := time.Now()
				tc.between(l, old)
				tx := l.commit(1, "2", "2")
				var first time.Time
				l.hook(func(p *process, _ []sink.Job) string {
					if first.IsZero() && p != old {
						first = time.Now()
					}
					return ""
				})
				if last := l.procs[len(l.procs)-1]; last == old || last.over() {
					l.run(shape{})
				}
				l.saved(tx)
				l.locked(func() {
					if waited := first.Sub(began) >= length; waited != tc.waits {
						t.Errorf("sent after %v", first.Sub(began))
					}
				})
				l.crmHas(1, "2", "2")
			})
		})
	}
}

// An idle instance writes nothing to keep its lease.
func TestZ3AnIdleInstanceDoesNotRenewItsLease(t *testing.T) {
	inLab(t, traits{lease: 3 * time.Second}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		time.Sleep(time.Minute)
		writes := 0
		l.locked(func() {
			l.onCall = func(_ *process, what string) callFate {
				if what == "raise bound" || what == "settle" {
					writes++
				}
				return callFate{}
			}
		})
		time.Sleep(time.Hour)
		l.locked(func() {
			if writes > 0 {
				t.Errorf("%d writes in an idle hour", writes)
			}
		})
	})
}

// A command that wants to know whether all is accounted for writes a mark: an idle
// instance saves that position at once, and a busy one not before the changes in
// front of it.
func TestASaveMarkIsSavedOnceItIsAccountedFor(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		mark := func() (tx *txn) {
			l.locked(func() { tx = l.pg.commit(l.pg.xid(), 100, 0, pipeline.SaveMark) })
			return tx
		}
		idle := mark()
		time.Sleep(3 * time.Second)
		l.locked(func() {
			if l.state.checkpoint < idle.commit {
				t.Errorf("checkpoint %v, the mark is at %v", l.state.checkpoint, idle.commit)
			}
		})
		release := l.busy("k2")
		l.commit(2, "1", "1")
		l.until("k2 is out", l.out("k2"))
		behind := mark()
		time.Sleep(time.Minute)
		l.locked(func() {
			if l.state.checkpoint >= behind.commit {
				t.Errorf("checkpoint %v passed the open change in front of the mark at %v", l.state.checkpoint, behind.commit)
			}
			release()
		})
		l.saved(behind)
	})
}

// Save first, confirm second; what is idle follows the log, but not while
// anything is open.
func TestConfirmFollowsWhatIsSaved(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		release := l.busy("k1")
		l.run(shape{})
		tx := l.commit(1, "1", "1")
		l.until("k1 is out", l.out("k1"))
		l.locked(func() { l.pg.end += 100 << 20 }) // other tables
		time.Sleep(5 * time.Minute)
		l.locked(func() {
			if l.state.checkpoint > tx.commit || l.pg.confirmed > tx.commit {
				t.Errorf("checkpoint %v, slot %v passed the open change at %v", l.state.checkpoint, l.pg.confirmed, tx.commit)
			}
			release()
		})
		l.until("the slot follows the log", func() bool { return l.pg.confirmed == l.pg.end })
		settles := l.state.settles
		l.locked(func() { l.pg.end += 1000 }) // as much as our own writes
		time.Sleep(time.Hour)
		l.locked(func() {
			if l.state.settles != settles {
				t.Errorf("%d settles in an idle hour: they would feed themselves", l.state.settles-settles)
			}
		})
	})
}

// Between BEGIN and COMMIT a keepalive says nothing.
func TestConfirmNothingInTheMiddleOfATransaction(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		var tx *txn
		l.onEvent = func(_ *process, ev *change.Event) {
			if tx != nil && ev.Kind == change.Begin {
				p.streaming.askAgain() // and the keepalive comes right after
			}
		}
		l.locked(func() { tx = l.commitLate(0, l.row(2, "!2", "2"), l.row(3, "3", "3")); l.pg.end += 100 << 20 })
		l.until("it is all delivered", func() bool { return l.state.checkpoint >= tx.end })
		l.crmHas(3, "3", "3")
	})
}

// An error that no waiting mends ends Run, wherever it happens.
func TestRunEndsOnAnErrorOfAWorker(t *testing.T) {
	wrong := &ledger.Error{Lines: []string{"the state schema is missing; run `pgcrm migrate`"}}
	for _, what := range []string{"lookup", "settle", "begin", "peek"} {
		inLab(t, traits{}, func(l *lab) {
			l.onCall = func(_ *process, call string) callFate {
				if call == what {
					return callFate{err: wrong}
				}
				return callFate{}
			}
			p := l.run(shape{})
			l.commit(1, "1", "1")
			l.until(fmt.Sprintf("Run ended on an error of %s", what), p.over)
			if !errors.Is(p.err, wrong) {
				t.Errorf("%s: Run returned %v", what, p.err)
			}
		})
	}
}

// TestAnotherServersSlotIsNotOpened has the state belong to other set-ups. To
// open their slot would already move it.
func TestAnotherServersSlotIsNotOpened(t *testing.T) {
	tests := map[string]func(*ledger.Instance){
		"another Postgres server":        func(in *ledger.Instance) { in.SystemID = "8" },
		"history does not know timeline": func(in *ledger.Instance) { in.Timeline = 3 },
		`database "other"`:               func(in *ledger.Instance) { in.Database = "other" },
	}
	for want, arrange := range tests {
		inLab(t, traits{}, func(l *lab) {
			l.locked(func() {
				l.since(firstLSN, firstLSN)
				arrange(&l.state.owner)
			})
			opened := false
			l.onCall = func(_ *process, what string) callFate {
				opened = opened || what == "open"
				return callFate{}
			}
			p := l.run(shape{})
			<-p.done
			var wrong interface{ Problems() []string }
			if !errors.As(p.err, &wrong) || !strings.Contains(p.err.Error(), want) {
				t.Errorf("%s: Run returned %v", want, p.err)
			}
			if opened {
				t.Errorf("%s: the slot was opened", want)
			}
		})
	}
}
