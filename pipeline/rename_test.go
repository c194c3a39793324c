package pipeline_test

import (
	"testing"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// rekey gives a row's change another key. Call it with the lock held.
func (l *lab) rekey(id int, key, a, b string) rowChange {
	c := l.row(id, a, b)
	c.after.key = key
	if b == same {
		c.toasted, c.carries[1] = true, true // a full old row has it
	}
	return c
}

func (l *lab) commitAll(changes ...rowChange) (tx *txn) {
	l.locked(func() { tx = l.commitLate(0, changes...) })
	return tx
}

// again starts a process that begins where the first one did, as after a kill
// right before anything was confirmed but after all was settled.
func (l *lab) again() *process {
	l.crash(l.procs[len(l.procs)-1], 0)
	l.locked(func() {
		l.state.checkpoint, l.pg.confirmed = firstLSN, firstLSN
	})
	return l.run(shape{})
}

// A record is renamed, and what is read again of the time before neither makes it
// anew under the old key nor renames whoever has that key now.
func TestARenameThatWasSettledIsNotDoneAgain(t *testing.T) {
	inLab(t, traits{full: true, policy: change.Create}, func(l *lab) {
		l.run(shape{})
		l.commitAll(l.row(10, "a@3", "b@3"))                // k10 is made
		l.commitAll(l.rekey(10, "k11", "a@3", same))        // and renamed
		l.commitAll(l.rekey(10, "k12", "c@3", same))        // twice
		l.commitAll(l.row(10, "c@3", "d@3"))                // and changed
		tx := l.commitAll(l.keyed(20, "k10", "g@4", "h@4")) // another takes its first key
		l.saved(tx)
		sent := 0
		l.locked(func() { sent = len(l.crm.log) })
		l.again()
		tx = l.commitAll(l.row(10, "e@3", same))
		l.saved(tx)
		l.locked(func() {
			for _, r := range l.crm.log[sent:] {
				t.Logf("after the restart: %s", r)
			}
			if n := len(l.crm.byKey); n != 3+2 {
				t.Errorf("the CRM has %d records, want the three of before, k10 and k12", n)
			}
			l.history.checkEnd()
			if len(l.state.letters) > 0 {
				t.Errorf("letters: %v", l.state.letters)
			}
		})
	})
}

// keyed is an insert of a row with a key of its own choice.
func (l *lab) keyed(id int, key, a, b string) rowChange {
	c := l.row(id, a, b)
	c.after.key = key
	return c
}

// A rename that was settled, with a change after it that was not: the change goes
// to the record under its new key, and the old key's new owner is left alone.
func TestAChangeAfterASettledRenameGoesToTheNewKey(t *testing.T) {
	inLab(t, traits{full: true, policy: change.Create}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "a@0", "b@0"))
		l.saved(l.commitAll(l.rekey(1, "k11", "a@0", same)))
		l.saved(l.commitAll(l.keyed(20, "k1", "g@3", "h@3")))
		down := true
		l.onCall = func(_ *process, what string) callFate {
			if what == "settle" && down {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		l.commitAll(l.row(1, "b@0", same))
		l.until("it was sent", func() bool { return len(l.requests("a=\"b@0\"")) > 0 })
		l.locked(func() { down = false })
		l.again()
		l.saved(l.commitAll(l.row(1, "c@0", same)))
		l.locked(func() {
			if n := len(l.requests("k1=>k11")); n != 1 {
				t.Errorf("renamed %d times", n)
			}
			l.history.checkEnd()
		})
	})
}

// A rename that the CRM refuses leaves the record under its old key, also in the
// ledger.
func TestARefusedRenameLeavesTheRecordWhereItIs(t *testing.T) {
	inLab(t, traits{full: true}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "a@0", "b@0"))
		attempt := 0
		l.onRequest = func(*process, []sink.Job) string {
			if attempt++; attempt == 1 {
				return "lost"
			}
			return ""
		}
		l.saved(l.commitAll(l.rekey(1, "k11", "w@0", same)))
		l.locked(func() {
			old, renamed := l.state.records[recordKey{0, "k1"}], l.state.records[recordKey{0, "k11"}]
			if old == nil || old.facts[0].State != change.Unknown || renamed != nil {
				t.Errorf("the ledger has %+v under the old key and %+v under the new one", old, renamed)
			}
			if l.state.letters[letterKey{0, 0, "k11", ledger.WholeRecord}] == nil {
				t.Error("no letter")
			}
		})
	})
}

