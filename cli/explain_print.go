package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// print tells the explanation to a person.
func (e *explanation) print(p *printer, now time.Time) {
	p.printf("%s %s\n", p.paint(bold, sayable(e.Table)), p.paint(bold, sayable(e.Key)))
	if !e.Exists {
		p.println("there is no such row (any more)")
	}
	if e.Checkpoint == "" {
		p.println("nothing has been delivered under this name yet")
	} else {
		running := "no instance runs"
		if e.Running {
			running = "an instance runs"
		}
		p.printf("the log is accounted for up to %s of %s; %s\n", e.Checkpoint, e.LogEnd, running)
	}
	for _, r := range e.Records {
		p.println()
		r.print(p, now)
	}
}

func (r *explainedRecord) print(p *printer, now time.Time) {
	colours := map[string]paint{"delivered": green, "waiting": yellow, "parked": red}
	head := r.Object
	if r.Key != "" {
		head += " " + r.Match + "=" + r.Key
	}
	p.printf("%s: %s\n", p.paint(bold, sayable(head)), p.paint(colours[r.State], r.State)+because(r.Detail))
	var lines [][2]string
	if r.Delivered != nil {
		text := stamp(*r.Delivered) + ", " + ago(now, *r.Delivered)
		if r.Latency != nil {
			text += fmt.Sprintf(", %v after its commit", (time.Duration(*r.Latency) * time.Millisecond).String())
		}
		lines = append(lines, [2]string{"  last delivered", text})
	}
	switch {
	case r.Correlation != "":
		lines = append(lines, [2]string{"  in batch", fmt.Sprintf("%d, correlation id %s", r.Batch, sayable(r.Correlation))})
	case r.Batch != 0:
		lines = append(lines, [2]string{"  in batch", fmt.Sprintf("%d, whose correlation id is kept no longer", r.Batch)})
	}
	if r.Accounted != "" {
		lines = append(lines, [2]string{"  accounted up to", r.Accounted})
	}
	if r.CRMID != "" {
		lines = append(lines, [2]string{"  record", strings.TrimSpace(r.CRMID + "  " + r.URL)})
	}
	p.fields(lines)
	if len(r.Properties) > 0 {
		t := newTable("PROPERTY", "VALUE", "STATE", "WHY")
		for _, prop := range r.Properties {
			value := "(cleared)"
			switch v := prop.Value.(type) {
			case string:
				value = v
			case nil:
				value = "-"
			}
			t.addCells(cell{text: prop.Name}, cell{text: value}, cell{prop.State, colours[prop.State]}, cell{text: prop.Reason})
		}
		t.print(p, "  ")
	}
	for _, l := range r.Letters {
		what := l.Property
		if what == "" {
			what = "the record"
		}
		p.printf("  parked: %s, %s%s (pgcrm dlq show %d)\n", sayable(what), l.Category, because(l.Reason), l.ID)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + sayable(why)
}

// objectTypes are the ids under which HubSpot's own pages know the standard
// objects.
var objectTypes = map[string]string{
	"contacts": "0-1", "companies": "0-2", "deals": "0-3", "tickets": "0-5", "products": "0-7", "line_items": "0-8",
}

// recordURL is the page of a record in the portal; empty where it is not known.
func recordURL(account hubspot.Account, object, id string) string {
	kind := objectTypes[object]
	if kind == "" && (strings.HasPrefix(object, "2-") || strings.HasPrefix(object, "0-")) {
		kind = object
	}
	if id == "" || kind == "" || account.PortalID == 0 {
		return ""
	}
	domain := account.UIDomain
	if domain == "" {
		domain = "app.hubspot.com"
	}
	return fmt.Sprintf("https://%s/contacts/%d/record/%s/%s", domain, account.PortalID, kind, id)
}
