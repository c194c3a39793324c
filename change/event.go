package change

import "time"

// Kind says what an Event reports.
type Kind uint8

// The kinds of event.
const (
	Begin    Kind = iota + 1 // a committed transaction starts: Pos.LSN, XID, CommitTime
	Insert                   // a row: Relation, New
	Update                   // a row: Relation, New, and Old where the replica identity gives it
	Delete                   // a row: Relation, Old
	Truncate                 // Truncated
	Commit                   // the transaction is read whole: Pos.LSN, End, CommitTime
	Mark                     // a logical message: Prefix, Content, Transactional, Pos or End
	Progress                 // a keepalive: End is the server's WAL end, and InTransaction says whether it may be trusted
)

// String names the kind in the words of the metric label "op".
func (k Kind) String() string {
	names := [...]string{"", "begin", "insert", "update", "delete", "truncate", "commit", "mark", "progress"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Event is one message of the replication stream, or one row of a backfill
// chunk (Kind Insert, Snapshot true).
type Event struct {
	Kind Kind
	// Pos is the event's place. Begin, Commit and marks carry ordinal 0 or the
	// ordinal of the change before them: they take none of their own.
	Pos Position
	// End is, for Commit, the end of the commit record: the only value that may
	// be confirmed for the transaction. For Progress it is the server's WAL end;
	// for a Mark that is not transactional, the message's own LSN.
	End        LSN
	XID        uint32    // of the transaction that the event belongs to
	CommitTime time.Time // of the transaction that the event belongs to

	Relation *Relation
	// Old holds the row before the change, column by column of Relation. With
	// OldIsKey only the columns of the replica identity are filled, and the
	// others are Unchanged, never Null.
	Old      []Value
	OldIsKey bool
	New      []Value
	// Snapshot marks a row read by a SELECT rather than from the log.
	Snapshot bool

	Truncated []*Relation

	Prefix        string
	Content       []byte
	Transactional bool

	// InTransaction is set on a Progress that arrived between Begin and Commit.
	InTransaction bool
}

// ValueKind tells NULL, unchanged and a value apart.
type ValueKind uint8

// The kinds of value.
const (
	// Unchanged is a value that the change does not carry: a TOASTed value that
	// the UPDATE left alone, or a column outside the key in a key-only old row.
	Unchanged ValueKind = iota
	Null
	Text
)

// Value is a column's value in Postgres's text format, under the session
// settings that package cdc pins.
type Value struct {
	Kind ValueKind
	Text []byte
}