// A rename that is made again after a kill, of a record that was never delivered to,
// leaves another alone that was given the old key since.
func TestARenameIsOfTheRecordThatItWasMeantFor(t *testing.T) {
	inLab(t, traits{full: true, policy: change.Skip}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "a@0", "b@0"))
		l.saved(l.commitAll(l.keyed(10, "k10", "g@3", "h@3"))) // the CRM has none such
		killed := false
		l.onRequest = func(_ *process, jobs []sink.Job) string {
			if !killed && jobs[0].Key == "k2" {
				return "lost" // it holds the checkpoint back
			}
			return ""
		}
		l.onCall = func(_ *process, what string) callFate {
			if what == "settle" && !killed && len(l.requests("k1=>k10")) > 0 {
				return callFate{err: errNetwork}
			}
			return callFate{}
		}
		l.commit(2, "a@1", "b@1")
		l.until("the checkpoint is held", func() bool { return len(l.requests("k2 ")) > 0 })
		l.commitAll(l.rekey(10, "k11", "i@3", same))
		l.until("the rename of nothing was tried", func() bool { return len(l.requests("k10=>k11")) > 0 })
		l.commitAll(l.rekey(1, "k10", "c@0", "d@0"))
		l.until("the other was renamed", func() bool { return len(l.requests("k1=>k10")) > 0 })
		l.crash(l.procs[0], 0)
		l.locked(func() { killed = true })
		l.run(shape{})
		l.saved(l.commitAll(l.row(1, "e@0", same)))
		l.locked(func() {
			if n := len(l.requests("k10=>k11")); n != 1 {
				t.Errorf("it was renamed %d times", n)
			}
			if r := l.crm.byKey[recordKey{0, "k10"}]; r == nil || r.n != 0 || r.values != [2]string{"e@0", "d@0"} {
				t.Errorf("under k10 there is %+v", r)
			}
			if r := l.crm.byKey[recordKey{0, "k11"}]; r != nil {
				t.Errorf("under k11 there is %+v", r)
			}
		})
	})
}

// The id of a record that nothing was delivered to is saved before it is renamed,
// and the rename is made by it.
func TestAnIDIsSavedBeforeARename(t *testing.T) {
	inLab(t, traits{full: true}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "w@0", "b@0")) // the CRM refuses all of it
		var by []string
		l.onRequest = func(_ *process, jobs []sink.Job) string {
			for i := range jobs {
				if jobs[i].RenameTo != "" {
					r := l.state.records[recordKey{0, "k1"}]
					if r == nil || r.crmID != jobs[i].CRMID {
						t.Errorf("the ledger has %+v of what is renamed by the id %q", r, jobs[i].CRMID)
					}
					by = append(by, jobs[i].CRMID)
				}
			}
			return ""
		}
		l.saved(l.commitAll(l.rekey(1, "k11", "c@0", "d@0")))
		l.locked(func() {
			if len(by) != 1 || by[0] != l.crm.byKey[recordKey{0, "k11"}].id {
				t.Errorf("renamed by the ids %q", by)
			}
		})
	})
}

// What was learnt of the record that had the new key says nothing of the one that is
// to get it.
func TestAnIDIsThatOfTheOldKey(t *testing.T) {
	inLab(t, traits{full: true}, func(l *lab) {
		l.run(shape{})
		l.saved(l.commit(1, "w@0", "b@0")) // the CRM refuses all of it
		var by, want string
		l.onRequest = func(_ *process, jobs []sink.Job) string {
			by = jobs[0].CRMID
			return ""
		}
		l.locked(func() {
			want = l.crm.byKey[recordKey{0, "k1"}].id
			l.state.records[recordKey{0, "k11"}] = &stored{crmID: "another", facts: make([]change.Fact, 2)}
		})
		l.saved(l.commitAll(l.rekey(1, "k11", "c@0", "d@0")))
		l.locked(func() {
			if by != want {
				t.Errorf("renamed by the id %q, want %q", by, want)
			}
		})
	})
}

