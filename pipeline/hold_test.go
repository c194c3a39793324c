package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

func above(n int64) *int64 { return &n }

// many sets rows in one transaction. Call it with the lock held.
func (l *lab) many(from, to int, text string) *txn {
	var changes []rowChange
	for id := from; id <= to; id++ {
		changes = append(changes, l.row(id, text, text))
	}
	return l.commitLate(0, changes...)
}

// waits waits for something to be held, and returns it.
func (l *lab) waits(p *process) ledger.Held {
	l.t.Helper()
	var held []ledger.Held
	l.until("something is held", func() bool {
		held = p.pipeline.Status().Waiting
		return len(held) == 1
	})
	return held[0]
}

// quiet checks that for a while nothing is sent of the records.
func (l *lab) quiet(keys ...string) {
	l.t.Helper()
	time.Sleep(time.Minute)
	l.locked(func() {
		for _, key := range keys {
			if sent := l.requests("[" + key + " "); len(sent) > 0 {
				l.t.Errorf("sent while held: %q", sent)
			}
		}
	})
}

func (l *lab) resume() { l.locked(l.state.resume) }

// A transaction that would change more records than is let go waits whole, keeps
// the checkpoint, and later changes of its records merge into it, while all others
// go on. Let go, its records are sent once, as they are by then.
func TestHoldATransactionWaits(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{hold: above(1)})
		var big *txn
		l.locked(func() { big = l.many(1, 2, "1") })
		held := l.waits(p)
		want := []ledger.HeldSample{
			{Table: "public.t0", Row: "1", Object: "companies0", Match: "key", Key: "k1", Properties: []string{"a", "b"}},
			{Table: "public.t0", Row: "2", Object: "companies0", Match: "key", Key: "k2", Properties: []string{"a", "b"}},
		}
		if held.Records != 2 || held.Partial || held.Commit != big.commit || fmt.Sprint(held.Samples) != fmt.Sprint(want) {
			t.Errorf("held is %+v, want %+v", held, want)
		}
		l.commit(3, "3", "3")
		l.until("k3 is settled", func() bool { return l.state.records[recordKey{0, "k3"}] != nil })
		tx := l.commit(1, "2", same)
		l.quiet("k1", "k2")
		l.locked(func() {
			if l.state.checkpoint > big.commit || l.pg.confirmed > big.commit {
				t.Errorf("checkpoint %v, confirmed %v: passed the held %v", l.state.checkpoint, l.pg.confirmed, big.commit)
			}
		})
		l.resume()
		l.saved(tx)
		l.crmHas(1, "2", "1")
		l.crmHas(2, "1", "1")
		l.crmHas(3, "3", "3")
		l.locked(func() {
			if n := len(l.requests("[k1 ")); n != 1 {
				t.Errorf("k1 was sent %d times", n)
			}
		})
		l.until("it is forgotten", func() bool { return len(l.state.holds) == 0 && len(p.pipeline.Status().Waiting) == 0 })
	})
}

// As many records as the setting says go unasked.
func TestHoldLetsGoWhatIsNotMore(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{hold: above(3)})
		var tx *txn
		l.locked(func() { tx = l.many(1, 3, "0") })
		l.saved(tx)
		l.crmHas(3, "0", "0")
		if held := p.pipeline.Status().Waiting; len(held) != 0 {
			t.Errorf("held %+v", held)
		}
	})
}

// Counted are records that would change as far as the ledger knows, each once:
// all but one row of the transaction alter nothing.
func TestHoldCountsNoRowThatAltersNothing(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		var tx *txn
		l.locked(func() { tx = l.many(1, 3, "0") })
		first := l.run(shape{})
		l.saved(tx)
		first.terminate()
		p := l.run(shape{hold: above(1)})
		l.locked(func() {
			one := l.row(1, "1", "1")
			l.pg.rows[one.after.id] = one.after
			two := l.row(1, "2", "2")
			l.pg.rows[one.after.id] = one.before
			tx = l.commitLate(0, one, two, l.row(2, "0", "0"), l.row(3, "0", same))
		})
		l.saved(tx)
		l.crmHas(1, "2", "2")
		if held := p.pipeline.Status().Waiting; len(held) != 0 {
			t.Errorf("held %+v", held)
		}
	})
}

