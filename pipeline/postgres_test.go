package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
)

// cell is a column's value.
type cell struct {
	null bool
	text string
}

func (c cell) String() string {
	if c.null {
		return "NULL"
	}
	return strconv.Quote(c.text)
}

// rowID names a row: its table and its primary key.
type rowID struct{ table, id int }

func (r rowID) String() string { return fmt.Sprintf("t%d/%d", r.table, r.id) }

// row is a row of a table: the match column and two properties. The second is
// TOASTed, so that an update that leaves it alone does not carry it.
type row struct {
	id    rowID
	key   string
	cells [2]cell

	versions [2]int // which of its record's that is
	lsn      change.LSN
}

// txn is a committed transaction in the log.
type txn struct {
	xid         uint32
	commit, end change.LSN
	at          time.Time
	mark        string
	changes     []rowChange
	truncated   bool
}

type rowChange struct {
	before, after *row    // nil for an insert, for a delete
	carries       [2]bool // the new tuple, or a full old one
	toasted       bool    // the new tuple does not carry the second property
}

// postgres is the database: its tables, its log and its slot.
type postgres struct {
	*world
	tables  []*change.Relation
	log     []*txn
	end     change.LSN // of the log, which is flushed at once
	nextXID uint32
	running map[uint32]bool // has an xid and is not visible yet
	rows    map[rowID]*row  // by the log
	seen    map[rowID]*row  // by a snapshot taken now
	locked  map[rowID]int   // in transactions that are not visible
	changed chan struct{}   // closed when something was committed

	confirmed, durable change.LSN // what the slot shows, and what it has after a crash
	holder             *stream
	reads              []chunkRead
}

// chunkRead is what a SELECT for a chunk saw, for the check of its progress.
type chunkRead struct {
	last string
	rows map[*row]*record
}

const firstLSN = 0x1000000

func (p *postgres) init(w *world) {
	p.world = w
	p.end, p.confirmed, p.durable = firstLSN, firstLSN, firstLSN
	p.nextXID = 700
	p.running = map[uint32]bool{}
	p.rows, p.seen = map[rowID]*row{}, map[rowID]*row{}
	p.locked = map[rowID]int{}
	p.changed = make(chan struct{})
	for t := range w.tables {
		identity := change.IdentityDefault
		if w.full {
			identity = change.IdentityFull
		}
		p.tables = append(p.tables, &change.Relation{
			OID: uint32(16384 + t), Schema: "public", Name: "t" + strconv.Itoa(t), Identity: identity,
			Columns:    []change.Column{{Name: "id", InIdentity: true}, {Name: "key", InIdentity: w.full}, {Name: "a", InIdentity: w.full}, {Name: "b", InIdentity: w.full}},
			PrimaryKey: []int{0},
		})
	}
}

// exists puts a row into the database as if before the slot was made.
func (p *postgres) exists(r row) {
	kept := r
	p.rows[r.id], p.seen[r.id] = &kept, &kept
	p.history.commit(change.Position{}, rowChange{after: &kept, carries: [2]bool{true, true}})
}

func (p *postgres) xid() uint32 {
	p.nextXID++
	p.running[p.nextXID] = true
	return p.nextXID
}

// commit writes a transaction into the log and, after late, makes it visible.
func (p *postgres) commit(xid uint32, gap int, late time.Duration, mark string, changes ...rowChange) *txn {
	commit := p.pg.end + change.LSN(gap)
	tx := &txn{xid: xid, commit: commit, end: commit + 48, at: time.Now(), mark: mark, changes: changes}
	p.pg.end = tx.end
	p.log = append(p.log, tx)
	for i, c := range changes {
		p.history.commit(change.Position{LSN: commit, Ordinal: uint32(i + 1)}, c)
		p.trace.add("commit %v xid %d: %v -> %v %v", change.Position{LSN: commit, Ordinal: uint32(i + 1)}, xid, show(c.before), show(c.after), c.carries)
		if c.after != nil {
			c.after.lsn = commit
		}
		id := c.id()
		apply(p.rows, c)
		p.locked[id]++
	}
	if late <= 0 {
		p.show(tx)
	} else {
		time.AfterFunc(late, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.show(tx)
		})
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return tx
}

func show(r *row) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%v %s a=%v b=%v", r.id, r.key, r.cells[0], r.cells[1])
}

func (c rowChange) id() rowID {
	if c.after != nil {
		return c.after.id
	}
	return c.before.id
}

func apply(rows map[rowID]*row, c rowChange) {
	if c.after == nil {
		delete(rows, c.before.id)
		return
	}
	rows[c.after.id] = c.after
}

// show makes a transaction visible to snapshots and releases its locks.
func (p *postgres) show(tx *txn) {
	for _, c := range tx.changes {
		apply(p.seen, c)
		p.locked[c.id()]--
	}
	delete(p.running, tx.xid)
}

// snapshot is pg_current_snapshot().
type snapshot struct {
	xmax    uint32
	running map[uint32]bool
}

func (p *postgres) snapshot() snapshot { return snapshot{p.nextXID + 1, maps.Clone(p.running)} }

