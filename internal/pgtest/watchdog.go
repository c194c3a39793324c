package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// watchdogScript reads the process id of the server that runs now, 0 for none,
// a line each, until the process that writes them closes the pipe or dies. Then
// it stops the server and removes the directory given. An immediate stop lets
// the server release its shared memory, as SIGKILL would not.
const watchdogScript = `
trap '' HUP INT TERM QUIT
pid=0
while read -r line; do
	case $line in done) exit 0 ;; esac
	pid=$line
done
if [ "$pid" -gt 0 ]; then
	kill -QUIT "$pid"
	n=0
	while [ -e "$1/data/postmaster.pid" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
fi
n=0
until rm -rf "$1" || [ $n -ge 50 ]; do sleep 0.1; n=$((n + 1)); done
`

// watchdog outlives this process where it dies without cleaning up.
type watchdog struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// startWatchdog guards dir. The shell runs as the caller: it may have to remove
// what belongs to somebody else.
func startWatchdog(dir string) (*watchdog, error) {
	// Its end of the pipe is the only one that is inherited: all that Go opens
	// closes on exec. And it holds none of our outputs, whose readers would
	// otherwise wait for it.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "pgtest-watchdog", dir) //nolint:noctx // it outlives us
	cmd.Dir = "/"
	cmd.Stdin = r
	(*account)(nil).detach(cmd)
	err = cmd.Start()
	r.Close()
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start the watchdog of a throwaway Postgres: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: w}, nil
}

// guard tells it which server to stop; 0 is none.
func (w *watchdog) guard(pid int) error {
	_, err := w.pipe.WriteString(strconv.Itoa(pid) + "\n")
	return err
}

// dismiss ends it without letting it do anything.
func (w *watchdog) dismiss() error {
	_, err := w.pipe.WriteString("done\n")
	if cerr := w.pipe.Close(); err == nil {
		err = cerr
	}
	if werr := w.cmd.Wait(); err == nil {
		err = werr
	}
	return err
}
