package pipeline

import (
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// notApplied is the category of a property that the CRM accepted and did not
// store.
const notApplied = "not_applied"

// attempt is one version on its way through a worker.
type attempt struct {
	*session
	remembered
	entry *sink.Entry
	diff  sink.Diff
	// lagging is set where the checkpoint has stood still for long.
	lagging bool
	// redone is set where the version may have been sent before.
	redone bool
	// astray is the key of the row whose record has this one's key by a late request.
	astray string
	// misses is set where the key is another record's by now, which is none of the
	// version's business.
	misses bool
	// waiting are the mappings in it that wait for properties, and owed the slots
	// that they would write.
	waiting []*change.Source
	owed    []int
}

// withoutCall gives the outcome of a version that needs no call.
func (a *attempt) withoutCall() (outcome, bool) {
	e := a.entry
	if e.Rejection != nil {
		l := a.letter(ledger.WholeRecord, *e.Rejection)
		// Whatever the row's changes carried while it addressed no record: one that
		// does again may carry less.
		l.Owed = e.Source.Slots
		return outcome{entry: e, name: Parked, letters: []ledger.Letter{l}}, true
	}
	if a.settled {
		return outcome{entry: e, name: Unchanged}, true
	}
	if e.GoneOnly && (a.now == nil || a.foreign()) {
		return outcome{entry: e, name: Unchanged}, true // nothing was delivered from the row
	}
	a.redone = e.Doubt != 0
	if a.archives() {
		return outcome{}, false
	}
	if a.renames() {
		e.Doubt |= sink.Redone // another record may have the new key, and gets it all
	}
	a.diff = e.Diff(a.now, a.Ledger.Fingerprint)
	a.putOff()
	if !a.nothingToSend() {
		return outcome{}, false
	}
	o := outcome{entry: e, name: Unchanged, letters: a.refusals(a.diff.Refused), reread: e.Reread}
	if len(o.letters) > 0 {
		o.name = Parked
	}
	if a.pays() || a.moved() || a.adopts() || a.lagging && a.now != nil || e.Doubt != 0 && len(a.diff.Refused)+len(a.owed) > 0 {
		o.delivery = a.delivery(a.diff.Settled)
		o.delivery.At = time.Time{} // nothing was sent
	}
	a.puttingOff(&o)
	return o, true
}

// renames reports whether the record is to be given another key.
func (a *attempt) renames() bool { return a.entry.OldKey != "" && !a.renamed }

// id is the record's id; empty where it is not known.
func (a *attempt) id() string {
	if a.now != nil && a.now.CRMID != "" {
		return a.now.CRMID
	}
	return a.learntID
}

// moved reports whether another row of the mapping has the record now: whatever
// becomes of the one before no longer concerns it.
func (a *attempt) moved() bool {
	e := a.entry
	return a.now != nil && !e.Gone && a.now.Table == e.Source.Table && a.now.Row != e.Row
}

// pays reports whether what needed no write may close a letter.
func (a *attempt) pays() bool { return len(a.diff.Settled) > 0 && a.Ledger.HasLetters() }

func (a *attempt) job() sink.Job {
	e := a.entry
	j := sink.Job{
		Key:     e.Key,
		Missing: e.Source.OnMissing,
		Whole:   e.Creates && len(a.waiting) == 0, // else it lacks what is put off
		Props:   a.diff.Send,
		// A stage that HubSpot moves forward only is cleared first.
		Backward: e.Source.ClearFirst,
	}
	if e.Creates {
		// Of two rows of one record, one may create it and the other not.
		j.Missing = change.Create
	}
	if a.now != nil {
		j.CRMID = a.now.CRMID
	}
	switch {
	case a.renames():
		j.Key, j.RenameTo, j.CRMID = e.OldKey, e.Key, a.id()
	case e.Doubt&sink.Rekeyed != 0 && j.CRMID != "":
		j.RenameTo = e.Key
	}
	if j.RenameTo != "" && a.LateWindow > 0 {
		j.Yields = a.yields
	}
	return j
}

// outcome turns the CRM's verdict into what the ledger must remember.
func (a *attempt) outcome(v sink.Verdict) outcome {
	e := a.entry
	if a.archives() {
		return a.archived(v)
	}
	o := outcome{
		entry: e, answered: a.Now(), letters: a.refusals(a.diff.Refused), astray: a.astray,
		// Where somebody has sent it before and did not stop cleanly, too.
		late: v.Unanswered || a.sentBefore(),
		// Of a record that was never delivered, what the change leaves out is missing.
		reread: e.Reread || (a.now == nil || v.KeyTaken) && e.Partial && !a.covered(),
	}
	switch v.Outcome {
	case sink.Delivered:
		refused := map[int]bool{}
		for _, r := range v.Refusals {
			refused[r.Slot] = true
			o.letters = append(o.letters, a.correlated(a.letter(r.Slot, r.Rejection), v))
		}
		other := map[int]bool{}
		for _, n := range v.NotApplied {
			other[n.Slot] = true
			o.letters = append(o.letters, a.correlated(a.letter(n.Slot, change.Rejection{
				Category: notApplied,
				Reason:   "HubSpot accepted the value and kept another one: " + n.Stored,
			}), v))
		}
		done := slices.Grow(a.diff.Settled, a.diff.Send.Len())
		d := a.delivery(nil)
		if v.KeyTaken {
			clear(d.Facts) // they were another record's
		}
		for p := range a.diff.Send.All() {
			switch {
			case other[p.Slot]:
				a.learn(d, p.Slot, sink.FutileFact(p.Text, a.Ledger.Fingerprint))
			case !refused[p.Slot]:
				done = append(done, p.Slot)
				a.learn(d, p.Slot, change.Fact{State: change.Known, Fingerprint: a.Ledger.Fingerprint(p.Text)})
			case v.Unanswered || e.Doubt != 0:
				// An earlier attempt may have written what this one was refused.
				a.learn(d, p.Slot, change.Fact{State: change.Unknown})
			}
		}
		d.CRMID, d.Delivered = v.CRMID, done
		d.Correlation, d.Latency = v.Correlation, o.answered.Sub(e.Since)
		o.delivery, o.name, o.sent = d, Delivered, a.diff.Send
	case sink.Skipped:
		o.name = Skipped
	default:
		o.name = Parked
		if v.Rejection != nil {
			o.letters = []ledger.Letter{a.correlated(a.whole(v), v)}
		} else {
			for _, r := range v.Refusals {
				o.letters = append(o.letters, a.correlated(a.letter(r.Slot, r.Rejection), v))
			}
		}
		// Where the record exists, an attempt without an answer may have written
		// it. Where it never did, there is nothing to know.
		exists := a.now != nil || v.Outcome == sink.Refused
		doubtful := exists && (v.Unanswered || e.Doubt != 0)
		if doubtful || exists && a.pays() {
			o.delivery = a.delivery(a.diff.Settled)
			if a.renames() { // it was not
				o.delivery.Key, o.delivery.OldKey, o.delivery.Accounted = e.OldKey, "", change.Position{}
			}
		}
		if doubtful {
			d := o.delivery
			for p := range a.diff.Send.All() {
				a.learn(d, p.Slot, change.Fact{State: change.Unknown})
			}
		}
	}
	return o
}

// covered reports whether all rows of the version are about to be read anyway.
func (a *attempt) covered() bool {
	for o := range a.entry.Rows {
		if !a.loads.covers(o.Source) {
			return false
		}
	}
	return true
}

// sentBefore reports whether an earlier attempt may still take effect.
func (a *attempt) sentBefore() bool {
	return a.entry.Doubt&sink.Unanswered != 0 || a.unclean && a.entry.First.LSN < a.redoTo
}

// archived ends a record: nothing of it is known any more, and nothing owed. One
// that was not there is as good as archived.
func (a *attempt) archived(v sink.Verdict) outcome {
	o := outcome{entry: a.entry, answered: a.Now(), name: Delivered}
	if v.Outcome != sink.Delivered && v.Outcome != sink.NotFound {
		o.name = Parked
		rejection := change.Rejection{Category: sink.CategoryRefused, Reason: "HubSpot did not archive the record"}
		if v.Rejection != nil {
			rejection = *v.Rejection
		}
		o.letters = []ledger.Letter{a.correlated(a.letter(ledger.WholeRecord, rejection), v)}
		return o
	}
	o.delivery = a.delivery(nil)
	o.delivery.Forget, o.delivery.CloseAll = true, true
	return o
}

// delivery starts from what the CRM was known to hold.
func (a *attempt) delivery(settled []int) *ledger.Delivery {
	e := a.entry
	d := &ledger.Delivery{
		Source:    e.Source,
		Key:       e.Key,
		Row:       e.Row,
		First:     e.First,
		Accounted: e.Newest,
		Facts:     make([]change.Fact, len(e.Source.Target.Properties)),
		Delivered: settled,
		At:        a.Now(),
	}
	d.Also = feeders(e.Also)
	if a.renames() {
		d.OldKey = e.OldKey
	}
	if a.now != nil {
		copy(d.Facts, a.now.Facts)
		d.CRMID = a.now.CRMID
	}
	if e.Doubt != 0 {
		// The value before the one that cannot be sent may have been sent.
		for _, r := range a.diff.Refused {
			a.learn(d, r.Slot, change.Fact{State: change.Unknown})
		}
		for _, slot := range a.owed {
			a.learn(d, slot, change.Fact{State: change.Unknown})
		}
	}
	return d
}

func feeders(rows []sink.Origin) (list []ledger.Feeder) {
	for _, o := range rows {
		list = append(list, ledger.Feeder{Source: o.Source, Row: o.Row})
	}
	return list
}

func (a *attempt) learn(d *ledger.Delivery, slot int, fact change.Fact) { d.Facts[slot] = fact }

// whole is the letter of a record that could not be written at all. It owes
// every property that needed a write or could not be sent.
func (a *attempt) whole(v sink.Verdict) ledger.Letter {
	l := a.letter(ledger.WholeRecord, *v.Rejection)
	for p := range a.diff.Send.All() {
		l.Owed = append(l.Owed, p.Slot)
	}
	for _, r := range a.diff.Refused {
		l.Owed = append(l.Owed, r.Slot)
	}
	return l
}

func (a *attempt) refusals(refused []sink.SlotRefusal) []ledger.Letter {
	var letters []ledger.Letter
	for _, r := range refused {
		letters = append(letters, a.letter(r.Slot, r.Rejection))
	}
	return letters
}

func (a *attempt) letter(slot int, r change.Rejection) ledger.Letter {
	e := a.entry
	key := e.Key
	if e.Rejection != nil {
		key = "" // it addresses no record; the letter is filed under the row
	}
	return ledger.Letter{
		Source:   e.Source,
		Key:      key,
		Row:      e.Row,
		Also:     feeders(e.Also),
		Slot:     slot,
		Category: r.Category,
		Reason:   r.Reason,
		Position: e.Newest,
		Attempts: 1,
		At:       a.Now(),
	}
}

func (a *attempt) correlated(l ledger.Letter, v sink.Verdict) ledger.Letter {
	l.Correlation = v.Correlation
	l.Attempts = max(1, v.Attempts)
	return l
}
