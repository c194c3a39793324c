package cli

import "github.com/spf13/cobra"

// databaseCommands are those about what pgcrm needs and leaves in the database.
func databaseCommands(env Environment) []*cobra.Command {
	return []*cobra.Command{
		newCheckCommand(env),
		newMigrateCommand(env),
		newStatusCommand(env),
		newUninstallCommand(env),
	}
}
