package e2e

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestPGMappedColumnsAlone publishes what the mapping reads, through changes of
// the mapping and of the table.
func TestPGMappedColumnsAlone(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a server")
	}
	w := newWorld(t, `CREATE TABLE accounts (id int PRIMARY KEY, key int, name text, note text, secret text, deleted bool NOT NULL DEFAULT false)`, `
version: 1
tables:
  accounts:
    match: {account_id: key}
    when: "!deleted"
    properties: {name: {expr: "upper(name)"}}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("note"))
	w.env["PGCRM_PUBLISH_COLUMNS"] = "mapped"
	if pgtest.Shared(t).Version() < 15 {
		w.refusesToRun("PGCRM_PUBLISH_COLUMNS=mapped", "move to Postgres 15 or later")
		return
	}
	listed := func(want string) {
		t.Helper()
		if got := w.query(`SELECT array_to_string(attnames, ',') FROM pg_publication_tables WHERE pubname = $1`, w.name); got != want {
			t.Errorf("%s are published, want %s", got, want)
		}
	}
	w.seed(4)
	w.exec(`INSERT INTO accounts SELECT i, i, 'one', 'n' || i, 's' FROM generate_series(1, 4) i`)
	p := w.start()
	w.arrives(p, 4, "name=ONE")
	listed("id,key,name,deleted")
	w.exec(`UPDATE accounts SET name = 'two', secret = 'x' WHERE id = 1`)
	w.exec(`ALTER TABLE accounts DROP secret`)
	w.exec(`UPDATE accounts SET name = 'three' WHERE id = 2`)
	w.arrives(p, 1, "name=TWO")
	w.arrives(p, 2, "name=THREE")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// The log holds changes that lack the column which is mapped now.
	w.exec(`UPDATE accounts SET name = 'four', note = 'new' WHERE id = 3`)
	w.env["PGCRM_MAPPING"] = strings.Replace(w.env["PGCRM_MAPPING"], "properties: {", "properties: {note: note, ", 1)
	if out := w.pgcrm(0, "check"); !strings.Contains(out, `can be extended by ALTER PUBLICATION "`+w.name+`" DROP TABLE`) || !strings.Contains(out, "neither drop nor retype") {
		t.Errorf("check says\n%s", out)
	}
	p = w.start()
	w.arrives(p, 3, "name=FOUR", "note=new")
	w.arrives(p, 4, "note=n4")
	listed("id,key,name,note,deleted")
	w.exec(`UPDATE accounts SET note = 'live' WHERE id = 4`)
	w.arrives(p, 4, "note=live")

	// What the list forbids the application, until pgcrm has seen it.
	w.exec(`ALTER TABLE accounts REPLICA IDENTITY FULL`)
	eventually(t, patience, func() string {
		p.alive()
		if _, err := w.conn.Exec(t.Context(), `UPDATE accounts SET note = 'whole' WHERE id = 1`); err != nil {
			return err.Error()
		}
		return ""
	})
	w.arrives(p, 1, "note=whole")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w = w.with("PGCRM_PUBLISH_COLUMNS=")
	w.exec(`ALTER TABLE accounts REPLICA IDENTITY DEFAULT`)
	p = w.start()
	w.exec(`ALTER TABLE accounts DROP note CASCADE; ALTER TABLE accounts ADD note text`)
	w.exec(`UPDATE accounts SET note = 'back' WHERE id = 2`)
	w.arrives(p, 2, "note=back")
	p.stop()
}
