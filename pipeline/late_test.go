package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// fates are what becomes of requests, one after the other; then all is well.
func (l *lab) fates(fates ...string) {
	l.hook(func(*process, []sink.Job) (fate string) {
		if len(fates) > 0 {
			fate, fates = fates[0], fates[1:]
		}
		return fate
	})
}

// No fence keeps a request from taking effect whose answer was not heard. Whoever
// settles its record in the end, the row is in the list of those to be sent once more.
func TestZ4ARequestWithoutAnAnswerOutlivesItsSession(t *testing.T) {
	for name, tc := range map[string]struct {
		lease time.Duration
		after func(l *lab) // the first request was lost; brings the record to be settled
	}{
		"answered, but not settled": {after: func(l *lab) {
			old := l.procs[0]
			l.locked(func() {
				l.onCall = func(_ *process, what string) callFate {
					if what == "settle" && l.state.epoch == 1 {
						return callFate{err: errNetwork}
					}
					return callFate{}
				}
			})
			l.until("it is answered", func() bool { return l.crm.byKey[recordKey{0, "k1"}].values[0] == "1" })
			old.streaming.notice()
		}},
		"held, and then stopped": {after: func(l *lab) {
			l.until("the mapping is held", func() bool { return len(l.crm.log) == 1 && l.crm.out[recordKey{0, "k1"}] == nil })
			l.procs[0].terminate()
			l.run(shape{})
		}},
		"held, and sent again": {after: func(*lab) {}},
		"killed, and the next lost its stream": {lease: 3 * time.Second, after: func(l *lab) {
			l.until("it was sent", func() bool { return len(l.crm.log) > 0 })
			l.crash(l.procs[0], 0)
			next := l.run(shape{})
			l.until("the next has begun", func() bool { return l.state.epoch == 2 })
			next.streaming.notice()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{lease: tc.lease}, func(l *lab) {
				l.alter = func(cfg *pipeline.Config) { cfg.LateWindow = time.Hour }
				l.run(shape{})
				l.until("it has begun", func() bool { return l.state.epoch == 1 })
				switch name {
				case "answered, but not settled", "killed, and the next lost its stream":
					l.fates("lost")
				default:
					l.fates("lost", "held")
				}
				tx := l.commit(1, "1", "1")
				tc.after(l)
				l.saved(tx)
				l.crmHas(1, "1", "1")
				l.locked(func() {
					if !slices.Contains(l.state.late, "1") {
						t.Errorf("rows in doubt: %q", l.state.late)
					}
				})
			})
		})
	}
}

// To send a row once more is a request as any other: it is in doubt where its own
// answer is not heard, and not because somebody was killed long ago.
func TestZ4SendingOnceMoreIsDoneOnce(t *testing.T) {
	inLab(t, traits{}, func(l *lab) {
		l.alter = func(cfg *pipeline.Config) { cfg.LateWindow = time.Hour }
		l.run(shape{})
		l.until("it has begun", func() bool { return l.state.epoch == 1 })
		l.fates("lost")
		tx := l.commit(1, "1", "1")
		l.until("it was sent", func() bool { return len(l.crm.log) > 0 })
		l.crash(l.procs[0], 0)
		l.run(shape{})
		l.saved(tx)
		var once []string
		var id int64
		l.locked(func() {
			once = slices.Clone(l.state.late)
			id = l.state.addBackfill(ledger.Backfill{
				Table: l.pg.tables[0].String(), Object: "companies0", Match: "key", Reason: pipeline.Late, Keys: []string{"1"},
			})
		})
		l.until("it is sent once more", func() bool { return l.state.backfill(id).State == ledger.Done })
		l.locked(func() {
			if len(once) == 0 || !slices.Equal(l.state.late, once) {
				t.Errorf("rows in doubt: %q, and then %q", once, l.state.late)
			}
			if n := len(l.requests("ok")); n != 2 {
				t.Errorf("%d requests were answered, want that of redo and the one that repairs", n)
			}
		})
	})
}

// A stop is clean where every request was answered, though nothing came of it: the
// next instance need not wait out a lease, nor send twice what it sends.
func TestZ3AStopIsCleanWhereNothingMayTakeEffectLater(t *testing.T) {
	for fate, clean := range map[string]bool{"unavailable": true, "held": true, "lost": false} {
		t.Run(fate, func(t *testing.T) {
			inLab(t, traits{}, func(l *lab) {
				l.run(shape{})
				l.hook(func(*process, []sink.Job) string { return fate })
				l.commit(1, "1", "1")
				l.until("it is out", l.out("k1"))
				time.Sleep(time.Minute)
				l.procs[0].terminate()
				l.locked(func() {
					if l.state.clean != clean {
						t.Errorf("the stop was clean: %v", l.state.clean)
					}
				})
			})
		})
	}
}
