package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/sink"
)

// planCommand is what the flags of `pgcrm plan` say.
type planCommand struct {
	comparer
	tables  tableList
	keys    []string
	limit   int
	count   bool
	readCRM bool
	format  *outputFormat
}

func newPlanCommand(env Environment) *cobra.Command {
	c := &planCommand{}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be sent, beside what the CRM holds now; writes nothing",
		Long: `Reads some rows, maps them, and shows for each property what the CRM holds now,
what would be sent, and why: changed, unchanged, cleared, refused, or kept, where
the CRM's own value stays. It reads database, ledger and CRM and writes nothing
anywhere; nothing need be set up yet.

With --count it goes through whole tables and counts what would be sent by what
the ledger knows, without a call; --read-crm compares with the CRM as well, which
takes a call for each hundred rows.`,
		Example: `  pgcrm plan
  pgcrm plan --table accounts --key 7,12
  pgcrm plan --count
  pgcrm plan --table accounts --count --read-crm -o json`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.Var(&c.tables, "table", "only these tables; all that are mapped otherwise")
	f.StringArrayVar(&c.keys, "key", nil, `only rows with these primary keys, "7,12"; of several columns as JSON arrays`)
	f.IntVar(&c.limit, "limit", 5, "rows of each table to show")
	f.BoolVar(&c.count, "count", false, "count through whole tables instead of showing rows")
	f.BoolVar(&c.readCRM, "read-crm", false, "with --count, compare with what the CRM holds, not only with the ledger")
	c.format = addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := c.check(); err != nil {
			return err
		}
		var err error
		if c.desk, err = newDesk(env, config.NeedDatabase, config.NeedCRM, config.NeedMapping); err != nil {
			return err
		}
		return c.over(cmd.Context(), c.tables, c.run)
	}
	return cmd
}

func (c *planCommand) check() error {
	switch {
	case len(c.keys) > 0 && len(c.tables) != 1:
		return &usageError{"--key is about one table; name it with --table"}
	case c.limit < 1 || c.limit > 10_000:
		return &usageError{"--limit must be 1 to 10000; --count goes through whole tables"}
	case c.count && len(c.keys) > 0:
		return &usageError{"--count goes through whole tables; leave --key out"}
	case c.readCRM && !c.count:
		return &usageError{"--read-crm belongs to --count; single rows are always compared with the CRM"}
	}
	return nil
}

