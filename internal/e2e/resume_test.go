package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const (
	resumeSchema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan text);
INSERT INTO accounts SELECT g, 'Account ' || g, 'free' FROM generate_series(1, 40) AS g;`
	resumeMapping = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, plan: plan}
`
)

// heldNow is what the status page says of the one change that waits.
func (w *world) heldNow(p *process, url string) (held struct {
	What, Reason, Digest string
	Records              int64
	AtLeast              bool `json:"at_least"`
	Samples              []string
},
) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		_, body, _ := get(w.t.Context(), url+"/api/status")
		var status struct {
			Held []json.RawMessage
		}
		if err := json.Unmarshal([]byte(body), &status); err != nil {
			return err.Error()
		}
		if len(status.Held) != 1 {
			return fmt.Sprintf("%d changes are held", len(status.Held))
		}
		if err := json.Unmarshal(status.Held[0], &held); err != nil {
			return err.Error()
		}
		return ""
	})
	return held
}

// A first load and a transaction that would change too much wait, are found again
// after a kill -9, and go on when a person says so; all else goes on meanwhile.
func TestALargeChangeWaitsForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, resumeSchema, resumeMapping, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(41)
	url := w.listening()
	w = w.with("PGCRM_HOLD_ABOVE=10")
	resume := func(args ...string) (int, string, string) {
		return run(t, w.environ(), append([]string{"resume"}, args...)...)
	}

	p := w.start()
	load := w.heldNow(p, url)
	if load.Records != 40 || len(load.Samples) != 5 || !strings.Contains(load.What, "load 1 of public.accounts") {
		t.Errorf("held is %+v", load)
	}
	w.exec("INSERT INTO accounts VALUES (41, 'Account 41', 'free')")
	w.arrives(p, 41, "name=Account 41")
	if why := w.lacks(1, "name="); why != "" {
		t.Errorf("sent while its load waits: %s", why)
	}
	if code, body, _ := get(t.Context(), url+"/readyz?strict"); code != 503 || !strings.Contains(body, load.Digest) {
		t.Errorf("readyz?strict is %d: %s", code, body)
	}
	if code, out, err := resume(load.Digest); code != 0 || !strings.Contains(out, "the running instance carries it out") {
		t.Fatalf("exit code %d: %s%s", code, out, err)
	}
	w.arrives(p, 40, "name=Account 40")

	w.settles(p)
	w.exec("UPDATE accounts SET plan = 'team' WHERE id <= 30")
	big := w.heldNow(p, url)
	if big.Records != 30 || big.AtLeast || len(big.Samples) != 5 || big.Digest == load.Digest {
		t.Errorf("held is %+v", big)
	}
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 1")
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 35")
	w.arrives(p, 35, "name=Renamed")
	p.kill()

	p = w.start()
	if again := w.heldNow(p, url); again.Digest != big.Digest || again.Records != 30 {
		t.Errorf("held was %+v before the kill, and is %+v", big, again)
	}
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 36")
	w.arrives(p, 36, "name=Renamed")
	for _, id := range []int{1, 2, 30} {
		if why := w.lacks(id, fmt.Sprintf("name=Account %d", id), "plan=free"); why != "" {
			t.Errorf("sent while held: %s", why)
		}
	}
	for _, line := range []string{"held", "records=30", "digest=" + big.Digest, "rows of public.accounts (plan)", "pgcrm resume " + big.Digest} {
		if !p.log.contains(line) {
			t.Errorf("the log does not say %q:\n%s", line, p.log)
		}
	}
	if code, _, err := resume("0123456789ab"); code != 2 || !strings.Contains(err, big.Digest) || !strings.Contains(err, "30 records") {
		t.Errorf("a wrong digest: exit code %d, %s", code, err)
	}
	if code, out, _ := resume(); code != 0 || !strings.Contains(out, big.Digest) || !strings.Contains(out, "account_id=") || !strings.Contains(out, "25 more") {
		t.Errorf("exit code %d, it lists:\n%s", code, out)
	}
	if code, out, err := resume(big.Digest); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, err)
	}
	w.arrives(p, 1, "name=Renamed", "plan=team")
	w.arrives(p, 30, "name=Account 30", "plan=team")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if code, out, _ := resume(); code != 0 || !strings.Contains(out, "nothing waits") {
		t.Errorf("exit code %d, it lists:\n%s", code, out)
	}
}

