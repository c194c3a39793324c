package change

// Record is what pgcrm remembers of one CRM record: what the CRM is known to
// hold, and up to where the log is accounted for.
type Record struct {
	// CRMID is HubSpot's id of the record, empty while unknown.
	CRMID string
	// Table is the mapped table that fed the record first, and Row the primary key
	// of the row of it that the record was last delivered from; of a very long key
	// what stands for it.
	Table, Row string
	// Accounted is the highest position up to which every property of every
	// change of this record is delivered, superseded or in an open letter.
	Accounted Position
	// Facts holds, by slot of the Target, what the CRM holds of a property. It
	// may be shorter than the Target's properties: the rest is Never.
	Facts []Fact
}

// Fact is what is known of one property of one record.
type Fact struct {
	State FactState
	// Fingerprint of the value that an answer confirmed; only with Known.
	Fingerprint uint64
}

// FactState says how much is known of a property in the CRM.
type FactState uint8

// The states of a Fact.
const (
	// Never: pgcrm has not written the property.
	Never FactState = iota
	// Known: an answer confirmed the value with this fingerprint.
	Known
	// Unknown: an attempt that carried the property ended without an answer.
	// Unknown equals no value, and counts as delivered.
	Unknown
)

// Fact returns what is known of the slot.
func (r *Record) Fact(slot int) Fact {
	if r == nil || slot >= len(r.Facts) {
		return Fact{}
	}
	return r.Facts[slot]
}
