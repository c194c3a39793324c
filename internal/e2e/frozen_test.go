package e2e

import (
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopOnAFrozenNetwork: neither neighbour answers any more, and connections
// stay open. The program ends all the same, in the time that it was given,
// wherever it is.
func TestStopOnAFrozenNetwork(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"streaming", "in flight", "standing by"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			w.seed(2)
			source, err := url.Parse(w.url)
			if err != nil {
				t.Fatal(err)
			}
			pg, crm := newWire(t, source.Host), newWire(t, strings.TrimPrefix(w.crm, "http://"))
			source.Host = pg.address()
			wired := w.with("PGCRM_DATABASE_URL="+source.String(), "HUBSPOT_BASE_URL=http://"+crm.address(), "PGCRM_SHUTDOWN_TIMEOUT=2s")
			var first *process
			if where == "standing by" {
				first = w.start()
				w.streams(first)
			}
			p := wired.start()
			frozen := weather{freezeUp: true, freezeDown: true}
			if where == "standing by" {
				eventually(t, patience, func() string {
					if p.log.contains("phase=standby") {
						return ""
					}
					return "not standing by"
				})
				pg.set(frozen)
				// It asks for the slot again and again, and now hangs in that.
				time.Sleep(3 * time.Second)
			} else {
				w.streams(p)
				if where == "in flight" {
					crm.set(frozen)
					w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 1)")
					eventually(t, patience, func() string {
						if crm.waiting() > 0 {
							return ""
						}
						return "no call is under way"
					})
				}
				pg.set(frozen)
				crm.set(frozen)
			}
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			// Two seconds as it was told, and as long as the goodbyes may take.
			if code := p.wait(25 * time.Second); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
