package cli

import "github.com/spf13/cobra"

// operatorCommands are those with which people look into things and ask for
// others, beside the instance that runs.
func operatorCommands(stop <-chan struct{}, env Environment) []*cobra.Command {
	return append(databaseCommands(env),
		newDLQCommand(env),
		newBackfillCommand(stop, env),
		newExplainCommand(env),
		newPlanCommand(env),
		newVerifyCommand(env),
		newResumeCommand(env),
		newInitCommand(env),
		newLinkCommand(env),
		newTestCommand(env),
		newSchemaCommand(),
	)
}
