package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const pageMapping = `
version: 1
tables:
  public.accounts:
    match: {account_id: id}
    properties:
      name: name
      plan: plan
      seats: seats
  public.visits:
    match: {account_id: account_id}
    properties:
      visits: {column: n}
`

// TestStatusPage drives the page in a browser, beside a database that changes, a
// load that takes its time, calls that fail and records that are parked.
// PGCRM_TEST_PAGE names the directory that holds playwright-core, as make
// test-page installs it; PGCRM_TEST_SHOTS one to put pictures into.
func TestStatusPage(t *testing.T) {
	modules := os.Getenv("PGCRM_TEST_PAGE")
	if modules == "" {
		t.Skip("the status page is looked at in a browser by make test-page")
	}
	browser, node := browserAndNode(t)
	t.Parallel()

	const secret, token = "NO-SUCH-PLAN-4711", "open sesame, with a space"
	limits := hubspotsim.DefaultLimits()
	limits.Daily = 20_000
	w := newWorldOn(t, pgtest.Shared(t), `
		CREATE TABLE accounts (id int PRIMARY KEY, name text, plan text, seats int);
		CREATE TABLE visits (account_id int PRIMARY KEY, n int);
		INSERT INTO accounts SELECT i, 'Account ' || i, 'FREE', i FROM generate_series(1, 300) i;
		INSERT INTO visits SELECT i, i FROM generate_series(1, 60000) i;
	`, pageMapping, hubspotsim.Options{
		Limits: &limits,
		Properties: map[string][]hubspotsim.Property{"companies": {
			hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "FREE", "TEAM"), hubspotsim.Number("seats"), hubspotsim.Number("visits"),
		}},
	})
	w.seed(60_000)
	w.env["PGCRM_ADMIN_TOKEN"] = token
	w.exec("INSERT INTO accounts SELECT 900000 + i, 'Nobody ' || i, 'TEAM', 1 FROM generate_series(1, 4) i")
	w.exec("UPDATE accounts SET plan = $1 WHERE id IN (3, 7)", secret)
	url := w.listening()
	p := w.start()
	eventually(t, patience, func() string {
		p.alive()
		if !p.log.contains("slot_taken") {
			return "no slot yet"
		}
		if got := len(w.letters()); got < 6 {
			return fmt.Sprintf("%d letters", got)
		}
		return ""
	})

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		w.keepChanging(ctx)
	}()
	cmd := exec.CommandContext(ctx, node, filepath.Join("page", "page.mjs"))
	cmd.Env = append(os.Environ(), "PAGE_URL="+url, "PAGE_TOKEN="+token, "PAGE_SECRET="+secret,
		"PAGE_BROWSER="+browser, "PAGE_MODULES="+modules, "PAGE_SHOTS="+os.Getenv("PGCRM_TEST_SHOTS"))
	out, err := cmd.CombinedOutput()
	cancel()
	<-changed
	p.alive()
	t.Logf("the browser says:\n%s", out)
	if err != nil || !strings.Contains(string(out), "ok  the phone's page goes well") {
		t.Fatalf("the page does not do what it should: %v", err)
	}
}

// keepChanging gives the page something to show until ctx ends.
func (w *world) keepChanging(ctx context.Context) {
	conn := connect(w.t, w.url)
	for i := 0; ctx.Err() == nil; i++ {
		_, _ = conn.Exec(ctx, "UPDATE accounts SET seats = seats + 1 WHERE id = $1", 10+i%200) // ctx may have ended
		_, _ = conn.Exec(ctx, "UPDATE accounts SET name = name WHERE id = $1", 10+i%200)
		select {
		case <-ctx.Done():
		case <-time.After(60 * time.Millisecond):
		}
	}
}

// browserAndNode skips the test where one of them is missing.
func browserAndNode(t *testing.T) (browser, node string) {
	t.Helper()
	for _, name := range []string{os.Getenv("PGCRM_TEST_BROWSER"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no Chromium on this machine: apt-get install chromium, or name one with PGCRM_TEST_BROWSER")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node.js on this machine: apt-get install nodejs")
	}
	return browser, node
}
