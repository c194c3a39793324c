package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/sink"
)

// verifyCommand is what the flags of `pgcrm verify` say, and what it works with.
type verifyCommand struct {
	*desk
	*view
	comparer
	tables []string
	sample int64
	all    bool
	repair bool
	wait   time.Duration
	format *outputFormat
}

func newVerifyCommand(env Environment) *cobra.Command {
	c := &verifyCommand{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the CRM with the database, report the drift, and repair it on request",
		Long: `Reads rows, maps them, reads their records from the CRM, a hundred a call and one
call at a time, and reports where the two differ:

  missing    the CRM has no record for a row
  different  a record holds another value than the row
  orphaned   the row is gone, and the record is not as on_delete wants it   (--all)
  extra      a record has a match value that no row has                     (--all)

What differs is looked at a second time, once the running instance has accounted
for the log that was written by then, so that a change on its way is no drift.
Each finding says why: edited (pgcrm delivered the row's value, and somebody
changed it since), parked, undelivered. With --repair the rows are filed for the
running instance, which sends them whole.

Exit codes: 0 no drift, 3 drift, 1 and 2 as everywhere.`,
		Example: `  pgcrm verify
  pgcrm verify --all -o json > drift.json
  pgcrm verify --table accounts --sample 500 --repair`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringSliceVar(&c.tables, "table", nil, "only these tables; all that are mapped otherwise")
	f.Int64Var(&c.sample, "sample", 1000, "about so many rows of each table, picked at random")
	f.BoolVar(&c.all, "all", false, "every row, and the records that no row has")
	f.BoolVar(&c.repair, "repair", false, "have the running instance send what is missing or different")
	f.DurationVar(&c.wait, "wait", 15*time.Second, "how long to wait for changes on their way before the second look")
	c.format = addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case c.all && cmd.Flags().Changed("sample"):
			return &usageError{"--all and --sample contradict one another; keep one"}
		case c.sample < 1:
			return &usageError{"--sample must be 1 or more; --all compares every row"}
		case c.wait < 0:
			return &usageError{"--wait must be 0 or more"}
		}
		var err error
		if c.desk, err = newDesk(env, config.NeedDatabase, config.NeedCRM, config.NeedMapping); err != nil {
			return err
		}
		return c.run(cmd.Context())
	}
	return cmd
}

// driftError ends verify with its own exit code; all was said already.
type driftError struct{ records int64 }

func (e *driftError) Error() string {
	return fmt.Sprintf("drift in %s", plural(e.records, "record", "records"))
}

func (c *verifyCommand) run(ctx context.Context) (err error) {
	if c.view, err = c.desk.view(ctx); err != nil {
		return err
	}
	defer c.view.close(ctx)
	ctx, end := whileAccepted(ctx, c.view.crm)
	defer end()
	defer func() { err = causeOf(ctx, err) }()
	memory, err := c.recall(ctx, c.view)
	if err != nil {
		return err
	}
	defer memory.Close()
	c.comparer = comparer{memory: memory, crm: sink.NewDeliverer(c.view.crm, c.log)}
	tables, err := c.chosen(c.tables)
	if err != nil {
		return err
	}
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
	if n := report.drifted(); err == nil && n > 0 {
		return &driftError{n}
	}
	return err
}

