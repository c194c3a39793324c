package ledger

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Settlement is what one settle makes durable.
type Settlement struct {
	// Checkpoint is the safe position, and Bound the send-ahead bound; a value
	// below the stored one leaves it as it is.
	Checkpoint, Bound change.LSN
	Deliveries        []Delivery
	Letters           []Letter
	Chunks            []ChunkDone
	Doubts            []Doubt
	// Recalled are chunks of an instance that was killed: what they may have
	// changed is among the deliveries, as Unknown.
	Recalled []SentChunk
}

// Delivery is the end of one version of a record.
type Delivery struct {
	Source *change.Source
	// Key is the match property's value. It is empty for a row that addresses
	// no record: then only letters of the row are closed.
	Key string
	// OldKey is the key that the record had before it was renamed, to be
	// forgotten; else empty.
	OldKey string
	Row    string // primary key
	// Also are rows of other mappings whose changes are in the version too.
	Also []Feeder
	// CRMID is HubSpot's id of the record; empty leaves the stored one.
	CRMID string
	// First and Accounted are the version's oldest and newest position; a zero
	// First stands for Accounted. Letters of the same row under another key, or
	// under none, are closed only at or before First: the version may hold values
	// of the time before they were opened.
	First, Accounted change.Position
	// Facts is by slot all that is now known of the record.
	Facts []change.Fact
	// Delivered are the slots that were delivered, or truly found unchanged, at
	// Accounted. Letters about them, at or before it, are closed.
	Delivered []int
	// Forget removes the record: it was archived, and pgcrm has delivered nothing
	// that is still there.
	Forget bool
	// CloseAll closes all letters of the record at or before Accounted: nothing
	// is owed any more, as when it was archived or left the mapping.
	CloseAll bool
	// At is when the CRM answered; zero where nothing was sent.
	At time.Time
	// Latency is the time from the commit to the answer, and Correlation HubSpot's
	// id of the call. They count where At is set.
	Latency     time.Duration
	Correlation string
}

// Feeder is a row that a record is delivered from.
type Feeder struct {
	Source *change.Source
	Row    string // primary key
	// Any asks for a row of the table, whichever it is.
	Any bool
}

// ChunkDone is a backfill's progress: all rows up to DoneTo are settled.
type ChunkDone struct {
	ID     int64
	Number int      // of the chunk in the backfill
	DoneTo []string // primary key, column by column
	Rows   int64    // rows so far, in all
	Last   bool     // nothing follows: the backfill is done
}

// scratch is what settles build their statements in.
type scratch struct {
	records []settled
	columns [11]array
	batches map[string]int32 // numbers of this settle's calls
}

// settled points at a delivery, with its numbers and address.
type settled struct {
	*Delivery
	target  *targetNames
	source  int16
	address string // empty without a key
}

var (
	fenceStatement = statement{"fence", `WITH mine AS (
		UPDATE state SET checkpoint = GREATEST(checkpoint, $2), bound = GREATEST(bound, $3), clean = $4, batches = GREATEST(batches, $5), saved_at = now()
		WHERE singleton AND epoch = $1 RETURNING 1)
		SELECT 1 / count(*) FROM mine`}
	renameStatement = statement{"rename", `DELETE FROM record r USING unnest($1::int2[], $2::bytea[], $3::pg_lsn[], $4::int4[]) AS o(target, key, lsn, ordinal)
		WHERE r.target = o.target AND r.key = o.key AND (r.lsn, r.ordinal) <= (o.lsn, o.ordinal)`}
	recordStatement = statement{"record", `INSERT INTO record AS r (lsn, delivered_at, ordinal, target, source, key, row_key, crm_id, facts, batch, latency)
		SELECT * FROM unnest($1::pg_lsn[], $2::timestamptz[], $3::int4[], $4::int2[], $5::int2[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::int4[], $11::int4[])
		ON CONFLICT (target, key) DO UPDATE SET
			lsn = GREATEST(r.lsn, excluded.lsn),
			ordinal = CASE WHEN r.lsn > excluded.lsn THEN r.ordinal WHEN r.lsn < excluded.lsn THEN excluded.ordinal ELSE GREATEST(r.ordinal, excluded.ordinal) END,
			delivered_at = GREATEST(r.delivered_at, excluded.delivered_at),
			row_key = CASE WHEN r.source = excluded.source THEN excluded.row_key ELSE r.row_key END,
			crm_id = CASE WHEN excluded.crm_id = '' THEN r.crm_id ELSE excluded.crm_id END,
			facts = excluded.facts,
			batch = CASE WHEN excluded.latency < 0 THEN r.batch ELSE excluded.batch END,
			latency = CASE WHEN excluded.latency < 0 THEN r.latency ELSE excluded.latency END`}
	chunkStatement = statement{"chunk", `UPDATE backfill SET done_to = $2, rows = GREATEST(rows, $3),
		state = CASE WHEN NOT $4 OR state NOT IN ('waiting', 'running') THEN state ELSE 'done' END,
		finished_at = CASE WHEN $4 THEN now() ELSE finished_at END
		WHERE id = $1`}
)

