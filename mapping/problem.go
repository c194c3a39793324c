package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pos is a place in the mapping file. Both count from 1; columns count
// characters.
type pos struct{ line, col int }

// A Problem is one mistake in a mapping, with the place where it was made.
type Problem struct {
	File   string
	Line   int    // from 1
	Column int    // from 1, in characters
	Text   string // what is wrong and, after a semicolon, what mends it
	Source string // the line of the file, for Excerpt
}

// String is the problem on one line: file:line:column: message; mend.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Excerpt is the line of the file and, under it, a caret at the place; nothing
// where there is no such place.
func (p Problem) Excerpt() []string {
	if strings.TrimSpace(p.Source) == "" || p.Column < 1 || p.Column > utf8.RuneCountInString(p.Source)+1 {
		return nil
	}
	pad := make([]rune, 0, p.Column)
	for _, r := range p.Source {
		if len(pad) == p.Column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		pad = append(pad, r)
	}
	return []string{p.Source, string(pad) + "^"}
}

// Error is all that is wrong with a mapping, in the order of the file.
type Error struct{ List []Problem }

// Error joins the problems, one a line.
func (e *Error) Error() string { return strings.Join(e.Problems(), "\n") }

// Problems lists them, each on one line.
func (e *Error) Problems() []string {
	lines := make([]string, len(e.List))
	for i, p := range e.List {
		lines[i] = p.String()
	}
	return lines
}

// Excerpts are the places in the file, by the lines of Problems.
func (e *Error) Excerpts() map[string][]string {
	excerpts := make(map[string][]string, len(e.List))
	for _, p := range e.List {
		excerpts[p.String()] = p.Excerpt()
	}
	return excerpts
}

// report gathers problems while a file is read.
type report struct {
	file  string
	lines []string
	list  []Problem
	cut   bool // parts of the file could not be read: what is missing may stand there
}

func (r *report) add(at pos, format string, args ...any) {
	p := Problem{File: r.file, Line: min(max(at.line, 1), len(r.lines)), Text: onOneLine(fmt.Sprintf(format, args...))}
	if p.Line > 0 {
		p.Source = r.lines[p.Line-1]
	}
	p.Column = min(max(at.col, 1), utf8.RuneCountInString(p.Source)+1)
	r.list = append(r.list, p)
}

// onOneLine escapes what would break a line or a terminal: names and values may
// hold anything.
func onOneLine(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if unicode.IsControl(c) {
			q := strconv.QuoteRune(c)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{List: slices.Compact(r.list)}
}

// meant suggests the name that was probably meant: "; did you mean X?", or
// nothing where none is close.
func meant(name string, among []string) string {
	length := utf8.RuneCountInString(name)
	best, distance := "", 1+max(2, length/3)
	if length <= 3 {
		distance = 2
	}
	for _, candidate := range among {
		if d := editDistance(strings.ToLower(name), strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours.
func editDistance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if len(s) > 100 || len(t) > 100 {
		return 100
	}
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(t)]
}