// verifyTable compares rows of one table, and those that differ once more.
func (c *verifyCommand) verifyTable(ctx context.Context, rel *change.Relation, report *verification) error {
	r := cdc.Range{Limit: readsAtOnce}
	if !c.all {
		rows, err := cdc.CountEstimate(ctx, c.conn, rel)
		if err != nil {
			return err
		}
		if rows > c.sample {
			r.Where = fmt.Sprintf("pg_catalog.random() < %.9f", float64(c.sample)/float64(rows))
		}
	}
	for _, src := range c.sources(rel) {
		report.table(src)
	}
	mapper := newRowMapper(c.mapping)
	var suspects []rowKey
	onItsWay := false
	err := eachChunk(ctx, c.conn, rel, r, func(chunk cdc.Chunk) error {
		list, err := c.compareRows(ctx, mapper, rel, chunk.Rows)
		if err != nil {
			return err
		}
		differ := map[string]bool{}
		for i := range list {
			finding := c.judge(&list[i])
			if finding != nil && !differ[list[i].row] {
				differ[list[i].row] = true
				onItsWay = onItsWay || finding.Cause != causeEdited
			}
		}
		for _, values := range chunk.Rows {
			if key := keyOfRow(rel, values); differ[key.String()] {
				suspects = append(suspects, key)
			}
		}
		for i := range list {
			if !differ[list[i].row] {
				report.count(&list[i], nil)
			}
		}
		return nil
	})
	if err != nil || len(suspects) == 0 {
		return err
	}
	return c.lookAgain(ctx, mapper, rel, suspects, onItsWay, report)
}

// lookAgain compares the rows that differed, once what was on its way had time
// to arrive.
func (c *verifyCommand) lookAgain(ctx context.Context, mapper *rowMapper, rel *change.Relation, keys []rowKey, wait bool, report *verification) error {
	end, err := cdc.FlushLSN(ctx, c.conn)
	if err != nil {
		return err
	}
	var behind bool
	if wait {
		if behind, err = c.awaitCheckpoint(ctx, end); err != nil {
			return err
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), readsAtOnce)
		chunk, err := readByKey(ctx, c.conn, rel, keys[:n])
		if err != nil {
			return err
		}
		keys = keys[n:]
		list, err := c.compareRows(ctx, mapper, rel, chunk.Rows)
		if err != nil {
			return err
		}
		for i := range list {
			finding := c.judge(&list[i])
			if finding != nil {
				if err := c.explainCause(ctx, &list[i], finding, behind); err != nil {
					return err
				}
			}
			report.count(&list[i], finding)
		}
	}
	return nil
}

// An instance saves the end of every mapped change soon after it is settled, but
// not every position at which nothing happened: so much of the log may lie behind
// an idle one's checkpoint, and so long a change takes at most to be settled where
// nothing holds it up.
const (
	idleLag    = 128 << 10
	settleTime = 3 * time.Second
)

// awaitCheckpoint waits until the running instance has accounted for the log up
// to a position, or is as near as an idle one comes. It reports whether an
// instance runs that has not.
func (c *verifyCommand) awaitCheckpoint(ctx context.Context, end change.LSN) (behind bool, err error) {
	slot, ok, err := cdc.SlotInfo(ctx, c.conn, c.cfg.Source.Slot)
	if err != nil || !ok || slot.ActivePID == 0 || !c.memory.known {
		return false, err
	}
	settled := time.NewTimer(min(settleTime, c.wait))
	defer settled.Stop()
	deadline := time.NewTimer(c.wait)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	hadTime := false
	for {
		state, _, err := c.memory.Peek(ctx)
		near := state.Checkpoint+idleLag >= end
		if err != nil || state.Checkpoint >= end || near && hadTime {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-settled.C:
			hadTime = true
		case <-deadline.C:
			return !near, nil
		case <-tick.C:
		}
	}
}

// compareRows maps rows and compares those that address a record. Rows of which
// nothing is sent come along uncompared.
func (c *verifyCommand) compareRows(ctx context.Context, mapper *rowMapper, rel *change.Relation, rows [][]change.Value) ([]comparison, error) {
	var all []mapped
	for _, values := range rows {
		more, err := mapper.row(rel, values)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	var list []comparison
	for i := range all {
		if all[i].fate != fateSent {
			list = append(list, comparison{mapped: &all[i]})
		}
	}
	for target, part := range byTarget(all) {
		compared, err := c.compare(ctx, target, part)
		if err != nil {
			return nil, err
		}
		list = append(list, compared...)
	}
	return list, nil
}
