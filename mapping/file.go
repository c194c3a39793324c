package mapping

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the static image has no zone files
	"unicode/utf8"

	"github.com/pgcrm/pgcrm/change"
)

// File is a mapping file whose form is right. Whether its columns and
// properties exist is for [Compile] to find out.
type File struct {
	name   string
	lines  []string
	tables []tableSpec
}

type tableSpec struct {
	name     TableName
	pos      pos
	mappings []*mappingSpec
}

// mappingSpec is one mapping of one table, as written.
type mappingSpec struct {
	pos       pos
	object    word
	match     struct{ property, column word }
	when      *node
	onMissing change.Missing
	missingAt pos
	onDelete  deleteSpec
	priority  int
	props     []*propSpec
}

// word is a name or a constant with its place.
type word struct {
	text string
	pos  pos
}

type deleteSpec struct {
	kind change.Deleted
	set  []*propSpec // constants, in order of name
	pos  pos
}

// propSpec is what the file says of one property.
type propSpec struct {
	name     word
	column   *word
	expr     *node
	konst    *word
	values   []valueSpec // nil: no map
	mapped   bool        // values stands there, even if empty
	onOther  otherPolicy
	onNull   nullPolicy
	overflow overflowPolicy
	tz       *time.Location
	tzAt     pos
	byLabel  bool
	byAt     pos
	backward bool // direction: allow
	dirAt    pos
}

type valueSpec struct{ from, to word }

type (
	nullPolicy     uint8
	otherPolicy    uint8
	overflowPolicy uint8
)

const (
	nullClear nullPolicy = iota
	nullOverwrite
	nullKeep
)

const (
	otherPark otherPolicy = iota
	otherClear
	otherKeep
	otherPass
)

const (
	overflowPark overflowPolicy = iota
	overflowTruncate
)

