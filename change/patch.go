package change

// Target is a set of CRM records that are addressed alike: an object type and
// the property that tells its records apart. Mappings that write the same
// object by the same property share one Target.
type Target struct {
	// Index numbers the targets of a mapping from 0.
	Index int
	// Object is the HubSpot object type, "companies".
	Object string
	// Match is the property with unique values, or RecordID.
	Match string
	// Properties names the properties by slot, in ascending order of name.
	Properties []string
}

// RecordID is the match property that stands for HubSpot's own record id.
const RecordID = "hs_object_id"

// ByRecordID reports whether records are addressed by HubSpot's own id.
func (t *Target) ByRecordID() bool { return t.Match == RecordID }

// Missing says what becomes of a row whose record the CRM does not have.
type Missing uint8

// The policies for on_missing.
const (
	Park Missing = iota
	Create
	Skip
)

// Deleted says what becomes of the record of a row that is deleted or no longer
// satisfies the mapping's condition.
type Deleted uint8

// The policies for on_delete.
const (
	Ignore  Deleted = iota // nothing
	Archive                // the record is archived
	SetGone                // Source.GoneProps are written
)

// Source is one mapping of one table onto a Target.
type Source struct {
	// Index numbers the sources of a mapping from 0.
	Index int
	// Table is the mapped table's qualified name, as Relation.String writes it.
	Table string
	// Target is where its rows go.
	Target *Target
	// Slots are the slots of Target.Properties that this mapping writes.
	Slots []int
	// OnMissing is the policy for records that the CRM does not have.
	OnMissing Missing
	// OnDelete is the policy for rows that are gone. It applies only to a record
	// that was delivered from that row.
	OnDelete Deleted
	// GoneProps is what SetGone writes.
	GoneProps Props
	// ClearFirst are the slots that are to be cleared in a call of its own before
	// they are set, because HubSpot moves them forward only.
	ClearFirst []int
}

// Patch is what one row change asks of one CRM record.
type Patch struct {
	Source *Source
	// Key is the value of the match property: which record. Empty with a
	// Rejection, and with Gone where the change does not carry it: the record is
	// then the one that was delivered from Row.
	Key []byte
	// OldKey is the match value before the change, where the change carries it
	// and it differs from Key: the record is renamed. Empty otherwise.
	OldKey []byte
	// OldRow is set where the change does not carry the match value before it,
	// which may have been another: it is the primary key that the row had then, as
	// Row. Empty otherwise.
	OldRow []byte
	// Row is the row's primary key as text: the value itself, or for a key of
	// several columns a JSON array of strings. Empty with Gone where the replica
	// identity is another index, so that the change does not carry it: it may then
	// be any row of the table that the record was delivered from.
	Row []byte
	// Whole is set where Props carries every property that the mapping writes
	// and that the row can give: an insert or a snapshot row.
	Whole bool
	// Props are the properties that the change carries; with Gone, what the
	// policy sets.
	Props Props
	// Gone is set where the row was deleted or no longer satisfies the mapping's
	// condition: Source.OnDelete applies, which is then not Ignore.
	Gone bool
	// Reread is set where the change lacks values that the mapping needs and
	// that the stream will not bring: the row is to be read again.
	Reread bool
	// Unfit is set where the table, as it was at the change, does not fit the
	// mapping: it says which column is missing or has another type, and what mends
	// it. Nothing is known of the row then but that it is owed. Empty otherwise.
	Unfit string
	// Rejection is set where no record can be addressed at all. The letter is
	// then filed under the table and the row.
	Rejection *Rejection
}

// Rejection says why a value or a row cannot go to the CRM. The reason may hold
// row values: it belongs into the ledger and never into a log at info.
type Rejection struct {
	// Category is a short constant in snake case, the label of a metric.
	Category string
	// Reason is for people.
	Reason string
}

// The categories of rejection that the mapping gives. The sink adds its own.
const (
	InvalidValue  = "invalid_value"  // the value cannot be written as the property's type
	InvalidOption = "invalid_option" // not among the property's options or the value map
	TooLong       = "too_long"       // longer than the property takes
	InvalidKey    = "invalid_key"    // the match column's value cannot address a record
)