func (s snapshot) Visible(xid uint32) bool { return xid < s.xmax && !s.running[xid] }

func (s snapshot) EndedBefore(later pipeline.Snapshot) bool {
	for xid := range s.running {
		if later.(snapshot).running[xid] {
			return false
		}
	}
	return true
}

// client is a process's way to the database. It implements pipeline.Source.
type client struct {
	*world
	*process
	dice *dice
}

// call stands for the way there and back: whether it succeeds, and whether what
// it does happens.
func (c *client) call(ctx context.Context, what string, do func() error) error {
	if err := pause(ctx, c.dice.upTo(c.delay)); err != nil {
		return err
	}
	c.mu.Lock()
	fails := !c.calm && c.dice.chance(c.netFaults)
	happens := !fails || c.dice.chance(0.5)
	var err error
	if c.onCall != nil {
		if fate := c.onCall(c.process, what); fate.err != nil {
			happens, err = fate.happens, fate.err
		}
	}
	if c.dead {
		happens, err = false, errDead
	}
	if happens {
		err = errors.Join(err, do())
	}
	c.mu.Unlock()
	if err == nil && fails {
		return errNetwork
	}
	if err != nil {
		return err
	}
	return pause(ctx, c.dice.upTo(c.delay))
}

func (c *client) Identify(ctx context.Context) (s pipeline.Server, err error) {
	err = c.call(ctx, "identify", func() error {
		s = pipeline.Server{SystemID: "7", Timeline: 1, Database: "app", FlushedEnd: c.pg.end, Confirmed: c.pg.confirmed}
		return nil
	})
	return s, err
}

func (c *client) Mark(ctx context.Context, content string) error {
	return c.call(ctx, "mark", func() error {
		c.trace.add("mark %q", content)
		c.pg.commit(c.pg.xid(), c.dice.n(4096), 0, content)
		return nil
	})
}

func (c *client) Describe(_ context.Context, table *change.Relation) (*change.Relation, error) {
	return table, nil
}

func (c *client) Chunk(ctx context.Context, r pipeline.Range) (chunk pipeline.Chunk, err error) {
	err = c.call(ctx, "chunk", func() error {
		chunk = c.pg.chunk(r)
		c.trace.add("%s reads chunk after %v up to %v: %d rows, last %v, done %v", c.name, r.After, r.UpTo, len(chunk.Rows), chunk.Last, chunk.Done)
		return nil
	})
	return chunk, err
}

func (p *postgres) chunk(r pipeline.Range) pipeline.Chunk {
	table := slices.Index(p.tables, r.Table)
	bound := func(pk []string, otherwise int) int {
		if pk == nil {
			return otherwise
		}
		n, _ := strconv.Atoi(pk[0])
		return n
	}
	after, upTo := bound(r.After, -1), bound(r.UpTo, 1<<40)
	var ids []int
	for id := range p.seen {
		if r.Keys != nil && !slices.ContainsFunc(r.Keys, func(pk []string) bool { return pk[0] == strconv.Itoa(id.id) }) {
			continue
		}
		if id.table == table && id.id > after && id.id <= upTo {
			ids = append(ids, id.id)
		}
	}
	slices.Sort(ids)
	if r.Keys != nil {
		r.Limit = len(r.Keys) + 1
	}
	chunk := pipeline.Chunk{Snapshot: p.snapshot(), Done: len(ids) < r.Limit}
	read := chunkRead{rows: map[*row]*record{}}
	for _, id := range ids[:min(len(ids), r.Limit)] {
		row := p.seen[rowID{table, id}]
		chunk.Rows = append(chunk.Rows, columns(row, [2]bool{true, true}))
		chunk.Last = []string{strconv.Itoa(id)}
		if rec := p.history.ofKey(table, row.key); rec != nil && row.key[0] != mappingRefuses {
			read.rows[row] = rec
		}
	}
	read.last = strconv.Itoa(table) + "/" + strings.Join(chunk.Last, ",")
	if chunk.Done && r.UpTo != nil {
		read.last = strconv.Itoa(table) + "/" + strings.Join(r.UpTo, ",")
	}
	p.reads = append(p.reads, read)
	return chunk
}

func (c *client) Estimate(ctx context.Context, _ *change.Relation) (n int64, err error) {
	err = c.call(ctx, "estimate", func() error { n = int64(len(c.pg.rows)); return nil })
	return n, err
}

func (c *client) Snapshot(ctx context.Context) (s pipeline.Snapshot, err error) {
	err = c.call(ctx, "snapshot", func() error { s = c.pg.snapshot(); return nil })
	return s, err
}

// columns is a row as the stream and a SELECT give it.
func columns(r *row, carries [2]bool) []change.Value {
	values := []change.Value{text(strconv.Itoa(r.id.id)), text(r.key), value(r.cells[0]), value(r.cells[1])}
	for slot, carried := range carries {
		if !carried {
			values[2+slot] = change.Value{}
		}
	}
	return values
}

func text(s string) change.Value { return change.Value{Kind: change.Text, Text: []byte(s)} }

func value(c cell) change.Value {
	if c.null {
		return change.Value{Kind: change.Null}
	}
	return text(c.text)
}
