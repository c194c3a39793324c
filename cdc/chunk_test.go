package cdc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// readAll reads a table in chunks and returns its rows.
func (d *database) readAll(rel *change.Relation, limit int, where string) (rows []string) {
	d.Helper()
	return d.readUpTo(rel, Range{Limit: limit, Where: where})
}

func (d *database) readUpTo(rel *change.Relation, r Range) (rows []string) {
	d.Helper()
	limit := r.Limit
	for {
		chunk, err := ReadChunk(d.ctx, d.conn, rel, r)
		if err != nil {
			d.Fatal(err)
		}
		if len(chunk.Rows) > limit || chunk.Snapshot.Xmax == 0 {
			d.Fatalf("%d rows for a limit of %d, snapshot %+v", len(chunk.Rows), limit, chunk.Snapshot)
		}
		for _, row := range chunk.Rows {
			rows = append(rows, showRow(row))
		}
		if chunk.Done {
			return rows
		}
		r.After = chunk.Last
	}
}

// TestChunksReadEveryRowOnceInKeyOrder compares with what one SELECT gives, for
// keys of many types and every small chunk size.
func TestChunksReadEveryRowOnceInKeyOrder(t *testing.T) {
	d := newDatabase(t)
	d.exec(
		`CREATE EXTENSION citext WITH SCHEMA public`,
		`CREATE SCHEMA elsewhere`,
		`CREATE TYPE public."Mood" AS ENUM ('sad', 'ok', 'happy')`,
		`CREATE DOMAIN public.code AS varchar(20)`,
	)
	type table struct{ columns, key, values string }
	tables := []table{
		{`id bigint`, `id`, `SELECT g * 7 - 20 FROM generate_series(1, 7) g`},
		{`id text`, `id`, `VALUES ('a'), ('B'), (''), ('b'), ('A'), ('ä'), ('o''x"\')`},
		{`id text COLLATE "C"`, `id`, `VALUES ('a'), ('B'), ('b'), ('A'), ('Z')`},
		{`id uuid`, `id`, `SELECT gen_random_uuid() FROM generate_series(1, 7)`},
		{`id numeric`, `id`, `VALUES (1.5), (1.50000001), ('NaN'), (-3), ('Infinity')`},
		{`id timestamptz`, `id`, `VALUES ('2024-01-01 10:00:00.000001+02'::timestamptz), ('infinity'), ('-infinity'), ('0044-03-15 BC')`},
		{`id char(5)`, `id`, `VALUES ('a'), ('ab'), ('b')`},
		{`id bytea`, `id`, `VALUES ('\x00'::bytea), ('\xff'), ('')`},
		{`id public."Mood"`, `id`, `VALUES ('happy'::public."Mood"), ('sad'), ('ok')`},
		{`id public.citext`, `id`, `VALUES ('b'::public.citext), ('A'), ('C'), ('a1')`},
		{`id public.code`, `id`, `VALUES ('b'), ('A'), ('C'), ('a1')`},
		{`id int[]`, `id`, `VALUES ('{1,2}'::int[]), ('{}'), ('{1}'), ('{NULL,3}')`},
		{`id int4range`, `id`, `VALUES ('[1,5)'::int4range), ('empty'), ('[2,)')`},
		{
			`"Tenant Id" int, "order" text, v int`, `"order", "Tenant Id"`,
			`SELECT g % 3, 'k' || g % 4, g FROM generate_series(1, 12) g`,
		},
		{`a public.citext, b int`, `a, b`, `SELECT (ARRAY['x', 'Y', 'z'])[g % 3 + 1], g FROM generate_series(1, 9) g`},
		{
			`a int, b public.citext, c text`, `c, b, a`,
			`SELECT g, (ARRAY['x', 'Y', 'z'])[g % 3 + 1], (ARRAY['x', 'Y'])[g % 2 + 1] FROM generate_series(1, 12) g`,
		},
		{
			`a date, b boolean, PRIMARY KEY (a, b), g int GENERATED ALWAYS AS (a - '2000-01-01'::date) STORED`, ``,
			`SELECT '2024-01-01'::date + g / 2, g % 2 = 0 FROM generate_series(1, 9) g`,
		},
		{`id date`, `id`, `VALUES ('2024-02-29'::date), ('infinity'), ('-infinity'), ('0044-03-15 BC'), ('1999-12-31')`},
	}
	// Words that languages sort in another order than their bytes do. What a server
	// offers beyond C depends on how it was built and on the machine.
	const words = `('a'), ('B'), ('b'), ('A'), ('ä'), ('Z'), ('z'), ('co-op'), ('coop'), ('CO OP'), ('_'), ('-a'), (''), ('10'), ('9')`
	collations := d.collations()
	for _, collation := range collations {
		tables = append(tables,
			table{`id text COLLATE ` + collation, `id`, `VALUES ` + words},
			table{`tenant text COLLATE ` + collation + `, id bigint`, `tenant, id`, `SELECT w.t, g FROM (VALUES ` + words + `) AS w(t), generate_series(9, 11) g`},
			table{`id public.citext COLLATE ` + collation, `id`, `VALUES ('b'::public.citext), ('A'), ('C'), ('a1'), ('_'), ('ä')`},
		)
	}
	differ := 0
	for i, c := range tables {
		t.Run(strings.ReplaceAll(c.columns, " ", "_"), func(t *testing.T) {
			table := fmt.Sprintf("Table %d", i)
			key := ""
			if c.key != "" {
				key = ", PRIMARY KEY (" + c.key + ")"
			}
			d.exec(fmt.Sprintf(`CREATE TABLE %q (%s%s)`, table, c.columns, key), fmt.Sprintf(`INSERT INTO %q %s`, table, c.values))
			rel := d.describe(table)[0]
			order := c.key
			if order == "" {
				order = "a, b"
			}
			var want []string
			rows, err := d.conn.Query(d.ctx, fmt.Sprintf(`SELECT * FROM %q ORDER BY %s`, table, order))
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				want = append(want, "")
			}
			if rows.Err() != nil {
				t.Fatal(rows.Err())
			}
			if c.values == "VALUES "+words && d.sortsUnlikeC(table) {
				differ++
			}
			whole := d.readAll(rel, 1000, "")
			if len(whole) != len(want) {
				t.Fatalf("%d rows, want %d", len(whole), len(want))
			}
			// An extension's operators must be found whatever the search path.
			for _, path := range []string{"public", "pg_catalog", "elsewhere"} {
				d.exec(`SET search_path = ` + path)
				for limit := 1; limit <= 5; limit++ {
					if diff := cmp.Diff(whole, d.readAll(rel, limit, "")); diff != "" {
						t.Errorf("search_path %s, chunks of %d\n%s", path, limit, diff)
					}
				}
			}
			d.exec(`RESET search_path`)
			// Up to any row, from any row before it.
			for n := 1; n <= len(whole); n++ {
				first, err := ReadChunk(d.ctx, d.conn, rel, Range{Limit: n})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(whole[:n], d.readUpTo(rel, Range{UpTo: first.Last, Limit: 2})); diff != "" {
					t.Errorf("up to %q\n%s", first.Last, diff)
				}
			}
		})
	}
	if len(collations) > 0 && differ == 0 {
		t.Errorf("with %q the rows sort as with C", collations)
	}
}

