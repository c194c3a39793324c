package sink

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// CRM is the part of the API client that delivery needs; *hubspot.Client is one.
type CRM interface {
	BatchUpdate(ctx context.Context, object string, inputs []hubspot.Input) (hubspot.Answer, error)
	BatchUpsert(ctx context.Context, object string, inputs []hubspot.Input) (hubspot.Answer, error)
	BatchRead(ctx context.Context, object, idProperty string, ids, properties []string) ([]hubspot.Found, error)
	Get(ctx context.Context, object, id string, properties []string) (hubspot.Found, error)
}

// Deliverer writes jobs to the CRM. It is safe for concurrent use as long as no
// record is in two calls at once; it starts no goroutine.
type Deliverer struct {
	crm CRM
	log *slog.Logger

	mu sync.Mutex
	// bareKeys are the targets whose match property cannot be written, so that it
	// is not sent along to recognise results by.
	bareKeys map[*change.Target]bool
	// limits are what endpoints take, where that is less than HubSpot documents.
	limits map[endpoint]batchLimit
}

// NewDeliverer makes a Deliverer.
func NewDeliverer(crm CRM, log *slog.Logger) *Deliverer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Deliverer{crm: crm, log: log, bareKeys: map[*change.Target]bool{}, limits: map[endpoint]batchLimit{}}
}

// Deliver writes the jobs of one target and gives a verdict for each, in their
// order. It takes as long as it takes: what is transient is retried by the
// client until ctx ends. One bad record never keeps the others from being
// written, and no input is taken as written unless an answer says so.
//
// The error is ctx's, or a *HoldError where a fault of configuration holds jobs
// back; the verdicts are valid with an error too, and Undecided where there is
// none.
func (d *Deliverer) Deliver(ctx context.Context, target *change.Target, jobs []Job) ([]Verdict, error) {
	run := &deliveryRun{
		Deliverer: d,
		target:    target,
		verdicts:  make([]Verdict, len(jobs)),
	}
	items, list := make([]*deliveryItem, len(jobs)), make([]deliveryItem, len(jobs))
	for i := range jobs {
		items[i] = &list[i]
		items[i].begins(target, &jobs[i], &run.verdicts[i])
	}
	run.push(items...)
	for len(run.parcels) > 0 {
		next := run.parcels[0]
		run.parcels = run.parcels[1:]
		if err := run.send(ctx, next); err != nil {
			return run.verdicts, err
		}
	}
	if run.held != nil {
		return run.verdicts, run.held
	}
	return run.verdicts, nil
}

// deliveryRun is the state of one Deliver.
type deliveryRun struct {
	*Deliverer
	target   *change.Target
	verdicts []Verdict
	parcels  []parcel
	held     *HoldError
	alike    alikeFaults
	written  int
}

// send makes one call and decides about its items, or pushes them again.
func (r *deliveryRun) send(ctx context.Context, p parcel) error {
	if !r.limit(r.endpoint(p.upsert)).fits(len(p.items), r.sizeOf(p.items)) {
		r.push(p.items...) // the limit was learned since it was packed
		return nil
	}
	inputs := make([]hubspot.Input, len(p.items))
	for i, it := range p.items {
		inputs[i] = r.input(it)
	}
	call := r.crm.BatchUpdate
	if p.upsert {
		call = r.crm.BatchUpsert
	}
	answer, err := call(ctx, r.target.Object, inputs)
	for _, it := range p.items {
		it.verdict.Attempts += answer.Attempts
		it.verdict.Unanswered = it.verdict.Unanswered || answer.Unanswered
		it.verdict.Correlation = answer.CorrelationID
		it.unanswered = it.unanswered || answer.Unanswered
	}
	var refusal *hubspot.Error
	switch {
	case ctx.Err() != nil && err != nil:
		return err
	case errors.As(err, &refusal):
		return r.refusedWhole(ctx, p, refusal)
	case err != nil:
		return err
	}
	return r.decide(ctx, p, &answer)
}

// input builds the input of an item. The match value is sent along as a
// property: HubSpot gives back what was written, and so the result can be told
// from the others. It writes what is there already.
func (r *deliveryRun) input(it *deliveryItem) hubspot.Input {
	in := hubspot.Input{ID: it.id, Properties: make([]hubspot.Property, 0, len(it.props)+1)}
	match := ""
	if !it.byID {
		in.IDProperty = r.target.Match
		if !r.bareKey() {
			match = it.id
		}
	}
	if it.renaming {
		match = it.job.RenameTo
	}
	size := 0
	for _, p := range it.props {
		size += len(p.Text)
	}
	var texts strings.Builder // the values of a record share one string
	texts.Grow(size)
	for _, p := range it.props {
		name := r.target.Properties[p.Slot]
		if name == r.target.Match && match != "" {
			continue
		}
		from := texts.Len()
		texts.Write(p.Text)
		in.Properties = append(in.Properties, hubspot.Property{Name: name, Value: texts.String()[from:]})
	}
	if match != "" {
		in.Properties = append(in.Properties, hubspot.Property{Name: r.target.Match, Value: match})
	}
	return in
}

