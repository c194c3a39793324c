package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping"
)

// fixture is one test of a mapping: a change, and what it must become.
type fixture struct {
	file   string
	line   int
	name   string
	event  change.Event
	expect []expected
}

// expected is what a fixture wants of one object.
type expected struct {
	object     string
	key        *string
	oldKey     *string
	properties map[string]*string // nil: cleared
	refused    map[string]string  // property to category, or part of the reason
	rejected   *string
	gone       bool
	reread     bool
}

// fixtureReader reads the tests of a file and gathers all that is wrong with it.
type fixtureReader struct {
	name      string
	relations []*change.Relation
	objects   map[string][]string // of a table, by its name
	wrong     []string
}

func (r *fixtureReader) add(line int, format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf("%s:%d: %s", r.name, line, sayable(fmt.Sprintf(format, args...))))
}

// read reads the tests: a list, or a map with the list under tests.
func (r *fixtureReader) read(src []byte) ([]fixture, error) {
	root, err := readWritten(r.name, src)
	if err != nil {
		return nil, err
	}
	if list, ok := root.get("tests"); ok {
		r.known(root, "tests")
		root = list
	}
	if root.kind != writtenList {
		return nil, &usageError{fmt.Sprintf("%s:%d: a list of tests is wanted, each with table, row and expect", r.name, root.line)}
	}
	var tests []fixture
	for i := range root.items {
		if t, ok := r.test(&root.items[i], i+1); ok {
			tests = append(tests, t)
		}
	}
	if len(r.wrong) > 0 {
		return nil, &wrongError{lines: r.wrong}
	}
	return tests, nil
}

// known complains of keys that are not known.
func (r *fixtureReader) known(w *written, names ...string) {
	for i, name := range w.names {
		if !slices.Contains(names, name) {
			r.add(w.items[i].line, "unknown key %s; known here: %s", name, strings.Join(names, ", "))
		}
	}
}

func (r *fixtureReader) test(w *written, number int) (fixture, bool) {
	before := len(r.wrong)
	if w.kind != writtenMap {
		r.add(w.line, "a test is a map with table, row and expect")
		return fixture{}, false
	}
	r.known(w, "name", "table", "op", "replica_identity", "row", "old", "unchanged", "expect")
	t := fixture{file: r.name, line: w.line, name: fmt.Sprintf("test %d", number)}
	if name, ok := w.get("name"); ok && name.text != "" {
		t.name = name.text
	}
	rel := r.table(w)
	if rel == nil {
		return t, false
	}
	r.event(w, rel, &t)
	expect, ok := w.get("expect")
	if !ok {
		r.add(w.line, "expect is missing; write what the change must become, or expect: nothing")
		return t, false
	}
	t.expect = r.expectations(expect, rel)
	return t, len(r.wrong) == before
}

func (r *fixtureReader) table(w *written) *change.Relation {
	name, ok := w.get("table")
	if !ok {
		if len(r.relations) == 1 {
			return r.relations[0]
		}
		r.add(w.line, "table is missing")
		return nil
	}
	table, err := mapping.ParseTableName(name.text)
	if err != nil {
		r.add(name.line, "table: %q is %v", name.text, err)
		return nil
	}
	for _, rel := range r.relations {
		if rel.Schema == table.Schema && rel.Name == table.Name {
			return rel
		}
	}
	r.add(name.line, "table %s is not mapped", table)
	return nil
}

// event builds the change as the stream would bring it.
func (r *fixtureReader) event(w *written, rel *change.Relation, t *fixture) {
	row, hasRow := w.get("row")
	old, hasOld := w.get("old")
	op := "insert"
	if hasOld {
		op = "update"
	}
	if hasOld && !hasRow {
		op = "delete"
	}
	if given, ok := w.get("op"); ok {
		op = given.text
	}
	full := rel.Identity == change.IdentityFull
	if identity, ok := w.get("replica_identity"); ok {
		if identity.text != "full" && identity.text != "default" {
			r.add(identity.line, "replica_identity is full or default")
		}
		full = identity.text == "full"
	}
	want := func(name string, has bool) {
		if !has {
			r.add(w.line, "%s needs %s", op, name)
		}
	}
	ev := &t.event
	ev.Relation = rel
	switch op {
	case "insert":
		want("row", hasRow)
		ev.Kind, ev.New = change.Insert, r.row(row, rel, nil)
	case "update":
		want("row", hasRow)
		want("old", hasOld)
		ev.Kind, ev.Old = change.Update, r.row(old, rel, nil)
		ev.New = r.row(row, rel, ev.Old)
		r.unchanged(w, rel, ev)
		r.identity(rel, full, ev)
	case "delete":
		if hasRow && !hasOld {
			old, hasOld = row, true
		}
		want("old", hasOld)
		ev.Kind, ev.Old = change.Delete, r.row(old, rel, nil)
		r.identity(rel, full, ev)
	default:
		r.add(w.line, "op is insert, update or delete, not %q", op)
	}
}

// row makes a row of the columns that are given. Those that are not are as they
// were before, or NULL.
func (r *fixtureReader) row(w *written, rel *change.Relation, before []change.Value) []change.Value {
	values := slices.Repeat([]change.Value{{Kind: change.Null}}, len(rel.Columns))
	copy(values, before)
	if w == nil {
		return values
	}
	if w.kind != writtenMap {
		r.add(w.line, "a row is a map of columns to values")
		return values
	}
	for i, name := range w.names {
		at := rel.Column(name)
		if at < 0 {
			r.add(w.items[i].line, "table %s has no column %s", rel, name)
			continue
		}
		v, err := columnValue(&w.items[i], &rel.Columns[at].Type)
		if err != nil {
			r.add(w.items[i].line, "column %s: %v", name, err)
		}
		values[at] = v
	}
	return values
}

