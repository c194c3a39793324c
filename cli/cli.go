// Package cli is the command line: one file per command, which reads the
// configuration, wires the rooms together, and prints.
//
// Exit codes: 0 done; 1 failed while running; 2 the configuration, the mapping
// or the environment is wrong, said in one line per problem; 3 verify found
// drift. Errors go to standard error.
package cli

import (
	"context"
	"fmt"
	"io"

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
	return report(newPrinter(env.Stderr, env.Env), err)
}

func newRoot(stop <-chan struct{}, env Environment) *cobra.Command {
	run := newRunCommand(stop, env)
	root := &cobra.Command{
		Use:   "pgcrm",
		Short: "Keep HubSpot records up to date with rows in Postgres",
		Long: `pgcrm streams row changes out of Postgres by logical replication, turns each row
into a HubSpot record's properties, and writes them in batches. A log position
counts as done only when HubSpot has accounted for every record before it.

It needs three things; docs/configuration.md has the other settings:
  PGCRM_DATABASE_URL     the source database, direct and not through a pooler
  HUBSPOT_ACCESS_TOKEN   a service key or a private app's token
  pgcrm.yaml             the mapping, here or where PGCRM_MAPPING_FILE says

Begin with "pgcrm demo", or with "pgcrm init --table TABLE" and "pgcrm check".
Without a command it does what "pgcrm run" does.`,
		Args:          noSuchCommand,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          run.RunE,
	}
	root.AddCommand(
		run,
		newDemoCommand(stop, env),
		newSimulatorCommand(stop),
		newVersionCommand(env),
		newHealthcheckCommand(env.Env),
	)
	root.AddCommand(operatorCommands(stop, env)...)
	countArguments(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Sprintf("%v; see %s --help", err, cmd.CommandPath())}
	})
	return root
}

// noSuchCommand is said of what is no command, with the one that was meant.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if cmd.SuggestionsMinimumDistance = 2; len(cmd.SuggestionsFor(args[0])) > 0 {
		hint = " (did you mean " + cmd.SuggestionsFor(args[0])[0] + "?)"
	}
	return fmt.Errorf("there is no command %q%s", args[0], hint)
}

// noArguments is for commands that take none.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is one argument too many: the command takes none", args[0])
	}
	return nil
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
