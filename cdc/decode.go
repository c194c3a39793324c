package cdc

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/change"
)

// decoder turns pgoutput messages of protocol version 1 into events. It is pure:
// bytes in, event out. The hot messages (Begin, Insert, Update, Delete, Commit)
// are decoded here, without copying and without allocating; the rare ones in
// decode_rare.go.
//
// Formats: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
type decoder struct {
	relations map[uint32]*relation
	last      *relation // of the row before: rows of one table come in runs
	// onRelation is told of each announcement of a table; it may be nil.
	onRelation func()

	// The transaction being read.
	inTx       bool
	commitLSN  change.LSN
	commitTime time.Time
	xid        uint32
	ordinal    uint32

	ev change.Event
}

// relation is a table as the stream announced it, with room for its rows.
type relation struct {
	*change.Relation
	before, after []change.Value
}

var errTruncated = errors.New("message ends early")

// decode reads one message. emit says whether d.ev holds an event now; it and
// the bytes it points at are valid until the next call.
func (d *decoder) decode(msg []byte) (emit bool, err error) {
	if len(msg) == 0 {
		return false, errTruncated
	}
	r := reader{src: msg[1:]}
	switch msg[0] {
	case 'I':
		emit, err = true, d.insert(&r)
	case 'U':
		emit, err = true, d.update(&r)
	case 'D':
		emit, err = true, d.remove(&r)
	case 'B':
		emit, err = true, d.begin(&r)
	case 'C':
		emit, err = true, d.commit(&r)
	default:
		emit, err = d.rare(msg)
		r.src = nil
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return false, fmt.Errorf("replication message %q: %w", msg[0], err)
	}
	return emit, nil
}

func (d *decoder) begin(r *reader) error {
	if d.inTx {
		return errors.New("a transaction begins inside another")
	}
	lsn, at, xid := r.uint64(), r.uint64(), r.uint32()
	if r.short {
		return errTruncated
	}
	d.inTx = true
	d.commitLSN, d.commitTime, d.xid, d.ordinal = change.LSN(lsn), fromPostgresTime(at), xid, 0
	d.event(change.Begin)
	return nil
}

func (d *decoder) commit(r *reader) error {
	flags, lsn, end, at := r.byte(), change.LSN(r.uint64()), change.LSN(r.uint64()), r.uint64()
	switch {
	case r.short:
		return errTruncated
	case flags != 0:
		return fmt.Errorf("unknown commit flags %#x", flags)
	case !d.inTx:
		return errors.New("a commit outside a transaction")
	case lsn != d.commitLSN || end <= lsn:
		return fmt.Errorf("commit at %s ending at %s closes a transaction that was announced for %s", lsn, end, d.commitLSN)
	}
	d.commitTime = fromPostgresTime(at)
	d.event(change.Commit)
	d.ev.End = end
	d.inTx = false
	return nil
}

func (d *decoder) insert(r *reader) error {
	rel, err := d.row(r, change.Insert)
	if err != nil {
		return err
	}
	if kind := r.byte(); kind != 'N' {
		return unexpectedTuple(r, kind)
	}
	rel.after, err = r.tuple(rel.Relation, rel.after)
	d.ev.New = rel.after
	return err
}

func (d *decoder) update(r *reader) error {
	rel, err := d.row(r, change.Update)
	if err != nil {
		return err
	}
	kind := r.byte()
	if kind == 'K' || kind == 'O' {
		if err := d.old(r, rel, kind); err != nil {
			return err
		}
		kind = r.byte()
	}
	if kind != 'N' {
		return unexpectedTuple(r, kind)
	}
	rel.after, err = r.tuple(rel.Relation, rel.after)
	d.ev.New = rel.after
	return err
}

func (d *decoder) remove(r *reader) error {
	rel, err := d.row(r, change.Delete)
	if err != nil {
		return err
	}
	kind := r.byte()
	if kind != 'K' && kind != 'O' {
		return unexpectedTuple(r, kind)
	}
	return d.old(r, rel, kind)
}

// row starts a row event: it takes an ordinal and finds the relation.
func (d *decoder) row(r *reader, kind change.Kind) (*relation, error) {
	oid := r.uint32()
	if r.short {
		return nil, errTruncated
	}
	if !d.inTx {
		return nil, errors.New("a row outside a transaction")
	}
	rel := d.last
	if rel == nil || rel.OID != oid {
		if rel = d.relations[oid]; rel == nil {
			return nil, fmt.Errorf("a row of relation %d, which was never announced", oid)
		}
		d.last = rel
	}
	d.ordinal++
	d.event(kind)
	d.ev.Relation = rel.Relation
	return rel, nil
}

// old reads the row before the change. In a key-only row the server writes 'n'
// for every column outside the replica identity: that is no NULL.
func (d *decoder) old(r *reader, rel *relation, kind byte) (err error) {
	rel.before, err = r.tuple(rel.Relation, rel.before)
	if err != nil {
		return err
	}
	if kind == 'K' {
		for i := range rel.before {
			if rel.before[i].Kind == change.Null && !rel.Columns[i].InIdentity {
				rel.before[i].Kind = change.Unchanged
			}
		}
	}
	d.ev.Old, d.ev.OldIsKey = rel.before, kind == 'K'
	return nil
}

// event starts an event of the transaction being read.
func (d *decoder) event(kind change.Kind) {
	d.ev = change.Event{
		Kind:       kind,
		Pos:        change.Position{LSN: d.commitLSN, Ordinal: d.ordinal},
		XID:        d.xid,
		CommitTime: d.commitTime,
	}
}

func unexpectedTuple(r *reader, kind byte) error {
	if r.short {
		return errTruncated
	}
	return fmt.Errorf("unexpected tuple kind %q", kind)
}

// fromPostgresTime converts microseconds since the year 2000.
func fromPostgresTime(us uint64) time.Time {
	return time.UnixMicro(postgresEpoch + int64(us)).UTC() //nolint:gosec // the wire's int64
}

// postgresEpoch is 2000-01-01 in Unix microseconds.
const postgresEpoch = 946_684_800_000_000