// unchanged marks large values that the update does not carry.
func (r *fixtureReader) unchanged(w *written, rel *change.Relation, ev *change.Event) {
	list, ok := w.get("unchanged")
	if !ok {
		return
	}
	for i := range list.items {
		at := rel.Column(list.items[i].text)
		if at < 0 {
			r.add(list.items[i].line, "table %s has no column %s", rel, list.items[i].text)
			continue
		}
		ev.New[at] = change.Value{Kind: change.Unchanged}
	}
}

// identity leaves of the old row what the replica identity carries: all of it,
// or the key of a row that is deleted or whose key has changed.
func (r *fixtureReader) identity(rel *change.Relation, full bool, ev *change.Event) {
	if full {
		return
	}
	changed := ev.Kind == change.Delete
	for i := range ev.Old {
		if !slices.Contains(rel.PrimaryKey, i) {
			continue
		}
		if ev.New != nil && !bytes.Equal(ev.Old[i].Text, ev.New[i].Text) {
			changed = true
		}
	}
	if !changed {
		ev.Old = nil
		return
	}
	ev.OldIsKey = true
	for i := range ev.Old {
		if !slices.Contains(rel.PrimaryKey, i) {
			ev.Old[i] = change.Value{Kind: change.Unchanged}
		}
	}
}

// columnValue writes a value as Postgres would: true as t, a list as an array, a
// map as JSON, everything else as it is written.
func columnValue(w *written, t *change.Type) (change.Value, error) {
	base := t
	for base.Base != nil {
		base = base.Base
	}
	text := func(s string) (change.Value, error) { return change.Value{Kind: change.Text, Text: []byte(s)}, nil }
	isJSON := base.Name == "json" || base.Name == "jsonb"
	switch {
	case w.kind == writtenNull:
		return change.Value{Kind: change.Null}, nil
	case w.kind == writtenText && base.Name == "bool" && w.text == "true":
		return text("t")
	case w.kind == writtenText && base.Name == "bool" && w.text == "false":
		return text("f")
	case w.kind == writtenText:
		return text(w.text)
	case isJSON:
		var b bytes.Buffer
		w.json(&b)
		return text(b.String())
	case w.kind == writtenList && base.Elem != nil:
		return text(arrayText(w.items))
	}
	return change.Value{Kind: change.Null}, fmt.Errorf("one value is wanted; a list suits an array, and a map json")
}

// arrayText writes an array of one dimension.
func arrayText(items []written) string {
	elements := make([]string, len(items))
	for i, item := range items {
		elements[i] = "NULL"
		if item.kind != writtenNull {
			elements[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(item.text) + `"`
		}
	}
	return "{" + strings.Join(elements, ",") + "}"
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// plainJSON reports whether a scalar stands in JSON as it is.
func plainJSON(s string) bool { return s == "true" || s == "false" || jsonNumber.MatchString(s) }

func writeJSONText(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)       // a string always encodes
	b.Truncate(b.Len() - 1) // the line break
}

// expectations reads what the change must become: nothing, or one map for each
// object that it reaches.
func (r *fixtureReader) expectations(w *written, rel *change.Relation) []expected {
	switch {
	case w.kind == writtenText && w.text == "nothing", w.kind == writtenList && len(w.items) == 0:
		return nil
	case w.kind == writtenMap:
		return []expected{r.expectation(w, rel)}
	case w.kind == writtenList:
		var list []expected
		for i := range w.items {
			list = append(list, r.expectation(&w.items[i], rel))
		}
		return list
	}
	r.add(w.line, "expect is nothing, or a map with properties, refused, rejected, gone or reread")
	return nil
}

func (r *fixtureReader) expectation(w *written, rel *change.Relation) expected {
	e := expected{properties: map[string]*string{}, refused: map[string]string{}}
	if w.kind != writtenMap {
		r.add(w.line, "an expectation is a map with properties, refused, rejected, gone or reread")
		return e
	}
	r.known(w, "object", "key", "old_key", "properties", "refused", "rejected", "gone", "reread")
	objects := r.objects[rel.String()]
	if object, ok := w.get("object"); ok {
		e.object = object.text
		if !slices.Contains(objects, e.object) {
			r.add(object.line, "table %s is not mapped to %s but to %s", rel, e.object, strings.Join(objects, ", "))
		}
	} else if len(objects) > 1 {
		r.add(w.line, "table %s is mapped to %s: say object", rel, strings.Join(objects, " and "))
	} else if len(objects) == 1 {
		e.object = objects[0]
	}
	text := func(name string) *string {
		if v, ok := w.get(name); ok {
			return &v.text
		}
		return nil
	}
	e.key, e.oldKey, e.rejected = text("key"), text("old_key"), text("rejected")
	for name, flag := range map[string]*bool{"gone": &e.gone, "reread": &e.reread} {
		if v, ok := w.get(name); ok {
			*flag = v.text == "true"
		}
	}
	if props, ok := w.get("properties"); ok {
		for i, name := range props.names {
			if props.items[i].kind == writtenNull {
				e.properties[name] = nil
				continue
			}
			e.properties[name] = &props.items[i].text
		}
	}
	if refused, ok := w.get("refused"); ok {
		for i, name := range refused.names {
			e.refused[name] = refused.items[i].text
		}
	}
	return e
}
