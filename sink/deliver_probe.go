package sink

import (
	"context"
	"errors"

	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// probe reads back, once, the records of items that the answer did not account
// for. A merged record is to be sent again under its survivor's id; one that is
// gone is missing; one that holds what was sent is delivered; the others are
// sent again a few times, then parked. It gives those to be sent again.
func (r *deliveryRun) probe(ctx context.Context, p parcel, lost []*deliveryItem) ([]*deliveryItem, error) {
	ids := make([]string, len(lost))
	named := map[string]bool{}
	var properties []string
	for i, it := range lost {
		ids[i] = it.id
		for _, prop := range it.props {
			if name := r.target.Properties[prop.Slot]; !named[name] {
				named[name] = true
				properties = append(properties, name)
			}
		}
	}
	idProperty := r.target.Match
	if p.byID {
		idProperty = ""
	}
	found, err := r.crm.BatchRead(ctx, r.target.Object, idProperty, ids, properties)
	var refusal *hubspot.Error
	switch {
	case errors.As(err, &refusal) && ctx.Err() == nil:
		found = make([]hubspot.Found, len(lost)) // nothing is known of any
	case err != nil:
		return nil, err
	}
	var again []*deliveryItem
	for i, it := range lost {
		f := found[i]
		if p.byID && f.State != hubspot.Written {
			// A batch may leave out an id that was merged away; a single read does not.
			f, err = r.crm.Get(ctx, r.target.Object, it.id, properties)
			switch {
			case errors.As(err, &refusal) && ctx.Err() == nil:
				f = hubspot.Found{}
			case err != nil:
				return nil, err
			}
		}
		if r.afterProbe(it, &f) {
			again = append(again, it)
		}
	}
	return again, nil
}

func (r *deliveryRun) afterProbe(it *deliveryItem, f *hubspot.Found) (again bool) {
	switch f.State {
	case hubspot.NotFound:
		return r.missing(it)
	case hubspot.Written:
		it.verdict.CRMID = f.ID
		if it.byID && f.ID != it.id {
			it.id = f.ID
			return r.tryAgain(it, f.Refusal)
		}
		if !it.renaming && r.holdsAll(it, f) {
			return r.delivered(it, &hubspot.Outcome{ID: f.ID})
		}
	default: // the read does not account for it either
	}
	return r.tryAgain(it, f.Refusal)
}

func (r *deliveryRun) tryAgain(it *deliveryItem, refusal *hubspot.Error) bool {
	if it.tries++; it.tries <= maxTries {
		return true
	}
	r.refuse(it, CategoryUnaccounted, refusal)
	return false
}

func (r *deliveryRun) holdsAll(it *deliveryItem, f *hubspot.Found) bool {
	for _, p := range it.props {
		value, _ := f.Value(r.target.Properties[p.Slot])
		if !sameStored(string(p.Text), value) {
			return false
		}
	}
	return true
}
