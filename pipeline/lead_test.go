package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
)

// A backlog that has few changes of one record is read as fast as it is sent while
// calls are plentiful, and into the buffer where they are not, or where nothing is
// sent. All of it arrives in any case.
func TestABacklogIsReadAsFastAsItIsSent(t *testing.T) {
	const rows = 12_000
	for name, tc := range map[string]struct {
		plentiful, down bool
		ahead           bool // nearly all of it waits at some time
	}{
		"plentiful":                 {plentiful: true},
		"scarce":                    {ahead: true},
		"plentiful, but out of use": {plentiful: true, down: true, ahead: true},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{policy: change.Skip, delay: 100 * time.Microsecond}, func(l *lab) {
				l.trace.off = true
				l.alter = func(cfg *pipeline.Config) { cfg.Plentiful = func() bool { return tc.plentiful } }
				p := l.run(shape{buffer: 100 << 20, batch: 2, inFlight: 1})
				l.saved(l.commit(1, "1", "1"))
				if tc.down {
					l.fates(slices.Repeat([]string{"unavailable"}, 20)...)
				}
				var last *txn
				for first := 100; first < 100+rows; first += 100 {
					changes := make([]rowChange, 100)
					l.locked(func() {
						for i := range changes {
							changes[i] = l.row(first+i, "v", "v")
						}
					})
					last = l.commitAll(changes...)
				}
				most := 0
				for saved := false; !saved; time.Sleep(10 * time.Millisecond) {
					most = max(most, p.pipeline.Status().Queue.Records)
					l.locked(func() { saved = l.state.checkpoint >= last.end })
				}
				if ahead := most > rows*2/3; ahead != tc.ahead {
					t.Errorf("%d of %d records waited at once", most, rows)
				}
			})
		})
	}
}

// While a backlog is read that has many changes of each record, a change waits for
// the next ones, but not once the reader has caught up.
func TestWhatIsLateWaitsForNewerChanges(t *testing.T) {
	for name, tc := range map[string]struct {
		linger time.Duration
		few    bool // requests
	}{
		"held":       {linger: time.Second, few: true},
		"never held": {},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, traits{}, func(l *lab) {
				l.trace.off = true
				l.alter = func(cfg *pipeline.Config) { cfg.Linger = tc.linger }
				p := l.run(shape{})
				l.saved(l.commit(1, "0", "0"))
				p.terminate()
				var last *txn
				for range 2000 {
					for id := 1; id <= 3; id++ {
						l.commit(id, "some", "text")
						last = l.commit(id, "other", "text")
					}
				}
				time.Sleep(time.Minute)
				sent := 0
				l.locked(func() { sent = len(l.crm.log) })
				l.run(shape{})
				l.saved(last)
				l.locked(func() {
					if n := len(l.crm.log) - sent; (n <= 20) != tc.few {
						t.Errorf("%d requests", n)
					}
				})
				l.crmHas(3, "other", "text")
				began := time.Now()
				l.saved(l.commit(1, "now", "now"))
				if waited := time.Since(began); waited > 500*time.Millisecond {
					t.Errorf("a change of now was settled after %v", waited)
				}
			})
		})
	}
}
