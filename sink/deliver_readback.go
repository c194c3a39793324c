package sink

import (
	"context"
	"errors"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// ReadBack is what the CRM holds of a job's record.
type ReadBack struct {
	// Found is NotFound where there is no record, Undecided where HubSpot did not
	// say, else Delivered.
	Found Outcome
	// CRMID is the record's id now.
	CRMID string
	// Differs are the properties of the job whose value in the CRM is another one,
	// as far as HubSpot's way of writing values lets it be told.
	Differs []NotApplied
}

// ReadBack reads the records of jobs, a hundred a call, and compares them with
// what the jobs would write: for records in doubt, once no late request can land
// any more, and for verification. The error is ctx's, or a *HoldError.
func (d *Deliverer) ReadBack(ctx context.Context, target *change.Target, jobs []Job) ([]ReadBack, error) {
	out := make([]ReadBack, 0, len(jobs))
	idProperty := target.Match
	if target.ByRecordID() {
		idProperty = ""
	}
	for len(jobs) > 0 {
		part := jobs[:min(len(jobs), hubspot.MaxBatch)]
		jobs = jobs[len(part):]
		keys := make([]string, len(part))
		named := map[string]bool{}
		var properties []string
		for i := range part {
			keys[i] = part[i].Key
			for p := range part[i].Props.All() {
				if name := target.Properties[p.Slot]; !named[name] {
					named[name] = true
					properties = append(properties, name)
				}
			}
		}
		found, err := d.crm.BatchRead(ctx, target.Object, idProperty, keys, properties)
		if err != nil {
			var refusal *hubspot.Error
			if errors.As(err, &refusal) && ctx.Err() == nil {
				return out, newHoldError(target, "", -1, refusal)
			}
			return out, err
		}
		for i := range part {
			out = append(out, compareRecord(target, &part[i], &found[i]))
		}
	}
	return out, nil
}

func compareRecord(target *change.Target, job *Job, f *hubspot.Found) ReadBack {
	switch f.State {
	case hubspot.Written:
	case hubspot.NotFound:
		return ReadBack{Found: NotFound}
	default:
		return ReadBack{Found: Undecided}
	}
	r := ReadBack{Found: Delivered, CRMID: f.ID}
	for p := range job.Props.All() {
		value, _ := f.Value(target.Properties[p.Slot])
		if !sameStored(string(p.Text), value) {
			r.Differs = append(r.Differs, NotApplied{Slot: p.Slot, Stored: value})
		}
	}
	return r
}
