package cdc

import (
	"fmt"
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// Problems is an error that says the set-up is wrong, one line for each thing
// to mend.
type Problems struct {
	list  []string
	cause error
}

// Error joins the lines.
func (p *Problems) Error() string { return strings.Join(p.list, "\n") }

// Problems returns the lines.
func (p *Problems) Problems() []string { return p.list }

// Unwrap returns the server's or the network's own error, if there is one.
func (p *Problems) Unwrap() error { return p.cause }

// problemsError is nil for an empty list.
func problemsError(list []string) error {
	if len(list) == 0 {
		return nil
	}
	return &Problems{list: list}
}

func problem(format string, args ...any) error {
	return &Problems{list: []string{fmt.Sprintf(format, args...)}}
}

func problemBecause(cause error, format string, args ...any) error {
	return &Problems{list: []string{fmt.Sprintf(format, args...)}, cause: cause}
}

// quote writes an identifier for a statement, always in double quotes.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteTable writes a qualified table name for a statement.
func quoteTable(rel *change.Relation) string { return quote(rel.Schema) + "." + quote(rel.Name) }

// literal writes a string constant. standard_conforming_strings is on wherever
// it is used: the session pins it.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// tableList writes the tables as people and SQL read them.
func tableList(rels []*change.Relation) string {
	names := make([]string, len(rels))
	for i, rel := range rels {
		names[i] = rel.String()
	}
	return strings.Join(names, ", ")
}