func (r *deliveryRun) bareKey() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bareKeys[r.target]
}

// decide reads the outcomes of a parcel.
func (r *deliveryRun) decide(ctx context.Context, p parcel, answer *hubspot.Answer) error {
	var lost, again []*deliveryItem
	var wait time.Duration
	for i, it := range p.items {
		o := &answer.Outcomes[i]
		switch o.State {
		case hubspot.Written:
			if r.delivered(it, o) {
				again = append(again, it)
			}
		case hubspot.NotFound:
			if r.missing(it) {
				again = append(again, it)
			}
		case hubspot.Refused:
			retry, err := r.refusedOne(ctx, it, o.Refusal)
			if err != nil {
				return err
			}
			if retry {
				again = append(again, it)
			}
		case hubspot.TryAgain:
			if it.tries++; it.tries > maxTries {
				r.refuse(it, CategoryUnaccounted, o.Refusal)
				continue
			}
			wait = time.Second << it.tries
			again = append(again, it)
		default:
			lost = append(lost, it)
		}
	}
	if refusal := strayRefusal(answer); refusal != nil && len(lost) > 0 {
		// The answer refuses inputs without naming them.
		if err := r.refusedWhole(ctx, parcel{items: lost, byID: p.byID, upsert: p.upsert}, refusal); err != nil {
			return err
		}
		lost = nil
	}
	if len(lost) > 0 {
		found, err := r.probe(ctx, p, lost)
		if err != nil {
			return err
		}
		again = append(again, found...)
	}
	if err := pauseFor(ctx, wait); err != nil {
		return err
	}
	r.push(again...)
	return nil
}

// strayRefusal gives an error of the answer that names no input and yet is about
// some: not one that says that something is missing or goes away by itself, which
// a second look finds out.
func strayRefusal(answer *hubspot.Answer) *hubspot.Error {
	for _, e := range answer.Stray {
		if class := e.Class(); class != hubspot.Missing && class != hubspot.Retry {
			return e
		}
	}
	return nil
}

// delivered notes that the item was written, and reports whether it goes on: with
// what has to be cleared before it can be set.
func (r *deliveryRun) delivered(it *deliveryItem, o *hubspot.Outcome) (again bool) {
	r.written++
	v := it.verdict
	v.CRMID = o.ID
	v.Created = v.Created || o.Created
	it.upsert = false // it exists now
	if it.backward == clearing {
		it.step(setting)
		return true
	}
	var back []int
	for _, stored := range o.Stored {
		for _, p := range it.props {
			if r.target.Properties[p.Slot] != stored.Name || sameStored(string(p.Text), stored.Value) {
				continue
			}
			if it.backward == 0 && p.Kind == change.Set && slices.Contains(it.job.Backward, p.Slot) {
				back = append(back, p.Slot)
				continue
			}
			v.NotApplied = append(v.NotApplied, NotApplied{Slot: p.Slot, Stored: stored.Value})
		}
	}
	if len(back) > 0 {
		it.begin(back)
		return true
	}
	if it.backward == setting {
		v.Unanswered = it.unanswered
	}
	v.Outcome = Delivered
	return false
}

// missing decides about a record that HubSpot does not have, and reports
// whether the item is to be sent again in another way.
func (r *deliveryRun) missing(it *deliveryItem) (again bool) {
	switch {
	case it.renaming:
		// Perhaps an earlier attempt, or an earlier process, renamed it already.
		it.renaming, it.id, it.byID = false, it.job.RenameTo, false
		return true
	case it.job.Missing == change.Skip:
		it.verdict.Outcome = Skipped
	case it.job.Missing == change.Create && it.job.Whole && it.job.CRMID == "" && !it.byID && !it.upsert:
		it.upsert = true
		return true
	default:
		it.verdict.Outcome = NotFound
		it.verdict.Rejection = &change.Rejection{
			Category: CategoryNotFound,
			Reason:   "HubSpot has no record of " + r.target.Object + " with " + r.target.Match + " " + it.id,
		}
	}
	return false
}

// pauseFor waits between two looks at what HubSpot could not do just now.
func pauseFor(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
