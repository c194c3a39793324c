package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFileBytes bounds what is read from a file that a variable names; the
// largest sensible one is a mapping.
const maxFileBytes = 4 << 20

const fileSuffix = "_FILE"

// environ is the process environment as the variables see it: NAME, or else
// the content of the file that NAME_FILE names. It implements
// envconfig.Lookuper, and since Lookup returns no error, what goes wrong with a
// file is gathered on the side. It remembers the names that were asked for, so
// that the others can be warned of.
type environ struct {
	vars     map[string]string
	asked    map[string]bool
	files    map[string]string // variable to the path its value was read from
	broken   map[string]bool   // variable whose file gave a problem
	problems *problems
	warnings []string
}

// newEnviron takes pairs as os.Environ gives them. The first of two pairs with
// the same name counts, as in package os.
func newEnviron(pairs []string, p *problems) *environ {
	e := &environ{
		vars:     make(map[string]string, len(pairs)),
		asked:    map[string]bool{},
		files:    map[string]string{},
		broken:   map[string]bool{},
		problems: p,
	}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := e.vars[name]; !ok || twice {
			continue
		}
		e.vars[name] = value
	}
	return e
}

// Lookup returns the value of name, or of the file that name_FILE names.
func (e *environ) Lookup(name string) (string, bool) {
	first := !e.asked[name]
	e.asked[name] = true
	value, path := e.vars[name], e.vars[name+fileSuffix]
	if path == "" {
		return value, value != ""
	}
	if value != "" {
		if first {
			e.broken[name] = true
			e.problems.add(name, "is set together with "+name+fileSuffix, "unset one of the two")
		}
		return "", false
	}
	text, err := readValue(path)
	if err != nil {
		if first {
			e.broken[name] = true
			e.problems.add(name+fileSuffix, "cannot read "+showPath(path)+": "+cause(err),
				"name a readable file that holds the value")
		}
		return "", false
	}
	if text == "" {
		if first {
			e.warnings = append(e.warnings, name+fileSuffix+": "+showPath(path)+" is empty, so "+name+" counts as not set")
		}
		return "", false
	}
	e.files[name] = path
	return text, true
}

// given reports whether the variable was set in either form, well or badly.
func (e *environ) given(name string) bool {
	return e.vars[name] != "" || e.vars[name+fileSuffix] != ""
}

// readValue returns a file's content without one trailing newline.
func readValue(path string) (string, error) {
	text, err := readFile(path)
	if err != nil {
		return "", err
	}
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(cut, "\r"), nil
	}
	return text, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxFileBytes {
		return "", fmt.Errorf("more than %d MiB", maxFileBytes>>20)
	}
	return string(text), nil
}

// showPath names a file for a message. Only what is plainly a path is shown: a
// token given as NAME_FILE by mistake must not be printed.
func showPath(path string) string {
	if filepath.IsAbs(path) || strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../") {
		return path
	}
	return "the file"
}

// cause is the reason within a file error, without the path.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
