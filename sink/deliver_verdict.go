package sink

import (
	"context"

	"github.com/pgcrm/pgcrm/change"
)

// Job is one version of one record, to be written.
type Job struct {
	// Key is the record's match value, or its record id where the target is
	// addressed by that.
	Key string
	// RenameTo is the match value that the record is to get; empty for none. The
	// record is addressed by CRMID if that is known, else by Key.
	RenameTo string
	// Yields is asked where another record, of that id, has the match value. Nil is
	// TakesOver.
	Yields func(ctx context.Context, id string) (Yield, error)
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

// Yield is what a record does that has the match value of a rename.
type Yield uint8

// What it does.
const (
	// TakesOver: it is written in the place of the one to be renamed.
	TakesOver Yield = iota
	// MadeWay: it has the match value no longer, and the rename is tried again.
	MadeWay
	// Stays: the job is refused as a conflict.
	Stays
)

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
	// Left is then the id of the record that the row leaves, where it is there and
	// has the old match value still.
	Left string
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
