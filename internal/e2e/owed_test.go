package e2e

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestRowsThatCannotBeReadNowAreStillOwed: what the program itself has to read is
// not given up when the database refuses it for a while.
func TestRowsThatCannotBeReadNowAreStillOwed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goneSchema, `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name, account_notes: notes}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("account_notes")).with("PGCRM_BACKFILL=false")
	role := "reader_" + w.name
	w.exec(`CREATE ROLE ` + role + ` LOGIN REPLICATION PASSWORD 'secret'; GRANT SELECT ON accounts TO ` + role + `;
		CREATE SCHEMA ` + w.name + ` AUTHORIZATION ` + role + `; CREATE PUBLICATION ` + w.name + ` FOR TABLE accounts WITH (publish_via_partition_root = true)`)
	t.Cleanup(func() { pgtest.Exec(t, w.url, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	database := w.url[strings.LastIndex(w.url, "/")+1 : strings.Index(w.url, "?")]
	w = w.with("PGCRM_DATABASE_URL=" + w.server.RoleURL(role, "secret", database))
	w.seed(4)
	notes := strings.Repeat("long and out of line ", 200)
	w.exec("UPDATE accounts SET notes = $1 WHERE id = 1", notes)
	p := w.start()
	w.streams(p)

	w.exec("REVOKE SELECT ON accounts FROM " + role)
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 1")
	w.arrives(p, 1, "name=Renamed")
	eventually(t, patience, func() string {
		p.alive()
		if !strings.Contains(p.log.String(), "GRANT SELECT ON public.accounts") {
			return "nobody says that the row cannot be read"
		}
		return ""
	})
	w.exec("UPDATE accounts SET name = 'Streams' WHERE id = 2")
	w.arrives(p, 2, "name=Streams")
	w.exec("GRANT SELECT ON accounts TO " + role)
	w.arrives(p, 1, "account_notes="+notes)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.log)
	}
}

// TestATableThatWasUnmappedIsLoadedAgain: what changed meanwhile went by unseen.
func TestATableThatWasUnmappedIsLoadedAgain(t *testing.T) {
	t.Parallel()
	const accounts = `
version: 1
tables:
  accounts:
    match: {account_id: id}
    properties: {name: name}
`
	const both = accounts + `
  plans:
    match: {account_id: id}
    properties: {plan: plan}
`
	w := newWorld(t, goneSchema+`CREATE TABLE plans (id bigint PRIMARY KEY, plan text); INSERT INTO plans VALUES (1, 'free')`,
		both, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"))
	w.seed(4)
	p := w.start()
	w.arrives(p, 1, "name=Account 1", "plan=free")
	p.stop()

	p = w.with("PGCRM_MAPPING=" + accounts).start()
	w.exec("UPDATE plans SET plan = 'enterprise'")
	w.exec("UPDATE accounts SET name = 'Meanwhile' WHERE id = 1")
	w.arrives(p, 1, "name=Meanwhile", "plan=free")
	p.stop()

	p = w.start()
	w.arrives(p, 1, "plan=enterprise")
}
