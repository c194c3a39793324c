package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestTableFitsTheTerminal(t *testing.T) {
	table := newTable("ID", "REASON", "TABLE").right(0)
	table.add("7", strings.Repeat("long words ", 20), "public.accounts")
	table.add("1234", "short", "public.x")
	for _, width := range []int{60, 40, 0} {
		var out bytes.Buffer
		table.print(&printer{w: &out, width: width}, "  ")
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); width > 0 && n > width {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("blanks at the end of %q", line)
			}
		}
		if width == 0 && !strings.Contains(out.String(), strings.Repeat("long words ", 20)) {
			t.Error("cut though there is no terminal")
		}
	}
	var out bytes.Buffer
	table.print(&printer{w: &out, width: 34}, "")
	want := "  ID  REASON         TABLE\n   7  long words l…  public.accou…\n1234  short          public.x\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestValuesCannotDriveTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain":              "plain",
		"a\nb":               `a\nb`,
		"\x1b[2Jgone":        `\x1b[2Jgone`,
		"bidi \u202e turned": `bidi \u202e turned`,
		"Straße 東京":          "Straße 東京",
	} {
		if got := sayable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestColoursOnlyForATerminal(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(&out, nil)
	if p.terminal || p.paint(red, "x") != "x" {
		t.Error("a buffer is no terminal")
	}
	p.colour = true
	if got := p.paint(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("got %q", got)
	}
}

func TestColoursCanBeTurnedOff(t *testing.T) {
	for env, want := range map[string]bool{"NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false, "TERM=xterm": true} {
		if got := wantsColour([]string{"PATH=/bin", env}); got != want {
			t.Errorf("%s: colours %v", env, got)
		}
	}
}

func TestJSONIsNotEscapedForWebPages(t *testing.T) {
	var out bytes.Buffer
	if err := newPrinter(&out, nil).json(map[string]string{"a": "<&>"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("{\n  \"a\": \"<&>\"\n}\n", out.String()); diff != "" {
		t.Error(diff)
	}
}