// Parse reads a mapping file, YAML or JSON. name is how problems call the file.
// An error is an [*Error] that lists all that is wrong with the file's form.
func Parse(name string, src []byte) (*File, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	r := &report{file: name, lines: splitLines(src)}
	if !utf8.Valid(src) {
		r.add(invalidAt(src), "not UTF-8 text; save the file as UTF-8")
		return nil, r.err()
	}
	var root *node
	if trimmed := bytes.TrimLeft(src, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' && looksLikeJSON(trimmed) {
		root = readJSON(src, r)
	} else {
		root = readYAML(src, r)
	}
	p := &fileParser{report: r, file: &File{name: name, lines: r.lines}}
	if root != nil {
		p.top(root)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return p.file, nil
}

// Tables lists the mapped tables in the order of the file.
func (f *File) Tables() []TableName {
	tables := make([]TableName, len(f.tables))
	for i, t := range f.tables {
		tables[i] = t.name
	}
	return tables
}

// Place says where the file names the table, as "pgcrm.yaml:3:5", for what others
// find wrong with it; empty where it does not.
func (f *File) Place(table TableName) string {
	for _, t := range f.tables {
		if t.name == table {
			return fmt.Sprintf("%s:%d:%d", f.name, t.pos.line, t.pos.col)
		}
	}
	return ""
}

// Objects lists the HubSpot object types that are written, sorted.
func (f *File) Objects() []string {
	var objects []string
	for _, t := range f.tables {
		for _, m := range t.mappings {
			objects = append(objects, m.object.text)
		}
	}
	slices.Sort(objects)
	return slices.Compact(objects)
}

// looksLikeJSON tells JSON from a YAML flow map at the top, by the first key's
// quote: {"version": ... against {version: ...
func looksLikeJSON(s []byte) bool {
	rest := bytes.TrimLeft(s[1:], " \t\r\n")
	return len(rest) > 0 && (rest[0] == '"' || rest[0] == '}')
}

func splitLines(src []byte) []string {
	lines := strings.Split(string(src), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines
}

func invalidAt(src []byte) pos {
	valid := 0
	for rest := src; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			break
		}
		valid += n
		rest = rest[n:]
	}
	before := src[:valid]
	start := bytes.LastIndexByte(before, '\n') + 1
	return pos{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}

// fileParser walks the syntax by the grammar.
type fileParser struct {
	*report
	file *File
}

// keys calls the handler of each key of a map and reports the unknown ones.
func (p *fileParser) keys(n *node, what string, handlers map[string]func(key, value *node)) {
	if n.kind != mapNode {
		p.unless(n, "%s is a map of keys to values, not %s", what, n.describe())
		return
	}
	for _, kv := range n.pairs {
		if h := handlers[kv.key.text]; h != nil {
			h(kv.key, kv.value)
			continue
		}
		known := make([]string, 0, len(handlers))
		for k := range handlers {
			known = append(known, k)
		}
		slices.Sort(known)
		hint := meant(kv.key.text, known)
		if hint == "" {
			hint = "; known here: " + strings.Join(known, ", ")
		}
		p.add(kv.key.pos, "unknown key %s in %s%s", kv.key.text, what, hint)
	}
}

// unless reports a value of a wrong form, unless it is one that could not be
// read at all.
func (p *fileParser) unless(n *node, format string, args ...any) {
	if n.kind != badNode {
		p.add(n.pos, format, args...)
	}
}

// missing reports a key that must be there, unless it may stand in a part that
// could not be read.
func (p *fileParser) missing(at pos, format string, args ...any) {
	if !p.cut {
		p.add(at, format, args...)
	}
}

// scalar takes a value that must be one text.
func (p *fileParser) scalar(key, value *node) (word, bool) {
	switch {
	case value.kind == scalarNode:
		return word{value.text, value.pos}, true
	case value.kind == emptyNode && value.text == "null" || value.kind == emptyNode && value.text == "~":
		p.add(value.pos, "%s has no value; write one, in quotes if you mean the text", key.text)
	default:
		p.unless(value, "%s takes one value, not %s", key.text, value.describe())
	}
	return word{}, false
}

// choice takes a value that must be one of the names.
func choice[T any](p *fileParser, key, value *node, names []string, of []T) (chosen T) {
	w, ok := p.scalar(key, value)
	if !ok {
		return chosen
	}
	if i := slices.Index(names, w.text); i >= 0 {
		return of[i]
	}
	hint := meant(w.text, names)
	if hint == "" {
		hint = "; choose one of " + strings.Join(names, ", ")
	}
	p.add(w.pos, "%s cannot be %q%s", key.text, w.text, hint)
	return chosen
}

func (p *fileParser) top(root *node) {
	if root.kind != mapNode {
		p.unless(root, "the mapping is a map that starts with version: 1 and tables:, not %s", root.describe())
		return
	}
	var version, tables bool
	p.keys(root, "the mapping", map[string]func(key, value *node){
		"version": func(key, value *node) {
			version = true
			if w, ok := p.scalar(key, value); ok && w.text != "1" {
				p.add(w.pos, "version %s is not known; this pgcrm reads version 1", w.text)
			}
		},
		"tables": func(_, value *node) {
			tables = true
			p.tables(value)
		},
	})
	if !version {
		p.missing(root.pos, "version is missing; add version: 1 as the first line")
	}
	if !tables {
		p.missing(root.pos, "tables is missing; add tables: with a table under it")
	}
}

func (p *fileParser) tables(n *node) {
	if n.kind != mapNode {
		p.unless(n, "tables is a map of table names to mappings, not %s", n.describe())
		return
	}
	if len(n.pairs) == 0 {
		p.add(n.pos, "tables is empty; add a table, public.accounts: for one")
	}
	seen := map[TableName]pos{}
	for _, kv := range n.pairs {
		name, err := ParseTableName(kv.key.text)
		if err != nil {
			p.add(kv.key.pos, "%q is %v", kv.key.text, err)
		} else if first, dup := seen[name]; dup {
			p.add(kv.key.pos, "table %s stands here for the second time, first on line %d; give the first one a list of mappings", name, first.line)
		}
		seen[name] = kv.key.pos
		t := tableSpec{name: name, pos: kv.key.pos}
		switch kv.value.kind {
		case mapNode:
			t.mappings = append(t.mappings, p.mapping(kv.value))
		case listNode:
			if len(kv.value.items) == 0 {
				p.add(kv.value.pos, "the list of mappings is empty; add one or remove the table")
			}
			for _, item := range kv.value.items {
				if item.kind != mapNode {
					p.unless(item, "a mapping is a map with match and properties, not %s", item.describe())
					continue
				}
				t.mappings = append(t.mappings, p.mapping(item))
			}
		default:
			p.unless(kv.value, "the table has no mapping; add match and properties under it")
		}
		p.file.tables = append(p.file.tables, t)
	}
}

// integer takes a whole number.
func (p *fileParser) integer(key, value *node) int {
	w, ok := p.scalar(key, value)
	if !ok {
		return 0
	}
	i, err := strconv.ParseInt(w.text, 10, 32)
	if err != nil {
		p.add(w.pos, "%s is a whole number, not %q", key.text, w.text)
	}
	return int(i)
}
