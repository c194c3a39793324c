package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
)

// plannedCount is what would become of a whole table, as plan --count prints it.
type plannedCount struct {
	Table  string `json:"table"`
	Object string `json:"object"`
	Rows   int64  `json:"rows"`
	// Send counts records of which the ledger does not know that the CRM holds
	// everything, Change those of them that the CRM holds otherwise; only with
	// --read-crm.
	Send   int64  `json:"would_send"`
	Change *int64 `json:"would_change,omitempty"`
	// Missing counts rows whose record the CRM lacks; only with --read-crm.
	Missing  *int64 `json:"missing,omitempty"`
	Cleared  int64  `json:"values_cleared"`
	Refused  int64  `json:"values_refused"`
	Rejected int64  `json:"rows_refused"`
	Skipped  int64  `json:"skipped"`
	Excluded int64  `json:"excluded"`
	Calls    int64  `json:"calls"`

	clearing []string // properties of which some would be cleared
}

// plannedTotal is what all of it takes.
type plannedTotal struct {
	Tables []plannedCount `json:"tables"`
	Calls  int64          `json:"calls"`
	// Seconds is how long the calls take at the present limit.
	Seconds   float64 `json:"seconds"`
	Limit     string  `json:"limit"`
	DailyLeft *int64  `json:"daily_calls_left,omitempty"`
}

// countAll counts through whole tables.
func (c *planCommand) countAll(ctx context.Context, tables []*change.Relation) error {
	total := plannedTotal{Tables: []plannedCount{}}
	for _, rel := range tables {
		counts, err := c.countTable(ctx, rel)
		if err != nil {
			return err
		}
		total.Tables = append(total.Tables, counts...)
		for _, n := range counts {
			total.Calls += n.Calls
		}
	}
	c.time(&total)
	if c.format.json() {
		return c.out.json(total)
	}
	total.print(c.out)
	return nil
}

func (c *planCommand) countTable(ctx context.Context, rel *change.Relation) ([]plannedCount, error) {
	var counts []plannedCount
	at := map[*change.Source]int{}
	for _, src := range c.sources(rel) {
		at[src] = len(counts)
		n := plannedCount{Table: src.Table, Object: src.Target.Object}
		if c.readCRM {
			n.Change, n.Missing = new(int64), new(int64)
		}
		counts = append(counts, n)
	}
	rows, err := cdc.CountEstimate(ctx, c.conn, rel)
	if err != nil {
		return nil, err
	}
	gauge := c.gauge("count "+rel.String(), rows, "row", "rows")
	defer gauge.end()
	mapper := newRowMapper(c.mapping)
	err = eachChunk(ctx, c.conn, rel, cdc.Range{Limit: readsAtOnce}, func(chunk cdc.Chunk) error {
		var list []mapped
		for _, values := range chunk.Rows {
			more, err := mapper.row(rel, values)
			if err != nil {
				return err
			}
			list = append(list, more...)
		}
		for i := range list {
			counts[at[list[i].source]].row(&list[i])
		}
		for target, rows := range byTarget(list) {
			hold := c.ledgerOnly
			if c.readCRM {
				hold = c.compare
			}
			compared, err := hold(ctx, target, rows)
			if err != nil {
				return err
			}
			for i := range compared {
				counts[at[compared[i].source]].record(&compared[i])
			}
		}
		gauge.add(len(chunk.Rows))
		return nil
	})
	batch := int64(c.cfg.Delivery.BatchSize)
	for i := range counts {
		counts[i].Calls = (counts[i].Send + batch - 1) / batch
	}
	return counts, err
}

// row counts what the mapping says of a row.
func (n *plannedCount) row(m *mapped) {
	n.Rows++
	switch m.fate {
	case fateNoMatch:
		n.Skipped++
	case fateRejected:
		n.Rejected++
	case fateExcluded, fateGone:
		n.Excluded++
	case fateSent:
	}
}

// record counts what would become of a record.
func (n *plannedCount) record(l *comparison) {
	sends, differs := false, false
	for i := range l.props {
		p := &l.props[i]
		switch {
		case p.refused():
			n.Refused++
		case p.sends:
			sends, differs = true, differs || !p.same
			if p.Kind != change.Set && !p.same {
				n.Cleared++
				if !slices.Contains(n.clearing, p.name) {
					n.clearing = append(n.clearing, p.name)
				}
			}
		}
	}
	if sends {
		n.Send++
	}
	if n.Change == nil {
		return
	}
	if l.found == sink.NotFound {
		*n.Missing++
	}
	if sends && differs && (l.found == sink.Delivered || l.source.OnMissing == change.Create && l.known == nil) {
		*n.Change++
	}
}

// time says how long the calls take.
func (c *planCommand) time(total *plannedTotal) {
	quota := c.view.crm.Quota()
	calls, window := quota.WindowLimit, 10*time.Second
	if r := c.cfg.Delivery.RateLimit; !r.Auto() && calls == r.Calls {
		window = r.Window
	}
	if calls > 0 {
		total.Seconds = float64(total.Calls) / float64(calls) * window.Seconds()
		total.Limit = fmt.Sprintf("%d/%s", calls, window)
	}
	if quota.DailyBounded {
		left := int64(quota.DailyLeft)
		total.DailyLeft = &left
	}
}

func (total *plannedTotal) print(p *printer) {
	header := []string{"TABLE", "OBJECT", "ROWS", "WOULD SEND", "CALLS", "CLEARED", "REFUSED", "SKIPPED"}
	read := len(total.Tables) > 0 && total.Tables[0].Change != nil
	if read {
		header = append(header, "WOULD CHANGE", "MISSING")
	}
	t := newTable(header...).right(2, 3, 4, 5, 6, 7, 8, 9)
	for _, n := range total.Tables {
		row := []string{
			n.Table, n.Object, thousands(n.Rows), thousands(n.Send), thousands(n.Calls), thousands(n.Cleared),
			thousands(n.Refused + n.Rejected), thousands(n.Skipped + n.Excluded),
		}
		if read {
			row = append(row, thousands(*n.Change), thousands(*n.Missing))
		}
		t.add(row...)
	}
	t.print(p, "")
	line := plural(total.Calls, "call", "calls")
	if total.Limit != "" {
		line += fmt.Sprintf(", %s at %s", roughly(time.Duration(total.Seconds*float64(time.Second))), total.Limit)
	}
	if total.DailyLeft != nil {
		line += fmt.Sprintf("; %s may be used today", thousands(*total.DailyLeft))
		if total.Calls > *total.DailyLeft {
			line += ", so it goes on after the account's midnight"
		}
	}
	p.println(line)
}
