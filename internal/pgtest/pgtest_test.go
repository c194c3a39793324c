package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/goleak"
)

// childEnv makes the test binary play a program that starts a server and is
// then killed.
const childEnv = "PGTEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		playChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func playChild(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(s.URL("postgres"))
	select {}
}

// query returns the first column of the first row.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

func TestServerIsLogicalAndAskedFor(t *testing.T) {
	t.Parallel()
	s := New(t, "wal_sender_timeout", "2s", "search_path", `it's, "$user"`)
	url := s.URL("postgres")
	for sql, want := range map[string]string{
		"SHOW wal_level":             "logical",
		"SHOW fsync":                 "off",
		"SHOW wal_sender_timeout":    "2s",
		"SHOW search_path":           `it's, "$user"`,
		"SHOW listen_addresses":      "127.0.0.1",
		"SHOW server_encoding":       "UTF8",
		"SHOW max_replication_slots": "50",
		"SELECT current_user":        "postgres",
		"SELECT inet_server_port()":  strconv.Itoa(s.Port()),
		"SELECT current_setting('server_version_num')::int / 10000":              strconv.Itoa(s.Version()),
		"SELECT pg_create_logical_replication_slot('s', 'pgoutput') IS NOT NULL": "t",
	} {
		if got := query(t, url, sql); got != want {
			t.Errorf("%s = %q, want %q", sql, got, want)
		}
	}
}

func TestRolesNeedTheirPassword(t *testing.T) {
	t.Parallel()
	s := Shared(t)
	db := strings.TrimPrefix(mustParse(t, s.NewDatabase(t)).Database, "/")
	Exec(t, s.URL("postgres"), "CREATE ROLE app LOGIN PASSWORD 'p@ss/w:rd?'")
	t.Cleanup(func() { Exec(t, s.URL("postgres"), "DROP ROLE app") })

	if got := query(t, s.RoleURL("app", "p@ss/w:rd?", db), "SELECT current_user"); got != "app" {
		t.Errorf("current_user = %q", got)
	}
	for _, url := range []string{s.RoleURL("app", "wrong", db), s.RoleURL("postgres", "", db)} {
		conn, err := pgconn.Connect(t.Context(), url)
		var refused *pgconn.PgError
		if err == nil {
			conn.Close(t.Context())
			t.Errorf("connected with a wrong password")
		} else if !errors.As(err, &refused) || refused.Code != "28P01" {
			t.Errorf("error %v, want SQLSTATE 28P01", err)
		}
	}
}

func mustParse(t *testing.T, url string) *pgconn.Config {
	t.Helper()
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestStopAndRestartKeepPortAndData(t *testing.T) {
	t.Parallel()
	s := New(t)
	url := s.URL("postgres")
	Exec(t, url, "CREATE TABLE t (n int); INSERT INTO t VALUES (0)")

	for n, end := range []func() error{
		func() error { return nil }, // Restart alone
		func() error { return s.Stop(t.Context(), Fast) },
		func() error { return s.Stop(t.Context(), Immediate) },
		func() error { return s.Kill(t.Context()) },
	} {
		if err := end(); err != nil {
			t.Fatalf("end %d: %v", n, err)
		}
		if n > 0 {
			if conn, err := pgconn.Connect(t.Context(), url); err == nil {
				conn.Close(t.Context())
				t.Fatalf("end %d: still accepts connections", n)
			}
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatalf("restart %d: %v", n, err)
		}
		if got, want := query(t, url, "SELECT count(*) FROM t"), strconv.Itoa(n+1); got != want {
			t.Fatalf("restart %d: %s rows, want %s", n, got, want)
		}
		Exec(t, url, "INSERT INTO t VALUES (1)")
	}
}

func TestAlterSystemHasTheLastWord(t *testing.T) {
	t.Parallel()
	s := New(t)
	Exec(t, s.URL("postgres"), "ALTER SYSTEM SET wal_level = replica")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s.URL("postgres"), "SHOW wal_level"); got != "replica" {
		t.Errorf("wal_level = %q", got)
	}
}

func TestFailedStartSaysWhyAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	_, err := Start(t.Context(), Options{Dir: dir, Settings: map[string]string{"shared_buffers": "many"}})
	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("error %v, want one that names shared_buffers", err)
	}
	wantEmpty(t, dir)
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	wantEmpty(t, dir)
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*Server) error{
		"running": func(*Server) error { return nil },
		"stopped": func(s *Server) error { return s.Stop(t.Context(), Fast) },
		"killed":  func(s *Server) error { return s.Kill(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			s, err := Start(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			shm := sharedMemory(t, s)
			if err := before(s); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, dir)
			if shm.exists(t) {
				t.Errorf("shared memory segment %s is left", shm)
			}
			if err := s.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
			if err := s.Restart(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("Restart after Close: %v, want ErrClosed", err)
			}
		})
	}
}

func TestKilledProgramLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(url, "postgres://") {
		t.Fatalf("child said %q, %v", url, err)
	}
	config := mustParse(t, strings.TrimSpace(url))
	query(t, strings.TrimSpace(url), "SELECT 1")

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	deadline := time.Now().Add(patience)
	for len(entries(t, dir)) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	wantEmpty(t, dir)
	addr := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Errorf("the server still listens on %s", addr)
	}
}

func TestNewDatabaseIsDroppedWithItsSlots(t *testing.T) { //nolint:tparallel // what the subtest leaves is looked at after it
	t.Parallel()
	s := Shared(t)
	var name string
	var stream *pgconn.PgConn
	// It stays open while the database is dropped.
	t.Cleanup(func() {
		if stream != nil {
			_ = stream.Close(context.Background())
		}
	})
	t.Run("user", func(t *testing.T) {
		url := s.NewDatabase(t)
		name = mustParse(t, url).Database
		query(t, url, "SELECT pg_create_logical_replication_slot('idle_"+name+"', 'pgoutput')")
		query(t, url, "SELECT pg_create_logical_replication_slot('busy_"+name+"', 'pgoutput')")
		Exec(t, url, "CREATE PUBLICATION p FOR ALL TABLES")

		config := mustParse(t, url)
		config.RuntimeParams["replication"] = "database"
		var err error
		stream, err = pgconn.ConnectConfig(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		stream.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT busy_" + name +
			" LOGICAL 0/0 (proto_version '1', publication_names 'p')"})
		if err := stream.Frontend().Flush(); err != nil {
			t.Fatal(err)
		}
		msg, err := stream.ReceiveMessage(t.Context())
		if _, ok := msg.(*pgproto3.CopyBothResponse); !ok {
			t.Fatalf("got %T, %v; want CopyBothResponse", msg, err)
		}
	})
	left := query(t, s.URL("postgres"), "SELECT count(*) FROM pg_replication_slots WHERE database = '"+name+"'")
	if left != "0" {
		t.Errorf("%s slots left", left)
	}
	if got := query(t, s.URL("postgres"), "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
		t.Errorf("database %s left", name)
	}
}

// openDir is a directory that the server's user may enter; t.TempDir's parent
// is closed to all but us.
func openDir(t *testing.T) string {
	t.Helper()
	skipShort(t)
	dir, err := os.MkdirTemp("", "pgtest-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if found := entries(t, dir); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
}

// segment is the id of a System V shared memory segment.
type segment string

func sharedMemory(t *testing.T, s *Server) segment {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(strings.Split(string(b), "\n")[6])
	id := segment(fields[1])
	if !id.exists(t) {
		t.Skipf("no segment %s in /proc/sysvipc/shm", id)
	}
	return id
}

func (id segment) exists(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == string(id) {
			return true
		}
	}
	return false
}
