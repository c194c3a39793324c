package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// writes lists the portal's writes of the company since an entry, as
// "name=value,name=value". The match value, by which results are told apart,
// goes along with each and is left out.
func (w *world) writes(id any, since int64) []string {
	w.t.Helper()
	company, _ := w.portal.Find("companies", "account_id", fmt.Sprint(id))
	var list []string
	for _, e := range w.portal.Journal(since) {
		if e.ID != company.ID {
			continue
		}
		var pairs []string
		for _, p := range e.Properties {
			if p.Name != "account_id" {
				pairs = append(pairs, p.Name+"="+p.Value)
			}
		}
		list = append(list, strings.Join(pairs, ","))
	}
	return list
}

// fault sets faults and returns a function that removes all of them.
func (w *world) fault(fs ...hubspotsim.Fault) {
	w.t.Helper()
	if err := w.portal.AddFaults(fs...); err != nil {
		w.t.Fatal(err)
	}
}

// term sends the signal that asks the process to end.
func (p *process) term() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// TestStopFinishesCallsInFlight: a call that has left is waited for and settled,
// so that the next start sends nothing again.
func TestStopFinishesCallsInFlight(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(2)
	p := w.start()
	w.streams(p)
	before := w.portal.Stats().Journal
	w.fault(hubspotsim.Fault{Effect: hubspotsim.DelayAfter, Op: "update", Delay: hubspotsim.Duration(2 * time.Second)})
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 1)")
	w.arrives(p, 1, "name=One") // and is not answered yet
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	w.portal.ClearFaults()

	p = w.start()
	w.streams(p)
	w.exec("INSERT INTO accounts VALUES (2, 'Two', 'team', 2)")
	w.arrives(p, 2, "name=Two")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := w.writes(1, before); len(got) != 1 {
		t.Errorf("company 1 was written %d times: %q", len(got), got)
	}
}

// TestStopWhileTheCRMIsAway: what merely waits for its next attempt is not
// waited for, whatever the timeout; it is read again from the log.
func TestStopWhileTheCRMIsAway(t *testing.T) {
	t.Parallel()
	daily := hubspotsim.Unthrottled()
	daily.Daily = 1
	for _, c := range []struct {
		name string
		away func(w *world)
		back func(w *world)
	}{
		{
			name: "outage",
			away: func(w *world) { w.fault(hubspotsim.Fault{Effect: hubspotsim.Status, Status: 503}) },
			back: func(w *world) { w.portal.ClearFaults() },
		},
		{
			name: "token revoked",
			away: func(w *world) { w.portal.RevokeToken(hubspotsim.DefaultToken) },
			back: func(w *world) { w.portal.AddToken(hubspotsim.Token{Value: hubspotsim.DefaultToken}) },
		},
		{
			name: "daily limit",
			away: func(w *world) { w.portal.SetLimits(daily) },
			back: func(w *world) { w.portal.SetLimits(hubspotsim.Unthrottled()) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			w.seed(1)
			w.env["PGCRM_SHUTDOWN_TIMEOUT"] = "1h"
			p := w.start()
			w.streams(p)
			c.away(w)
			calls := w.calls("update")
			w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 1)")
			eventually(t, patience, func() string {
				p.alive()
				if w.calls("update") == calls {
					return "no call yet"
				}
				return ""
			})
			if code := p.stop(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			c.back(w)
			p = w.start()
			w.arrives(p, 1, "name=One", "plan=free", "seats=1")
		})
	}
}

