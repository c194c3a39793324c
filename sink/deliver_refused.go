package sink

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// maxTries bounds how often an item is sent again that an answer did not account
// for, or could not handle just then.
const maxTries = 3

// refusedWhole finds out whom the refusal of a whole parcel is about: by the
// properties and values that it names, else by cutting the parcel in halves.
func (r *deliveryRun) refusedWhole(ctx context.Context, p parcel, refusal *hubspot.Error) error {
	switch refusal.Class() {
	case hubspot.Hold, hubspot.Stop:
		r.holdSome(p, refusal)
		return nil
	case hubspot.Missing:
		// A batch call is no record: its path is not there.
		r.hold(p.items, r.target.Match, refusal)
		return nil
	case hubspot.Split:
		if len(p.items) == 1 {
			r.refuse(p.items[0], CategoryTooLarge, refusal)
			return nil
		}
		r.learn(r.endpoint(p.upsert), len(p.items), r.sizeOf(p.items), refusal)
		r.push(p.items...)
		return nil
	default: // about some record of the batch
	}
	if isDuplicate(refusal) && len(p.items) > 1 {
		r.separate(p, refusal)
		return nil
	}
	if hit := r.attribute(p.items, refusal); len(hit) > 0 {
		r.push(r.stillSomething(p.items)...)
		return nil
	}
	if len(p.items) > 1 {
		r.halve(p)
		return nil
	}
	it := p.items[0]
	if refusal.Status == 409 && it.tries < maxTries {
		// Seen from an index that was stale right after a write.
		it.tries++
		if err := pauseFor(ctx, time.Second<<it.tries); err != nil {
			return err
		}
		r.push(it)
		return nil
	}
	again, err := r.refusedOne(ctx, it, refusal)
	if again {
		r.push(it)
	}
	return err
}

// refusedOne decides about one item that HubSpot refused, and reports whether it
// is to be sent again: without the properties at fault, or under another name.
func (r *deliveryRun) refusedOne(ctx context.Context, it *deliveryItem, refusal *hubspot.Error) (again bool, err error) {
	if class := refusal.Class(); class == hubspot.Hold || class == hubspot.Stop {
		r.holdSome(parcel{items: []*deliveryItem{it}, byID: it.byID, upsert: it.upsert}, refusal)
		return false, nil
	}
	if it.renaming {
		if taken, err := r.nameTaken(ctx, it, refusal); taken || err != nil {
			return taken && it.verdict.Outcome == Undecided, err
		}
	}
	dropped := false
	for i := range refusal.Details {
		if r.quarantine(it, &refusal.Details[i], refusal) {
			dropped = true
		}
	}
	if !dropped {
		r.refuse(it, categoryOf(refusal), refusal)
		r.holdIfAllAlike(it, refusal)
		return false, nil
	}
	return len(r.stillSomething([]*deliveryItem{it})) > 0, nil
}

// nameTaken looks whether a rename was refused because a record has the new
// match value already. That one then takes the row: as another record, unless it
// makes way or stays, or as the same one that an earlier attempt has renamed.
func (r *deliveryRun) nameTaken(ctx context.Context, it *deliveryItem, why *hubspot.Error) (bool, error) {
	found, err := r.crm.BatchRead(ctx, r.target.Object, r.target.Match, []string{it.job.Key, it.job.RenameTo}, nil)
	var refusal *hubspot.Error
	switch {
	case errors.As(err, &refusal) && ctx.Err() == nil:
		return false, nil
	case err != nil:
		return false, err
	}
	before, now := &found[0], &found[1]
	if now.State != hubspot.Written {
		return false, nil
	}
	if it.job.Yields != nil && now.ID != it.job.CRMID {
		yields, err := it.job.Yields(ctx, now.ID)
		if err != nil {
			return false, err
		}
		if yields == MadeWay && it.ways < maxTries {
			it.ways++
			return true, nil
		}
		if yields != TakesOver {
			r.refuse(it, CategoryConflict, why)
			return true, nil
		}
	}
	it.verdict.KeyTaken = before.State == hubspot.Written || it.job.CRMID != "" && it.job.CRMID != now.ID
	if before.State == hubspot.Written && before.ID != now.ID {
		it.verdict.Left = before.ID
	}
	it.verdict.CRMID = now.ID
	it.renaming, it.id, it.byID = false, it.job.RenameTo, false
	return true, nil
}