// A transaction that the buffer cannot hold waits within it, and is sent whole once
// a person says so.
func TestAChangeLargerThanTheBufferWaitsForAPerson(t *testing.T) {
	t.Parallel()
	const rows = 2000
	w := newWorld(t, resumeSchema, resumeMapping, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(rows)
	url := w.listening()
	w = w.with("PGCRM_HOLD_ABOVE=100", "PGCRM_BUFFER_BYTES=128KiB")
	p := w.start()
	w.arrives(p, 40, "name=Account 40")
	w.streams(p)
	w.exec(fmt.Sprintf("INSERT INTO accounts SELECT g, 'New ' || g, 'free' FROM generate_series(41, %d) AS g", rows))
	held := w.heldNow(p, url)
	if held.Records <= 100 || !held.AtLeast {
		t.Errorf("held is %+v", held)
	}
	p.kill()
	p = w.start()
	if again := w.heldNow(p, url); again.Digest != held.Digest {
		t.Errorf("held was %+v before the kill, and is %+v", held, again)
	}
	if why := w.lacks(41, "name="); why != "" {
		t.Errorf("sent while held: %s", why)
	}
	if code, out, err := run(t, w.environ(), "resume", strings.ToUpper(held.Digest)); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, err)
	}
	w.settles(p)
	for _, id := range []int{41, 1000, rows} {
		if why := w.lacks(id, fmt.Sprintf("name=New %d", id)); why != "" {
			t.Error(why)
		}
	}
	var sent []string
	for _, e := range w.portal.Journal(0) {
		sent = append(sent, e.ID)
	}
	slices.Sort(sent)
	if n := len(slices.Compact(sent)); n < rows {
		t.Errorf("%d of %d records were written", n, rows)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Rows that a resync finds to be gone wait for a person where they are more than is
// let go unasked, through a kill -9, while all else goes on; what is put back by
// then is left as it is.
func TestRowsThatAreGoneWaitForAPerson(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	newResyncWorld(t, w, 12)
	p := w.start()
	w.arrives(p, 12, "name=first")
	w.loaded(p)
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	url := w.listening()
	w = w.with("PGCRM_HOLD_ABOVE=4")
	w.exec(`DELETE FROM accounts WHERE id <= 5; UPDATE accounts SET name = 'missed' WHERE id = 12`)
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)

	p = w.start()
	held := w.heldNow(p, url)
	if held.Records != 5 || len(held.Samples) != 5 || !strings.Contains(held.What, "gone from public.accounts") || !strings.Contains(held.Samples[0], "archived") {
		t.Errorf("held is %+v", held)
	}
	w.arrives(p, 12, "name=missed")
	p.kill()
	w.slotIsFree()
	p = w.start()
	if again := w.heldNow(p, url); again.Digest != held.Digest || again.Records != 5 {
		t.Errorf("held was %+v before the kill, and is %+v", held, again)
	}
	w.exec(`INSERT INTO accounts VALUES (2, 'back')`)
	w.arrives(p, 2, "name=back")
	for _, id := range []int{1, 3, 4, 5} {
		if why := w.lacks(id, "name=first"); why != "" {
			t.Errorf("while held: %s", why)
		}
	}
	code, out, errs := run(t, w.environ(), "resume")
	if code != 0 || !strings.Contains(out, "on_delete of rows that are gone from public.accounts") || !strings.Contains(out, "account_id=") {
		t.Errorf("exit code %d, it lists:\n%s%s", code, out, errs)
	}
	if code, out, errs := run(t, w.environ(), "resume", held.Digest); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	eventually(t, patience, func() string {
		p.alive()
		if n := w.portal.Count("companies"); n != 8 {
			return fmt.Sprintf("%d companies are left, not 8", n)
		}
		return ""
	})
	w.loaded(p)
	w.arrives(p, 2, "name=back")
	if n := w.portal.Count("companies"); n != 8 {
		t.Errorf("%d companies are left, not 8", n)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A load that waits may be cancelled instead: nothing waits any more, and none of
// it is ever sent.
func TestALoadThatWaitsIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, resumeSchema, resumeMapping, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(41)
	url := w.listening()
	w = w.with("PGCRM_HOLD_ABOVE=10")
	p := w.start()
	w.heldNow(p, url)
	since := w.portal.Stats().Journal
	if code, out, errs := run(t, w.environ(), "backfill", "--cancel", "1"); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	eventually(t, patience, func() string {
		p.alive()
		if code, body, _ := get(t.Context(), url+"/readyz?strict"); code != 200 {
			return body
		}
		return w.query("SELECT digest || ' is held' FROM " + w.name + ".hold")
	})
	for _, again := range []bool{false, true} {
		if again {
			if code := p.stop(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			p = w.start()
			w.streams(p)
		}
		w.exec("INSERT INTO accounts VALUES (41, 'Account 41', 'free') ON CONFLICT (id) DO UPDATE SET name = 'Again'")
		w.settles(p)
	}
	for _, id := range w.written(since) {
		if id != "41" {
			t.Errorf("company %s was written", id)
		}
	}
	w.arrives(p, 41, "name=Again")
}
