package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// usageError is a mistake on the command line.
type usageError struct{ line string }

func (e *usageError) Error() string      { return e.line }
func (e *usageError) Problems() []string { return []string{e.line} }

// report prints the error and tells the exit code.
func report(out *printer, err error) int {
	var wrong interface{ Problems() []string }
	if errors.As(err, &wrong) {
		excerpts := excerptsOf(err)
		for _, line := range wrong.Problems() {
			out.println(line)
			out.excerpt(excerpts[line])
		}
		return exitWrong
	}
	out.println("pgcrm:", err)
	if errors.As(err, new(*driftError)) {
		return exitDrift
	}
	return exitFailed
}

// excerptsOf are the places in the mapping that an error points at, by its lines.
func excerptsOf(err error) map[string][]string {
	var pointing interface{ Excerpts() map[string][]string }
	if !errors.As(err, &pointing) {
		return nil
	}
	return pointing.Excerpts()
}

// excerpt shows a person the place that a problem points at. In a pipe a problem
// stays one line.
func (p *printer) excerpt(lines []string) {
	if !p.terminal {
		return
	}
	for _, line := range lines {
		p.println(p.paint(dim, "    "+sayable(strings.ReplaceAll(line, "\t", " "))))
	}
}

// problems gathers what is wrong from several places, so that all of it is said
// at once, and nothing twice.
type problems struct {
	lines    []string
	excerpts map[string][]string // by line, where it points at the mapping
}

// add takes the problems of err, or returns err where it is none.
func (p *problems) add(err error) error {
	if err == nil {
		return nil
	}
	var wrong interface{ Problems() []string }
	if errors.As(err, &wrong) {
		for _, line := range wrong.Problems() {
			if !slices.Contains(p.lines, line) {
				p.lines = append(p.lines, line)
			}
		}
		if p.excerpts == nil {
			p.excerpts = map[string][]string{}
		}
		maps.Copy(p.excerpts, excerptsOf(err))
		return nil
	}
	return err
}

func (p *problems) err() error {
	if len(p.lines) == 0 {
		return nil
	}
	return &wrongError{p.lines, p.excerpts}
}

// wrongError is what must be mended before the command can do its work.
type wrongError struct {
	lines    []string
	excerpts map[string][]string
}

func (e *wrongError) Error() string                 { return fmt.Sprintf("%d problems", len(e.lines)) }
func (e *wrongError) Problems() []string            { return e.lines }
func (e *wrongError) Excerpts() map[string][]string { return e.excerpts }
