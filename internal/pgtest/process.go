package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrClosed is returned by methods of a closed server.
var ErrClosed = errors.New("the throwaway Postgres is closed")

// process is a running postmaster.
type process struct {
	cmd *exec.Cmd
	// life is the read end of a pipe whose other end the postmaster and all
	// its children hold: it ends when the last of them has. Unlike a wait for
	// the process it can be given up, so it needs no goroutine.
	life *os.File
}

// gone waits until the postmaster and its children have ended, or reports false
// after the given time.
func (p *process) gone(within time.Duration) bool {
	_ = p.life.SetReadDeadline(time.Now().Add(within)) // pipes have deadlines
	_, err := p.life.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Restart starts the server again, on the same port with the same data, after a
// fast stop if it runs, and returns once it accepts connections.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if err := s.stop(ctx, Fast); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		_ = s.kill(context.WithoutCancel(ctx))
		return fmt.Errorf("start Postgres: %w\n%s", err, strings.TrimSpace(s.Log(2000)))
	}
	return nil
}

// Stop stops the server and waits until it has ended, or the context has. It
// does nothing to a server that is stopped.
func (s *Server) Stop(ctx context.Context, mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(ctx, mode)
}

// Kill ends the server by SIGKILL, as the kernel does when memory runs out: its
// children notice and end too, and Kill waits for them.
func (s *Server) Kill(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kill(ctx)
}

// launch starts the postmaster and tells the watchdog.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	// Not bound to a context: the server outlives the call that starts it.
	cmd := s.command(context.Background(), "postgres", "-D", s.data())
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{w}
	if err := cmd.Start(); err != nil {
		r.Close()
		return fmt.Errorf("start Postgres: %w%s", err, s.hint(err, ""))
	}
	s.proc = &process{cmd: cmd, life: r}
	return s.watchdog.guard(cmd.Process.Pid)
}

// ready waits until the server accepts a connection.
func (s *Server) ready(ctx context.Context) error {
	config, err := pgconn.ParseConfig(s.URL(superuser))
	if err != nil {
		return err
	}
	for {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			return err
		}
		if s.proc.gone(20 * time.Millisecond) {
			return errors.New("it ended")
		}
	}
}

func (s *Server) stop(ctx context.Context, mode Mode) error {
	sig := sigFast
	if mode == Immediate {
		sig = sigImmediate
	}
	return s.end(ctx, sig)
}

func (s *Server) kill(ctx context.Context) error { return s.end(ctx, os.Kill) }

// end sends the signal and waits for the postmaster and its children.
func (s *Server) end(ctx context.Context, sig os.Signal) error {
	if s.proc == nil {
		return nil
	}
	if err := s.proc.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	for !s.proc.gone(20 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stop Postgres: %w", err)
		}
	}
	_ = s.proc.cmd.Wait() // a killed server's exit status is no news
	_ = s.proc.life.Close()
	s.proc = nil
	return s.watchdog.guard(0)
}

// releaseSharedMemory removes the System V segment that a killed postmaster
// leaves, and that its next start would have removed. Line 7 of its pid file
// holds the key and the id.
func (s *Server) releaseSharedMemory(ctx context.Context) {
	f, err := os.Open(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return // a server that was stopped has removed file and segment
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return
	}
	if lines := strings.Split(string(b), "\n"); len(lines) > 6 {
		if _, id, ok := strings.Cut(strings.TrimSpace(lines[6]), " "); ok {
			_ = exec.CommandContext(ctx, "ipcrm", "-m", strings.TrimSpace(id)).Run()
		}
	}
}
