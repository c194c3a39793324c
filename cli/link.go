package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// linkCommand is what the flags of `pgcrm link` say.
type linkCommand struct {
	*desk
	*view
	by     string
	object string
	write  bool
	format *outputFormat
}

func newLinkCommand(env Environment) *cobra.Command {
	c := &linkCommand{}
	cmd := &cobra.Command{
		Use:   "link TABLE --by PROPERTY=COLUMN",
		Short: "Pair rows with records that exist, by a value that both have; --write sets the match property",
		Long: `Lists the portal's records (a hundred a call), reads the table's rows, and pairs
them where PROPERTY of exactly one record and COLUMN of exactly one row are the
same: web addresses by their host, or else by the domain that was registered
(shop.acme.co.uk is acme.co.uk), everything else without regard to case and space.
It prints which pairs are unique, which rows are ambiguous, and which have no record.

With --write the match property of each unique pair's record is set to the row's
match value, from which on pgcrm run keeps the record up to date. A record that
has another match value already is never changed. What is linked already is left
alone, so that an interrupted link can simply be started again.`,
		Example: `  pgcrm link accounts --by domain=website_host
  pgcrm link accounts --by domain=website_host --write
  pgcrm link accounts --by name=account_name -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{"name one table: pgcrm link accounts --by domain=website_host"}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.by, "by", "", "PROPERTY=COLUMN, the values to pair by")
	f.StringVar(&c.object, "object", "", "the HubSpot object type, where the table is mapped to several")
	f.BoolVar(&c.write, "write", false, "set the match property of unique pairs' records")
	c.format = addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		property, column, ok := strings.Cut(c.by, "=")
		if !ok || property == "" || column == "" {
			return &usageError{"--by is PROPERTY=COLUMN, a property of the records and a column of the table: --by domain=website_host"}
		}
		var err error
		if c.desk, err = newDesk(env, config.NeedDatabase, config.NeedCRM, config.NeedMapping); err != nil {
			return err
		}
		return c.run(cmd.Context(), args[0], property, column)
	}
	return cmd
}

func (c *linkCommand) run(ctx context.Context, table, property, column string) (err error) {
	if c.view, err = c.desk.view(ctx); err != nil {
		return err
	}
	defer c.view.close(ctx)
	ctx, end := whileAccepted(ctx, c.view.crm)
	defer end()
	defer func() { err = causeOf(ctx, err) }()
	rel, err := c.table(table)
	if err != nil {
		return err
	}
	src, err := c.source(rel)
	if err != nil {
		return err
	}
	if err := c.checkNames(rel, src, property, column); err != nil {
		return err
	}
	p := newPairing(property)
	if err := c.listRecords(ctx, src, property, p); err != nil {
		return err
	}
	if err := c.readRows(ctx, rel, src, column, p); err != nil {
		return err
	}
	found := p.result(c.account, src)
	if c.write {
		if err := c.set(ctx, src, found); err != nil {
			return err
		}
	}
	if c.format.json() {
		err = c.out.json(found)
	} else {
		found.print(c.out, c.write)
	}
	if err == nil && found.Failed > 0 {
		err = fmt.Errorf("%s could not be linked", plural(int64(found.Failed), "record", "records"))
	}
	return err
}

// source is the mapping whose match property is set.
func (c *linkCommand) source(rel *change.Relation) (*change.Source, error) {
	var objects []string
	for _, src := range c.sources(rel) {
		objects = append(objects, src.Target.Object)
		if src.Target.Object == c.object || c.object == "" && len(c.sources(rel)) == 1 {
			if src.Target.ByRecordID() {
				return nil, &usageError{fmt.Sprintf("table %s is matched by HubSpot's own ids, which nobody can set; match by a property with unique values", rel)}
			}
			return src, nil
		}
	}
	return nil, &usageError{fmt.Sprintf("table %s is mapped to %s; name one with --object", rel, strings.Join(objects, " and "))}
}

func (c *linkCommand) checkNames(rel *change.Relation, src *change.Source, property, column string) error {
	var wrong problems
	if rel.Column(column) < 0 {
		wrong.lines = append(wrong.lines, fmt.Sprintf("--by: table %s has no column %s", rel, column))
	}
	known := false
	for _, p := range c.properties[src.Target.Object] {
		known = known || p.Name == property
	}
	switch {
	case !known:
		wrong.lines = append(wrong.lines, fmt.Sprintf("--by: %s has no property %s", src.Target.Object, property))
	case property == src.Target.Match:
		wrong.lines = append(wrong.lines, fmt.Sprintf("--by: %s is the match property, which link is to set; pair by another, domain for one", property))
	}
	return wrong.err()
}

// listRecords lists all records that have the property.
func (c *linkCommand) listRecords(ctx context.Context, src *change.Source, property string, p *pairing) error {
	gauge := c.gauge("list "+src.Target.Object, 0, "record", "records")
	defer gauge.end()
	after := ""
	for {
		page, err := c.view.crm.List(ctx, src.Target.Object, after, []string{property, src.Target.Match})
		if err != nil {
			return err
		}
		for i := range page.Records {
			r := &page.Records[i]
			value, _ := r.Value(property)
			match, _ := r.Value(src.Target.Match)
			p.addRecord(r.ID, value, match)
		}
		gauge.add(len(page.Records))
		if after = page.After; after == "" {
			return nil
		}
	}
}

// readRows reads all rows that address a record.
func (c *linkCommand) readRows(ctx context.Context, rel *change.Relation, src *change.Source, column string, p *pairing) error {
	rows, err := cdc.CountEstimate(ctx, c.conn, rel)
	if err != nil {
		return err
	}
	gauge := c.gauge("read "+rel.String(), rows, "row", "rows")
	defer gauge.end()
	mapper := newRowMapper(c.mapping)
	at := rel.Column(column)
	return eachChunk(ctx, c.conn, rel, cdc.Range{Limit: readsAtOnce}, func(chunk cdc.Chunk) error {
		for _, values := range chunk.Rows {
			list, err := mapper.row(rel, values)
			if err != nil {
				return err
			}
			for i := range list {
				if m := &list[i]; m.source == src && m.fate == fateSent {
					p.addRow(m.row, m.key, string(values[at].Text))
				}
			}
		}
		gauge.add(len(chunk.Rows))
		return nil
	})
}

// set sets the match property of the unique pairs' records, a hundred a call.
func (c *linkCommand) set(ctx context.Context, src *change.Source, found *linked) error {
	var open []*pair
	for i := range found.Pairs {
		if found.Pairs[i].State == pairUnique {
			open = append(open, &found.Pairs[i])
		}
	}
	for len(open) > 0 {
		n := min(len(open), c.cfg.Delivery.BatchSize)
		if err := c.setBatch(ctx, src.Target, open[:n]); err != nil {
			return err
		}
		open = open[n:]
	}
	found.count()
	return nil
}

func (c *linkCommand) setBatch(ctx context.Context, target *change.Target, pairs []*pair) error {
	inputs := make([]hubspot.Input, len(pairs))
	for i, p := range pairs {
		inputs[i] = hubspot.Input{ID: p.CRMID, Properties: []hubspot.Property{{Name: target.Match, Value: p.Key}}}
	}
	answer, err := c.view.crm.BatchUpdate(ctx, target.Object, inputs)
	var refusal *hubspot.Error
	switch {
	case errors.As(err, &refusal) && len(pairs) > 1:
		// One of them is at fault: each by itself.
		for i := range pairs {
			if err := c.setBatch(ctx, target, pairs[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case refusal != nil:
		pairs[0].State, pairs[0].Detail = pairFailed, refusal.Error()+because(refusal.Message)
		return nil //nolint:nilerr // the pair says so
	case err != nil:
		return err
	}
	for i, p := range pairs {
		switch o := answer.Outcomes[i]; o.State {
		case hubspot.Written:
			p.State = pairLinked
		case hubspot.Refused:
			p.State, p.Detail = pairFailed, o.Refusal.Error()+because(o.Refusal.Message)
		case hubspot.NotFound:
			p.State, p.Detail = pairFailed, "the record is gone; link again"
		default:
			p.State, p.Detail = pairFailed, "HubSpot did not say whether it was written; link again"
		}
	}
	return nil
}
