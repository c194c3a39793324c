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
