//go:build !unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
)

var (
	sigFast      = os.Interrupt
	sigImmediate = os.Kill
)

type account struct{ name string }

func serverAccount() (*account, error) {
	return nil, errors.New("throwaway Postgres servers run on Unix only; use a database of your own")
}

func (*account) own(string) error { return nil }

func (*account) detach(*exec.Cmd) {}

func isPermission(error) bool { return false }
