package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// superuser is the role that initdb makes.
const superuser = "postgres"

// Options say how to start a server. The zero value is good.
type Options struct {
	// BinDir holds initdb and postgres; empty means what FindBinaries finds.
	BinDir string
	// Dir is where the server's own directory is made, and removed by Close.
	// Empty means os.TempDir.
	Dir string
	// Settings are written to postgresql.conf, over the package's own.
	Settings map[string]string
}

// Mode is a way to stop a server.
type Mode int

const (
	// Fast disconnects clients and writes a shutdown checkpoint. It waits for
	// replication clients to be sent, and to confirm, what they lack.
	Fast Mode = iota
	// Immediate stops without a checkpoint; the next start recovers.
	Immediate
)

// Server is a throwaway Postgres. It is made by [Start] and ended by
// [Server.Close].
type Server struct {
	binDir   string
	version  int
	account  *account
	dir      string // holds data, log and password; removed by Close
	port     int
	password string

	mu       sync.Mutex
	watchdog *watchdog
	proc     *process // nil while stopped
	closed   bool
}

// Start makes a data directory, starts a server on it and returns once that
// accepts connections, or with an error that ends with the server's last words.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	binDir := opts.BinDir
	if binDir == "" {
		if binDir, err = FindBinaries(ctx); err != nil {
			return nil, err
		}
	}
	version, err := binVersion(ctx, binDir)
	if err != nil {
		return nil, err
	}
	acct, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.Dir, "pgcrm-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a throwaway Postgres: %w", err)
	}
	s := &Server{binDir: binDir, version: version, account: acct, dir: dir, password: rand.Text()}
	if s.watchdog, err = startWatchdog(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := acct.own(dir); err != nil {
		return nil, err
	}
	if err := s.initdb(ctx); err != nil {
		return nil, err
	}
	return s, s.firstStart(ctx, opts.Settings)
}

// initdb makes the data directory.
func (s *Server) initdb(ctx context.Context) error {
	pwfile := filepath.Join(s.dir, "password")
	if err := os.WriteFile(pwfile, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.account.own(pwfile); err != nil {
		return err
	}
	cmd := s.command(ctx, "initdb", "--pgdata", s.data(), "--no-sync", "--no-instructions",
		"--username", superuser, "--pwfile", pwfile, "--auth", "scram-sha-256",
		"--locale", "C", "--encoding", "UTF8")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w%s\n%s", err, s.hint(err, string(out)), strings.TrimSpace(string(out)))
	}
	return s.WriteFile("pg_hba.conf", []byte(hba))
}

// firstStart starts the server on a port of its own. Between the moment a port
// is found free and the server's bind somebody else may take it; then another
// is tried.
func (s *Server) firstStart(ctx context.Context, settings map[string]string) error {
	base := filepath.Join(s.data(), "postgresql.conf")
	sample, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	all := defaults()
	for name, value := range settings {
		all[name] = value
	}
	all["listen_addresses"] = "127.0.0.1"
	all["unix_socket_directories"] = ""
	for try := 1; ; try++ {
		if s.port, err = freePort(ctx); err != nil {
			return err
		}
		all["port"] = strconv.Itoa(s.port)
		if err := os.WriteFile(base, append(sample, conf(all)...), 0o600); err != nil {
			return err
		}
		err := s.Restart(ctx)
		if err == nil || try == 5 || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

// hint explains the refusal that only root meets: the server's user may not
// enter a directory on the way.
func (s *Server) hint(err error, output string) string {
	if s.account == nil || !isPermission(err) && !strings.Contains(output, "ermission denied") {
		return ""
	}
	return fmt.Sprintf(" (it runs as user %s, who must be able to enter %s and %s; move them or open them with chmod a+x)",
		s.account.name, s.binDir, s.dir)
}

// command prepares one of the server's programs: as its user, in its
// directory, with none of our PG* variables.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.binDir, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH"),
		"LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH"),
	}
	s.account.detach(cmd)
	return cmd
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// Version is the server's major version: 15.
func (s *Server) Version() int { return s.version }

// Port is where it listens on 127.0.0.1. It stays the same over restarts.
func (s *Server) Port() int { return s.port }

// URL is a connection string for the superuser. The database "postgres" exists.
func (s *Server) URL(db string) string { return s.RoleURL(superuser, s.password, db) }

// RoleURL is a connection string for another role, which must have been made
// with LOGIN and that password.
func (s *Server) RoleURL(role, password, db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// WriteFile writes a file of the server's data directory, which the server
// alone may read: a certificate's key, or pg_hba.conf.
func (s *Server) WriteFile(name string, content []byte) error {
	path := filepath.Join(s.data(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return s.account.own(path)
}

// Log is the end of the server's log, at most n bytes.
func (s *Server) Log(n int) string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-n):])
}

// Close stops the server at once and removes all that it made. Calling it again
// does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	if err := s.stop(ctx, Immediate); err != nil {
		errs = append(errs, err, s.kill(ctx))
	}
	s.releaseSharedMemory(ctx)
	return errors.Join(append(errs, os.RemoveAll(s.dir), s.watchdog.dismiss())...)
}
