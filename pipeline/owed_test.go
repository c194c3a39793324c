package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

func (l *lab) properties(unfit string) { l.locked(func() { l.waitsFor = unfit }) }

// owes checks that the loads of the reason are in the ledger, each once.
func (l *lab) owes(reason string, want int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, b := range l.state.backfills {
		if b.Reason == reason {
			n++
		}
	}
	if n != want {
		l.t.Errorf("%d loads %q, want %d", n, reason, want)
	}
}

// A mapping whose properties the CRM has no longer sends nothing and holds nothing
// up: what changes is owed to it, by one load, which comes once it is put right.
func TestAMappingThatWaitsForPropertiesLetsTheLogGo(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		p := l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		l.properties("property a is gone")
		l.saved(l.commit(1, "2", "2"))
		l.saved(l.commit(2, "2", "2"))
		l.crmHas(1, "1", "1")
		l.crmHas(2, "theirs a", "theirs b")
		l.owes(pipeline.Mended, 1)
		held := p.pipeline.Status().Held
		if len(held) != 1 || held["public.t0 -> companies0"] != "property a is gone" {
			t.Errorf("held is %v", held)
		}
		time.Sleep(time.Minute)
		l.crmHas(1, "1", "1")
		l.properties("")
		l.until("k1 is up to date", func() bool { return l.crm.byKey[recordKey{0, "k1"}].values == [2]string{"2", "2"} })
		l.until("nothing waits", func() bool { return len(p.pipeline.Status().Held) == 0 })
		l.saved(l.commit(3, "3", "3"))
		l.crmHas(3, "3", "3")
		l.owes(pipeline.Mended, 1)
	})
}

// What was sent before the mapping waited, and got no answer, is not known any
// more: a row that is as it was before is sent.
func TestWhatWaitsMayHaveBeenSent(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		attempt := 0
		l.run(shape{})
		l.saved(l.commit(1, "1", "1"))
		l.hook(func(*process, []sink.Job) string {
			if attempt++; attempt == 1 {
				return "applied, not heard"
			}
			l.waitsFor = "property a is gone"
			return "held"
		})
		l.saved(l.commit(1, "2", same))
		l.hook(nil)
		l.saved(l.commit(1, "1", same))
		l.crmHas(1, "2", "1")
		l.locked(func() {
			if f := l.state.records[recordKey{0, "k1"}].facts[0]; f.State != change.Unknown {
				t.Errorf("the ledger says %+v of what nobody knows", f)
			}
		})
		l.properties("")
		l.until("k1 is up to date", func() bool { return l.crm.byKey[recordKey{0, "k1"}].values == [2]string{"1", "1"} })
	})
}

// A load that is under way when its mapping begins to wait stops, and is gone on
// with where it was.
func TestALoadStopsWhereItsMappingWaits(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		for id := 1; id <= 3; id++ {
			l.before(id, "1", "1")
		}
		l.hook(func(*process, []sink.Job) string { l.waitsFor = "property a is gone"; return "" })
		p := l.run(shape{backfill: true, chunk: 1, batch: 1, inFlight: 1})
		time.Sleep(time.Minute)
		l.locked(func() {
			if b := l.state.backfills[0]; b.State == ledger.Done {
				t.Errorf("a load of a mapping that waits has ended: %+v", b)
			}
		})
		loads := p.pipeline.Status().Backfills
		if !slices.ContainsFunc(loads, func(b pipeline.BackfillStatus) bool { return b.Waiting == "property a is gone" }) {
			t.Errorf("no load says why it waits: %+v", loads)
		}
		l.hook(nil)
		l.properties("")
		l.loaded()
		l.crmHas(3, "1", "1")
	})
}