// TestStopDuringSetUp: the CRM does not answer yet.
func TestStopDuringSetUp(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.fault(hubspotsim.Fault{Effect: hubspotsim.Status, Status: 503})
	url := w.listening()
	p := w.start()
	eventually(t, patience, func() string {
		p.alive()
		if w.calls("properties.list") == 0 {
			return "no call yet"
		}
		return ""
	})
	if status, body, err := get(t.Context(), url+"/healthz"); status != 200 {
		t.Errorf("/healthz: %d %s %v", status, body, err)
	}
	if status, body, err := get(t.Context(), url+"/readyz"); status != 503 || !strings.Contains(body, "starting") {
		t.Errorf("/readyz: %d %s %v", status, body, err)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestStopGivesUpOnCallsThatHang: after the timeout, or at the second signal.
func TestStopGivesUpOnCallsThatHang(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		timeout string
		signals int
		code    int
	}{
		{"after the timeout", "500ms", 1, 0},
		{"at the second signal", "1h", 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := oneWorld(t)
			w.seed(1)
			w.env["PGCRM_SHUTDOWN_TIMEOUT"] = c.timeout
			p := w.start()
			w.streams(p)
			w.fault(hubspotsim.Fault{Effect: hubspotsim.Hang, Op: "update"})
			w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 1)")
			eventually(t, patience, func() string {
				if w.portal.Stats().Faults[hubspotsim.Hang] == 0 {
					return "no call yet"
				}
				return ""
			})
			p.term()
			if c.signals > 1 {
				eventually(t, patience, func() string {
					if !p.log.contains("msg=stopping") {
						return "the signal was not noticed"
					}
					return ""
				})
				p.term()
			}
			if code := p.wait(patience); code != c.code {
				t.Errorf("exit code %d, not %d", code, c.code)
			}
			w.portal.ClearFaults()
			p = w.start()
			w.arrives(p, 1, "name=One")
		})
	}
}

// TestTokenRefusedLater: the CRM side pauses, readiness stays, and a rotated
// token is taken up.
func TestTokenRefusedLater(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(1)
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hubspotsim.DefaultToken)
	w.env = w.with("HUBSPOT_ACCESS_TOKEN=", "HUBSPOT_ACCESS_TOKEN_FILE="+file).env
	url := w.listening()
	p := w.start()
	w.streams(p)
	if got := metric(t, url, `pgcrm_paused{reason="credentials"}`); got != "0" {
		t.Errorf("paused is %q before", got)
	}

	w.portal.RevokeToken(hubspotsim.DefaultToken)
	w.exec("INSERT INTO accounts VALUES (1, 'One', 'free', 1)")
	eventually(t, patience, func() string {
		p.alive()
		if got := metric(t, url, `pgcrm_paused{reason="credentials"}`); got != "1" {
			return "paused is " + got
		}
		return ""
	})
	for _, page := range []string{"/healthz", "/readyz"} {
		if status, body, err := get(t.Context(), url+page); status != 200 {
			t.Errorf("%s: %d %s %v", page, status, body, err)
		}
	}
	if status, body, err := get(t.Context(), url+"/readyz?strict"); status != 503 || !strings.Contains(body, "HUBSPOT_ACCESS_TOKEN") {
		t.Errorf("/readyz?strict: %d %s %v", status, body, err)
	}
	if !p.log.contains("HUBSPOT_ACCESS_TOKEN: ") {
		t.Error("the log does not name the setting")
	}

	w.portal.AddToken(hubspotsim.Token{Value: "pat-na1-geheim-new"})
	write("pat-na1-geheim-new")
	w.arrives(p, 1, "name=One")
	eventually(t, patience, func() string {
		status, body, err := get(t.Context(), url+"/readyz?strict")
		if status != 200 {
			return "/readyz?strict: " + body + errText(err)
		}
		return ""
	})
	if got := metric(t, url, `pgcrm_paused{reason="credentials"}`); got != "0" {
		t.Errorf("paused is %q after", got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, token := range []string{hubspotsim.DefaultToken, "geheim"} {
		if p.log.contains(token) {
			t.Error("a token is in the log")
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// metric scrapes one series; empty if there is none.
func metric(t testing.TB, url, series string) string {
	t.Helper()
	_, body, err := get(t.Context(), url+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
