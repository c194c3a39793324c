package pipeline_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// lab is a quiet world for tests of one rule: one table, three records, and
// nothing happens but what the test does.
type lab struct {
	*world
	t     *testing.T
	procs []*process
}

// inLab runs a test of a rule. In the end the CRM must be f(database).
func inLab(t *testing.T, tr traits, test func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr.tables = 1
		if tr.delay == 0 {
			tr.delay = time.Millisecond
		}
		l := &lab{world: newWorld(tr), t: t}
		for id := 1; id <= 3; id++ {
			l.theirs(id)
		}
		defer l.end()
		test(l)
	})
}

func (l *lab) end() {
	for _, p := range l.procs {
		if !p.over() {
			l.crash(p, 0)
		}
	}
	for _, f := range l.faults {
		l.t.Error(f)
	}
	if l.t.Failed() {
		l.t.Log("what happened:\n" + strings.Join(l.trace.all(), "\n"))
	}
}

// theirs is a record that the CRM had before.
func (l *lab) theirs(id int) *record {
	r := l.history.of(0, keyName(id))
	r.exists, r.key, r.before = true, keyName(id), [2]string{"theirs a", "theirs b"}
	r.values = r.before
	l.crm.byKey[recordKey{0, r.key}] = r
	return r
}

func keyName(id int) string { return "k" + strconv.Itoa(id) }

func (l *lab) run(sh shape) *process {
	if sh.buffer == 0 {
		sh.buffer = 1 << 20
	}
	if sh.batch == 0 {
		sh.batch = 10
	}
	if sh.inFlight == 0 {
		sh.inFlight = 2
	}
	if sh.chunk == 0 {
		sh.chunk = 2
	}
	p := l.start("p"+strconv.Itoa(len(l.procs)+1), sh)
	l.procs = append(l.procs, p)
	return p
}

// null and same are cells of a change: a NULL, and a TOASTed value left alone.
const (
	null = "\x00null"
	same = "\x00same"
)

// row sets a row, as an insert or as an update. Call it with the lock held.
func (l *lab) row(id int, a, b string) rowChange {
	before := l.pg.rows[rowID{0, id}]
	after := row{id: rowID{0, id}, key: keyName(id)}
	c := rowChange{before: before, carries: [2]bool{true, b != same}}
	if before != nil {
		after = *before
	}
	for slot, text := range [...]string{a, b} {
		switch text {
		case same:
		case null:
			after.cells[slot] = cell{null: true}
		default:
			after.cells[slot] = cell{text: text}
		}
	}
	c.after = &after
	return c
}

// commit writes a transaction of one row.
func (l *lab) commit(id int, a, b string) *txn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commitLate(0, l.row(id, a, b))
}

func (l *lab) commitLate(late time.Duration, changes ...rowChange) *txn {
	return l.pg.commit(l.pg.xid(), 1000, late, "", changes...)
}

// until waits for something to become true.
func (l *lab) until(what string, cond func() bool) {
	l.t.Helper()
	for range 60_000 {
		l.mu.Lock()
		ok := cond()
		l.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatalf("never came true: %s", what)
}

// saved waits for the checkpoint to reach the end of the transaction.
func (l *lab) saved(tx *txn) {
	l.t.Helper()
	l.until("checkpoint at "+tx.end.String(), func() bool { return l.state.checkpoint >= tx.end })
}

// crmHas checks a record.
func (l *lab) crmHas(id int, a, b string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := l.crm.byKey[recordKey{0, keyName(id)}].values; got != [2]string{a, b} {
		l.t.Errorf("the CRM has %q of %s, want %q", got, keyName(id), [2]string{a, b})
	}
}

// requests are those so far that hold the text.
func (l *lab) requests(text string) []string {
	var found []string
	for _, r := range l.crm.log {
		if strings.Contains(r, text) {
			found = append(found, r)
		}
	}
	return found
}

func (l *lab) locked(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// letterOf is the open letter of a record's property, nil for none.
func (l *lab) letterOf(id, slot int) *letter {
	return l.state.letters[letterKey{0, 0, keyName(id), slot}]
}

// knows puts a record into the ledger, as delivered at the position.
func (l *lab) knows(id int, at change.Position, a, b change.Fact) {
	l.state.records[recordKey{0, keyName(id)}] = &stored{accounted: at, crmID: "1", facts: []change.Fact{a, b}}
}

func known(text string) change.Fact {
	return change.Fact{State: change.Known, Fingerprint: fingerprint([]byte(text))}
}

// since makes a ledger that an earlier process left: checkpoint and bound.
func (l *lab) since(checkpoint, bound change.LSN) {
	st := &l.state
	st.exists, st.epoch, st.checkpoint, st.bound = true, 1, checkpoint, bound
	st.owner = ledger.Instance{SystemID: "7", Timeline: 1, Database: "app"}
}
