package sink

import "github.com/pgcrm/pgcrm/change"

// Diff is what an entry asks of the CRM, given what the ledger knows.
type Diff struct {
	// Send holds the properties to write: Set and Clear only.
	Send change.Props
	// Settled are the slots that need no write: the CRM is known to hold the
	// value, or a NULL has nothing to clear.
	Settled []int
	// Refused are the slots whose value cannot be sent.
	Refused []SlotRefusal
}

// Diff compares the entry with what the CRM is known to hold of the record,
// which is nil where nothing is. Only a known value may make a property
// unchanged; an entry in doubt is not compared at all. The text in Send aliases
// the entry.
func (e *Entry) Diff(record *change.Record, fingerprint func([]byte) uint64) Diff {
	var d Diff
	for p := range e.Props.All() {
		fact := record.Fact(p.Slot)
		holds := func(text []byte) bool {
			return e.Doubt == 0 && fact.State == change.Known && fact.Fingerprint == fingerprint(text)
		}
		switch p.Kind {
		case change.Set:
			if holds(p.Text) {
				d.Settled = append(d.Settled, p.Slot)
			} else {
				d.Send = d.Send.Append(p.Slot, change.Set, p.Text)
			}
		case change.ClearIfDelivered:
			delivered := fact.State != change.Never || e.Doubt&ChunkInDoubt != 0
			if !delivered || holds(nil) {
				d.Settled = append(d.Settled, p.Slot)
			} else {
				d.Send = d.Send.Append(p.Slot, change.Clear, nil)
			}
		case change.Clear:
			if holds(nil) {
				d.Settled = append(d.Settled, p.Slot)
			} else {
				d.Send = d.Send.Append(p.Slot, change.Clear, nil)
			}
		case change.Refused, change.RefusedOver:
			d.Refused = append(d.Refused, SlotRefusal{Slot: p.Slot, Rejection: p.Rejection()})
		}
	}
	return d
}

// SlotRefusal is a property that the CRM did not get, and why.
type SlotRefusal struct {
	Slot      int
	Rejection change.Rejection
}