// Settle writes a settlement in one transaction and one round trip. It fails
// with ErrFenced, and writes nothing, where another instance has taken over. It
// may be repeated, and must be until it succeeds, where it failed otherwise: its
// COMMIT may or may not have happened.
func (l *Ledger) Settle(ctx context.Context, s *Settlement) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	l.settle.Lock()
	defer l.settle.Unlock()
	defer l.scratch.release()
	if err := l.gather(ctx, s.Deliveries); err != nil {
		return err
	}
	letters, err := l.gatherLetters(ctx, s.Letters)
	if err != nil {
		return err
	}
	paid := l.payments(letters)
	t := l.transaction(s.Checkpoint, s.Bound)
	sc := &l.scratch
	sc.renames(t)
	l.number(t)
	sc.upserts(t)
	if err := l.feeders(ctx, t); err != nil {
		return err
	}
	if err := l.letterFeeders(ctx, t, s.Letters, func() { l.openLetters(t, letters) }); err != nil {
		return err
	}
	closeLetters(t, paid)
	for _, c := range s.Chunks {
		t.add(chunkStatement, wireInt8(c.ID), texts(c.DoneTo), wireInt8(c.Rows), wireBool(c.Last))
		t.add(settledStatement, wireInt8(c.ID), wireInt4(c.Number))
	}
	for _, c := range s.Recalled {
		t.add(recalledStatement, wireInt8(c.Backfill), wireInt4(c.Number))
	}
	if err := l.addDoubts(ctx, t, s.Doubts); err != nil {
		return err
	}
	if err := t.commit(ctx); err != nil {
		return explainSettle(err)
	}
	l.batches += int32(len(sc.batches)) //nolint:gosec // a settle holds few calls
	return nil
}

func explainSettle(err error) error {
	if err != nil {
		return explain("settle", err)
	}
	return nil
}

// RaiseBound raises the send-ahead bound alone.
func (l *Ledger) RaiseBound(ctx context.Context, bound change.LSN) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	return explainSettle(l.transaction(0, bound).commit(ctx))
}

// Stop saves the checkpoint and marks that nothing was left unanswered. Any
// later settle takes the mark back.
func (l *Ledger) Stop(ctx context.Context, checkpoint change.LSN) error {
	ctx, cancel := l.within(ctx)
	defer cancel()
	t := l.transaction(checkpoint, 0)
	t.params[0][3] = wireBool(true)
	return explainSettle(t.commit(ctx))
}

// release lets go of what a settle was made of, and of buffers that only an
// unusually large one needed.
func (sc *scratch) release() {
	const keep = 16384
	if cap(sc.records) > keep {
		*sc = scratch{}
	}
	clear(sc.records)
	sc.records = sc.records[:0]
	clear(sc.batches)
}

// gather sorts the deliveries with a key by address, which keeps neighbours in
// the index together, and keeps one of several of the same record: the newest.
func (l *Ledger) gather(ctx context.Context, deliveries []Delivery) error {
	sc := &l.scratch
	sc.records = sc.records[:0]
	for i := range deliveries {
		d := &deliveries[i]
		source, err := l.internSource(ctx, d.Source)
		if err != nil {
			return err
		}
		target := l.names.target(d.Source.Target)
		sc.records = append(sc.records, settled{d, target, source, address(d.Key)})
	}
	slices.SortFunc(sc.records, func(a, b settled) int {
		return cmp.Or(cmp.Compare(a.target.id, b.target.id), cmp.Compare(a.address, b.address), a.Accounted.Compare(b.Accounted))
	})
	return nil
}

// newest yields the records to store.
func (sc *scratch) newest(yield func(settled) bool) {
	for i, r := range sc.records {
		if r.address == "" || r.Forget {
			continue
		}
		if i+1 < len(sc.records) && sc.records[i+1].target == r.target && sc.records[i+1].address == r.address {
			continue
		}
		if !yield(r) {
			return
		}
	}
}

