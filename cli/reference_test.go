package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate go test . -run TestReferenceOfCommands -update

var update = flag.Bool("update", false, "rewrite docs/cli.md")

const referenceHead = `# Commands

<!-- Written by "go generate ./cli" from the commands' own help; do not edit. -->

Commands read the environment as [configuration.md](configuration.md) says. Every command that prints data takes ` + "`--output json`" + `
(` + "`-o json`" + `); [json.md](json.md) has the fields. Tables fit the terminal and are whole in a pipe; ` + "`NO_COLOR`" + ` turns colours off. Errors go to standard error.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed while running |
| 2 | the configuration, the mapping or the environment is wrong: one line a problem, all at once, each with its mend |
| 3 | ` + "`pgcrm verify`" + ` found drift |

Only the instance that ` + "`pgcrm run`" + ` started writes mapped values to the CRM. Commands such as ` + "`backfill`, `dlq retry` and `verify --repair`" + `
file a request that it carries out, or the next one does.
`

// reference is the page docs/cli.md.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n| command | what it does |\n|---|---|\n")
	var commands []*cobra.Command
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			commands = append(commands, sub)
			walk(sub)
		}
	}
	walk(root)
	for _, cmd := range commands {
		anchor := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", strings.TrimPrefix(cmd.CommandPath(), "pgcrm "), anchor, cmd.Short)
	}
	for _, cmd := range commands {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```text\n%s\n```\n", cmd.CommandPath(), cmd.Short, cmd.UseLine())
		if cmd.Long != "" {
			fmt.Fprintf(&b, "\n```text\n%s\n```\n", cmd.Long)
		}
		if cmd.HasAvailableLocalFlags() {
			b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if !f.Hidden && f.Name != "help" {
					b.WriteString(flagRow(f))
				}
			})
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", unindent(cmd.Example))
		}
	}
	return b.String()
}

func flagRow(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name += ", -" + f.Shorthand
	}
	if kind, _ := pflag.UnquoteUsage(f); kind != "" {
		name += " " + kind
	}
	fallback := f.DefValue
	switch fallback {
	case "", "[]", "0", "false":
		fallback = ""
	default:
		fallback = "`" + fallback + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", name, fallback, strings.ReplaceAll(f.Usage, "|", `\|`))
}

func unindent(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "  "))
	}
	return strings.Join(lines, "\n")
}

func TestReferenceOfCommands(t *testing.T) {
	root := newRoot(nil, Environment{})
	path := filepath.Join("..", "docs", "cli.md")
	want := reference(root)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go generate ./cli", err)
	}
	if diff := cmp.Diff(string(have), want); diff != "" {
		t.Errorf("%s is stale; run go generate ./cli\n%s", path, diff)
	}
}

// TestEveryCommandHelps asks for what a help page must have.
func TestEveryCommandHelps(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			if sub.Short == "" || strings.HasSuffix(sub.Short, ".") || len(sub.Short) > 100 {
				t.Errorf("%s: short help %q", sub.CommandPath(), sub.Short)
			}
			if sub.Example == "" && !sub.HasSubCommands() && sub.HasAvailableLocalFlags() {
				t.Errorf("%s has no example", sub.CommandPath())
			}
			for line := range strings.Lines(sub.Long + "\n" + sub.Example) {
				if len(line) > 121 {
					t.Errorf("%s: a line of %d characters: %s", sub.CommandPath(), len(line), line)
				}
			}
			walk(sub)
		}
	}
	walk(newRoot(nil, Environment{}))
}