// After a kill redo finds the transaction again, under the same digest; a person
// may let it go while no process lives.
func TestHoldIsFoundAgainAfterAKill(t *testing.T) {
	for _, dead := range []bool{false, true} {
		inLab(t, traits{}, func(l *lab) {
			p := l.run(shape{hold: above(1)})
			var tx *txn
			l.locked(func() { l.many(1, 2, "1") })
			before := l.waits(p)
			l.locked(func() { tx = l.commitLate(0, l.row(1, "2", same)) })
			l.commit(3, "3", "3")
			l.until("k3 is settled", func() bool { return l.state.records[recordKey{0, "k3"}] != nil })
			l.crash(p, 0)
			if dead {
				l.resume()
			}
			p = l.run(shape{hold: above(1)})
			if !dead {
				after := l.waits(p)
				if after.Digest != before.Digest || after.Records != before.Records {
					t.Errorf("held %+v before the kill, %+v after", before, after)
				}
				l.quiet("k1", "k2")
				l.resume()
			}
			l.saved(tx)
			l.crmHas(1, "2", "1")
			l.crmHas(2, "1", "1")
		})
	}
}

// What a person has let go is not held again by the process that finds half of it
// sent.
func TestHoldIsNotAskedForTwice(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{hold: above(1), batch: 1, inFlight: 1})
		var tx *txn
		l.locked(func() { tx = l.many(1, 3, "1") })
		l.waits(p)
		release := l.busy("k2")
		l.resume()
		l.until("k1 is settled", func() bool { return l.state.records[recordKey{0, "k1"}] != nil })
		l.crash(p, 0)
		release()
		p = l.run(shape{hold: above(1)})
		l.saved(tx)
		l.locked(func() {
			if n := strings.Count(strings.Join(l.trace.all(), "\n"), p.name+" holds"); n != 0 {
				t.Error("it was held again")
			}
		})
	})
}

// Rows that are put right do not wait for a person: nothing of it is sent.
func TestHoldEndsWhereTheChangeIsTakenBack(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		var tx *txn
		l.locked(func() { tx = l.many(1, 3, "0") })
		p := l.run(shape{hold: above(2)})
		l.until("held", func() bool { return len(l.state.holds) == 1 })
		l.resume()
		l.saved(tx)
		l.locked(func() { l.many(1, 3, "1") })
		l.waits(p)
		l.locked(func() { tx = l.many(1, 3, "0") })
		l.saved(tx)
		l.locked(func() {
			for id := 1; id <= 3; id++ {
				if n := len(l.requests("[" + keyName(id) + " ")); n != 1 {
					t.Errorf("%s was sent %d times", keyName(id), n)
				}
			}
			if len(l.state.holds) != 0 {
				t.Errorf("the ledger holds %+v", l.state.holds)
			}
		})
	})
}

// A transaction larger than the buffer: nothing of it is sent before it is known
// that it need not wait, and memory stays within the buffer.
func TestHoldATransactionLargerThanTheBuffer(t *testing.T) {
	for name, c := range map[string]struct {
		above   int64
		held    bool
		partial bool // more of it is not read, or not counted
		kill    bool
	}{
		"too much fits":                         {above: 2, held: true, partial: true},
		"too much fits, and a kill":             {above: 2, held: true, partial: true, kill: true},
		"too much does not fit":                 {above: 20, held: true, partial: true},
		"too much does not fit, and a kill":     {above: 20, held: true, partial: true, kill: true},
		"just too much does not fit":            {above: 39, held: true},
		"just too much does not fit and a kill": {above: 39, held: true, kill: true},
		"not too much":                          {above: 40},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{policy: change.Create}, func(l *lab) {
				sh := shape{hold: &c.above, buffer: 4000, batch: 2}
				p := l.run(sh)
				early := l.commit(41, "0", "0")
				l.saved(early)
				var tx *txn
				l.locked(func() { tx = l.many(1, 40, "1") })
				if c.held {
					before := l.waits(p)
					if before.Records <= c.above || before.Records > 40 {
						t.Errorf("held %+v", before)
					}
					if c.kill {
						l.crash(p, 0)
						p = l.run(sh)
						if after := l.waits(p); after.Digest != before.Digest {
							t.Errorf("held %+v before the kill, %+v after", before, after)
						}
					} else if before.Partial != c.partial {
						t.Errorf("held %+v", before)
					}
					l.quiet("k1", "k2", "k40")
					if st := p.pipeline.Status(); st.Queue.Bytes > 5000 {
						t.Errorf("the queue has %d bytes", st.Queue.Bytes)
					}
					l.resume()
				}
				l.saved(tx)
				for _, id := range []int{1, 2, 20, 40} {
					l.crmHas(id, "1", "1")
				}
				l.commit(1, "2", same)
				tx = l.commit(41, "2", "2")
				l.saved(tx)
				l.locked(func() {
					l.history.checkEnd()
					if held := len(l.state.holds); c.held == (strings.Count(strings.Join(l.trace.all(), "\n"), " holds ") == 0) {
						t.Errorf("held: %v; %d left", !c.held, held)
					}
				})
			})
		})
	}
}

