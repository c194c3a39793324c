package pgtest

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TB is what the helpers use of [testing.TB]; declared here, so that the demo
// does not link package testing.
type TB interface {
	Helper()
	Name() string
	Failed() bool
	Skipf(format string, args ...any)
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// patience bounds each step that a helper waits for, on a machine that may be
// busy.
const patience = 60 * time.Second

// New starts a server for one test, with settings given as name, value pairs,
// and closes it after. The end of its log is shown where the test fails.
func New(t TB, settings ...string) *Server {
	t.Helper()
	skipShort(t)
	if len(settings)%2 != 0 {
		t.Fatalf("pgtest: settings are name, value pairs, got %q", settings)
	}
	opts := Options{Settings: map[string]string{}}
	for pair := range slices.Chunk(settings, 2) {
		opts.Settings[pair[0]] = pair[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.Log(4000))
		}
		if err := s.Close(); err != nil {
			t.Errorf("pgtest: close the server: %v", err)
		}
	})
	return s
}

// skipShort leaves out of `go test -short` what needs a server. It asks the flag
// itself: testing.Short would make the demo link package testing.
func skipShort(t TB) {
	t.Helper()
	if f := flag.Lookup("test.short"); f != nil && f.Value.String() == "true" {
		t.Skipf("needs a Postgres server; run without -short")
	}
}

// shared is the one server of a test process: it is the point of Shared that
// packages' tests need not hand it around. The watchdog removes it when the
// process ends.
var shared = sync.OnceValues(func() (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return Start(ctx, Options{})
})

// Shared returns a server that all tests of this process share. They must not
// stop it, nor change it beyond their own database (see [Server.NewDatabase]).
func Shared(t TB) *Server {
	t.Helper()
	skipShort(t)
	s, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return s
}

var databases atomic.Int64

// NewDatabase makes an empty database for one test and returns its URL (for the
// superuser). After the test it is dropped, with the replication slots made in
// it, whether or not they are in use.
func (s *Server) NewDatabase(t TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	Exec(t, s.URL(superuser), "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.Log(4000))
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.dropDatabase(ctx, name); err != nil {
			t.Errorf("pgtest: drop database %s: %v", name, err)
		}
	})
	return s.URL(name)
}

// dropDatabase ends whoever uses the database's slots until none is left.
func (s *Server) dropDatabase(ctx context.Context, name string) error {
	conn, err := pgconn.Connect(ctx, s.URL(superuser))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	// An active slot can only be dropped once its user has noticed that it was
	// asked to end, so ask again until it has.
	err = execSQL(ctx, conn, `
		DO $$
		DECLARE slot record;
		BEGIN
			LOOP
				FOR slot IN SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = '`+name+`' LOOP
					BEGIN
						PERFORM pg_terminate_backend(slot.active_pid);
						PERFORM pg_drop_replication_slot(slot.slot_name);
					EXCEPTION WHEN object_in_use OR undefined_object THEN
						PERFORM pg_sleep(0.02);
					END;
				END LOOP;
				EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = '`+name+`');
			END LOOP;
		END $$`)
	if err != nil {
		return err
	}
	return execSQL(ctx, conn, "DROP DATABASE "+name+" WITH (FORCE)")
}

// Exec runs SQL, any number of statements, on a connection of its own, and
// fails the test where that fails.
func Exec(t TB, url string, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		t.Fatalf("pgtest: connect: %v", err)
	}
	defer conn.Close(ctx)
	if err := execSQL(ctx, conn, sql); err != nil {
		t.Fatalf("pgtest: %v\n%s", err, sql)
	}
}

func execSQL(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}
