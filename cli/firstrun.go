package cli

import (
	"context"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// countedRows is up to how many rows the first run counts what it will do row by
// row. Of larger tables it tells what the server estimates.
const countedRows = 100_000

// firstContact says, before anything is written to a portal for the first time,
// which portal that is and what a first load will do there. What it cannot find
// out it leaves out: it is a courtesy, and nothing waits for it.
func (r *runner) firstContact(ctx context.Context, db cdc.Config, book *ledger.Ledger, crm *hubspot.Client, found *survey) {
	if _, known, err := book.Peek(ctx); err != nil || known {
		return
	}
	r.log.Info("first_run", "portal", found.portal, "account_type", found.account.Type, "ui_domain", found.account.UIDomain,
		"note", "nothing is written to this portal before the lines that follow")
	if !r.cfg.Mapping.Backfill {
		r.log.Info("first_run_plan", "rows", 0, "note", "PGCRM_BACKFILL is off: only what changes from now on is sent")
		return
	}
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		r.log.Debug("first_run_not_counted", "error", err)
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	c := &planCommand{comparer: comparer{
		desk: &desk{cfg: r.cfg, log: r.log}, view: &view{survey: *found, conn: conn, crm: crm},
		memory: &memory{}, // nothing is remembered yet
	}}
	total := plannedTotal{}
	for _, rel := range found.relations {
		calls, err := c.tellTable(ctx, rel)
		if err != nil {
			r.log.Debug("first_run_not_counted", "table", rel.String(), "error", err)
			continue
		}
		total.Calls += calls
	}
	c.time(&total)
	args := []any{"calls", total.Calls}
	if total.Limit != "" {
		args = append(args, "time", roughly(time.Duration(total.Seconds*float64(time.Second))), "limit", total.Limit)
	}
	if total.DailyLeft != nil {
		args = append(args, "daily_calls_left", *total.DailyLeft)
	}
	r.log.Info("first_run_total", append(args,
		"note", "properties that are NULL here stay as they are in HubSpot unless on_null is overwrite; `pgcrm plan` shows values, PGCRM_HOLD_ABOVE makes a load wait for you")...)
}

// tellTable says what a first load of a table will do, and how many calls that
// takes.
func (c *planCommand) tellTable(ctx context.Context, rel *change.Relation) (calls int64, err error) {
	estimate, err := cdc.CountEstimate(ctx, c.conn, rel)
	if err != nil {
		return 0, err
	}
	batch := int64(c.cfg.Delivery.BatchSize)
	if estimate > countedRows {
		for _, src := range c.sources(rel) {
			n := (estimate + batch - 1) / batch
			calls += n
			c.log.Info("first_run_plan", "table", src.Table, "object", src.Target.Object, "rows_estimated", estimate, "calls", n,
				"note", "`pgcrm plan --count` counts exactly")
		}
		return calls, nil
	}
	counts, err := c.countTable(ctx, rel)
	for _, n := range counts {
		calls += n.Calls
		c.log.Info("first_run_plan", "table", n.Table, "object", n.Object, "rows", n.Rows, "records", n.Send, "calls", n.Calls,
			"values_cleared", n.Cleared, "clearing", strings.Join(n.clearing, ","), "values_refused", n.Refused+n.Rejected, "skipped", n.Skipped+n.Excluded)
	}
	return calls, err
}
