package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/mapping"
)

// TestMistakesInTheMappingAreShownInPlace: to a person the line of the file and a
// caret, to a script one line each.
func TestMistakesInTheMappingAreShownInPlace(t *testing.T) {
	_, inMapping := mapping.Parse("pgcrm.yaml", []byte("version: 1\ntables:\n  accounts: {match: {a: id}, properties: {n: b}, wenn: x}\n"))
	var wrong problems
	for _, err := range []error{&usageError{"another mistake"}, inMapping} {
		if err := wrong.add(err); err != nil {
			t.Fatal(err)
		}
	}
	lines := []string{
		"another mistake",
		"pgcrm.yaml:3:50: unknown key wenn in a table's mapping; did you mean when?",
	}
	place := []string{
		"      accounts: {match: {a: id}, properties: {n: b}, wenn: x}",
		"    " + strings.Repeat(" ", 49) + "^",
	}
	checked := &checker{}
	checked.refused("mapping", wrong.err())
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		p := &printer{w: &out, terminal: terminal}
		if code := report(p, wrong.err()); code != exitWrong {
			t.Errorf("exit code %d", code)
		}
		checked.print(p)
		want := lines
		found := []string{"✗ mapping  " + lines[0], "✗ mapping  " + lines[1]}
		if terminal {
			want, found = append(want, place...), append(found, place...)
		}
		if diff := cmp.Diff(strings.Join(append(want, found...), "\n")+"\n", out.String()); diff != "" {
			t.Errorf("terminal %v: %s", terminal, diff)
		}
	}
}

func TestWhatFailsIsNotWrong(t *testing.T) {
	var out bytes.Buffer
	if code := report(&printer{w: &out}, errors.New("no more disk")); code != exitFailed || out.String() != "pgcrm: no more disk\n" {
		t.Errorf("code %d, %q", code, out.String())
	}
}

func TestCommandsThatThereAreNot(t *testing.T) {
	for args, want := range map[string]string{
		"chekc":       `there is no command "chekc" (did you mean check?); see pgcrm --help`,
		"publish":     `there is no command "publish"; see pgcrm --help`,
		"dlq lst":     `there is no command "lst" (did you mean list?); see pgcrm dlq --help`,
		"check twice": `"twice" is one argument too many: the command takes none; see pgcrm check --help`,
	} {
		o := outside(t, nil, strings.Fields(args)...)
		if o.code != exitWrong || o.stderr != want+"\n" {
			t.Errorf("%s: exit code %d, %s", args, o.code, o.stderr)
		}
	}
}
