package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// binary is the program, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		os.Exit(m.Run()) // nothing of it runs
	}
	waitTogether()
	dir, err := os.MkdirTemp("", "pgcrm-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "pgcrm")
	args := []string{"build", "-o", binary}
	if raceFlag != "" {
		args = append(args, raceFlag)
	}
	build := exec.Command("go", append(args, "github.com/pgcrm/pgcrm")...)
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// waitTogether runs more tests at a time than there are processors, unless told
// otherwise: most of them wait most of the time.
func waitTogether() {
	const parallel = "test.parallel"
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == parallel })
	if !given {
		_ = flag.Set(parallel, strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
}

// process is one life of the program.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
	err  error // of Wait, once done is closed
}

// start runs the program with the environment alone.
func start(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	return startProgram(t, binary, env, args...)
}

// startProgram is start for a binary that was built otherwise.
func startProgram(t testing.TB, path string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), log: &tail{}, done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=halt_on_error=1"}, env...)
	p.cmd.Dir = t.TempDir()
	output := scanned(t, env, args, p.log)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("end of the program's output:\n%s", p.log)
		}
	})
	return p
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// stop asks the process to end and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.wait(60 * time.Second)
}

// wait waits for the process to end by itself and returns its exit code.
func (p *process) wait(atMost time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(atMost):
		p.t.Fatalf("the program did not end within %s; its output ends:\n%s", atMost, p.log)
		return -1
	}
}

// ended reports whether the process is over.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// alive fails the test if the process ended by itself.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Fatalf("the program ended by itself (%v); its output ends:\n%s", p.err, p.log)
	default:
	}
}

// tail keeps the end of what is written.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 32 << 10

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if over := len(l.buf) - tailBytes; over > tailBytes {
		l.buf = append(l.buf[:0], l.buf[over:]...)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf[max(0, len(l.buf)-tailBytes):])
}

func (l *tail) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.buf, []byte(text))
}

// serve runs a simulator on a port of its own.
func serve(t testing.TB, opts hubspotsim.Options) (*hubspotsim.Portal, string) {
	t.Helper()
	portal := hubspotsim.New(opts)
	srv := httptest.NewServer(portal)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		portal.Close()
		srv.Close()
	})
	return portal, srv.URL
}

// eventually polls until the condition holds, and fails with its last reason.
func eventually(t testing.TB, atMost time.Duration, condition func() (reason string)) {
	t.Helper()
	deadline := time.Now().Add(atMost)
	for {
		reason := condition()
		if reason == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", atMost, reason)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort is an address that nothing listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get fetches a page and returns its status and body.
func get(ctx context.Context, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return 0, "", err
	}
	return resp.StatusCode, body.String(), nil
}
