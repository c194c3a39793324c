package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
)

// verifyCommand is what the flags of `pgcrm verify` say, and what it works with.
type verifyCommand struct {
	comparer
	tables  tableList
	sample  int64
	all     bool
	repair  bool
	records int
	wait    time.Duration
	share   string
	format  *outputFormat
	// behind is set once the running instance has not accounted for the log in
	// time: it is not waited for again.
	behind bool
}

func newVerifyCommand(env Environment) *cobra.Command {
	c := &verifyCommand{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the CRM with the database, report the drift, and repair it on request",
		Long: `Reads rows, maps them, reads their records from the CRM, a hundred a call and one
call at a time, and reports where the two differ. It uses a quarter of HubSpot's
calls, in each window and of what the day has left, or the --share that you give:
the others are for the running instance.

  missing    the CRM has no record for a row
  different  a record holds another value than the row
  extra      pgcrm delivered the record from a row that is gone or does not
             satisfy when, and it is not as on_delete wants it            (--all)
  orphaned   a record has a match value that no row has, and was never
             delivered by pgcrm                                           (--all)

What differs is looked at again, once the running instance has accounted for
what was committed before that look: a change on its way, or a row that changes
while it is compared, is no drift. It counts as waiting. Each finding says why:
edited (pgcrm delivered the row's value, and somebody changed it since), parked,
undelivered.

With --repair the running instance is asked to send missing and different rows
whole, and to do to extra records what on_delete says. Orphaned records are only
reported: pgcrm never touches what it did not deliver. Where a table is empty, as
after TRUNCATE, its records are left as they are.

Exit codes: 0 no drift, 3 drift, 1 and 2 as everywhere.`,
		Example: `  pgcrm verify
  pgcrm verify --all -o json > drift.json
  pgcrm verify --table accounts --sample 500 --repair`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.Var(&c.tables, "table", "only these tables; all that are mapped otherwise")
	f.Int64Var(&c.sample, "sample", 1000, "about so many rows of each table, picked at random")
	f.BoolVar(&c.all, "all", false, "every row, and the records that no row has")
	f.BoolVar(&c.repair, "repair", false, "have the running instance mend what is missing, different or extra")
	f.IntVar(&c.records, "records", 100_000, "with --all, list at most so many records of an object, a hundred a call")
	f.DurationVar(&c.wait, "wait", 15*time.Second, "how long to wait for changes on their way before looking again")
	f.StringVar(&c.share, "share", "25%", "how much of HubSpot's calls it uses; 100% where nothing else runs")
	c.format = addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case c.all && cmd.Flags().Changed("sample"):
			return &usageError{"--all and --sample contradict one another; keep one"}
		case c.sample < 1:
			return &usageError{"--sample must be 1 or more; --all compares every row"}
		case c.records < 1:
			return &usageError{"--records must be 1 or more"}
		case c.wait < 0:
			return &usageError{"--wait must be 0 or more"}
		}
		var share config.Share
		if err := share.EnvDecode(c.share); err != nil {
			return &usageError{fmt.Sprintf("--share %q %v", c.share, err)}
		}
		var err error
		if c.desk, err = newDesk(env, config.NeedDatabase, config.NeedCRM, config.NeedMapping); err != nil {
			return err
		}
		c.part = float64(share)
		return c.over(cmd.Context(), c.tables, c.run)
	}
	return cmd
}

// driftError ends verify with its own exit code; all was said already.
type driftError struct{ records int64 }

func (e *driftError) Error() string {
	return fmt.Sprintf("drift in %s", plural(e.records, "record", "records"))
}

func (c *verifyCommand) run(ctx context.Context, tables []*change.Relation) (err error) {
	report := newVerification(c.all)
	for _, rel := range tables {
		if err := c.verifyTable(ctx, rel, report); err != nil {
			return err
		}
	}
	if c.all {
		if err := c.strangers(ctx, tables, report); err != nil {
			return err
		}
	}
	if err := c.askHistory(ctx, report); err != nil {
		return err
	}
	if c.repair {
		if err := c.fileRepairs(ctx, report); err != nil {
			return err
		}
	}
	if c.format.json() {
		err = c.out.json(report)
	} else {
		report.print(c.out, c.whoActs(ctx))
	}
	if n := report.Drifted; err == nil && n > 0 {
		return &driftError{n}
	}
	return err
}