// collations names one that ICU provides and one of the C library, quoted, as far
// as the server has them and they sort otherwise than by bytes.
func (d *database) collations() (names []string) {
	d.Helper()
	rows, err := d.conn.Query(d.ctx, `
		SELECT DISTINCT ON (collprovider) quote_ident(collname) FROM pg_collation
		WHERE collprovider IN ('i', 'c') AND collisdeterministic AND collencoding IN (-1, pg_char_to_encoding('UTF8'))
			AND collname !~* '^(c|posix|ucs_basic|unicode)([._].*)?$'
		ORDER BY collprovider, collname !~ '^(en_US|en-US-x-icu)', collname`)
	if err != nil {
		d.Fatal(err)
	}
	if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		d.Fatal(err)
	}
	return names
}

// sortsUnlikeC reports whether the table's order is another one than that of bytes.
func (d *database) sortsUnlikeC(table string) (unlike bool) {
	d.Helper()
	err := d.conn.QueryRow(d.ctx, fmt.Sprintf(`SELECT array_agg(id ORDER BY id) <> array_agg(id ORDER BY id COLLATE "C") FROM %q`, table)).Scan(&unlike)
	if err != nil {
		d.Fatal(err)
	}
	return unlike
}

func TestChunkCondition(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`, `INSERT INTO t SELECT g, 'v' || g % 3 FROM generate_series(1, 20) g`)
	rel := d.describe("t")[0]
	want := []string{"(1,v1)", "(4,v1)", "(7,v1)"}
	for _, where := range []string{"v = 'v1' AND id < 10", "false OR v = 'v1' AND id < 10 -- only these"} {
		if diff := cmp.Diff(want, d.readAll(rel, 2, where)); diff != "" {
			t.Errorf("%s\n%s", where, diff)
		}
	}
	for where, says := range map[string]string{
		"w = 1":                   `column "w" does not exist`,
		"id = 'x'":                "invalid input syntax",
		"id = 1; DROP TABLE t":    "syntax error",
		"nextval('seq') = 1":      "read-only",
		"id = $1":                 "it has a parameter",
		"id IN (SELECT 1 FROM x)": `the condition cannot be used on table public.t: relation "x" does not exist`,
		"true) UNION ALL SELECT * FROM t WHERE (true": "the condition cannot be used",
		"id IN (SELECT 1 FROM t) AND 1/(id - id) = 1": "division by zero",
	} {
		d.exec(`CREATE SEQUENCE IF NOT EXISTS seq`)
		_, err := ReadChunk(d.ctx, d.conn, rel, Range{Limit: 5, Where: where})
		if !isProblem(err, says) {
			t.Errorf("%s: %v", where, err)
		}
		// The connection is good for the next chunk.
		if got := d.readAll(rel, 100, ""); len(got) != 20 {
			t.Fatalf("%d rows", len(got))
		}
	}
}

// Of rows that are larger than a chunk may be, some are left to the next one.
func TestChunkOfLargeRows(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`, `INSERT INTO t SELECT g, repeat('x', CASE WHEN g % 5 = 0 THEN 5000 ELSE 100 END) FROM generate_series(1, 20) g`)
	rel := d.describe("t")[0]
	for _, bytes := range []int{1, 150, 1000, 5000, 40_000} {
		var ids []string
		chunks := 0
		for r := (Range{Limit: 7, Bytes: bytes}); ; {
			chunks++
			chunk, err := ReadChunk(d.ctx, d.conn, rel, r)
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for i, row := range chunk.Rows {
				if size >= bytes {
					t.Errorf("%d bytes: a chunk goes on after %d", bytes, size)
				}
				size += len(row[0].Text) + len(row[1].Text)
				ids = append(ids, string(row[0].Text))
				if i == len(chunk.Rows)-1 && !slices.Equal(chunk.Last, ids[len(ids)-1:]) {
					t.Errorf("the last row is %q, not %q", chunk.Last, ids[len(ids)-1:])
				}
			}
			if chunk.Done {
				break
			}
			r.After = chunk.Last
		}
		if len(ids) != 20 || ids[0] != "1" || ids[19] != "20" {
			t.Errorf("%d bytes: read %q", bytes, ids)
		}
		if least := map[int]int{1: 20, 150: 10, 1000: 4, 5000: 4, 40_000: 3}[bytes]; chunks < least {
			t.Errorf("%d bytes: %d chunks", bytes, chunks)
		}
	}
}

