package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/mapping"
)

const testHelp = `Runs the tests beside the mapping, *.test.yaml, without any network: the tables and
properties are taken from pgcrm.lock, which pgcrm check --update-lock writes.

A test is a change of a row and what it must become. All that the change gives is
compared: a property that is sent and not expected is a difference.

  - name: a pro account
    table: accounts
    row: {id: 7, name: Acme, plan: pro, seats: null}      # columns left out are NULL
    expect:
      key: 7                                              # the match value
      properties: {name: Acme, plan: PRO, seats: null}    # null: cleared
  - name: a plan that HubSpot does not know
    table: accounts
    row: {id: 7, plan: gold}
    expect:
      properties: {name: null, seats: null}
      refused: {plan: invalid_option}                     # its category, or a part of the reason
  - name: a deleted account
    table: accounts
    old: {id: 7}                                          # old alone: a delete; with row: an update
    expect: {gone: true, key: 7}
  - name: another id
    table: accounts
    old: {id: 7, name: Acme}
    row: {id: 8}                                          # columns left out are as in old
    unchanged: [notes]                                    # large values that the change does not carry
    replica_identity: default                             # or full: the change carries the old row
    expect: {key: 8, old_key: 7, reread: true, properties: {name: Acme, plan: null, seats: null}}
  - table: accounts
    row: {name: no id}
    expect: nothing

A table with several mappings has a list under expect, each with its object.`

func newTestCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [FILE...]",
		Short: "Run the mapping's tests, without any network",
		Long:  testHelp,
		Example: `  pgcrm test
  pgcrm test crm/plans.test.yaml
  PGCRM_MAPPING_FILE=crm/pgcrm.yaml pgcrm test -o json`,
	}
	format := addOutputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		d, err := newDesk(env, config.NeedMapping)
		if err != nil {
			return err
		}
		return d.test(args, format.json())
	}
	return cmd
}

// tested is the outcome of one test, as test -o json prints it.
type tested struct {
	Name        string       `json:"name"`
	File        string       `json:"file"`
	Line        int          `json:"line"`
	OK          bool         `json:"ok"`
	Differences []difference `json:"differences,omitempty"`
}

// difference is what a test wanted and what the mapping gave.
type difference struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

func (d *desk) test(files []string, asJSON bool) error {
	doc := d.cfg.Mapping.Document
	m, relations, err := compileOffline(doc)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		for _, pattern := range []string{"*.test.yaml", "*.test.yml", "*.test.json"} {
			found, _ := filepath.Glob(filepath.Join(doc.Dir(), pattern)) // the pattern is well formed
			files = append(files, found...)
		}
		if len(files) == 0 {
			return &usageError{fmt.Sprintf("there are no tests beside the mapping: write %s; see pgcrm test --help", filepath.Join(doc.Dir(), "pgcrm.test.yaml"))}
		}
	}
	tests, err := readFixtures(files, m, relations)
	if err != nil {
		return err
	}
	results := make([]tested, len(tests))
	failed := 0
	for i := range tests {
		results[i] = tests[i].run(m)
		if !results[i].OK {
			failed++
		}
	}
	if asJSON {
		err = d.out.json(results)
	} else {
		printTested(d.out, results, failed)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%s of %d failed", plural(int64(failed), "test", "tests"), len(results))
	}
	return err
}

// readFixtures reads all files, and says at once what is wrong with any.
func readFixtures(files []string, m *mapping.Mapping, relations []*change.Relation) ([]fixture, error) {
	objects := map[string][]string{}
	for _, src := range m.Sources() {
		objects[src.Table] = append(objects[src.Table], src.Target.Object)
	}
	mappedOnes := slices.DeleteFunc(slices.Clone(relations), func(rel *change.Relation) bool { return objects[rel.String()] == nil })
	var tests []fixture
	var wrong problems
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // the operator names the file
		if err != nil {
			wrong.lines = append(wrong.lines, fmt.Sprintf("%s cannot be read: %v", name, cause(err)))
			continue
		}
		r := &fixtureReader{name: name, relations: mappedOnes, objects: objects}
		more, err := r.read(text)
		if err := wrong.add(err); err != nil {
			return nil, err
		}
		tests = append(tests, more...)
	}
	return tests, wrong.err()
}

