package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestPGTableShapes follows a table of every shape: rows of before, rows made,
// changed and deleted while streaming.
func TestPGTableShapes(t *testing.T) {
	t.Parallel()
	shapes := []struct {
		name, table, sql string
		key              string // column of the match value
		value            string // column of the value, text
		columns          string // an INSERT's, with places for key and value
	}{
		{"composite", "composite", `CREATE TABLE composite (region text, no int, code text NOT NULL, v text, PRIMARY KEY (no, region))`, "code", "v", `(region, no, code, v) VALUES ('"eu", \', length(%[1]s) + ascii(right(%[1]s, 1)), %[1]s, %[2]s)`},
		{"text_key", "text_key", `CREATE TABLE text_key (id text PRIMARY KEY, v text)`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
		{"uuid_key", "uuid_key", `CREATE TABLE uuid_key (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), code varchar(40), v text)`, "code", "v", `(code, v) VALUES (%[1]s, %[2]s)`},
		{"by_index", "by_index", `CREATE TABLE by_index (id bigserial PRIMARY KEY, code text NOT NULL UNIQUE, v text); ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key`, "code", "v", `(code, v) VALUES (%[1]s, %[2]s)`},
		{"full", "full_row", `CREATE TABLE full_row (id bigserial PRIMARY KEY, code text, v text); ALTER TABLE full_row REPLICA IDENTITY FULL`, "code", "v", `(code, v) VALUES (%[1]s, %[2]s)`},
		{"quoted", `"Sales Dept"."Case ""Table"""`, `CREATE SCHEMA "Sales Dept"; CREATE TABLE "Sales Dept"."Case ""Table""" ("Key Col" text PRIMARY KEY, "Va""lue" text)`, `"Key Col"`, `"Va""lue"`, `("Key Col", "Va""lue") VALUES (%[1]s, %[2]s)`},
		{"one_schema", "public.twin", `CREATE TABLE twin (id text PRIMARY KEY, v text)`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
		{"other_schema", "other.twin", `CREATE SCHEMA other; CREATE TABLE other.twin (v text, id text PRIMARY KEY)`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
		{"domains", "domains", `CREATE DOMAIN code AS text CHECK (VALUE <> ''); CREATE DOMAIN code2 AS code NOT NULL; CREATE TABLE domains (id code2 PRIMARY KEY, v code)`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
		{"generated", "generated", `CREATE TABLE generated (len int GENERATED ALWAYS AS (length(v)) STORED, id text PRIMARY KEY, v text)`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
		{"secured", "secured", `CREATE TABLE secured (id text PRIMARY KEY, v text); ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY mine ON secured USING (v = 'mine')`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
		{"partitioned", "parts", `CREATE TABLE parts (id text, v text, day date NOT NULL DEFAULT '2026-01-01', PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
			CREATE TABLE parts_jan PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')`, "id", "v", `(id, v) VALUES (%[1]s, %[2]s)`},
	}
	var schema, mapping strings.Builder
	mapping.WriteString("version: 1\ntables:\n")
	properties := []hubspotsim.Property{hubspotsim.Unique("account_id")}
	for _, s := range shapes {
		schema.WriteString(s.sql + ";\n")
		fmt.Fprintf(&schema, "INSERT INTO %s %s;\n", s.table, fmt.Sprintf(s.columns, "'"+s.name+"-1'", "'before'"))
		unquoted := func(name string) string { return strings.ReplaceAll(strings.Trim(name, `"`), `""`, `"`) }
		fmt.Fprintf(&mapping, "  '%s':\n    match: {account_id: '%s'}\n    on_delete: archive\n    properties: {%s: '%s'}\n", s.table, unquoted(s.key), s.name, unquoted(s.value))
		properties = append(properties, hubspotsim.Text(s.name))
	}
	w := newWorld(t, schema.String(), mapping.String(), properties...)
	for _, s := range shapes {
		for i := range 3 {
			w.seed2("account_id", fmt.Sprintf("%s-%d", s.name, i+1))
		}
	}
	if out := w.pgcrm(0, "check"); strings.Contains(out, "✗") {
		t.Errorf("check says\n%s", out)
	}
	p := w.start()
	for _, s := range shapes {
		w.arrives(p, s.name+"-1", s.name+"=before")
	}
	w.streams(p)
	for _, s := range shapes {
		insert := fmt.Sprintf("INSERT INTO %s %s", s.table, s.columns)
		w.exec(fmt.Sprintf(insert, "'"+s.name+"-2'", "'made'"))
		w.exec(fmt.Sprintf(insert, "'"+s.name+"-3'", "'short-lived'"))
		w.exec(fmt.Sprintf(`UPDATE %s SET %s = 'changed' WHERE %s = '%s-1'`, s.table, s.value, s.key, s.name))
	}
	for _, s := range shapes {
		w.arrives(p, s.name+"-1", s.name+"=changed")
		w.arrives(p, s.name+"-2", s.name+"=made")
		w.arrives(p, s.name+"-3", s.name+"=short-lived")
	}
	for _, s := range shapes {
		w.exec(fmt.Sprintf(`DELETE FROM %s WHERE %s = '%s-3'`, s.table, s.key, s.name))
	}
	for _, s := range shapes {
		w.archived(p, s.name+"-3")
		if why := w.lacks(s.name+"-1", s.name+"=changed"); why != "" {
			t.Error(why)
		}
	}
	w.settles(p)
	if got := w.letters(); len(got) > 0 {
		t.Errorf("letters %q", got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGPartitionsComeAndGo: the rows that an attached table has are sent, those
// of a detached one are no deletions, and neither is a move.
func TestPGPartitionsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TABLE accounts (id bigint, name text, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE jan PARTITION OF accounts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE feb (day date, name text, gone int, id bigint, PRIMARY KEY (id, day));
ALTER TABLE feb DROP gone;
CREATE TABLE apr (id bigint, name text, day date, PRIMARY KEY (id, day));
INSERT INTO accounts VALUES (1, 'one', '2026-01-01'), (2, 'two', '2026-01-02');
INSERT INTO feb (id, name, day) VALUES (3, 'was there', '2026-02-01');
INSERT INTO apr VALUES (7, 'was there too', '2026-04-01')`, `
version: 1
tables:
  accounts: {match: {account_id: id}, on_delete: archive, properties: {name: name}}
`, hubspotsim.Unique("account_id"))
	w.seed(8)
	p := w.start()
	w.arrives(p, 2, "name=two")
	w.streams(p)
	w.exec(`ALTER TABLE accounts ATTACH PARTITION feb FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`)
	w.exec(`INSERT INTO accounts VALUES (4, 'new in feb', '2026-02-02')`)
	w.arrives(p, 4, "name=new in feb")
	w.arrives(p, 3, "name=was there")
	w.exec(`CREATE TABLE mar PARTITION OF accounts FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
		INSERT INTO accounts VALUES (5, 'in mar', '2026-03-01'); UPDATE accounts SET day = '2026-03-02', name = 'moved' WHERE id = 1`)
	w.arrives(p, 5, "name=in mar")
	w.arrives(p, 1, "name=moved")
	w.exec(`ALTER TABLE accounts DETACH PARTITION feb`)
	w.exec(`ALTER TABLE feb ADD more text; UPDATE accounts SET name = 'goes on' WHERE id = 2; UPDATE feb SET name = 'not mapped any more'`)
	w.arrives(p, 2, "name=goes on")
	w.exec(`DROP TABLE mar; TRUNCATE jan; INSERT INTO accounts VALUES (6, 'after', '2026-01-03')`)
	w.arrives(p, 6, "name=after")
	p.stop()
	// What is attached while nobody runs is noticed at the next start.
	w.exec(`ALTER TABLE accounts ATTACH PARTITION apr FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')`)
	p = w.start()
	w.arrives(p, 7, "name=was there too")
	for id := 1; id <= 7; id++ {
		if w.company(id) == nil {
			t.Errorf("company %d was archived", id)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPGTheApplicationIsNotDisturbed runs the application's DDL while pgcrm loads
// and streams its tables. Nothing fails, and nothing waits for a lock.
func TestPGTheApplicationIsNotDisturbed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
CREATE TYPE plan AS ENUM ('free', 'paid');
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan plan, seats int, junk text, other int NOT NULL DEFAULT 1);
CREATE TABLE parts (id bigint, city text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (1000000);
CREATE TABLE parts_2 (LIKE parts INCLUDING ALL);
INSERT INTO accounts SELECT g, 'Account ' || g, 'free', g, 'x', 1 FROM generate_series(1, 20000) AS g;
INSERT INTO parts SELECT g, 'Bonn' FROM generate_series(1, 20000) AS g`, `
version: 1
tables:
  accounts: {match: {account_id: id}, on_missing: skip, properties: {name: name, plan: plan, seats: seats}}
  parts: {match: {account_id: id}, on_missing: skip, properties: {city: city}}
`, hubspotsim.Unique("account_id"), hubspotsim.Text("plan"), hubspotsim.Number("seats"))
	w.seed(9)
	app := connect(t, w.url)
	// Far less than any wait of pgcrm's, far more than a busy machine takes for
	// what has no lock to wait for.
	if _, err := app.Exec(context.Background(), "SET lock_timeout = '3s'"); err != nil {
		t.Fatal(err)
	}
	p := w.start()
	w.arrives(p, 1, "name=Account 1")
	for i, ddl := range []string{
		`ALTER TABLE accounts ADD extra text DEFAULT 'x', ADD more int`,
		`ALTER TABLE accounts DROP junk`,
		`ALTER TABLE accounts ALTER more TYPE text USING more::text`,
		`ALTER TABLE accounts RENAME extra TO spare`,
		`ALTER TABLE accounts ALTER seats TYPE bigint`,
		`ALTER TABLE accounts ALTER seats TYPE numeric`,
		`ALTER TABLE accounts ALTER name TYPE varchar(100), ALTER name SET NOT NULL`,
		`ALTER TYPE plan ADD VALUE 'trial'`,
		`ALTER TABLE accounts ALTER plan TYPE text USING plan::text`,
		`CREATE TYPE tier AS ENUM ('free', 'paid', 'trial')`,
		`ALTER TABLE accounts ALTER plan TYPE tier USING plan::tier`,
		`ALTER TABLE accounts ADD CONSTRAINT named UNIQUE (id, other), ADD CHECK (seats >= 0)`,
		`CREATE INDEX CONCURRENTLY ON accounts (name)`,
		`ALTER TABLE accounts REPLICA IDENTITY FULL`,
		`ALTER TABLE accounts REPLICA IDENTITY USING INDEX named`,
		`ALTER TABLE accounts REPLICA IDENTITY DEFAULT`,
		`ALTER TABLE accounts DROP CONSTRAINT accounts_pkey, ADD PRIMARY KEY (id)`,
		`VACUUM FULL accounts`,
		`CLUSTER accounts USING accounts_pkey`,
		`REINDEX TABLE accounts`,
		`ALTER TABLE accounts RENAME TO accounts_away`,
		`UPDATE accounts_away SET name = 'away' WHERE id = 9`,
		`ALTER TABLE accounts_away RENAME TO accounts`,
		`ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (1000000) TO (2000000)`,
		`CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (2000000) TO (3000000)`,
		`ALTER TABLE parts DETACH PARTITION parts_2`,
		`DROP TABLE parts_2, parts_3`,
		`ALTER TABLE parts ADD more text, ALTER city TYPE varchar(50)`,
		`DELETE FROM accounts WHERE id > 100`,
		`TRUNCATE parts`,
		`INSERT INTO parts VALUES (2, 'Berlin')`,
	} {
		if _, err := app.Exec(context.Background(), ddl); err != nil {
			t.Errorf("%s: %v", ddl, err)
		}
		p.alive()
		if strings.Contains(ddl, "accounts_away") {
			continue
		}
		if _, err := app.Exec(context.Background(), `UPDATE accounts SET seats = $1::int + 100 WHERE id = 1`, i); err != nil {
			t.Errorf("after %s: %v", ddl, err)
		}
	}
	w.exec(`UPDATE accounts SET plan = 'trial', name = 'the end' WHERE id = 1`)
	w.arrives(p, 1, "name=the end", "plan=trial", "seats=130")
	w.arrives(p, 2, "city=Berlin")
	w.arrives(p, 9, "name=away", "city=Bonn")
	w.settles(p)
	if got := w.letters(); len(got) > 0 {
		t.Errorf("letters %q", got)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
