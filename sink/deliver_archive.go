package sink

import (
	"context"
	"errors"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// Archiver is the part of the API client that archiving needs; *hubspot.Client
// is one.
type Archiver interface {
	BatchArchive(ctx context.Context, object string, ids []string) (hubspot.Answer, error)
}

// Archive moves the records of the jobs to the portal's recycle bin. A record
// whose id is not known is looked up by its match value first, at one read for
// each hundred. The job's properties do not count.
//
// Delivered means that HubSpot has taken the id: it does not tell whether the
// record was there. NotFound is a match value that no record has. The error is
// that of Deliver.
func (d *Deliverer) Archive(ctx context.Context, archiver Archiver, target *change.Target, jobs []Job) ([]Verdict, error) {
	verdicts := make([]Verdict, len(jobs))
	if err := d.resolve(ctx, target, jobs, verdicts); err != nil {
		return verdicts, err
	}
	to := endpoint{target.Object, "archive"}
	var parts [][]int // indexes of jobs, each part for one call
	var part []int
	seen := map[string]bool{}
	var twins []int
	for i := range verdicts {
		switch id := verdicts[i].CRMID; {
		case verdicts[i].Outcome != Undecided || id == "":
			continue
		case seen[id]:
			twins = append(twins, i)
			continue
		default:
			seen[id] = true
		}
		if part = append(part, i); len(part) >= d.limit(to).inputs {
			parts, part = append(parts, part), nil
		}
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	for len(parts) > 0 {
		part, parts = parts[0], parts[1:]
		ids := make([]string, len(part))
		for k, i := range part {
			ids[k] = verdicts[i].CRMID
		}
		answer, err := archiver.BatchArchive(ctx, target.Object, ids)
		for _, i := range part {
			v := &verdicts[i]
			v.Attempts += answer.Attempts
			v.Unanswered = v.Unanswered || answer.Unanswered
			v.Correlation = answer.CorrelationID
		}
		var refusal *hubspot.Error
		switch {
		case err == nil:
			for k, i := range part {
				verdicts[i].Outcome = Delivered
				if answer.Outcomes[k].State == hubspot.NotFound {
					verdicts[i].Outcome = NotFound
				}
			}
		case !errors.As(err, &refusal) || ctx.Err() != nil:
			return verdicts, err
		case refusal.Class() == hubspot.Hold:
			return verdicts, newHoldError(target, "", -1, refusal)
		case len(part) > 1:
			if refusal.Class() == hubspot.Split {
				d.learn(to, len(part), 0, refusal)
			}
			parts = append([][]int{part[:len(part)/2], part[len(part)/2:]}, parts...)
		default:
			v := &verdicts[part[0]]
			v.Outcome = Refused
			if refusal.Class() == hubspot.Missing {
				v.Outcome = NotFound
			}
			v.Rejection = &change.Rejection{Category: categoryOf(refusal), Reason: reasonOf(nil, refusal)}
		}
	}
	for _, i := range twins {
		for j := range i {
			if verdicts[j].CRMID == verdicts[i].CRMID {
				verdicts[i] = verdicts[j]
				break
			}
		}
	}
	return verdicts, nil
}

// resolve finds the record ids of the jobs that have none. Those that no record
// has are decided.
func (d *Deliverer) resolve(ctx context.Context, target *change.Target, jobs []Job, verdicts []Verdict) error {
	var unknown []int
	for i := range jobs {
		switch {
		case target.ByRecordID():
			verdicts[i].CRMID = jobs[i].Key
		case jobs[i].CRMID != "":
			verdicts[i].CRMID = jobs[i].CRMID
		default:
			unknown = append(unknown, i)
		}
	}
	for len(unknown) > 0 {
		part := unknown[:min(len(unknown), hubspot.MaxBatch)]
		unknown = unknown[len(part):]
		keys := make([]string, len(part))
		for k, i := range part {
			keys[k] = jobs[i].Key
		}
		found, err := d.crm.BatchRead(ctx, target.Object, target.Match, keys, nil)
		if err != nil {
			var refusal *hubspot.Error
			if errors.As(err, &refusal) && ctx.Err() == nil {
				return newHoldError(target, target.Match, -1, refusal)
			}
			return err
		}
		for k, i := range part {
			switch found[k].State {
			case hubspot.Written:
				verdicts[i].CRMID = found[k].ID
			case hubspot.NotFound:
				verdicts[i].Outcome = NotFound
			default:
				verdicts[i].Outcome = Refused
				verdicts[i].Rejection = &change.Rejection{Category: CategoryUnaccounted, Reason: reasonOf(nil, found[k].Refusal)}
			}
		}
	}
	return nil
}
