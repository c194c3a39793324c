package pipeline_test

import (
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// The ledger may be compared with only where it knows the CRM: a value that was
// sent before a kill and changed back is not unchanged (trap 1).
func TestTrap1AValueThatWasChangedBackIsSent(t *testing.T) {
	for name, back := range map[string]string{"changed back": "1", "turned NULL": null, "turned unsendable": "!2"} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{}, func(l *lab) {
				l.commit(1, "2", "2") // sent and applied, and then the process was killed
				last := l.commit(1, back, same)
				l.locked(func() {
					l.since(firstLSN, firstLSN+1<<20)
					if back != null {
						l.knows(1, change.Position{LSN: firstLSN - 100, Ordinal: 1}, known("1"), change.Fact{})
					}
					r := l.history.records[0]
					r.values, r.written = [2]string{"2", "2"}, [2]bool{true, true}
				})
				l.run(shape{})
				l.saved(last)
				switch back {
				case "1":
					l.crmHas(1, "1", "2")
				case null:
					l.crmHas(1, "", "2")
				default:
					l.locked(func() {
						if l.letterOf(1, 0) == nil {
							t.Error("no letter")
						}
					})
					l.saved(l.commit(1, "1", same)) // what the ledger knew
					l.crmHas(1, "1", "2")
				}
			})
		})
	}
}

// The log's end, the checkpoint and the bound count as they are once the slot is
// held: until then the instance that held it went on (trap 7).
func TestTrap7TheLastHolderWentOnUntilTheSlotChangedHands(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		first := l.commit(1, "90", "90")
		l.locked(func() { l.since(firstLSN, first.end) })
		l.when("open", func() {
			l.commitLate(0, l.row(1, "110", same))
			l.state.bound = l.pg.end + 1000
			r := l.history.records[0]
			r.values, r.written, r.sent = [2]string{"110", "90"}, [2]bool{true, true}, [2]int{1, 0}
		})
		l.run(shape{})
		l.until("all is settled", func() bool { return l.state.checkpoint >= l.pg.end })
		l.crmHas(1, "110", "90")
	})
}

// A newer version that is delivered closes the letter of what it carried, and of
// nothing else (trap 9).
func TestTrap9LettersArePerProperty(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "x1")) // b is refused
		l.saved(l.commit(2, "w1", "1")) // the record is
		for id := 1; id <= 2; id++ {
			l.saved(l.commit(id, "2", same))
		}
		l.locked(func() {
			if l.letterOf(1, 1) == nil {
				t.Error("k1: b was never delivered, and its letter is gone")
			}
			if letter := l.letterOf(2, ledger.WholeRecord); letter == nil || !letter.owed[1] || letter.owed[0] {
				t.Errorf("k2: the letter is %+v, want one that owes b", letter)
			}
		})
		l.saved(l.commit(1, "2", "2"))
		l.saved(l.commit(2, "2", "2"))
		l.locked(func() {
			if len(l.state.letters) > 0 {
				t.Errorf("letters are left: %v", l.state.letters)
			}
		})
		l.crmHas(1, "2", "2")
		l.crmHas(2, "2", "2")
	})
}

// A row that addresses no record owes all that the mapping writes: when it
// addresses one again, the change may leave out what came meanwhile.
func TestTrap9ARowWithoutARecordOwesEverything(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		rekey := func(c rowChange, key string) rowChange {
			c.after.key = key
			return c
		}
		l.locked(func() { l.commitLate(0, rekey(l.row(1, "1", "2"), "!k1")) })
		var tx *txn
		l.locked(func() { tx = l.commitLate(0, rekey(l.row(1, "3", same), "k1")) })
		l.saved(tx)
		l.crmHas(1, "3", "1")
		l.locked(func() {
			if l := l.state.letters[letterKey{0, 1, "1", ledger.WholeRecord}]; l == nil || !l.owed[1] || l.owed[0] {
				t.Errorf("the letter is %+v, want one that owes b", l)
			}
		})
		l.saved(l.commit(1, "3", "3"))
		l.locked(func() {
			if len(l.state.letters) > 0 {
				t.Error("the letter is still open")
			}
		})
		l.crmHas(1, "3", "3")
	})
}

// While the CRM is away the queue fills up and merges on; the stream is kept
// alive though nobody reads it.
func TestAFullQueueKeepsTheStreamAlive(t *testing.T) {
	inLab(t, traits{policy: change.Create}, func(l *lab) {
		p := l.run(shape{buffer: 1500, batch: 2})
		l.until("it streams", func() bool { return l.pg.holder != nil })
		l.locked(func() { l.crm.down = true })
		var tx *txn
		for id := 1; id <= 30; id++ {
			tx = l.commit(id, "1", "1")
		}
		time.Sleep(5 * time.Minute)
		l.locked(func() {
			before := p.streaming.updates
			l.mu.Unlock()
			time.Sleep(5 * time.Minute)
			l.mu.Lock()
			if n := p.streaming.updates - before; n < 25 {
				t.Errorf("%d chances for a status update in five minutes", n)
			}
			l.crm.down = false
		})
		l.saved(tx)
		l.locked(l.history.checkEnd)
	})
}

// A stop ends within its timeout whoever is away, and what had no answer leaves
// no mark of a clean stop.
func TestAStopEndsInTime(t *testing.T) {
	away := map[string]func(l *lab, p *process){
		"nobody":     func(*lab, *process) {},
		"the CRM":    func(l *lab, _ *process) { l.crm.down = true },
		"the ledger": func(_ *lab, p *process) { p.down = true },
	}
	for name, leave := range away {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{}, func(l *lab) {
				p := l.run(shape{})
				l.saved(l.commit(1, "1", "1"))
				l.locked(func() { leave(l, p) })
				l.commit(2, "2", "2")
				time.Sleep(10 * time.Second)
				began := time.Now()
				p.terminate()
				if took := time.Since(began); p.err != nil || took > time.Minute {
					t.Errorf("stopped after %v with %v", took, p.err)
				}
				l.locked(func() {
					if clean := l.state.clean; clean != (name == "nobody") {
						t.Errorf("clean: %v", clean)
					}
				})
			})
		})
	}
}
