package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
)

// newDLQCommand makes `pgcrm dlq` and the commands beneath it.
func newDLQCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dlq",
		Aliases: []string{"parked"},
		Short:   "The parked records: those the CRM or the mapping refused",
		Long: `Lists, shows, retries and drops parked records. A letter is about one property of
a record, or about the record as a whole; the rest of the record was delivered.

A letter closes by itself once a newer version of the row is delivered. Retry
reads the row as it is now; an old value is never sent again.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{"say what to do with the parked records: pgcrm dlq list, show, retry or drop"}
		},
	}
	cmd.AddCommand(newDLQListCommand(env), newDLQShowCommand(env), newDLQRetryCommand(env), newDLQDropCommand(env))
	return cmd
}

// letterFlags select letters.
type letterFlags struct {
	table, object, category, key, property string
	olderThan                              age
	all                                    bool
}

func (f *letterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.table, "table", "", "only of rows of this table, [SCHEMA.]NAME")
	flags.StringVar(&f.object, "object", "", "only of this HubSpot object type")
	flags.StringVar(&f.category, "reason", "", "only of this category: invalid_value, invalid_option, too_long, not_found, ...")
	flags.StringVar(&f.key, "key", "", "only of the record with this match value")
	flags.StringVar(&f.property, "property", "", "only about this property")
	flags.Var(&f.olderThan, "older-than", "only last seen longer ago than this, 24h or 30d for one")
	flags.StringVar(&f.category, "category", "", "the same as --reason")
	_ = flags.MarkHidden("category")
}

// addAll adds --all, for commands that must not take everything by accident.
func (f *letterFlags) addAll(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that are parked")
}

// filter reads flags and ids. With must it wants something to be selected.
func (f *letterFlags) filter(cmd *cobra.Command, args []string, now time.Time, must bool) (ledger.Filter, error) {
	filter := ledger.Filter{Object: f.object, Category: f.category, Key: f.key, Property: f.property}
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id < 1 {
			return filter, &usageError{fmt.Sprintf("%q is not the number of a parked record; see pgcrm dlq list", arg)}
		}
		filter.IDs = append(filter.IDs, id)
	}
	if f.table != "" {
		table, err := mapping.ParseTableName(f.table)
		if err != nil {
			return filter, &usageError{fmt.Sprintf("--table: %q is %v", f.table, err)}
		}
		filter.Table = table.String()
	}
	if f.olderThan > 0 {
		filter.SeenBefore = now.Add(-time.Duration(f.olderThan))
	}
	selected := len(args) > 0 || f.object != "" || f.category != "" || f.key != "" || f.property != "" || f.table != "" || f.olderThan > 0
	switch {
	case must && !selected && !f.all:
		return filter, &usageError{fmt.Sprintf("name parked records by number, or select some, or say --all; see %s --help", cmd.CommandPath())}
	case selected && f.all:
		return filter, &usageError{"--all and a selection contradict one another; keep one"}
	}
	return filter, nil
}

func newDLQListCommand(env Environment) *cobra.Command {
	var flags letterFlags
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List parked records",
		Example: `  pgcrm dlq list
  pgcrm dlq list --table accounts --reason invalid_option
  pgcrm dlq list -o json | jq 'group_by(.category) | map({(.[0].category): length}) | add'`,
		Args: noArguments,
	}
	flags.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many; 0 lists all")
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := newDesk(env, config.NeedDatabase)
		if err != nil {
			return err
		}
		filter, err := flags.filter(cmd, nil, d.now(), false)
		if err != nil {
			return err
		}
		if limit < 0 {
			return &usageError{"--limit must be 0 or more"}
		}
		filter.Limit = limit
		letters, err := d.letters(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if format.json() {
			return d.out.json(lettersOf(letters))
		}
		d.printLetters(letters)
		return nil
	}
	return cmd
}

func newDLQShowCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID...",
		Short:   "Show all that is known of parked records",
		Example: "  pgcrm dlq show 12",
		Args:    atLeastOne("the number of a parked record; see pgcrm dlq list"),
	}
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := newDesk(env, config.NeedDatabase)
		if err != nil {
			return err
		}
		filter, err := (&letterFlags{}).filter(cmd, args, d.now(), true)
		if err != nil {
			return err
		}
		letters, err := d.letters(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if format.json() {
			err = d.out.json(lettersOf(letters))
		} else {
			d.showLetters(letters)
		}
		if err != nil {
			return err
		}
		return missingLetters(filter.IDs, letters)
	}
	return cmd
}

func newDLQDropCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop [ID...]",
		Short: "Give parked records up: what they owe stays undone until the row changes again",
		Example: `  pgcrm dlq drop 12 13
  pgcrm dlq drop --table accounts --reason not_found --older-than 30d
  pgcrm dlq drop --all`,
	}
	return actOnLetters(cmd, env, (*desk).drop)
}

func (d *desk) drop(ctx context.Context, book *ledger.Ledger, filter ledger.Filter, asJSON bool) error {
	n, err := book.DropLetters(ctx, filter)
	if err != nil {
		return err
	}
	if asJSON {
		return d.out.json(dropped{n})
	}
	d.out.println("dropped " + plural(n, "parked record", "parked records"))
	return nil
}

// actOnLetters gives a command the flags that select letters, and has it act on
// those that are selected.
func actOnLetters(cmd *cobra.Command, env Environment, act func(*desk, context.Context, *ledger.Ledger, ledger.Filter, bool) error) *cobra.Command {
	var flags letterFlags
	cmd.Args = cobra.ArbitraryArgs
	flags.addAll(cmd)
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := newDesk(env, config.NeedDatabase)
		if err != nil {
			return err
		}
		filter, err := flags.filter(cmd, args, d.now(), true)
		if err != nil {
			return err
		}
		book, err := d.ledger(cmd.Context())
		if err != nil {
			return err
		}
		defer book.Close()
		return act(d, cmd.Context(), book, filter, format.json())
	}
	return cmd
}

// atLeastOne wants arguments, and says which.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &usageError{fmt.Sprintf("%s needs %s", cmd.CommandPath(), what)}
		}
		return nil
	}
}
