package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker in releases.
var version = "dev"

// build is what the binary knows of its making.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Commit: "unknown", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

func newVersionCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: `  pgcrm version -o json`,
		Args:    noArguments,
	}
	format := addOutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b, out := thisBuild(), newPrinter(env.Stdout, env.Env)
		if format.json() {
			return out.json(b)
		}
		out.printf("pgcrm %s\ncommit %s\n%s\n", b.Version, b.Commit, b.Go)
		return nil
	}
	return cmd
}
