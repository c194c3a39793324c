package migrations_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/migrations"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func apply(t *testing.T, url, schema string) {
	t.Helper()
	if err := migrations.Apply(t.Context(), url, schema, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// describe lists what there is in a schema: columns with their types, indexes,
// constraints, storage settings, and the migrations recorded.
func describe(t *testing.T, url, schema string) []string {
	t.Helper()
	rows, _ := connect(t, url).Query(t.Context(), `
		WITH n AS (SELECT oid FROM pg_namespace WHERE nspname = $1)
		SELECT format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage, a.attidentity)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace IN (SELECT oid FROM n) AND c.relkind = 'r' AND a.attnum > 0
		UNION ALL SELECT format('index %s', replace(pg_get_indexdef(i.indexrelid), quote_ident($1) || '.', ''))
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace IN (SELECT oid FROM n)
		UNION ALL SELECT format('constraint %s %s', k.conname, replace(pg_get_constraintdef(k.oid), quote_ident($1) || '.', ''))
		FROM pg_constraint k WHERE k.connamespace IN (SELECT oid FROM n)
		UNION ALL SELECT format('options %s %s', c.relname, c.reloptions) FROM pg_class c WHERE c.relnamespace IN (SELECT oid FROM n)
		ORDER BY 1`, schema)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	rows, _ = connect(t, url).Query(t.Context(), "SELECT 'migration ' || version_id FROM "+pgx.Identifier{schema, "migration"}.Sanitize()+" WHERE is_applied ORDER BY id")
	versions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return append(list, versions...)
}

// TestApplyEqualsSQL applies the migrations and runs the printed script, and
// finds the same, under names that need quoting as under plain ones.
func TestApplyEqualsSQL(t *testing.T) {
	for _, schema := range []string{"pgcrm", "My State", `we"ird; DROP TABLE x --`, "select"} {
		t.Run(schema, func(t *testing.T) {
			server := pgtest.Shared(t)
			applied, scripted := server.NewDatabase(t), server.NewDatabase(t)
			apply(t, applied, schema)
			want := describe(t, applied, schema)
			if len(want) < 50 {
				t.Fatalf("only %d things in the schema", len(want))
			}
			apply(t, applied, schema)
			if diff := cmp.Diff(want, describe(t, applied, schema)); diff != "" {
				t.Errorf("applied twice: %s", diff)
			}

			script, err := migrations.SQL(schema)
			if err != nil {
				t.Fatal(err)
			}
			pgtest.Exec(t, scripted, script)
			if diff := cmp.Diff(want, describe(t, scripted, schema)); diff != "" {
				t.Errorf("the script differs: %s", diff)
			}
			apply(t, scripted, schema)
			if diff := cmp.Diff(want, describe(t, scripted, schema)); diff != "" {
				t.Errorf("applied after the script: %s", diff)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	url := pgtest.Shared(t).NewDatabase(t)
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			return migrations.Apply(t.Context(), url, "pgcrm", slog.New(slog.DiscardHandler))
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range describe(t, url, "pgcrm") {
		if line == "migration 1" {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("migration 1 is recorded %d times", n)
	}
}

// TestNewerSchema leaves alone what a newer binary has made.
func TestNewerSchema(t *testing.T) {
	url := pgtest.Shared(t).NewDatabase(t)
	apply(t, url, "pgcrm")
	pgtest.Exec(t, url, `ALTER TABLE pgcrm.state ADD COLUMN later int; INSERT INTO pgcrm.migration (version_id, is_applied) VALUES (99, true)`)
	want := describe(t, url, "pgcrm")
	apply(t, url, "pgcrm")
	if diff := cmp.Diff(want, describe(t, url, "pgcrm")); diff != "" {
		t.Fatal(diff)
	}
}

func TestRights(t *testing.T) {
	server := pgtest.Shared(t)
	url := server.NewDatabase(t)
	db := strings.TrimPrefix(connect(t, url).Config().Database, "/")
	pgtest.Exec(t, url, `CREATE ROLE limited LOGIN PASSWORD 'secret-word'`)
	t.Cleanup(func() { pgtest.Exec(t, server.URL("postgres"), "DROP ROLE limited") })
	t.Cleanup(func() { pgtest.Exec(t, url, "DROP OWNED BY limited") })
	limited := server.RoleURL("limited", "secret-word", db)

	refused := func(word string) {
		t.Helper()
		err := migrations.Apply(t.Context(), limited, "pgcrm", slog.New(slog.DiscardHandler))
		var problems interface{ Problems() []string }
		if !errors.As(err, &problems) {
			t.Fatalf("got %v", err)
		}
		lines := problems.Problems()
		if len(lines) != 1 || !strings.Contains(lines[0], word) || strings.Contains(lines[0], "secret-word") || strings.Contains(lines[0], "\n") {
			t.Fatalf("got %q, want one line with %q", lines, word)
		}
	}
	refused("grant it CREATE on the database")

	script, err := migrations.SQL("pgcrm")
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, script)
	refused("GRANT USAGE ON SCHEMA")
	pgtest.Exec(t, url, migrations.Grants("pgcrm", "limited"))
	apply(t, limited, "pgcrm")

	// A schema of its own in which it may create suffices as well.
	pgtest.Exec(t, url, `CREATE SCHEMA own; GRANT USAGE, CREATE ON SCHEMA own TO limited`)
	apply(t, limited, "own")

	// Somebody else's tables are not taken over.
	pgtest.Exec(t, url, `CREATE SCHEMA other; CREATE TABLE other.state (x int); GRANT USAGE, CREATE ON SCHEMA other TO limited`)
	err = migrations.Apply(t.Context(), limited, "other", slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "PGCRM_SCHEMA") {
		t.Fatalf("got %v", err)
	}
}

func TestForwardOnly(t *testing.T) {
	if _, err := migrations.Script(fstest.MapFS{"00002_x.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n")}}, "s"); err == nil {
		t.Fatal("a migration with a way back was accepted")
	}
}
