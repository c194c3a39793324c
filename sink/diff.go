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
	// Futile are the slots whose value was sent, accepted and not stored. It is
	// not sent again with every other change of the row, and pays for no letter.
	Futile []int
}

// FutileFact is what is remembered of a value that the CRM has accepted and not
// stored. It equals no value, so that any other one is sent; and where it is sent
// in spite of it, as in doubt or on request, the answer decides anew.
func FutileFact(value []byte, fingerprint func([]byte) uint64) change.Fact {
	return change.Fact{State: change.Known, Fingerprint: ^fingerprint(value)}
}

// Diff compares the entry with what the CRM is known to hold of the record,
// which is nil where nothing is. Only a known value may make a property
// unchanged; an entry in doubt is not compared at all. The text in Send aliases
// the entry.
func (e *Entry) Diff(record *change.Record, fingerprint func([]byte) uint64) Diff {
	var d Diff
	send := func(p change.Prop, kind change.PropKind, text []byte) {
		if d.Send == nil {
			d.Send = make(change.Props, 0, len(e.Props))
		}
		d.Send = d.Send.Append(p.Slot, kind, text)
	}
	for p := range e.Props.All() {
		fact := record.Fact(p.Slot)
		holds := func(text []byte) bool {
			return e.Doubt == 0 && fact.State == change.Known && fact.Fingerprint == fingerprint(text)
		}
		wasFutile := func(text []byte) bool {
			return e.Doubt == 0 && fact.State == change.Known && fact.Fingerprint == ^fingerprint(text)
		}
		switch p.Kind {
		case change.Set:
			switch {
			case holds(p.Text):
				d.Settled = append(d.Settled, p.Slot)
			case wasFutile(p.Text):
				d.Futile = append(d.Futile, p.Slot)
			default:
				send(p, change.Set, p.Text)
			}
		case change.ClearIfDelivered:
			switch {
			case fact.State == change.Never || holds(nil):
				d.Settled = append(d.Settled, p.Slot)
			case wasFutile(nil):
				d.Futile = append(d.Futile, p.Slot)
			default:
				send(p, change.Clear, nil)
			}
		case change.Clear:
			switch {
			case holds(nil):
				d.Settled = append(d.Settled, p.Slot)
			case wasFutile(nil):
				d.Futile = append(d.Futile, p.Slot)
			default:
				send(p, change.Clear, nil)
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