// forgotten are the keys under which nothing is known any more.
func (r *settled) forgotten() (keys []string) {
	if r.OldKey != "" {
		keys = append(keys, r.OldKey)
	}
	if r.Forget {
		keys = append(keys, r.Key)
	}
	return keys
}

// renames forgets records, and the old keys of renamed ones, before another
// record that has such a key now is stored.
func (sc *scratch) renames(t *transaction) {
	target, key, lsn, ordinal := &sc.columns[0], &sc.columns[1], &sc.columns[2], &sc.columns[3]
	target.reset(oidInt2)
	key.reset(oidBytea)
	lsn.reset(oidLSN)
	ordinal.reset(oidInt4)
	for _, r := range sc.records {
		for _, old := range r.forgotten() {
			target.addInt2(r.target.id)
			key.addString(address(old))
			l, o := position(r.Accounted)
			lsn.addUint64(l)
			ordinal.addInt4(o)
		}
	}
	if target.n > 0 {
		t.add(renameStatement, clone(target.bytes(), key.bytes(), lsn.bytes(), ordinal.bytes())...)
		t.add(unfeedStatement, clone(target.bytes(), key.bytes())...)
	}
}

func (sc *scratch) upserts(t *transaction) {
	c := &sc.columns
	for i, oid := range []uint32{oidLSN, oidTimestamptz, oidInt4, oidInt2, oidInt2, oidBytea, oidBytea, oidBytea, oidBytea, oidInt4, oidInt4} {
		c[i].reset(oid)
	}
	for r := range sc.newest {
		lsn, ordinal := position(r.Accounted)
		c[0].addUint64(lsn)
		c[1].addTime(r.At)
		c[2].addInt4(ordinal)
		c[3].addInt2(r.target.id)
		c[4].addInt2(r.source)
		c[5].addString(r.address)
		if r.Row == r.Key {
			c[6].addString("")
		} else {
			c[6].addString(address(r.Row))
		}
		c[7].addString(r.CRMID)
		start := c[8].begin()
		c[8].buf = appendFacts(c[8].buf, r.Facts, r.target.ids, r.target.order)
		c[8].end(start)
		batch, latency := int32(0), int32(-1)
		if !r.At.IsZero() {
			batch = sc.batches[r.Correlation]
			latency = int32(min(max(r.Latency.Milliseconds(), 0), 1<<31-1))
		}
		c[9].addInt4(batch)
		c[10].addInt4(latency)
	}
	if c[0].n == 0 {
		return
	}
	params := make([][]byte, len(c))
	for i := range params {
		params[i] = c[i].bytes()
	}
	t.add(recordStatement, params...)
}

// transaction is a fenced write: the statements that follow the fence, sent and
// committed in one round trip.
type transaction struct {
	l          *Ledger
	statements []statement
	params     [][][]byte
}

func (l *Ledger) transaction(checkpoint, bound change.LSN) *transaction {
	t := &transaction{l: l}
	t.add(fenceStatement, wireInt8(l.epoch.Load()), wireLSN(uint64(checkpoint)), wireLSN(uint64(bound)), wireBool(false), wireInt4(0))
	return t
}

func (t *transaction) add(s statement, params ...[]byte) {
	t.statements = append(t.statements, s)
	t.params = append(t.params, params)
}

// commit runs the transaction. Where the fence finds another epoch the server
// skips everything up to the Sync, COMMIT included.
func (t *transaction) commit(ctx context.Context) error {
	return t.l.with(ctx, func(conn *pgx.Conn) error {
		all := append([]statement{beginStatement}, t.statements...)
		all = append(all, commitStatement)
		for _, s := range all {
			if err := s.prepare(ctx, conn); err != nil {
				return err
			}
		}
		p := conn.PgConn().StartPipeline(ctx)
		p.SendQueryPrepared(beginStatement.name, nil, nil, nil)
		for i, s := range t.statements {
			p.SendQueryPrepared(s.name, t.params[i], binaryFormat, binaryFormat)
		}
		p.SendQueryPrepared(commitStatement.name, nil, nil, nil)
		if err := p.Sync(); err != nil {
			_ = p.Close()
			return err
		}
		// Close reads all that is left, up to the server's word that the
		// transaction is over, and returns the first error.
		return p.Close()
	})
}

var (
	beginStatement  = statement{"begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"}
	commitStatement = statement{"commit", "COMMIT"}
)

func clone(params ...[]byte) [][]byte {
	for i := range params {
		params[i] = bytes.Clone(params[i])
	}
	return params
}