// Rows that alter nothing make room for the rest of their transaction.
func TestHoldManyRowsThatAlterNothing(t *testing.T) {
	inLab(t, traits{policy: change.Create}, func(l *lab) {
		var tx *txn
		l.locked(func() { tx = l.many(1, 40, "1") })
		first := l.run(shape{})
		l.saved(tx)
		first.terminate()
		p := l.run(shape{hold: above(2), buffer: 4000})
		l.until("streaming", func() bool { return p.pipeline.Status().Phase.Name == pipeline.Streaming })
		l.locked(func() {
			sent := len(l.crm.log)
			tx = l.many(1, 39, "1")
			l.t.Cleanup(func() {
				if len(l.crm.log) != sent {
					t.Errorf("sent %q", l.crm.log[sent:])
				}
			})
		})
		l.saved(tx)
		if held := p.pipeline.Status().Waiting; len(held) != 0 {
			t.Errorf("held %+v", held)
		}
	})
}

// Two transactions that share a record: it goes when both are let go.
func TestHoldTwoTransactions(t *testing.T) {
	inLab(t, traits{policy: change.Create}, func(l *lab) {
		p := l.run(shape{hold: above(1)})
		l.locked(func() { l.many(1, 2, "1") })
		l.waits(p)
		var tx *txn
		l.locked(func() { tx = l.many(2, 3, "2") })
		l.until("both are held", func() bool { return len(p.pipeline.Status().Waiting) == 2 })
		l.locked(func() { l.state.holds[0].ResumedAt = time.Now() })
		l.until("k1 is settled", func() bool { return l.state.records[recordKey{0, "k1"}] != nil })
		l.quiet("k2", "k3")
		l.resume()
		l.saved(tx)
		l.crmHas(1, "1", "1")
		l.crmHas(2, "2", "2")
		l.crmHas(3, "2", "2")
	})
}

// A first load waits before its first chunk, also after a kill; changes go on.
func TestHoldAFirstLoadWaits(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		for id := 1; id <= 3; id++ {
			l.before(id, "1", "1")
		}
		sh := shape{backfill: true, hold: above(2)}
		p := l.run(sh)
		before := l.waits(p)
		if before.Records != 3 || before.Backfill == 0 {
			t.Errorf("held %+v", before)
		}
		st := p.pipeline.Status()
		if len(st.Backfills) != 1 || !strings.Contains(st.Backfills[0].Waiting, "pgcrm resume "+before.Digest) {
			t.Errorf("the status says %+v", st.Backfills)
		}
		tx := l.commit(1, "2", same)
		l.saved(tx)
		l.quiet("k2", "k3")
		l.crash(p, 0)
		p = l.run(sh)
		if after := l.waits(p); after.Digest != before.Digest {
			t.Errorf("held %+v before the kill, %+v after", before, after)
		}
		l.quiet("k2", "k3")
		l.resume()
		l.loaded()
		l.crmHas(1, "2", "1")
		l.crmHas(3, "1", "1")
		if p.pipeline.Status().Phase.Name != pipeline.Streaming {
			l.until("streaming", func() bool { return p.pipeline.Status().Phase.Name == pipeline.Streaming })
		}
	})
}

// Without the setting, what was held goes on.
func TestHoldIsOverWithoutTheSetting(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{hold: above(0)})
		tx := l.commit(1, "1", "1")
		l.waits(p)
		p.terminate()
		l.run(shape{})
		l.saved(tx)
		l.crmHas(1, "1", "1")
		l.locked(func() {
			if !slices.Equal(l.state.holds, nil) {
				t.Errorf("the ledger holds %+v", l.state.holds)
			}
		})
	})
}

// A transaction that filled the queue, and whose rest merged into what was there,
// leaves nothing out, and what follows is taken as ever.
func TestHoldCountingEndsWithItsTransaction(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.before(1, "1", "1")
		p := l.run(shape{hold: above(5), buffer: 800})
		l.until("streaming", func() bool { return p.pipeline.Status().Phase.Name == pipeline.Streaming })
		var tx *txn
		l.locked(func() {
			first := l.row(2, "1", "1")
			l.pg.rows[first.after.id] = first.after
			again := l.row(2, "2", "2")
			delete(l.pg.rows, first.after.id)
			tx = l.commitLate(0, first, l.row(3, "2", "2"), again)
		})
		l.saved(tx)
		l.locked(func() {
			if l.state.epoch != 1 || !strings.Contains(strings.Join(l.trace.all(), "\n"), "transaction_counted") {
				t.Errorf("%d sessions; it was to be counted within one", l.state.epoch)
			}
			l.state.addBackfill(ledger.Backfill{Table: "public.t0", Object: "companies0", Match: "key", Reason: pipeline.Asked})
		})
		l.loaded()
		l.crmHas(1, "1", "1")
		l.crmHas(2, "2", "2")
	})
}
