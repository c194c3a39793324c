package e2e

import (
	"net/url"
	"testing"
	"time"
)

// through has the program reach Postgres through a wire.
func (w *world) through(t *testing.T) (wired *world, pg *wire) {
	t.Helper()
	source, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	pg = newWire(t, source.Host)
	source.Host = pg.address()
	return w.with("PGCRM_DATABASE_URL=" + source.String()), pg
}

// TestStrandedConnectionsAreNoticed: a firewall forgets the connections to
// Postgres, of which neither side learns. The program finds out by itself and goes
// on over new ones; or a second instance takes over, whose connections are others.
func TestStrandedConnectionsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, standby := range []bool{false, true} {
		t.Run(map[bool]string{false: "alone", true: "with a standby"}[standby], func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			w.seed(1)
			w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 0)")
			wired, pg := w.through(t)
			firstURL := wired.listening()
			first := wired.start()
			w.arrives(first, 1, "seats=0")
			instances := []*process{first}
			if standby {
				secondURL := w.listening()
				instances = append(instances, w.start())
				isState(t, secondURL, "standby")
			}
			stranded := time.Now()
			pg.strand()
			w.exec("UPDATE accounts SET seats = 1")
			w.arrives(first, 1, "seats=1")
			t.Logf("arrived %s after", time.Since(stranded).Round(100*time.Millisecond))
			if standby { // which has let it know that it was overtaken, or it found out before
				isState(t, firstURL, "standby")
			} else {
				isState(t, firstURL, "streaming")
				if !first.log.contains("taken for dead") {
					t.Error("the log does not say why")
				}
			}
			w.exec("UPDATE accounts SET seats = 2")
			w.arrives(first, 1, "seats=2")
			w.settles(first)
			for _, p := range instances {
				if code := p.stop(); code != 0 {
					t.Errorf("exit code %d", code)
				}
			}
		})
	}
}

// TestASilentNetworkIsNoticed: nothing comes from Postgres any more, over no
// connection old or new. The program says so, and goes on when it is over.
func TestASilentNetworkIsNoticed(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 0)")
	wired, pg := w.through(t)
	page := wired.listening()
	p := wired.start()
	w.arrives(p, 1, "seats=0")
	pg.set(weather{freezeDown: true})
	isState(t, page, "reconnecting")
	if !p.log.contains("taken for dead") {
		t.Error("the log does not say why")
	}
	pg.set(weather{})
	w.exec("UPDATE accounts SET seats = 1")
	w.arrives(p, 1, "seats=1")
	w.settles(p)
}