func (c *planCommand) run(ctx context.Context, tables []*change.Relation) error {
	if c.count {
		return c.countAll(ctx, tables)
	}
	rows := []plannedRow{}
	for _, rel := range tables {
		more, err := c.rows(ctx, rel)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	if c.format.json() {
		return c.out.json(planned{rows})
	}
	printPlan(c.out, rows)
	return nil
}

// rows plans some rows of a table.
func (c *planCommand) rows(ctx context.Context, rel *change.Relation) ([]plannedRow, error) {
	keys, err := parseKeys(rel, c.keys)
	if err != nil {
		return nil, err
	}
	var chunk cdc.Chunk
	if len(keys) > 0 {
		chunk, err = readByKey(ctx, c.conn, rel, keys)
	} else {
		chunk, err = cdc.ReadChunk(ctx, c.conn, rel, cdc.Range{Limit: c.limit})
	}
	if err != nil {
		return nil, err
	}
	mapper := newRowMapper(c.mapping)
	var list []mapped
	found := map[string]bool{}
	for _, values := range chunk.Rows {
		more, err := mapper.row(rel, values)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
		found[keyOfRow(rel, values).String()] = true
	}
	for _, k := range keys {
		if !found[k.String()] {
			return nil, fmt.Errorf("table %s has no row %s", rel, k)
		}
	}
	planned := make(map[*mapped]plannedRow, len(list))
	for target, rows := range byTarget(list) {
		compared, err := c.compare(ctx, target, rows)
		if err != nil {
			return nil, err
		}
		for i := range compared {
			planned[compared[i].mapped] = c.planRow(&compared[i])
		}
	}
	rows := make([]plannedRow, len(list))
	for i := range list {
		m := &list[i]
		p, ok := planned[m]
		if !ok {
			p = unsentRow(m)
		}
		rows[i] = p
	}
	return rows, nil
}

// planned is what plan -o json prints.
type planned struct {
	Rows []plannedRow `json:"rows"`
}

// plannedRow is what would become of a row.
type plannedRow struct {
	Table  string `json:"table"`
	Row    string `json:"row"`
	Object string `json:"object"`
	Match  string `json:"match"`
	Key    string `json:"key,omitempty"`
	CRMID  string `json:"crm_id,omitempty"`
	URL    string `json:"url,omitempty"`
	// Action is update, none, create, park, skip or exclude.
	Action     string            `json:"action"`
	Detail     string            `json:"detail,omitempty"`
	Properties []plannedProperty `json:"properties,omitempty"`
}

// plannedProperty is what would become of a property.
type plannedProperty struct {
	Name string `json:"name"`
	// CRM is what the CRM holds now; null where there is no record.
	CRM *string `json:"crm"`
	// Send is what would be sent, "" to clear; null where nothing is.
	Send *string `json:"send"`
	// Why is changed, unchanged, cleared, kept or refused.
	Why    string `json:"why"`
	Reason string `json:"reason,omitempty"`
}

func (c *planCommand) planRow(l *comparison) plannedRow {
	target := l.source.Target
	r := plannedRow{
		Table: l.source.Table, Row: l.row, Object: target.Object, Match: target.Match, Key: l.key,
		CRMID: l.crmID, URL: recordURL(c.account, target.Object, l.crmID),
	}
	sends := false
	for i := range l.props {
		p := &l.props[i]
		sends = sends || p.sends
		r.Properties = append(r.Properties, planProperty(p, l.found == sink.Delivered))
	}
	switch {
	case l.found == sink.NotFound:
		r.Action, r.Detail = missingAction(l.source.OnMissing, l.known != nil)
	case sends:
		r.Action = "update"
	default:
		r.Action, r.Detail = "none", "the CRM has accounted for all of it"
	}
	return r
}

func planProperty(p *comparedProp, there bool) plannedProperty {
	out := plannedProperty{Name: p.name}
	if there {
		out.CRM = &p.stored
	}
	if p.sends {
		text := string(p.Text)
		out.Send = &text
	}
	switch {
	case p.refused():
		why := p.Rejection()
		out.CRM, out.Why, out.Reason = nil, "refused", why.Category+": "+why.Reason
	case p.left():
		out.Why, out.Reason = "kept", "NULL, and never delivered: what the CRM holds stays"
	case there && p.same:
		out.Why = "unchanged"
	case !p.sends:
		out.Why, out.Reason = "kept", "edited in HubSpot: it stays until the row changes"
	case p.Kind != change.Set:
		out.Why = "cleared"
	default:
		out.Why = "changed"
	}
	return out
}

// missingAction says what becomes of a row whose record the CRM does not have.
func missingAction(policy change.Missing, delivered bool) (action, detail string) {
	switch {
	case policy == change.Create && !delivered:
		return "create", "the CRM has no such record"
	case policy == change.Skip:
		return "skip", "the CRM has no such record, and on_missing skips it"
	case policy == change.Create:
		return "park", "the record has vanished from the CRM; it is not made again"
	}
	return "park", "the CRM has no such record"
}

// unsentRow is a row of which nothing is sent.
func unsentRow(m *mapped) plannedRow {
	r := plannedRow{Table: m.source.Table, Row: m.row, Object: m.source.Target.Object, Match: m.source.Target.Match, Key: m.key}
	switch m.fate {
	case fateNoMatch:
		r.Action, r.Detail = "skip", "its match column is NULL"
	case fateRejected:
		r.Action, r.Detail = "park", m.rejection.Category+": "+m.rejection.Reason
	default:
		r.Action, r.Detail = "exclude", "it does not satisfy when"
		if m.fate == fateGone {
			r.Detail += "; on_delete applies to a record that was delivered from it"
		}
	}
	return r
}

func printPlan(p *printer, rows []plannedRow) {
	colours := map[string]paint{"changed": green, "cleared": yellow, "refused": red}
	if len(rows) == 0 {
		p.println("no rows")
	}
	for i, r := range rows {
		if i > 0 {
			p.println()
		}
		head := fmt.Sprintf("%s %s -> %s", r.Table, r.Row, r.Object)
		if r.Key != "" {
			head += " " + r.Match + "=" + r.Key
		}
		p.println(strings.TrimRight(p.paint(bold, sayable(head))+": "+r.Action+because(r.Detail)+"  "+p.paint(dim, r.URL), " "))
		if len(r.Properties) == 0 {
			continue
		}
		t := newTable("PROPERTY", "CRM NOW", "WOULD SEND", "WHY")
		for _, prop := range r.Properties {
			why := prop.Why
			if prop.Reason != "" {
				why += ": " + prop.Reason
			}
			t.addCells(cell{text: prop.Name}, cell{text: shown(prop.CRM)}, cell{shown(prop.Send), colours[prop.Why]}, cell{why, colours[prop.Why]})
		}
		t.print(p, "  ")
	}
}

// shown is a value in a table: a dash for none, and words for the empty one.
func shown(value *string) string {
	switch {
	case value == nil:
		return "-"
	case *value == "":
		return "(empty)"
	}
	return *value
}
