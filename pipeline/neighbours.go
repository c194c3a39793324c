package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// ErrStandby is wrapped by a Source whose slot another process holds.
var ErrStandby = errors.New("another instance holds the slot")

// Source is the database that is read.
type Source interface {
	// Identify tells which server this is and how far its log is flushed.
	Identify(ctx context.Context) (Server, error)
	// Open starts streaming at a position. It wraps ErrStandby where another
	// process holds the slot.
	Open(ctx context.Context, start change.LSN) (Stream, error)
	// Mark writes a logical message that the stream will carry, in a
	// transaction of its own.
	Mark(ctx context.Context, content string) error
	// Describe tells how a mapped table is now.
	Describe(ctx context.Context, table *change.Relation) (*change.Relation, error)
	// Chunk reads the rows of a range in the order of the primary key. It fails
	// where the table is not as the range describes it.
	Chunk(ctx context.Context, r Range) (Chunk, error)
	// Estimate guesses how many rows a table has.
	Estimate(ctx context.Context, table *change.Relation) (int64, error)
	// Snapshot tells which transactions are complete now.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Transient reports whether an error of any method here may go away by
	// itself.
	Transient(err error) bool
}

// Server is who a Source is.
type Server struct {
	SystemID string
	Timeline int32
	// TimelineEnds says where the server left each of its earlier timelines.
	TimelineEnds map[int32]change.LSN
	Database     string
	// FlushedEnd is the flushed end of the server's log.
	FlushedEnd change.LSN
	// Confirmed is the slot's confirmed position.
	Confirmed change.LSN
}

// Stream is a replication stream. The reader alone calls its methods, but for
// Confirm and RequestProgress.
type Stream interface {
	// Next waits for the next event, which is valid until the next call. It
	// answers keepalives meanwhile.
	Next(ctx context.Context) (*change.Event, error)
	// Confirm has the next status update report the position.
	Confirm(at change.LSN)
	// RequestProgress asks the server for its position.
	RequestProgress()
	// KeepAlive sends a status update if one is due, while the caller does not
	// read, and tells after what time to call it again.
	KeepAlive(ctx context.Context) (time.Duration, error)
	// Close reports the last confirmed position and ends the stream.
	Close(ctx context.Context) error
}

// Snapshot tells which transactions a SELECT has seen as complete.
type Snapshot interface {
	// Visible reports whether the transaction was complete.
	Visible(xid uint32) bool
	// EndedBefore reports whether every transaction that was running here had
	// ended when the later snapshot was taken.
	EndedBefore(later Snapshot) bool
}

// Range names rows of a table in the order of its primary key.
type Range struct {
	Table *change.Relation
	After []string // primary key that the range starts behind; nil for the first row
	UpTo  []string // primary key that it ends with; nil for the last row
	Limit int
	Bytes int    // of values, after which it may end; 0 for some bound
	Where string // SQL condition, empty for all rows
	// Keys names single rows instead, by primary key.
	Keys [][]string
}

// Chunk is a piece of a table in the order of its primary key.
type Chunk struct {
	Rows     [][]change.Value
	Last     []string // primary key of the last row
	Snapshot Snapshot
	Done     bool // nothing follows
	Cut      bool // rows are left out, since the others are large
}

// Mapper turns events into patches. One goroutine calls it.
type Mapper interface {
	// Map appends the patches that the event asks for. They are valid until the
	// next call.
	Map(ev *change.Event, dst []change.Patch) ([]change.Patch, error)
	// Unfit says why rows of the table as it is now cannot be mapped for a source;
	// empty where they can. Any goroutine may ask.
	Unfit(source *change.Source, table *change.Relation) string
	// Waits says why a mapping is held for what the CRM's properties are now; empty
	// where it is not. Its rows are mapped as before. Any goroutine may ask.
	Waits(source *change.Source) string
	// Skipped counts the rows so far whose match column was NULL.
	Skipped(source *change.Source) uint64
}

