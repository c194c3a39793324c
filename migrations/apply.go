package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pgcrm/pgcrm/internal/failpoint"
)

//go:embed *.sql
var files embed.FS

// versionTable lists the migrations that a schema has.
const versionTable = "migration"

// MinServer is the oldest server version that can hold the state, in the form
// of server_version_num.
const MinServer = 140000

// Apply brings the state schema in the database at url up to date, and creates
// it first where it is missing. It waits for another instance that is doing the
// same. What is already there is not touched, whoever owns it.
//
// An error that an operator has to mend, such as a missing right, implements
// Problems() []string.
func Apply(ctx context.Context, url, schema string, logger *slog.Logger) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("read the address of the state database: %w", err)
	}
	config.RuntimeParams["application_name"] = "pgcrm migrate"
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 15 * time.Second
	}
	// A statement may wait for another instance, but not for a host that is gone.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	// A server that pools connections may not keep prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec

	// goose looks whether there is anything to do before it locks, and creates
	// its table then, so the lock is held around all that it does.
	lock, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to the state database: %w", err)
	}
	defer lock.Close(context.WithoutCancel(ctx)) // which releases the lock
	if err := prepare(ctx, lock, schema); err != nil {
		return explain(err, schema)
	}

	enter := func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET search_path = "+quote(schema)+"; SET statement_timeout = 0", pgx.QueryExecModeSimpleProtocol)
		return err
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(enter))
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return fmt.Errorf("read the embedded migrations: %w", err)
	}
	var results []*goose.MigrationResult
	err = failpoint.Around("migrate", func() (err error) {
		results, err = provider.Up(ctx)
		return err
	})
	if err != nil {
		return explain(err, schema)
	}
	if n := len(results); n > 0 {
		logger.InfoContext(ctx, "state_migrated", "schema", schema, "version", results[n-1].Source.Version)
	}
	return nil
}

// prepare checks the server, takes the lock, and sees that there is a schema
// that the migrations can be run in.
func prepare(ctx context.Context, conn *pgx.Conn, schema string) error {
	var version int
	var standby bool
	err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, pg_is_in_recovery()").Scan(&version, &standby)
	switch {
	case err != nil:
		return fmt.Errorf("ask the state database for its version: %w", err)
	case version < MinServer:
		return problem{fmt.Sprintf("the state database runs Postgres %d, which is older than 14; name a newer one in PGCRM_STATE_DATABASE_URL", version/10000)}
	case standby:
		return problem{"the state database is a standby and cannot be written; name its primary in PGCRM_STATE_DATABASE_URL"}
	}
	_, err = conn.Exec(ctx, "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockID(schema)); err != nil {
		return fmt.Errorf("wait for another instance's migration: %w", err)
	}
	return createSchema(ctx, conn, schema)
}

// lockID tells schemas of one database apart; advisory locks are per database.
func lockID(schema string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("pgcrm migrations " + schema))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}

// createSchema creates the schema where it is missing. CREATE SCHEMA IF NOT
// EXISTS would ask for the right to create one even where it exists.
func createSchema(ctx context.Context, conn *pgx.Conn, schema string) error {
	var exists, usable, empty, creatable bool
	err := conn.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_or(has_schema_privilege(oid, 'USAGE')), false),
		coalesce(bool_or(has_schema_privilege(oid, 'CREATE')), false),
		NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2)
		FROM pg_namespace WHERE nspname = $1`, schema, versionTable).Scan(&exists, &usable, &creatable, &empty)
	switch {
	case err != nil:
		return fmt.Errorf("look for the state schema: %w", err)
	case !exists:
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+quote(schema)); err != nil {
			return fmt.Errorf("create the state schema: %w", err)
		}
	case !usable:
		return problem{fmt.Sprintf("the role %s may not use the state schema %s; as its owner run: %s",
			conn.Config().User, quote(schema), oneLine(Grants(schema, conn.Config().User)))}
	case empty && !creatable:
		return problem{fmt.Sprintf("the role %s may not create tables in the state schema %s; as its owner run: GRANT CREATE ON SCHEMA %[2]s TO %[3]s; "+
			"or what `pgcrm migrate --sql` prints", conn.Config().User, quote(schema), quote(conn.Config().User))}
	}
	return nil
}

func oneLine(statements string) string {
	return strings.ReplaceAll(strings.TrimSpace(statements), "\n", " ")
}

// quote writes an identifier for SQL.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// problem is an error that an operator has to mend.
type problem struct{ line string }

func (p problem) Error() string      { return p.line }
func (p problem) Problems() []string { return []string{p.line} }

// explain words the errors that have a known mend.
func explain(err error, schema string) error {
	var known problem
	if errors.As(err, &known) {
		return known
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("migrate the state schema: %w", err)
	}
	switch pg.Code {
	case "42501": // insufficient_privilege
		return problem{fmt.Sprintf("the role may not create or change the state schema %s (%s); grant it CREATE on the database, "+
			"or run what `pgcrm migrate --sql` prints as a role that may", quote(schema), pg.Message)}
	case "42P07": // duplicate_table
		return problem{fmt.Sprintf("the schema %s holds tables that are not pgcrm's (%s); name another in PGCRM_SCHEMA", quote(schema), strings.TrimSpace(pg.Message))}
	case "25006": // read_only_sql_transaction
		return problem{"the state database cannot be written (" + pg.Message + "); name a primary that can in PGCRM_STATE_DATABASE_URL"}
	}
	return fmt.Errorf("migrate the state schema: %w", err)
}
