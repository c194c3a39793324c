package config

import "strings"

// Error lists everything that is wrong with the environment.
type Error struct {
	lines []string
}

// Error joins the problems, one a line.
func (e *Error) Error() string { return strings.Join(e.lines, "\n") }

// Problems returns one line per problem, each naming the variable and the mend.
func (e *Error) Problems() []string { return e.lines }

// problems gathers lines until the end of Load.
type problems struct {
	lines []string
}

// add notes that the variable name is wrong as what says, mended as mend says.
func (p *problems) add(name, what, mend string) {
	p.lines = append(p.lines, name+": "+what+"; "+mend)
}

func (p *problems) err() error {
	if len(p.lines) == 0 {
		return nil
	}
	return &Error{lines: p.lines}
}

// fault is the error of a decoder: what is wrong with a value and how to mend
// it, without the value.
type fault struct {
	what, mend string
}

func (f *fault) Error() string { return f.what + "; " + f.mend }