func TestChunkSnapshot(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	rel := d.describe("t")[0]
	other := d.connect()
	var open, done uint32
	if _, err := other.Exec(d.ctx, `BEGIN; INSERT INTO t VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	if err := other.QueryRow(d.ctx, `SELECT pg_current_xact_id()::xid`).Scan(&open); err != nil {
		t.Fatal(err)
	}
	if err := d.conn.QueryRow(d.ctx, `WITH i AS (INSERT INTO t VALUES (2)) SELECT pg_current_xact_id()::xid`).Scan(&done); err != nil {
		t.Fatal(err)
	}
	before, err := CurrentSnapshot(d.ctx, d.conn)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := ReadChunk(d.ctx, d.conn, rel, Range{Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	if !chunk.Snapshot.Visible(done) || chunk.Snapshot.Visible(open) || len(chunk.Rows) != 1 || !chunk.Done {
		t.Errorf("snapshot %+v, open %d, done %d, %d rows", chunk.Snapshot, open, done, len(chunk.Rows))
	}
	if before.EndedBefore(chunk.Snapshot) {
		t.Error("the open transaction counts as ended")
	}
	if _, err := other.Exec(d.ctx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	// Other sessions of the server run transactions too, but they end.
	for {
		later, err := CurrentSnapshot(d.ctx, d.conn)
		if err != nil {
			t.Fatal(err)
		}
		if before.EndedBefore(later) {
			break
		}
	}
	if chunk, err = ReadChunk(d.ctx, d.conn, rel, Range{After: []string{"1"}, Limit: 5}); err != nil || !chunk.Snapshot.Visible(open) || len(chunk.Rows) != 1 {
		t.Errorf("after the commit: %+v, %v", chunk, err)
	}
}

func TestChunkRefuses(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`, `CREATE TABLE nokey (id int)`)
	if _, err := ReadChunk(d.ctx, d.conn, d.describe("nokey")[0], Range{Limit: 5}); !isProblem(err, "ADD PRIMARY KEY") {
		t.Errorf("no key: %v", err)
	}
	rel := d.describe("t")[0]
	for _, r := range []Range{{After: []string{"1", "2"}, Limit: 5}, {UpTo: []string{}, Limit: 5}} {
		if _, err := ReadChunk(d.ctx, d.conn, rel, r); err == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
	d.exec(`DROP TABLE t`)
	if _, err := ReadChunk(d.ctx, d.conn, rel, Range{Limit: 5}); !isProblem(err, "adapt the mapping") {
		t.Errorf("table gone: %v", err)
	}
}

func TestCountEstimate(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t SELECT generate_series(1, 1000)`,
		`CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)`,
		`CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (500)`, `CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (500) TO (2000)`,
		`INSERT INTO p SELECT generate_series(1, 1000)`)
	for _, analyze := range []string{`SELECT`, `ANALYZE t, p`} {
		d.exec(analyze)
		for _, rel := range d.describe("t", "p") {
			if n, err := CountEstimate(d.ctx, d.conn, rel); err != nil || n != 1000 {
				t.Errorf("after %s: %s has %d rows, %v", analyze, rel, n, err)
			}
		}
	}
}
