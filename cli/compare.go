package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// comparison is a mapped row held against the ledger and, where it was read,
// against the CRM.
type comparison struct {
	*mapped
	// known is what the ledger holds of the record; nil where it knows none.
	known *change.Record
	// found is Delivered where the CRM has the record, NotFound where it has not,
	// and Undecided where it did not say.
	found sink.Outcome
	crmID string
	props []comparedProp
}

// comparedProp is one property of a row.
type comparedProp struct {
	change.Prop
	name string
	// sends is set where the running instance would send it.
	sends bool
	fact  change.Fact
	// stored is the CRM's value and same whether it is the row's, as far as
	// HubSpot's way of writing values lets it be told. Where it is the same,
	// stored is the row's.
	stored string
	same   bool
}

// left reports whether a NULL leaves alone what the CRM held before the record
// was first met.
func (p *comparedProp) left() bool {
	return p.Kind == change.ClearIfDelivered && p.fact.State == change.Never
}

func (p *comparedProp) refused() bool {
	return p.Kind == change.Refused || p.Kind == change.RefusedOver
}

// comparer holds rows against ledger and CRM. One goroutine.
type comparer struct {
	*desk
	*view
	memory *memory
	crm    *sink.Deliverer
}

// over has do compare the rows of the tables that are named, or of all; it ends
// where the CRM refuses the token.
func (c *comparer) over(ctx context.Context, tables []string, do func(context.Context, []*change.Relation) error) (err error) {
	if c.view, err = c.desk.view(ctx); err != nil {
		return err
	}
	defer c.view.close(ctx)
	ctx, end := whileAccepted(ctx, c.view.crm)
	defer end()
	defer func() { err = causeOf(ctx, err) }()
	if c.memory, err = c.recall(ctx, c.view); err != nil {
		return err
	}
	defer c.memory.Close()
	c.crm = sink.NewDeliverer(c.view.crm, c.log)
	relations, err := c.chosen(tables)
	if err != nil {
		return err
	}
	return do(ctx, relations)
}

// readsAtOnce is how many rows are compared in one go; HubSpot is asked for 100
// at a time.
const readsAtOnce = 1000

// ledgerOnly holds rows of one target against the ledger.
func (c *comparer) ledgerOnly(ctx context.Context, target *change.Target, rows []*mapped) ([]comparison, error) {
	list := make([]comparison, len(rows))
	keys := make([]string, len(rows))
	for i, m := range rows {
		list[i].mapped, keys[i] = m, m.key
	}
	fingerprint := func([]byte) uint64 { return 0 }
	if c.memory.known {
		records, err := c.memory.Lookup(ctx, target, keys)
		if err != nil {
			return nil, err
		}
		for i, r := range records {
			list[i].known = r
		}
		fingerprint = c.memory.Fingerprint
	}
	for i := range list {
		l := &list[i]
		entry := sink.Entry{Source: l.source, Props: l.mapped.props}
		diff := entry.Diff(l.known, fingerprint)
		for p := range l.mapped.props.All() {
			_, sends := diff.Send.Get(p.Slot)
			l.props = append(l.props, comparedProp{Prop: p, name: target.Properties[p.Slot], sends: sends, fact: l.known.Fact(p.Slot)})
		}
	}
	return list, nil
}

// compare holds rows of one target against ledger and CRM.
func (c *comparer) compare(ctx context.Context, target *change.Target, rows []*mapped) ([]comparison, error) {
	list, err := c.ledgerOnly(ctx, target, rows)
	if err != nil {
		return nil, err
	}
	// A call must not name a record twice, and two rows may feed one.
	for rest := list; len(rest) > 0; {
		seen := map[string]bool{}
		n := 0
		for n < len(rest) && n < hubspot.MaxBatch && !seen[rest[n].key] {
			seen[rest[n].key] = true
			n++
		}
		if err := c.read(ctx, target, rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return list, nil
}

// read asks the CRM for some records, at most one call's.
func (c *comparer) read(ctx context.Context, target *change.Target, list []comparison) error {
	jobs := make([]sink.Job, len(list))
	for i := range list {
		jobs[i].Key = list[i].key
		for _, p := range list[i].props {
			switch {
			case p.refused():
			case p.Kind == change.Set:
				jobs[i].Props = jobs[i].Props.Append(p.Slot, change.Set, p.Text)
			default:
				jobs[i].Props = jobs[i].Props.Append(p.Slot, change.Clear, nil)
			}
		}
	}
	found, err := c.crm.ReadBack(ctx, target, jobs)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].take(&found[i])
	}
	return nil
}

func (l *comparison) take(f *sink.ReadBack) {
	l.found, l.crmID = f.Found, f.CRMID
	for i := range l.props {
		p := &l.props[i]
		p.stored, p.same = string(p.Text), true
		if p.refused() {
			p.stored, p.same = "", false
		}
	}
	for _, d := range f.Differs {
		for i := range l.props {
			if l.props[i].Slot == d.Slot {
				l.props[i].stored, l.props[i].same = d.Stored, false
			}
		}
	}
}

// byTarget sorts mapped rows that address a record by where they go.
func byTarget(rows []mapped) map[*change.Target][]*mapped {
	sorted := map[*change.Target][]*mapped{}
	for i := range rows {
		if m := &rows[i]; m.fate == fateSent {
			sorted[m.source.Target] = append(sorted[m.source.Target], m)
		}
	}
	return sorted
}

// soonEnough is how long a command waits for calls before it gives up.
const soonEnough = time.Minute

// whileAccepted ends the context once HubSpot refuses the credentials, or no call
// may be made before the day is over: a person waits here.
func whileAccepted(ctx context.Context, crm *hubspot.Client) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if reason, _, paused := crm.Paused(); paused {
					cancel(&usageError{"HUBSPOT_ACCESS_TOKEN: " + reason})
					return
				}
				if until := crm.Quota().BlockedUntil; time.Until(until) > soonEnough {
					cancel(&callsUsedUpError{until})
					return
				}
			}
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// callsUsedUpError ends a command that would wait for the account's next day.
type callsUsedUpError struct{ until time.Time }

func (e *callsUsedUpError) Error() string {
	return "the calls of HubSpot that this command may use today are used up until " + e.until.UTC().Format(time.RFC3339) +
		": run it again then, or let it use more (--share of verify, PGCRM_QUOTA_SHARE, PGCRM_DAILY_LIMIT)"
}

// causeOf is why a context ended, where that says more than the error.
func causeOf(ctx context.Context, err error) error {
	var usage *usageError
	var used *callsUsedUpError
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case errors.As(cause, &usage):
		return fmt.Errorf("%w", usage)
	case errors.As(cause, &used):
		return used
	}
	return err
}