// A change that found no record, and is read again after a kill, leaves the record
// alone that was given its key since; so does the change of its key.
func TestAChangeOfNoRecordIsNotSentToTheKeysNextOwner(t *testing.T) {
	for name, next := range map[string]string{"the key": "k10", "the key that it was given": "k11"} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{full: true, policy: change.Skip}, func(l *lab) {
				l.run(shape{})
				l.saved(l.commit(1, "a@0", "b@0"))
				killed := false
				l.onRequest = func(_ *process, jobs []sink.Job) string {
					if !killed && jobs[0].Key == "k2" {
						return "lost" // it holds the checkpoint back
					}
					return ""
				}
				l.onCall = func(_ *process, what string) callFate {
					if what == "settle" && !killed && len(l.requests("k1=>"+next)) > 0 {
						return callFate{err: errNetwork}
					}
					return callFate{}
				}
				l.commit(2, "a@1", "b@1")
				l.until("the checkpoint is held", func() bool { return len(l.requests("k2 ")) > 0 })
				l.commitAll(l.keyed(10, "k10", "g@3", "h@3")) // the CRM has none such
				l.until("it was tried", func() bool { return len(l.requests("[k10 ")) > 0 })
				l.commitAll(l.rekey(10, "k11", "i@3", same))
				l.until("the rename of nothing was tried", func() bool { return len(l.requests("k10=>k11")) > 0 })
				l.commitAll(l.rekey(10, "k12", "i@3", same))
				l.until("the next one was tried", func() bool { return len(l.requests("k11=>k12")) > 0 })
				l.commitAll(l.rekey(1, next, "c@0", "d@0"))
				l.until("the other was renamed", func() bool { return len(l.requests("k1=>"+next)) > 0 })
				l.crash(l.procs[0], 0)
				l.locked(func() { killed = true })
				l.run(shape{})
				l.saved(l.commitAll(l.row(1, "e@0", same)))
				l.locked(func() {
					if r := l.crm.byKey[recordKey{0, next}]; r == nil || r.n != 0 || r.values != [2]string{"e@0", "d@0"} {
						t.Errorf("under %s there is %+v", next, r)
					}
				})
			})
		})
	}
}

// That another record has the old key by now tells that the rename is settled, and
// nothing of the changes after it.
func TestAChangeAfterARenameOfNothingIsAccountedForByItself(t *testing.T) {
	inLab(t, traits{full: true}, func(l *lab) {
		l.run(shape{batch: 1, inFlight: 4})
		l.saved(l.commit(1, "a@0", "b@0"))
		killed := false
		l.onRequest = func(_ *process, jobs []sink.Job) string {
			if !killed && (jobs[0].Key == "k2" || jobs[0].Key == "k11") {
				return "lost" // it holds the checkpoint back, or is never heard of
			}
			return ""
		}
		l.commit(2, "a@1", "b@1")
		l.until("the checkpoint is held", func() bool { return len(l.requests("k2 ")) > 0 })
		l.commitAll(l.keyed(10, "k10", "g@3", "h@3")) // the CRM has none such
		l.commitAll(l.rekey(10, "k11", "i@3", same))
		l.until("the rename of nothing is settled", func() bool { return l.letterOf(11, ledger.WholeRecord) != nil })
		l.commitAll(l.row(10, "j@3", same))
		l.commitAll(l.rekey(1, "k10", "c@0", "d@0"))
		l.until("the other has its key", func() bool { return l.state.records[recordKey{0, "k10"}] != nil })
		l.crash(l.procs[0], 0)
		l.locked(func() { killed = true })
		l.run(shape{})
		l.saved(l.commitAll(l.row(1, "e@0", same)))
		l.locked(func() {
			if n := len(l.requests("p2 [k11 a=\"j@3\"")); n == 0 {
				t.Errorf("the change after the rename was not tried again: %q", l.crm.log)
			}
		})
	})
}
