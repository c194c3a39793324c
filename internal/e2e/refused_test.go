package e2e

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// oneTable and oneMapping are the least that runs.
const (
	oneTable   = `CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan text, seats int)`
	oneMapping = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties:
      name: name
      plan: plan
      seats: seats
`
)

func oneTableProperties() []hubspotsim.Property {
	return []hubspotsim.Property{hubspotsim.Unique("account_id"), hubspotsim.Text("plan"), hubspotsim.Number("seats")}
}

func oneWorld(t testing.TB) *world {
	return newWorld(t, oneTable, oneMapping, oneTableProperties()...)
}

// secrets must not be seen in any output.
var secrets = []string{hubspotsim.DefaultToken, "geheim-"}

// refuses runs the program and expects it to say exactly the problems: each want
// holds fragments, separated by "…", that one line has in this order. It returns
// the lines.
func (w *world) refuses(wants ...string) []string {
	w.t.Helper()
	code, stdout, stderr := run(w.t, w.environ(), "run")
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "time=") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	w.t.Logf("it says:\n%s", strings.Join(lines, "\n"))
	if code != 2 {
		w.t.Errorf("exit code %d, not 2; all of standard error:\n%s", code, stderr)
	}
	if stdout != "" {
		w.t.Errorf("standard output: %s", stdout)
	}
	for _, s := range append(secrets, passwordOf(w.url)) {
		if strings.Contains(stderr, s) {
			w.t.Errorf("a secret is shown: %s", stderr)
		}
	}
	for _, want := range wants {
		if !anyLine(lines, want) {
			w.t.Errorf("no line like %q", want)
		}
	}
	if len(lines) != len(wants) {
		w.t.Errorf("%d lines, not %d", len(lines), len(wants))
	}
	return lines
}

func anyLine(lines []string, want string) bool {
	for _, line := range lines {
		rest, ok := line, true
		for part := range strings.SplitSeq(want, "…") {
			var found bool
			if _, rest, found = strings.Cut(rest, part); !found {
				ok = false
			}
		}
		if ok {
			return true
		}
	}
	return false
}

func passwordOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	userinfo, _, _ := strings.Cut(rest, "@")
	_, password, _ := strings.Cut(userinfo, ":")
	return password
}

func TestOneWorldRuns(t *testing.T) {
	t.Parallel()
	w := oneWorld(t)
	w.seed(2)
	w.exec(`INSERT INTO accounts VALUES (1, 'One', 'free', 5)`)
	p := w.start()
	w.arrives(p, 1, "name=One", "plan=free", "seats=5")
	w.exec(`INSERT INTO accounts VALUES (2, 'Two', 'team', 7)`)
	w.arrives(p, 2, "name=Two", "plan=team", "seats=7")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Log(p.log)
}