// Ledger is what is remembered. See package ledger.
type Ledger interface {
	Peek(ctx context.Context) (ledger.State, bool, error)
	Begin(ctx context.Context, in ledger.Instance, targets []*change.Target) (ledger.State, error)
	Lookup(ctx context.Context, target *change.Target, keys []string) ([]*change.Record, error)
	// KeysOf tells to which records a row was last delivered.
	KeysOf(ctx context.Context, source *change.Source, row string) ([]string, error)
	// KeysOfRows is KeysOf of many rows, by row.
	KeysOfRows(ctx context.Context, source *change.Source, rows []string) (map[string][]string, error)
	// DeliveredRows lists the rows from which records of a mapping were delivered.
	DeliveredRows(ctx context.Context, table, object, match, after string, limit int) (rows []string, next string, err error)
	// DeliveredFrom tells whether records were last delivered from these rows, as
	// far as the rows' mappings go.
	DeliveredFrom(ctx context.Context, target *change.Target, keys []string, rows []ledger.Feeder) ([]bool, error)
	// BackfillOpen reports whether a backfill waits or runs.
	BackfillOpen(ctx context.Context, id int64) (bool, error)
	// KeysOfRecords tells under which keys records are known, by record id.
	KeysOfRecords(ctx context.Context, target *change.Target, ids []string) (map[string]string, error)
	// Learn saves record ids before anything is delivered to the records.
	Learn(ctx context.Context, learned []ledger.Learned) error
	Fingerprint(text []byte) uint64
	HasLetters() bool
	Settle(ctx context.Context, s *ledger.Settlement) error
	RaiseBound(ctx context.Context, bound change.LSN) error
	Stop(ctx context.Context, checkpoint change.LSN) error
	Backfills(ctx context.Context) ([]ledger.Backfill, error)
	AddBackfill(ctx context.Context, b ledger.Backfill) (int64, error)
	SourceHashes(ctx context.Context) ([]ledger.SourceHash, error)
	ForgetSource(ctx context.Context, s ledger.SourceHash) error
	BackfillSentTo(ctx context.Context, id int64, chunk int, sentTo []string, rows []ledger.SentRow) error
	// SentChunks lists what was sent of backfills and is not settled.
	SentChunks(ctx context.Context) ([]ledger.SentChunk, error)
	FinishBackfill(ctx context.Context, id int64) error
	FailBackfill(ctx context.Context, id int64, message string) error
	Hold(ctx context.Context, h ledger.Held) error
	Holds(ctx context.Context) ([]ledger.Held, error)
	ForgetHolds(ctx context.Context, digests []string) error
	Letters(ctx context.Context, f ledger.Filter) ([]ledger.Parked, error)
	RequestLate(ctx context.Context, now time.Time, limit int, reason string) (int64, error)
	DropLetters(ctx context.Context, f ledger.Filter) (int64, error)
}

// Deliverer writes records to the CRM.
type Deliverer interface {
	Deliver(ctx context.Context, target *change.Target, jobs []sink.Job) ([]sink.Verdict, error)
	// Identify tells the record ids that match values have now.
	Identify(ctx context.Context, target *change.Target, keys []string) (map[string]string, error)
	// Archive moves the jobs' records to the recycle bin.
	Archive(ctx context.Context, target *change.Target, jobs []sink.Job) ([]sink.Verdict, error)
}

// Recorder counts what passes by.
type Recorder interface {
	CountChanges(table, op string, n int)
	CountRecords(object, outcome string, n int)
	CountBackfillRows(table string, n int)
	// ObserveDelivery takes the time from a source commit to the CRM's answer.
	ObserveDelivery(d time.Duration, n int)
}

// Outcomes of a record, the values of the metric label.
const (
	Delivered = "delivered"
	Unchanged = "unchanged"
	Coalesced = "coalesced"
	Parked    = "parked"
	Skipped   = "skipped"
)