// quarantine takes the property at fault out of the item.
func (r *deliveryRun) quarantine(it *deliveryItem, d *hubspot.Detail, refusal *hubspot.Error) bool {
	for i, p := range it.props {
		if r.target.Properties[p.Slot] != d.Property {
			continue
		}
		it.props = append(it.props[:i:i], it.props[i+1:]...)
		it.verdict.Refusals = append(it.verdict.Refusals, SlotRefusal{
			Slot:      p.Slot,
			Rejection: change.Rejection{Category: categoryOfCode(d.Code), Reason: reasonOf(d, refusal)},
		})
		return true
	}
	return false
}

// stillSomething decides about the items that have no property left, and gives
// the others.
func (r *deliveryRun) stillSomething(items []*deliveryItem) []*deliveryItem {
	var rest []*deliveryItem
	for _, it := range items {
		if len(it.props) > 0 || it.renaming {
			rest = append(rest, it)
			continue
		}
		it.verdict.Outcome = Refused
		if it.backward != 0 {
			it.verdict.Outcome = Delivered // everything else was, before
		}
	}
	return rest
}

// refuse decides that nothing of the item can be written.
func (r *deliveryRun) refuse(it *deliveryItem, category string, refusal *hubspot.Error) {
	it.verdict.Outcome = Refused
	it.verdict.Rejection = &change.Rejection{Category: category, Reason: reasonOf(nil, refusal)}
	if refusal != nil && refusal.CorrelationID != "" {
		it.verdict.Correlation = refusal.CorrelationID
	}
}

// attribute takes the properties that the refusal of a parcel names out of the
// items that it is about, and gives those items. A value is valid or not
// whoever sends it, so all that send the value are at fault.
func (r *deliveryRun) attribute(items []*deliveryItem, refusal *hubspot.Error) []*deliveryItem {
	var hit []*deliveryItem
	for i := range refusal.Details {
		d := &refusal.Details[i]
		if d.Property == r.target.Match {
			continue // every item sends it, a rename another one than its own
		}
		var carriers, same []*deliveryItem
		for _, it := range items {
			if value, ok := r.value(it, d.Property); ok {
				carriers = append(carriers, it)
				if d.HasValue && value == d.Value {
					same = append(same, it)
				}
			}
		}
		suspects := same
		if len(suspects) == 0 && len(carriers) == 1 {
			suspects = carriers
		}
		if len(suspects) > 1 && !byValue(d.Code) {
			continue
		}
		for _, it := range suspects {
			if r.quarantine(it, d, refusal) {
				hit = append(hit, it)
			}
		}
	}
	return hit
}

func (r *deliveryRun) value(it *deliveryItem, property string) (string, bool) {
	for _, p := range it.props {
		if r.target.Properties[p.Slot] == property {
			return string(p.Text), true
		}
	}
	return "", false
}

// byValue reports whether a fault with the code lies in the value alone, so that
// all records with the value share it. A value that must be unique does not.
func byValue(code string) bool {
	return !strings.Contains(code, "UNIQUE") && !strings.Contains(code, "CONFLICT") && !strings.Contains(code, "DUPLICATE")
}

// halve sends the two halves of a parcel by themselves, the older one first.
func (r *deliveryRun) halve(p parcel) {
	n := len(p.items) / 2
	first, second := p, p
	first.items, second.items = p.items[:n:n], p.items[n:]
	r.parcels = append([]parcel{first, second}, r.parcels...)
}

func isDuplicate(refusal *hubspot.Error) bool {
	return strings.HasPrefix(refusal.Message, "Duplicate IDs")
}

// separate keeps apart the items that the refusal says are one record, or where
// it cannot be told which they are, the halves.
func (r *deliveryRun) separate(p parcel, refusal *hubspot.Error) {
	named := map[string]bool{}
	for _, id := range refusal.IDs {
		named[id] = true
	}
	var first, others []*deliveryItem
	seen := map[string]bool{}
	for _, it := range p.items {
		name := it.id
		if !named[name] {
			name = it.verdict.CRMID
		}
		if named[name] && seen[name] {
			others = append(others, it)
			continue
		}
		if named[name] {
			seen[name] = true
		}
		first = append(first, it)
	}
	if len(others) == 0 {
		r.halve(p)
		return
	}
	a, b := p, p
	a.items, b.items = first, others
	r.parcels = append([]parcel{a, b}, r.parcels...)
}
