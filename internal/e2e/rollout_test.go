package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// TestARollout replaces two replicas by two new ones as a Deployment does: a new
// one is ready before an old one is told to stop. Somebody is ready all the time, each
// stop is clean, and every change arrives.
func TestARollout(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 0)")
	type replica struct {
		p   *process
		url string
	}
	ready := func(r replica) string {
		r.p.alive()
		status, body, err := get(t.Context(), r.url+"/readyz")
		if err != nil || status != http.StatusOK {
			return fmt.Sprint(status, body, err)
		}
		return ""
	}
	surge := func() replica {
		url := w.listening()
		r := replica{w.start(), url}
		eventually(t, patience, func() string { return ready(r) })
		return r
	}
	running := []replica{surge()}
	w.arrives(running[0].p, 1, "seats=0")
	running = append(running, surge())

	seats := 0
	for range 2 { // the old ones, the one that works first
		fresh := surge()
		running = append(running, fresh)
		old := running[0]
		running = running[1:]
		seats++
		w.exec("UPDATE accounts SET seats = $1 WHERE id = 1", seats)
		if code := old.p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		seats++
		w.exec("UPDATE accounts SET seats = $1 WHERE id = 1", seats)
		eventually(t, patience, func() string {
			waiting := ""
			for _, r := range running {
				if waiting = ready(r); waiting == "" {
					break
				}
			}
			if waiting != "" {
				t.Errorf("nobody is ready: %s", waiting)
			}
			return w.lacks(1, fmt.Sprintf("seats=%d", seats))
		})
	}
	for _, r := range running {
		if code := r.p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	w.neverBack("seats")
}

// neverBack fails where a later write of a number is lower than an earlier one.
func (w *world) neverBack(property string) {
	w.t.Helper()
	last := ""
	for _, e := range w.portal.Journal(0) {
		text, ok := e.Properties.Get(property)
		if !ok {
			continue
		}
		if len(text) < len(last) || len(text) == len(last) && text < last {
			w.t.Errorf("write %d takes %s from %s back to %s", e.Seq, property, last, text)
		}
		last = text
	}
}
