// Package cli is the command line: one file per command, which reads the
// configuration, wires the rooms together, and prints.
//
// Exit codes: 0 done; 1 failed while running; 2 the configuration, the mapping
// or the environment is wrong, said in one line per problem; 3 verify found
// drift. Errors go to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
)

// Environment is what a process gets from outside.
type Environment struct {
	Args   []string
	Env    []string
	Stdout io.Writer
	Stderr io.Writer
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitWrong  = 2
	exitDrift  = 3
)

// Main runs a command and returns its exit code. Closing stop asks it to finish;
// the end of ctx ends it at once.
func Main(ctx context.Context, stop <-chan struct{}, env Environment) int {
	root := newRoot(stop, env)
	root.SetArgs(env.Args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	return report(env.Stderr, err)
}

func newRoot(stop <-chan struct{}, env Environment) *cobra.Command {
	run := newRunCommand(stop, env)
	root := &cobra.Command{
		Use:   "pgcrm",
		Short: "Keep HubSpot records up to date with rows in Postgres",
		Long: `pgcrm streams row changes out of Postgres by logical replication, turns each row
into a HubSpot record's properties, and writes them in batches. A log position
counts as done only when HubSpot has accounted for every record before it.

It is configured by environment variables and a mapping file; see
docs/configuration.md and docs/mapping.md. Without a command it does what
"pgcrm run" does.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          run.RunE,
	}
	root.AddCommand(
		run,
		newDemoCommand(stop, env),
		newSimulatorCommand(stop),
		newVersionCommand(),
		newHealthcheckCommand(env.Env),
	)
	root.AddCommand(operatorCommands(stop, env)...)
	countArguments(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Sprintf("%v; see %s --help", err, cmd.CommandPath())}
	})
	return root
}

// countArguments has every command report a wrong number of arguments, or a
// command that there is not, as the mistake of usage that it is.
func countArguments(cmd *cobra.Command) {
	if count := cmd.Args; count != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := count(cmd, args); err != nil {
				return &usageError{fmt.Sprintf("%v; see %s --help", err, cmd.CommandPath())}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		countArguments(sub)
	}
}

// usageError is a mistake on the command line.
type usageError struct{ line string }

func (e *usageError) Error() string      { return e.line }
func (e *usageError) Problems() []string { return []string{e.line} }

// report prints the error and tells the exit code.
func report(w io.Writer, err error) int {
	var wrong interface{ Problems() []string }
	if errors.As(err, &wrong) {
		for _, line := range wrong.Problems() {
			fmt.Fprintln(w, line)
		}
		return exitWrong
	}
	fmt.Fprintln(w, "pgcrm:", err)
	if errors.As(err, new(*driftError)) {
		return exitDrift
	}
	return exitFailed
}

// problems gathers what is wrong from several places, so that all of it is said
// at once, and nothing twice.
type problems struct{ lines []string }

// add takes the problems of err, or returns err where it is none.
func (p *problems) add(err error) error {
	if err == nil {
		return nil
	}
	var wrong interface{ Problems() []string }
	if errors.As(err, &wrong) {
		for _, line := range wrong.Problems() {
			if !slices.Contains(p.lines, line) {
				p.lines = append(p.lines, line)
			}
		}
		return nil
	}
	return err
}

func (p *problems) err() error {
	if len(p.lines) == 0 {
		return nil
	}
	return &wrongError{p.lines}
}

type wrongError struct{ lines []string }

func (e *wrongError) Error() string      { return fmt.Sprintf("%d problems", len(e.lines)) }
func (e *wrongError) Problems() []string { return e.lines }
