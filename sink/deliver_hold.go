package sink

import (
	"fmt"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// HoldError is a fault of configuration that records share: parking them one by
// one would be wrong. Their mapping waits until it is mended.
type HoldError struct {
	Target *change.Target
	// Property is the one at fault; empty where the object itself is.
	Property string
	// Slot is that of the property; -1 where it is the match property or none.
	Slot int
	// Code is HubSpot's, or empty.
	Code string
	// Mend is what to do, in one sentence without row values.
	Mend    string
	Refusal *hubspot.Error
}

// Error says what is wrong and what mends it.
func (e *HoldError) Error() string {
	what := e.Target.Object
	if e.Property != "" {
		what += "." + e.Property
	}
	return what + ": " + e.Mend
}

// Unwrap gives HubSpot's refusal.
func (e *HoldError) Unwrap() error { return e.Refusal }

// Problems gives the line for the operator.
func (e *HoldError) Problems() []string {
	s := e.Error()
	if e.Refusal != nil && e.Refusal.CorrelationID != "" {
		s += " (correlation id " + e.Refusal.CorrelationID + ")"
	}
	return []string{s}
}

// holdSome holds the items that carry a property whose definition is at fault,
// and sends the others.
func (r *deliveryRun) holdSome(p parcel, refusal *hubspot.Error) {
	var held, rest []*deliveryItem
	var property string
	for i := range refusal.Details {
		d := &refusal.Details[i]
		if !d.Shared() {
			continue
		}
		if d.Property == r.target.Match && r.slot(d.Property) < 0 && !p.byID && !r.bareKey() {
			r.mu.Lock()
			r.bareKeys[r.target] = true
			r.mu.Unlock()
			r.push(p.items...)
			return
		}
		property = d.Property
		break
	}
	if property == "" {
		r.hold(p.items, "", refusal)
		return
	}
	for _, it := range p.items {
		if _, ok := r.value(it, property); ok {
			held = append(held, it)
		} else {
			rest = append(rest, it)
		}
	}
	if len(held) == 0 {
		held, rest = p.items, nil
	}
	r.hold(held, property, refusal)
	r.push(rest...)
}

// hold leaves the items undecided.
func (r *deliveryRun) hold(items []*deliveryItem, property string, refusal *hubspot.Error) {
	if r.held == nil {
		r.held = newHoldError(r.target, property, r.slot(property), refusal)
	}
	for _, it := range items {
		it.verdict.Outcome = Undecided
	}
}

func (r *deliveryRun) slot(property string) int {
	for i, name := range r.target.Properties {
		if name == property {
			return i
		}
	}
	return -1
}

func newHoldError(target *change.Target, property string, slot int, refusal *hubspot.Error) *HoldError {
	e := &HoldError{Target: target, Property: property, Slot: slot, Refusal: refusal}
	for i := range refusal.Details {
		if refusal.Details[i].Property == property {
			e.Code = refusal.Details[i].Code
			break
		}
	}
	switch {
	case e.Code == "PROPERTY_DOESNT_EXIST":
		e.Mend = "the property does not exist in HubSpot; create it there or take it out of the mapping"
	case len(refusal.Scopes) > 0:
		e.Mend = "the token lacks scopes; grant it " + strings.Join(refusal.Scopes, ", ") + " in HubSpot"
	case e.Code == "READ_ONLY_VALUE":
		e.Mend = "the property is read-only in HubSpot; take it out of the mapping"
	case strings.Contains(refusal.Message, "non-unique"):
		e.Property = target.Match
		e.Mend = "records cannot be matched by this property; match by one that was created with unique values (hasUniqueValue), or by hs_object_id"
	case strings.Contains(refusal.Message, "Unable to infer object type"):
		e.Property = ""
		e.Mend = "HubSpot does not know this object type; mend object in the mapping"
	case refusal.Status == 404 || refusal.Status == 405 || refusal.Status == 410:
		e.Property = ""
		e.Mend = fmt.Sprintf("HubSpot does not know the path of this call (%d); check HUBSPOT_BASE_URL, HUBSPOT_API_VERSION and object in the mapping", refusal.Status)
	default:
		e.Mend = fmt.Sprintf("HubSpot refuses every record alike (%d %s); see its message with dlq or at log level debug", refusal.Status, refusal.Category)
	}
	return e
}

// alikeFaults counts records that were refused alike, without a word about a
// property. Where a large batch has nothing else, it is no fault of the records.
type alikeFaults struct {
	refusal *hubspot.Error
	items   []*deliveryItem
	other   bool
}

// enoughAlike records of manyJobs, refused alike and none written, are taken for
// a fault of configuration.
const (
	enoughAlike = 5
	manyJobs    = 20
)

func (r *deliveryRun) holdIfAllAlike(it *deliveryItem, refusal *hubspot.Error) {
	a := &r.alike
	if len(refusal.Details) > 0 || a.refusal != nil && !alike(a.refusal, refusal) {
		a.other = true
		return
	}
	a.refusal = refusal
	a.items = append(a.items, it)
	if a.other || r.written > 0 || len(r.verdicts) < manyJobs || len(a.items) < enoughAlike {
		return
	}
	for _, p := range r.parcels {
		a.items = append(a.items, p.items...)
	}
	r.parcels = nil
	for _, it := range a.items {
		it.verdict.Rejection = nil
	}
	r.hold(a.items, "", refusal)
}

func alike(a, b *hubspot.Error) bool {
	if a.Status != b.Status || a.Category != b.Category {
		return false
	}
	// Messages differ in the values that they quote; how they begin does not.
	n := min(len(a.Message), len(b.Message), 24)
	return a.Message[:n] == b.Message[:n]
}
