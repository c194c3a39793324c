package e2e

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// newPGWorld is a world on the shared server.
func newPGWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a server")
	}
	return newWorld(t, pgSchema, pgMapping, hubspotsim.Unique("account_id"))
}

// TestPGATableThatLeavesThePublicationComesBack has the application do what makes
// a table vanish from the stream without a word, and change rows before anybody
// notices.
func TestPGATableThatLeavesThePublicationComesBack(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.seed(9)
	w.exec(`INSERT INTO accounts VALUES (1, 'one'), (2, 'two')`)
	p := w.start()
	w.arrives(p, 2, "name=two")
	for id, c := range []struct{ name, do string }{
		{"taken out", `ALTER PUBLICATION ` + w.name + ` DROP TABLE accounts`},
		{"made anew", `DROP TABLE accounts; ` + pgSchema},
		{"taken out and put back at once", `ALTER PUBLICATION ` + w.name + ` DROP TABLE accounts; INSERT INTO accounts VALUES (8, 'between');
			ALTER PUBLICATION ` + w.name + ` ADD TABLE accounts`},
	} {
		w.exec(c.do)
		w.exec(`INSERT INTO accounts VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, id+3, c.name)
		w.arrives(p, id+3, "name="+c.name)
	}
	w.arrives(p, 8, "name=between")
	w.exec(`UPDATE accounts SET name = 'live again' WHERE id = 5`)
	w.arrives(p, 5, "name=live again")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// While nobody runs it is noticed at the next start.
	w.exec(`DROP TABLE accounts; ` + pgSchema)
	w.exec(`INSERT INTO accounts VALUES (6, 'made anew while nobody ran')`)
	w.exec(`ALTER PUBLICATION ` + w.name + ` ADD TABLE accounts`)
	p = w.start()
	w.arrives(p, 6, "name=made anew while nobody ran")
	p.stop()
}

// TestPGRowsDeletedWhileATableIsNotPublished: the stream has nothing of their
// deletion. A table that was made anew is no reason to treat its old rows so.
func TestPGRowsDeletedWhileATableIsNotPublished(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.seed(9)
	w.env["PGCRM_MAPPING"] = strings.Replace(pgMapping, "    properties:", "    on_delete: archive\n    properties:", 1)
	w.exec(`INSERT INTO accounts SELECT i, 'first' FROM generate_series(1, 6) i`)
	p := w.start()
	w.arrives(p, 6, "name=first")
	w.loaded(p)
	w.exec(`ALTER PUBLICATION ` + w.name + ` DROP TABLE accounts; DELETE FROM accounts WHERE id = 1`)
	w.archived(p, 1)
	// And while nobody runs.
	p.stop()
	w.exec(`ALTER PUBLICATION ` + w.name + ` DROP TABLE accounts; DELETE FROM accounts WHERE id = 2;
		ALTER PUBLICATION ` + w.name + ` ADD TABLE accounts`)
	p = w.start()
	w.archived(p, 2)
	w.loaded(p)
	w.exec(`DROP TABLE accounts; ` + pgSchema + `; INSERT INTO accounts VALUES (6, 'made anew')`)
	w.arrives(p, 6, "name=made anew")
	w.loaded(p)
	w.exec(`UPDATE accounts SET name = 'live' WHERE id = 6`)
	w.arrives(p, 6, "name=live")
	for id := 3; id <= 6; id++ {
		if w.company(id) == nil {
			t.Errorf("company %d was archived", id)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGATableThatLosesItsKeyIsLeftToTheApplication: while it is published its own
// UPDATE and DELETE fail.
func TestPGATableThatLosesItsKeyIsLeftToTheApplication(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.seed(3)
	w.env["PGCRM_MAPPING"] = strings.Replace(pgMapping, "    properties:", "    on_delete: archive\n    properties:", 1)
	w.exec(`INSERT INTO accounts SELECT i, 'first' FROM generate_series(1, 3) i`)
	url := w.listening()
	p := w.start()
	w.arrives(p, 3, "name=first")
	w.loaded(p)
	key := w.query(`SELECT quote_ident(conname) FROM pg_constraint WHERE conrelid = 'accounts'::regclass AND contype = 'p'`)
	w.exec(`ALTER TABLE accounts DROP CONSTRAINT ` + key)
	eventually(t, patience, func() string {
		p.alive()
		if _, err := w.conn.Exec(t.Context(), `UPDATE accounts SET name = 'without a key' WHERE id = 1`); err != nil {
			return err.Error()
		}
		return ""
	})
	w.exec(`DELETE FROM accounts WHERE id = 2`)
	w.says(p, url+"/readyz", 503, "public.accounts has no replica identity", "ADD PRIMARY KEY")
	w.exec(`ALTER TABLE accounts ADD PRIMARY KEY (id)`)
	w.arrives(p, 1, "name=without a key")
	w.archived(p, 2)
	w.says(p, url+"/readyz", 200)
	w.exec(`UPDATE accounts SET name = 'live' WHERE id = 3`)
	w.arrives(p, 3, "name=live")
	w.settles(p)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestPGAPublicationOfOthersIsReported(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.seed(3)
	w.exec(`CREATE PUBLICATION ` + w.name + ` FOR TABLE accounts; INSERT INTO accounts VALUES (1, 'one')`)
	url := w.listening()
	p := w.start()
	w.arrives(p, 1, "name=one")
	ready := func(want int, words string) {
		t.Helper()
		eventually(t, patience, func() string {
			p.alive()
			status, body, err := get(t.Context(), url+"/readyz")
			if err != nil || status != want || !strings.Contains(body, words) {
				return "readyz: " + body
			}
			return ""
		})
	}
	ready(200, "")
	w.exec(`ALTER PUBLICATION ` + w.name + ` DROP TABLE accounts`)
	w.exec(`INSERT INTO accounts VALUES (2, 'not in the stream')`)
	ready(503, `let its owner run ALTER PUBLICATION "`+w.name+`" ADD TABLE "public"."accounts"`)
	if out := w.pgcrm(0, "status"); !strings.Contains(out, `ADD TABLE "public"."accounts"`) {
		t.Errorf("status says\n%s", out)
	}
	w.exec(`ALTER PUBLICATION ` + w.name + ` ADD TABLE accounts`)
	ready(200, "")
	w.arrives(p, 2, "name=not in the stream")
	p.stop()
}

// TestPGAPublicationThatIsDropped: from 18 on the stream is silent about it; up
// to 17 what was committed meanwhile cannot be decoded any more, and pgcrm stops.
func TestPGAPublicationThatIsDropped(t *testing.T) {
	t.Parallel()
	w := newPGWorld(t)
	w.seed(2)
	w.exec(`INSERT INTO accounts VALUES (1, 'one')`)
	p := w.start()
	w.arrives(p, 1, "name=one")
	w.settles(p)
	w.exec(`DROP PUBLICATION ` + w.name + `; INSERT INTO accounts VALUES (2, 'unpublished')`)
	if pgtest.Shared(t).Version() >= 18 {
		w.arrives(p, 2, "name=unpublished")
	} else {
		if code := p.wait(patience); code != 2 || !p.log.contains("migrate --recreate-slot") {
			t.Errorf("exit code %d\n%s", code, p.log)
		}
		w.pgcrm(0, "migrate", "--recreate-slot")
		p = w.start()
		w.arrives(p, 2, "name=unpublished")
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
