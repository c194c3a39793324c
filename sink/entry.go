package sink

import (
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// Doubt says why an entry must be sent without comparing it with the ledger.
type Doubt uint8

// The reasons for doubt; they add up.
const (
	// Redone: a change of the entry was read before the point that redo passes,
	// so an earlier process may have sent a part of it without hearing the
	// answer; or it is to be sent whatever the ledger says.
	Redone Doubt = 1 << iota
	// Unanswered: this process has sent it without hearing the answer.
	Unanswered
	// Rekeyed: the record may have got a former match value of its row again.
	Rekeyed
)

// Entry is one version of one dirty record. While it is taken its exported
// fields do not change.
type Entry struct {
	// Source is the mapping of the newest change.
	Source *change.Source
	// Key is the record's match value; OldKey the one before, for a rename.
	Key    string
	OldKey string
	// Row is the primary key of the row that the newest change came from, and Also
	// holds the last rows of other mappings whose changes are in it.
	Row  string
	Also []Origin
	// Props are the coalesced properties.
	Props change.Props
	// Rejection is set where no record can be addressed; Key is then made up of
	// the table and the row.
	Rejection *change.Rejection
	// Partial is set where a mapping whose change is in it writes more than that
	// carries.
	Partial bool
	// Creates is set where a change in it carries all that a mapping writes which
	// creates missing records.
	Creates bool
	// Gone is set where the newest change says that the row is gone, and GoneOnly
	// where all of them do: then only a record that was delivered is touched.
	// GoneOwn is set where the row that is gone has another change in it.
	Gone, GoneOnly, GoneOwn bool
	// Reread is set where a value is missing that the stream will not bring.
	Reread bool
	// Reused is set where a later change takes the key away from the record, or gives
	// it to another.
	Reused bool
	// First and Newest are the positions of the oldest and the newest change in it.
	First, Newest change.Position
	// Since is the commit time of the oldest change in it.
	Since time.Time
	// Doubt is not zero where the ledger must not be compared with.
	Doubt Doubt
	// Chunks are the backfill chunks that wait for this entry.
	Chunks []*Chunk

	load      bool       // nothing but a backfill's rows is in it
	returned  bool       // it came back without an outcome, and may have been sent
	queued    time.Time  // when it was opened
	safe      change.LSN // end of the last transaction read whole when it was opened
	state     entryState //
	blocked   int        // earlier entries that hold one of its keys
	followers []*Entry   // later entries that this one blocks
	prev      *Entry     // in the list by first position
	next      *Entry     //
	size      int        // bytes accounted for it

	hold  *Hold // the last transaction that it waits with, released or not
	waits int   // transactions that it waits with
	aside bool  // not among those that are ready, for that reason
}

// Origin is a row that a change came from.
type Origin struct {
	Source *change.Source
	Row    string
}

// Rows calls yield for each row whose change is the last of its mapping's; a row
// that is not known is none.
func (e *Entry) Rows(yield func(Origin) bool) {
	if e.Row != "" && !yield(Origin{e.Source, e.Row}) {
		return
	}
	for _, o := range e.Also {
		if o.Row != "" && !yield(o) {
			return
		}
	}
}

// complete takes note of what a change that merges lacks, and of what it brings that
// the ones before lacked. It comes before the entry is moved to the change's row.
func (e *Entry) complete(p *change.Patch) {
	switch {
	case len(e.Also) == 0 && e.Source == p.Source:
		if p.Whole {
			e.Partial, e.Reread = false, false
		}
	case !e.feeds(p.Source):
		e.Partial = e.Partial || !p.Whole
	}
	e.Reread = e.Reread || p.Reread
}

// feeds reports whether a change of the mapping is in the entry.
func (e *Entry) feeds(source *change.Source) bool {
	return e.Source == source || slices.ContainsFunc(e.Also, func(o Origin) bool { return o.Source == source })
}

// reused sets Reused. One that is out knows its record: nothing has renamed it since.
func (e *Entry) reused() {
	if e.state == waiting {
		e.Reused = true
	}
}

// holds reports whether a change of the patch's row is in the entry.
func (e *Entry) holds(p *change.Patch) bool {
	return e.Source == p.Source && e.Row == string(p.Row) ||
		slices.ContainsFunc(e.Also, func(o Origin) bool { return o.Source == p.Source && o.Row == string(p.Row) })
}

// from moves the entry to the row of its newest change.
func (e *Entry) from(source *change.Source, row []byte) {
	if e.Source != source {
		e.Also = slices.DeleteFunc(e.Also, func(o Origin) bool { return o.Source == source })
		e.Also = append(e.Also, Origin{e.Source, e.Row})
		e.Source = source
	}
	if e.Row != string(row) {
		e.Row = string(row)
	}
}

type entryState uint8

const (
	waiting  entryState = iota // blocked or ready; a newer change may merge into it
	taken                      // handed to a worker
	settling                   // its outcome is known and on its way to disk
	gone                       // out of the queue
)

// Chunk follows the rows of one backfill chunk: its progress may be saved when
// the last of them is settled.
type Chunk struct {
	// Backfill is the ledger's number of the backfill.
	Backfill int64
	// Number is the chunk's in the backfill.
	Number int
	// Last is the primary key of the chunk's last row.
	Last []string
	// Rows is the number of rows that the chunk read.
	Rows int

	open int      // entries that are not settled yet; the queue counts
	self []*Chunk // see alone
}

// alone is the list of this chunk, which most of its entries share.
func (c *Chunk) alone() []*Chunk {
	if c.self == nil {
		c.self = []*Chunk{c}
	}
	return c.self[:1:1]
}

// Archives reports whether the record is to be archived.
func (e *Entry) Archives() bool { return e.Gone && e.Source.OnDelete == change.Archive }

// entryOverhead is what an entry costs beside its text: the struct, its place
// in the map, the string headers. Measured with a million entries, rounded up.
const entryOverhead = 400

func (e *Entry) measure() int {
	size := entryOverhead + 2*len(e.Key) + 2*len(e.OldKey) + len(e.Row) + cap(e.Props)
	for i := range e.Also {
		size += 24 + len(e.Also[i].Row)
	}
	return size
}
