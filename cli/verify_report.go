package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// The causes of a difference.
const (
	causeEdited      = "edited"      // pgcrm delivered the row's value; it was changed since
	causeParked      = "parked"      // a letter says why it is not there
	causeWaiting     = "waiting"     // the running instance has not come to it yet: no drift
	causeUndelivered = "undelivered" // pgcrm has not delivered the row's value
	causeVanished    = "vanished"    // the record was delivered and is gone
)

// The kinds of difference.
const (
	kindMissing   = "missing"
	kindDifferent = "different"
	kindExtra     = "extra"
	kindOrphaned  = "orphaned"
)

// driftRecord is one record that is not as the database says, as verify -o json
// prints it.
type driftRecord struct {
	Kind       string          `json:"kind"`
	Cause      string          `json:"cause,omitempty"`
	Table      string          `json:"table,omitempty"`
	Row        string          `json:"row,omitempty"`
	Object     string          `json:"object"`
	Match      string          `json:"match"`
	Key        string          `json:"key"`
	CRMID      string          `json:"crm_id,omitempty"`
	URL        string          `json:"url,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	Properties []driftProperty `json:"properties,omitempty"`
	Letters    []int64         `json:"letters,omitempty"`

	repair string // reason of the request that mends it; empty for none
}

// driftProperty is a property whose value in the CRM is not the row's.
type driftProperty struct {
	Name     string `json:"name"`
	Database string `json:"database"`
	CRM      string `json:"crm"`
	Cause    string `json:"cause"`
	// SetBy and SetAt say who set the CRM's value, where its history was asked.
	SetBy string     `json:"set_by,omitempty"`
	SetAt *time.Time `json:"set_at,omitempty"`
}

// verified counts one mapping's rows.
type verified struct {
	Table     string `json:"table"`
	Object    string `json:"object"`
	Match     string `json:"match"`
	Rows      int64  `json:"rows"`
	Same      int64  `json:"same"`
	Missing   int64  `json:"missing"`
	Different int64  `json:"different"`
	Extra     int64  `json:"extra"`
	Waiting   int64  `json:"waiting"`
	// Skipped counts rows that address no record, do not satisfy when, or whose
	// record is missing and may be; Refused values that the mapping refuses.
	Skipped int64 `json:"skipped"`
	Refused int64 `json:"refused"`
}

// verification is what verify found.
type verification struct {
	Complete bool        `json:"complete"` // every row was compared
	Tables   []*verified `json:"tables"`
	// Drifted counts what is listed below, and what is beyond the most that is.
	Drifted  int64 `json:"drifted"`
	Orphaned int64 `json:"orphaned"`
	// Left counts records that stay in the CRM though their row is gone, as
	// on_delete wants it.
	Left int64 `json:"left"`
	// Unjudged counts records that no mapped row has and pgcrm never met, where
	// rows that do not satisfy when may have them.
	Unjudged int64 `json:"unjudged"`
	// Unlisted names the objects that have more records than were listed.
	Unlisted []string      `json:"unlisted,omitempty"`
	Drift    []driftRecord `json:"drift"`
	Requests []int64       `json:"requests,omitempty"`
	// NotRepaired says of what no repair was asked, and why.
	NotRepaired []string `json:"not_repaired,omitempty"`

	bySource map[*change.Source]*verified
	keys     matchValues // only with --all
}

func newVerification(complete bool) *verification {
	v := &verification{Complete: complete, Tables: []*verified{}, Drift: []driftRecord{}, bySource: map[*change.Source]*verified{}}
	if complete {
		v.keys = matchValues{}
	}
	return v
}

func (v *verification) table(src *change.Source) {
	n := &verified{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match}
	v.Tables = append(v.Tables, n)
	v.bySource[src] = n
}

// count takes in a row and what was found of it.
func (v *verification) count(l *comparison, f *driftRecord) {
	n := v.bySource[l.source]
	n.Rows++
	if v.keys != nil {
		v.keys.add(l.mapped)
	}
	for i := range l.props {
		if l.props[i].refused() {
			n.Refused++
		}
	}
	switch {
	case l.fate != fateSent, l.found == sink.NotFound && l.source.OnMissing == change.Skip:
		n.Skipped++
	case f == nil:
		n.Same++
	case f.Cause == causeWaiting:
		n.Waiting++
	default:
		if f.Kind == kindMissing {
			n.Missing++
		} else {
			n.Different++
		}
		v.drift(f)
	}
}

// driftKept is how many findings are kept: memory is bounded by it.
const driftKept = 100_000

func (v *verification) drift(f *driftRecord) {
	if v.Drifted++; len(v.Drift) < driftKept {
		v.Drift = append(v.Drift, *f)
	}
}

// judge tells what is wrong with a record; nil where nothing is.
func (c *verifyCommand) judge(l *comparison) *driftRecord {
	target := l.source.Target
	f := &driftRecord{
		Table: l.source.Table, Row: l.row, Object: target.Object, Match: target.Match, Key: l.key,
		CRMID: l.crmID, URL: recordURL(c.account, target.Object, l.crmID), repair: pipeline.Repair,
	}
	switch {
	case l.fate != fateSent, l.found == sink.NotFound && l.source.OnMissing == change.Skip:
		return nil
	case l.found == sink.NotFound:
		f.Kind, f.Cause = kindMissing, causeUndelivered
		if l.known != nil {
			f.Cause = causeVanished
		}
		return f
	case l.found != sink.Delivered:
		f.Kind, f.Cause, f.Detail = kindDifferent, causeUndelivered, "HubSpot did not say what it holds"
		return f
	}
	f.Cause = causeEdited
	for i := range l.props {
		p := &l.props[i]
		if p.refused() || p.same || p.left() {
			continue
		}
		d := driftProperty{Name: p.name, Database: string(p.Text), CRM: p.stored, Cause: causeEdited}
		if p.sends {
			d.Cause, f.Cause = causeUndelivered, causeUndelivered
		}
		f.Properties = append(f.Properties, d)
	}
	if len(f.Properties) == 0 {
		return nil
	}
	f.Kind = kindDifferent
	return f
}

// explainCause looks for letters, and for what is still on its way.
func (c *verifyCommand) explainCause(ctx context.Context, l *comparison, f *driftRecord, behind bool) error {
	if !c.memory.known || f.Cause == causeEdited {
		return nil
	}
	letters, err := c.memory.Letters(ctx, ledger.Filter{Table: f.Table, Object: f.Object, Key: f.Key})
	if err != nil {
		return err
	}
	parked := map[string]bool{}
	for _, letter := range letters {
		f.Letters = append(f.Letters, letter.ID)
		parked[letter.Property] = true
		for _, owed := range letter.Owed {
			parked[owed] = true
		}
	}
	if parked[""] && f.Kind == kindMissing {
		f.Cause = causeParked
	}
	rest := false
	for i := range f.Properties {
		p := &f.Properties[i]
		if p.Cause == causeUndelivered && parked[p.Name] {
			p.Cause = causeParked
			f.Cause = causeParked
		}
		rest = rest || p.Cause == causeUndelivered
	}
	if rest {
		f.Cause = causeUndelivered
	}
	if f.Cause == causeUndelivered {
		waits, err := c.waits(ctx, l.source, behind)
		if err != nil {
			return err
		}
		if waits {
			f.Cause = causeWaiting
		}
	}
	return nil
}

// waits reports whether what the running instance has not delivered may be on
// its way.
func (c *verifyCommand) waits(ctx context.Context, src *change.Source, behind bool) (bool, error) {
	if behind {
		return true, nil
	}
	runs, err := c.instanceRuns(ctx)
	if err != nil || !runs {
		return false, err
	}
	open, err := c.memory.Backfills(ctx)
	for _, b := range open {
		if b.Table == src.Table && b.Object == src.Target.Object && b.Match == src.Target.Match {
			return true, nil
		}
	}
	return false, err
}

// detailsShown is how many findings are listed for a person; JSON has all.
const detailsShown = 50

func (v *verification) print(p *printer, whoActs string) {
	t := newTable("TABLE", "OBJECT", "ROWS", "SAME", "MISSING", "DIFFERENT", "EXTRA", "WAITING", "SKIPPED", "REFUSED").right(2, 3, 4, 5, 6, 7, 8, 9)
	for _, n := range v.Tables {
		t.add(n.Table, n.Object, thousands(n.Rows), thousands(n.Same), thousands(n.Missing), thousands(n.Different),
			thousands(n.Extra), thousands(n.Waiting), thousands(n.Skipped), thousands(n.Refused))
	}
	t.print(p, "")
	if v.Orphaned > 0 {
		p.printf("orphaned: %s with a match value that no row has\n", plural(v.Orphaned, "record", "records"))
	}
	for _, object := range v.Unlisted {
		p.printf("the CRM has more %s than were listed; --records lists more\n", object)
	}
	if v.Left > 0 {
		p.printf("%s of rows that are gone, left as on_delete wants it\n", plural(v.Left, "record", "records"))
	}
	if v.Unjudged > 0 {
		p.printf("%s that no mapped row has; rows that do not satisfy when may have them\n", plural(v.Unjudged, "record", "records"))
	}
	if len(v.Drift) > 0 {
		p.println()
		v.printDrift(p)
	}
	switch {
	case len(v.Requests) > 0:
		p.printf("asked: the rows are to be sent again (%s); %s\n", plural(int64(len(v.Requests)), "request", "requests"), whoActs)
	case v.Drifted == 0:
		p.println(p.paint(green, "no drift"))
	}
	for _, why := range v.NotRepaired {
		p.println(why)
	}
}

func (v *verification) printDrift(p *printer) {
	t := newTable("KIND", "CAUSE", "TABLE", "ROW", "RECORD", "PROPERTY", "DATABASE", "CRM")
	for i, f := range v.Drift {
		if i == detailsShown {
			break
		}
		record := f.CRMID
		if record == "" {
			record = f.Match + "=" + f.Key
		}
		if len(f.Properties) == 0 {
			t.addCells(cell{f.Kind, red}, cell{text: f.Cause}, cell{text: f.Table}, cell{text: f.Row}, cell{text: record}, cell{}, cell{}, cell{text: f.Detail})
		}
		for _, d := range f.Properties {
			cause := d.Cause
			if d.SetBy != "" {
				cause += " by " + d.SetBy
			}
			t.addCells(cell{f.Kind, red}, cell{text: cause}, cell{text: f.Table}, cell{text: f.Row}, cell{text: record},
				cell{text: d.Name}, cell{d.Database, green}, cell{d.CRM, red})
		}
	}
	t.print(p, "")
	if more := v.Drifted - detailsShown; more > 0 {
		p.println(strings.TrimSpace(fmt.Sprintf("... and %s more; -o json lists up to %s", thousands(more), thousands(driftKept))))
	}
}
