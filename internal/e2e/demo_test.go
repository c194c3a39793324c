package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo: it shows changes arrive, ends by itself, and leaves nothing.
func TestDemo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a server")
	}
	tmp := t.TempDir()
	if err := os.Chmod(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := tmp; dir != "/" && dir != os.TempDir(); dir = dir[:strings.LastIndex(dir, "/")] {
		_ = os.Chmod(dir, 0o755)
	}
	code, out, errs := run(t, []string{"TMPDIR=" + tmp}, "demo", "--for", "5s", "--rate", "20")
	t.Log(out)
	if code != 0 || errs != "" {
		t.Errorf("exit code %d, errors %q", code, errs)
	}
	if !regexp.MustCompile(`loaded +public\.accounts +\d\d\d records`).MatchString(out) {
		t.Error("no load is shown")
	}
	if n := len(regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} +public\.\w+ +\d+ +\d+\.\d ms  \w+=`).FindAllString(out, -1)); n == 0 {
		t.Error("no arrivals are shown")
	}
	leavesNothing(t, tmp)
}

// TestDemoIsInterrupted as by Ctrl-C.
func TestDemoIsInterrupted(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a server")
	}
	tmp := t.TempDir()
	for dir := tmp; dir != "/" && dir != os.TempDir(); dir = dir[:strings.LastIndex(dir, "/")] {
		_ = os.Chmod(dir, 0o755)
	}
	p := start(t, []string{"TMPDIR=" + tmp}, "demo")
	eventually(t, patience, func() string {
		p.alive()
		if !p.log.contains(" ms  ") {
			return "no arrival yet"
		}
		return ""
	})
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	leavesNothing(t, tmp)
}

// leavesNothing waits until no file is left in the directory, and no process
// that was started with it.
func leavesNothing(t *testing.T, dir string) {
	t.Helper()
	eventually(t, 10*time.Second, func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err.Error()
		}
		for _, e := range entries {
			return "left behind: " + e.Name()
		}
		out, err := exec.Command("ps", "-eo", "pid=,args=").Output()
		if err != nil {
			return ""
		}
		for line := range strings.Lines(string(out)) {
			pid, args, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.Contains(args, dir) && pid != strconv.Itoa(os.Getpid()) {
				return "still running: " + line
			}
		}
		return ""
	})
}
