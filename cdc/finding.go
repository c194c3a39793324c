package cdc

import "fmt"

// Level says what a finding asks for.
type Level uint8

// The levels of a finding.
const (
	// Good suits.
	Good Level = iota
	// Note suits too, and is worth knowing before something else happens.
	Note
	// Bad must be mended before the stream can start.
	Bad
)

// Finding is one thing that was looked at before the stream starts.
type Finding struct {
	// Name says what was looked at, in small letters and underscores. Several
	// findings may share one: there is one "table" for each.
	Name  string
	Level Level
	// Detail says what was found.
	Detail string
	// Mend is the statement or the setting that helps; empty where nothing needs
	// help, or where Detail says it.
	Mend string
}

// Line is the finding on one line, without its name.
func (f Finding) Line() string {
	if f.Mend == "" {
		return f.Detail
	}
	return f.Detail + ": " + f.Mend
}

// findings gathers what checks find.
type findings struct{ list []Finding }

func (f *findings) good(name, format string, args ...any) {
	f.list = append(f.list, Finding{Name: name, Level: Good, Detail: fmt.Sprintf(format, args...)})
}

func (f *findings) note(name, mend, format string, args ...any) {
	f.list = append(f.list, Finding{Name: name, Level: Note, Detail: fmt.Sprintf(format, args...), Mend: mend})
}

func (f *findings) bad(name, mend, format string, args ...any) {
	f.list = append(f.list, Finding{Name: name, Level: Bad, Detail: fmt.Sprintf(format, args...), Mend: mend})
}
