//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// armed is what FAILPOINT asks for.
var armed = parse(os.Getenv("FAILPOINT"))

type point struct {
	name, effect string
	left         atomic.Int64 // passings until it takes effect
}

func parse(text string) *point {
	p := &point{}
	parts := append(strings.Split(text, ":"), "error", "1")
	p.name, p.effect = parts[0], parts[1]
	nth, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		nth = 1
	}
	p.left.Store(nth)
	return p
}

// At does what FAILPOINT says where it names this place.
func At(name string) error {
	if name != armed.name || armed.left.Add(-1) != 0 {
		return nil
	}
	fmt.Fprintln(os.Stderr, "failpoint reached:", name)
	if armed.effect == "crash" {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			os.Exit(137)
		}
		select {} // nothing runs on meanwhile
	}
	return netError(name)
}

// Around does op between the places name.before and name.after. An error at the
// latter stands for an answer that did not arrive.
func Around(name string, op func() error) error {
	if err := At(name + ".before"); err != nil {
		return err
	}
	if err := op(); err != nil {
		return err
	}
	return At(name + ".after")
}

// netError passes for an error of the network, which may go away by itself.
type netError string

func (e netError) Error() string   { return "failpoint " + string(e) }
func (e netError) Timeout() bool   { return true }
func (e netError) Temporary() bool { return true }
