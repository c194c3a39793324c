package cli

import (
	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/mapping"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the mapping, for editors",
		Long: `Prints the JSON Schema of the mapping file, with which editors complete and check
it. With the YAML language server, name it in the first line of pgcrm.yaml:

  # yaml-language-server: $schema=pgcrm.schema.json`,
		Example: "  pgcrm schema > pgcrm.schema.json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(mapping.Schema())
			return err
		},
	}
}
