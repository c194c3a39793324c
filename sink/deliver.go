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

// Job is one version of one record, to be written.
type Job struct {
	// Key is the record's match value, or its record id where the target is
	// addressed by that.
	Key string
	// RenameTo is the match value that the record is to get; empty for none. The
	// record is addressed by CRMID if that is known, else by Key.
	RenameTo string
	// CRMID is the record's id as an earlier answer gave it; empty if unknown. It
	// tells answers apart and finds merged records; except for a rename the record
	// is addressed by the match value, since that is what the mapping says.
	CRMID   string
	Missing change.Missing
	// Whole is set where Props are all that the mapping writes: without it no
	// record is created.
	Whole bool
	// Props are the properties to write: Set and Clear alone, at least one unless
	// the job is a rename.
	Props change.Props
	// Backward are the slots of properties that HubSpot moves forward only and the
	// mapping wants moved back all the same, such as a lifecycle stage: where
	// HubSpot keeps another value, they are cleared, then set in a later call.
	Backward []int
}

// Outcome is what became of a job.
type Outcome uint8

// The outcomes of a job.
const (
	// Undecided: nothing may be settled. The context ended, or the mapping is to
	// be held; Verdict.Unanswered still counts.
	Undecided Outcome = iota
	// Delivered: HubSpot has accounted for every property that is neither in
	// Refusals nor in NotApplied.
	Delivered
	// NotFound: there is no such record, and the mapping does not create it or
	// the job cannot.
	NotFound
	// Skipped: there is no such record, and the mapping says to skip it.
	Skipped
	// Refused: nothing was written; either Refusals names every property, or
	// Rejection says what is wrong with the record.
	Refused
)

// String names the outcome.
func (o Outcome) String() string {
	return [...]string{"undecided", "delivered", "not found", "skipped", "refused"}[o]
}

// Verdict is what became of one job.
type Verdict struct {
	Outcome Outcome
	// CRMID is the record's id as HubSpot gave it; it differs from the job's where
	// the record was merged. Empty if unknown.
	CRMID string
	// Created is set where the record did not exist before.
	Created bool
	// KeyTaken is set where a rename found another record under the new match
	// value: that one got the properties, and the old one is as that of a deleted
	// row.
	KeyTaken bool
	// Unanswered is set where an attempt that carried the job ended without a
	// definite answer: what it carried may have been applied, or may yet be. With
	// Delivered the properties that are not refused are confirmed all the same;
	// those that are refused, and all of them otherwise, are unknown.
	Unanswered bool
	// Refusals are the properties left out, to be parked.
	Refusals []SlotRefusal
	// Rejection is the reason of Refused and NotFound where it concerns the record.
	Rejection *change.Rejection
	// NotApplied are properties that HubSpot accepted and stored another value of.
	NotApplied []NotApplied
	// Correlation is the correlation id of the answer that decided.
	Correlation string
	// Attempts counts the requests that carried the job.
	Attempts int
}

// NotApplied is a property that the CRM accepted and yet holds another value of,
// such as a lifecycle stage that would have gone backwards.
type NotApplied struct {
	Slot   int
	Stored string
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
}

// NewDeliverer makes a Deliverer.
func NewDeliverer(crm CRM, log *slog.Logger) *Deliverer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Deliverer{crm: crm, log: log, bareKeys: map[*change.Target]bool{}}
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
	items := make([]*deliveryItem, len(jobs))
	for i := range jobs {
		items[i] = newDeliveryItem(target, &jobs[i], &run.verdicts[i])
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

// deliveryItem is a job on its way.
type deliveryItem struct {
	job     *Job
	verdict *Verdict
	props   []change.Prop // still to be written
	// id addresses the record: by record id, or else by the match property.
	id   string
	byID bool
	// renaming is set while the match property gets a new value.
	renaming bool
	upsert   bool
	tries    int // sent again without being accounted for

	backward   backward
	moving     []change.Prop // to be set once they are cleared
	unanswered bool          // by an attempt
}

func newDeliveryItem(target *change.Target, job *Job, verdict *Verdict) *deliveryItem {
	it := &deliveryItem{job: job, verdict: verdict, id: job.Key, byID: target.ByRecordID()}
	it.props = make([]change.Prop, 0, job.Props.Len())
	for p := range job.Props.All() {
		it.props = append(it.props, p)
	}
	verdict.CRMID = job.CRMID
	if it.byID && verdict.CRMID == "" {
		verdict.CRMID = job.Key
	}
	if job.RenameTo != "" && !it.byID {
		it.renaming = true
		if job.CRMID != "" {
			it.id, it.byID = job.CRMID, true
		}
	}
	return it
}

// parcel is what goes into one call.
type parcel struct {
	items  []*deliveryItem
	byID   bool
	upsert bool
}

type deliveryRun struct {
	*Deliverer
	target   *change.Target
	verdicts []Verdict
	parcels  []parcel
	held     *HoldError
	alike    alikeFaults
	written  int
}

// push sorts items into parcels to be sent next, in order: alike in address and
// verb, none larger than a batch, and no two inputs of one that may resolve to
// the same record, which would fail the whole batch.
func (r *deliveryRun) push(items ...*deliveryItem) {
	var parcels []parcel
	var ids []map[string]bool
	for _, it := range items {
		names := it.names()
		i := 0
		for ; i < len(parcels); i++ {
			p := &parcels[i]
			if p.byID == it.byID && p.upsert == it.upsert && len(p.items) < hubspot.MaxBatch && !anyIn(ids[i], names) {
				break
			}
		}
		if i == len(parcels) {
			parcels = append(parcels, parcel{byID: it.byID, upsert: it.upsert})
			ids = append(ids, map[string]bool{})
		}
		parcels[i].items = append(parcels[i].items, it)
		for _, name := range names {
			ids[i][name] = true
		}
	}
	r.parcels = append(parcels, r.parcels...)
}

// names are all the names under which HubSpot may know the item's record, as
// it compares them: it lowers the case of e-mails.
func (it *deliveryItem) names() []string {
	names := []string{strings.ToLower(strings.TrimSpace(it.id))}
	if it.byID {
		names[0] = "#" + it.id
	}
	if id := it.verdict.CRMID; id != "" && !it.byID {
		names = append(names, "#"+id)
	}
	if it.renaming {
		names = append(names, strings.ToLower(it.job.RenameTo), strings.ToLower(it.job.Key))
	}
	return names
}

func anyIn(set map[string]bool, names []string) bool {
	for _, name := range names {
		if set[name] {
			return true
		}
	}
	return false
}

// send makes one call and decides about its items, or pushes them again.
func (r *deliveryRun) send(ctx context.Context, p parcel) error {
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
	for _, p := range it.props {
		name := r.target.Properties[p.Slot]
		if name == r.target.Match && match != "" {
			continue
		}
		in.Properties = append(in.Properties, hubspot.Property{Name: name, Value: string(p.Text)})
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
