package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// outputFormat is the value of --output: how a command prints its data.
type outputFormat string

const (
	asText outputFormat = "text"
	asJSON outputFormat = "json"
)

// addOutputFlag gives a command that prints data the flag --output, -o.
func addOutputFlag(cmd *cobra.Command) *outputFormat {
	f := asText
	cmd.Flags().VarP(&f, "output", "o", "how to print: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{string(asText), string(asJSON)}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

// String implements pflag.Value.
func (f *outputFormat) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *outputFormat) Type() string { return "FORMAT" }

// Set implements pflag.Value.
func (f *outputFormat) Set(s string) error {
	switch outputFormat(s) {
	case asText, asJSON:
		*f = outputFormat(s)
		return nil
	}
	return fmt.Errorf("%q is neither text nor json", s)
}

// json reports whether data is to be printed as JSON.
func (f *outputFormat) json() bool { return *f == asJSON }

// printer writes for a person or for a pipe. Where it writes to a terminal,
// tables fit its width and marks are coloured, unless NO_COLOR is set.
type printer struct {
	w        io.Writer
	terminal bool
	width    int // columns of the terminal; 0 where lines may be as long as they are
	colour   bool
}

// newPrinter looks at where it writes to.
func newPrinter(w io.Writer, environ []string) *printer {
	p := &printer{w: w}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.terminal, p.colour = true, wantsColour(environ)
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		p.width = width
	}
	return p
}

// wantsColour reports whether the environment leaves a terminal its colours.
func wantsColour(environ []string) bool {
	return !slices.ContainsFunc(environ, func(pair string) bool {
		name, value, _ := strings.Cut(pair, "=")
		return name == "NO_COLOR" && value != "" || name == "TERM" && value == "dumb"
	})
}

// printf writes text.
func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

// println writes a line.
func (p *printer) println(args ...any) { fmt.Fprintln(p.w, args...) }

// json writes a value as indented JSON and a line break.
func (p *printer) json(v any) error {
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// The colours in use, as a terminal takes them.
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	dim    paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
)

// paint colours a text, where colours are wanted.
func (p *printer) paint(colour paint, s string) string {
	if !p.colour || colour == plain || s == "" {
		return s
	}
	return "\x1b[" + string(colour) + "m" + s + "\x1b[0m"
}

// sayable escapes what would break a line or a terminal: names and values come
// from a database and a CRM, and may hold anything.
func sayable(s string) string {
	if strings.IndexFunc(s, unsayable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsayable(r) {
			quoted := fmt.Sprintf("%+q", r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// unsayable is what no line should hold: control characters, and format
// characters that turn the direction of what follows.
func unsayable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}
