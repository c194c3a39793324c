package e2e

import (
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestNamesThatBreakSQL: tables, columns, schemas and pgcrm's own objects have
// names that end a quoted identifier or string wherever one is not quoted.
func TestNamesThatBreakSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TABLE precious (id int);
CREATE SCHEMA "a""b; DROP TABLE precious; --";
CREATE TABLE "a""b; DROP TABLE precious; --"."t'; DROP TABLE precious; --" (
	"i""d'; --" bigint PRIMARY KEY, "n""ame'); DROP TABLE precious; --" text, "select" text);
INSERT INTO "a""b; DROP TABLE precious; --"."t'; DROP TABLE precious; --" VALUES (1, 'one', 'x');
`, `
version: 1
tables:
  '"a""b; DROP TABLE precious; --"."t''; DROP TABLE precious; --"':
    match: {account_id: "i\"d'; --"}
    properties:
      name: "n\"ame'); DROP TABLE precious; --"
      plan: select
`, hubspotsim.Unique("account_id"), hubspotsim.Text("plan")).
		with(`PGCRM_SCHEMA=st"ate'; DROP TABLE precious; --`, `PGCRM_PUBLICATION=pub'l"ication; --`)
	w.seed(2)
	p := w.start()
	w.arrives(p, 1, "name=one", "plan=x")
	w.streams(p)
	w.exec(`INSERT INTO "a""b; DROP TABLE precious; --"."t'; DROP TABLE precious; --" VALUES (2, $1, 'y')`, `'; DROP TABLE precious; --`)
	w.arrives(p, 2, `name='; DROP TABLE precious; --`, "plan=y")
	w.settles(p)
	for _, args := range [][]string{
		{"check"},
		{"status"},
		{"plan"},
		{"verify"},
		{"dlq", "list"},
		{"backfill", `"a""b; DROP TABLE precious; --"."t'; DROP TABLE precious; --"`},
		{"explain", `"a""b; DROP TABLE precious; --"."t'; DROP TABLE precious; --"`, "2"},
	} {
		if code, out, errs := run(t, w.environ(), args...); code != 0 {
			t.Errorf("%q ended with %d:\n%s%s", args, code, out, errs)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if code, out, errs := run(t, w.environ(), "uninstall", "--yes"); code != 0 {
		t.Errorf("uninstall ended with %d:\n%s%s", code, out, errs)
	}
	if got := w.query("SELECT count(*)::text FROM precious"); got != "0" {
		t.Errorf("precious has %q rows", got)
	}
}