// run maps the change and compares.
func (t *fixture) run(m *mapping.Mapping) tested {
	out := tested{Name: t.name, File: t.file, Line: t.line}
	patches, err := m.Mapper().Map(&t.event, nil)
	if err != nil {
		out.Differences = append(out.Differences, difference{"the change", "mapped", err.Error()})
		return out
	}
	open := slices.Clone(t.expect)
	for i := range patches {
		p := &patches[i]
		object := p.Source.Target.Object
		at := slices.IndexFunc(open, func(e expected) bool { return e.object == object })
		if at < 0 {
			out.Differences = append(out.Differences, difference{object, "nothing", describePatch(p)})
			continue
		}
		out.Differences = append(out.Differences, open[at].compare(p, len(t.expect) > 1)...)
		open = slices.Delete(open, at, at+1)
	}
	for _, e := range open {
		out.Differences = append(out.Differences, difference{e.object, "a change of the record", "nothing"})
	}
	out.OK = len(out.Differences) == 0
	return out
}

// compare lists how a patch differs from what is expected.
func (e *expected) compare(p *change.Patch, named bool) (list []difference) {
	prefix := ""
	if named {
		prefix = e.object + "."
	}
	differ := func(what, want, got string) {
		if want != got {
			list = append(list, difference{prefix + what, want, got})
		}
	}
	if e.key != nil {
		differ("key", quoted(*e.key), quoted(string(p.Key)))
	}
	if e.oldKey != nil || len(p.OldKey) > 0 {
		differ("old_key", quotedOr(e.oldKey, "none"), quotedBytes(p.OldKey))
	}
	differ("gone", fmt.Sprint(e.gone), fmt.Sprint(p.Gone))
	differ("reread", fmt.Sprint(e.reread), fmt.Sprint(p.Reread))
	switch {
	case p.Rejection != nil && e.rejected == nil:
		differ("rejected", "no", p.Rejection.Category+": "+p.Rejection.Reason)
	case p.Rejection == nil && e.rejected != nil:
		differ("rejected", *e.rejected, "no")
	case p.Rejection != nil && !matchesReason(*e.rejected, *p.Rejection):
		differ("rejected", *e.rejected, p.Rejection.Category+": "+p.Rejection.Reason)
	}
	want := map[string]string{}
	for name, value := range e.properties {
		want[name] = quotedOr(value, "cleared")
	}
	for name, reason := range e.refused {
		want[name] = "refused: " + reason
	}
	got := map[string]string{}
	for prop := range p.Props.All() {
		name := p.Source.Target.Properties[prop.Slot]
		got[name] = describeProp(prop)
		if reason, ok := e.refused[name]; ok && (prop.Kind == change.Refused || prop.Kind == change.RefusedOver) && matchesReason(reason, prop.Rejection()) {
			got[name] = want[name]
		}
	}
	if len(e.properties) == 0 && len(e.refused) == 0 && p.Gone {
		return list // what on_delete sets need not be repeated
	}
	names := slices.Collect(maps.Keys(want))
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		differ(name, textOr(want, name), textOr(got, name))
	}
	return list
}

func textOr(m map[string]string, name string) string {
	if s, ok := m[name]; ok {
		return s
	}
	return "not sent"
}

// matchesReason reports whether a test's words name the rejection: by its
// category, or by a part of its reason.
func matchesReason(words string, r change.Rejection) bool {
	return words == r.Category || words != "" && strings.Contains(r.Reason, words)
}

func describeProp(p change.Prop) string {
	switch p.Kind {
	case change.Set:
		return quoted(string(p.Text))
	case change.Refused, change.RefusedOver:
		why := p.Rejection()
		return "refused: " + why.Category + ": " + why.Reason
	case change.Clear, change.ClearIfDelivered:
	}
	return "cleared"
}

// describePatch is a patch on one line.
func describePatch(p *change.Patch) string {
	parts := []string{"key " + quoted(string(p.Key))}
	if p.Gone {
		parts = append(parts, "gone")
	}
	if p.Rejection != nil {
		parts = append(parts, "rejected: "+p.Rejection.Category)
	}
	for prop := range p.Props.All() {
		parts = append(parts, p.Source.Target.Properties[prop.Slot]+" "+describeProp(prop))
	}
	return strings.Join(parts, ", ")
}

func quoted(s string) string { return `"` + sayable(s) + `"` }

func quotedBytes(b []byte) string {
	if len(b) == 0 {
		return "none"
	}
	return quoted(string(b))
}

func quotedOr(s *string, other string) string {
	if s == nil {
		return other
	}
	return quoted(*s)
}

func printTested(p *printer, results []tested, failed int) {
	for _, r := range results {
		if r.OK {
			continue
		}
		p.printf("%s  %s:%d  %s\n", p.paint(red, "FAIL"), sayable(r.File), r.Line, sayable(r.Name))
		for _, d := range r.Differences {
			p.printf("      %s\n        want  %s\n        got   %s\n", sayable(d.What), p.paint(green, sayable(d.Want)), p.paint(red, sayable(d.Got)))
		}
	}
	p.printf("%d passed, %d failed\n", len(results)-failed, failed)
}
