package pipeline_test

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// store is the state schema, with the meaning that package ledger gives it.
type store struct {
	*world
	exists            bool
	epoch             int64
	checkpoint, bound change.LSN
	ordinalsSince     change.LSN
	clean             bool
	plan              string // the mapping's hash
	owner             ledger.Instance
	records           map[recordKey]*stored
	letters           map[letterKey]*letter
	backfills         []*ledger.Backfill
	sent              []ledger.SentChunk
	hashes            map[string]string
	settles           int
	holds             []*ledger.Held
	late              []string // rows in doubt, as they came
}

type recordKey struct {
	target int
	key    string
}

type stored struct {
	accounted change.Position
	crmID     string
	facts     []change.Fact
}

type letterKey struct {
	target, scope int // scope is the source, from 1, of a letter without a record
	name          string
	slot          int
}

type letter struct {
	source int
	row    string
	at     change.Position
	owed   map[int]bool
	why    string
}

func (st *store) init(w *world) {
	st.world = w
	st.records = map[recordKey]*stored{}
	st.letters = map[letterKey]*letter{}
	st.hashes = map[string]string{}
}

// book is a process's way to the state. It implements pipeline.Ledger.
type book struct {
	*world
	*process
	dice    *dice
	epoch   int64
	letters bool
}

var errDead = errors.New("the process is dead")

// call is one transaction: it may fail before its COMMIT, or succeed without
// its answer being heard.
func (b *book) call(ctx context.Context, what string, do func() error) error {
	err := pause(ctx, b.dice.upTo(b.delay/2))
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		// Perhaps the COMMIT was under way when the caller went.
		fails := b.onCall != nil && b.onCall(b.process, what) == callFate{err: errNetwork}
		if !fails && b.dice.chance(0.5) {
			_ = do()
			b.trace.add("%s %s: done, not heard", b.name, what)
		}
		return err
	}
	if b.dead {
		return errDead
	}
	if b.onCall != nil {
		if fate := b.onCall(b.process, what); fate.err != nil {
			if fate.happens {
				_ = do()
			}
			return fate.err
		}
	}
	switch {
	case b.down && !b.calm:
		return errNetwork
	case !b.calm && b.dice.chance(b.netFaults):
		if b.dice.chance(0.5) {
			_ = do()
			b.trace.add("%s %s: done, answer lost", b.name, what)
		} else {
			b.trace.add("%s %s: not done", b.name, what)
		}
		return errNetwork
	}
	return do()
}

func (b *book) state() ledger.State {
	st := &b.world.state
	return ledger.State{
		Epoch: st.epoch, Checkpoint: st.checkpoint, Bound: st.bound, CleanStop: st.clean, OrdinalsSince: st.ordinalsSince,
		Instance: st.owner,
	}
}

func (b *book) Peek(ctx context.Context) (s ledger.State, known bool, err error) {
	err = b.call(ctx, "peek", func() error {
		s, known = b.state(), b.world.state.exists
		return nil
	})
	return s, known, err
}

func (b *book) Begin(ctx context.Context, in ledger.Instance, _ []*change.Target) (s ledger.State, err error) {
	err = b.call(ctx, "begin", func() error {
		st := &b.world.state
		first := !st.exists
		if first {
			st.exists, st.checkpoint, st.bound, st.clean, st.plan = true, in.InitialCheckpoint, in.FlushedEnd, true, in.MappingHash
		}
		if st.plan != in.MappingHash {
			st.ordinalsSince = max(st.ordinalsSince, in.FlushedEnd)
			st.plan = in.MappingHash
		}
		st.owner = in
		st.epoch++
		b.crm.allBack(b.process)
		b.history.begin()
		b.letters = len(st.letters) > 0
		s = b.state()
		s.First = first
		st.clean = false
		b.trace.add("%s begins epoch %d: checkpoint %v bound %v end %v", b.name, st.epoch, st.checkpoint, st.bound, in.FlushedEnd)
		return nil
	})
	if err == nil {
		b.epoch = s.Epoch
	}
	return s, err
}

// fenced runs a write of the running instance.
func (b *book) fenced(ctx context.Context, what string, checkpoint, bound change.LSN, do func()) error {
	epoch := b.epoch
	return b.call(ctx, what, func() error {
		st := &b.world.state
		if st.epoch != epoch {
			return ledger.ErrFenced
		}
		before := st.checkpoint
		st.checkpoint, st.bound, st.clean = max(st.checkpoint, checkpoint), max(st.bound, bound), false
		do()
		if st.checkpoint > before {
			b.trace.add("%s saves checkpoint %v", b.name, st.checkpoint)
			b.history.checkAccounted(st.checkpoint)
		}
		return nil
	})
}

func (b *book) Settle(ctx context.Context, s *ledger.Settlement) error {
	return b.fenced(ctx, "settle", s.Checkpoint, s.Bound, func() {
		st := &b.world.state
		st.settles++
		st.settle(s)
		for i := range s.Deliveries {
			d := &s.Deliveries[i]
			b.trace.add("%s settles %s at %v facts %v delivered %v", b.name, d.Key, d.Accounted, d.Facts, d.Delivered)
			b.crm.back(d.Source.Target.Index, d.Key)
			b.history.checkDelivery(d)
		}
		for _, l := range s.Letters {
			b.trace.add("%s letter %s slot %d owed %v at %v: %s", b.name, l.Key, l.Slot, l.Owed, l.Position, l.Category)
			b.crm.back(l.Source.Target.Index, l.Key)
		}
	})
}

func (b *book) RaiseBound(ctx context.Context, bound change.LSN) error {
	return b.fenced(ctx, "raise bound", 0, bound, func() { b.trace.add("%s raises bound to %v", b.name, bound) })
}

func (b *book) Stop(ctx context.Context, checkpoint change.LSN) error {
	return b.fenced(ctx, "stop", checkpoint, 0, func() { b.world.state.clean = true })
}

func (st *store) settle(s *ledger.Settlement) {
	for i := range s.Deliveries {
		d := &s.Deliveries[i]
		old := recordKey{d.Source.Target.Index, d.OldKey}
		if r := st.records[old]; d.OldKey != "" && r != nil && !d.Accounted.Before(r.accounted) {
			delete(st.records, old)
		}
	}
	newest := map[recordKey]*ledger.Delivery{}
	for i := range s.Deliveries {
		d := &s.Deliveries[i]
		k := recordKey{d.Source.Target.Index, d.Key}
		if n := newest[k]; d.Key != "" && (n == nil || !d.Accounted.Before(n.Accounted)) {
			newest[k] = d
		}
	}
	for k, d := range newest {
		r := st.records[k]
		if r == nil {
			r = &stored{}
			st.records[k] = r
		}
		if r.accounted.Before(d.Accounted) {
			r.accounted = d.Accounted
		}
		r.crmID = cmp.Or(d.CRMID, r.crmID)
		r.facts = slices.Clone(d.Facts)
	}
	for i := range s.Letters {
		st.open(&s.Letters[i])
	}
	st.close(s)
	for _, d := range s.Doubts {
		st.late = append(st.late, d.Row)
	}
	for _, r := range s.Recalled {
		st.settled(func(sent ledger.SentChunk) bool { return sent.Backfill == r.Backfill && sent.Number == r.Number })
	}
	for _, c := range s.Chunks {
		b := st.backfill(c.ID)
		b.DoneTo, b.Rows = slices.Clone(c.DoneTo), max(b.Rows, c.Rows)
		st.trace.add("backfill %d done to %v", c.ID, c.DoneTo)
		st.history.checkChunk(b, c.DoneTo)
		st.settled(func(sent ledger.SentChunk) bool { return sent.Backfill == c.ID && sent.Number <= c.Number })
		if c.Last {
			b.State = ledger.Done
		}
	}
}

func (st *store) open(l *ledger.Letter) {
	k := letterKey{l.Source.Target.Index, 0, l.Key, l.Slot}
	if l.Key == "" {
		k.scope, k.name = l.Source.Index+1, l.Row
	}
	n := st.letters[k]
	if n == nil {
		n = &letter{owed: map[int]bool{}}
		st.letters[k] = n
	}
	for _, slot := range l.Owed {
		n.owed[slot] = true
	}
	if !l.Position.Before(n.at) {
		n.source, n.row, n.at, n.why = l.Source.Index, l.Row, l.Position, l.Category
	}
}

// close closes what the settle pays for: by the record, or by the row.
func (st *store) close(s *ledger.Settlement) {
	type payment struct {
		target, source   int
		name, row        string
		at, first        change.Position
		all, transferred bool
		slots            []int
	}
	var paid []payment
	for i := range s.Deliveries {
		if d := &s.Deliveries[i]; len(d.Delivered) > 0 || d.CloseAll {
			paid = append(paid, payment{d.Source.Target.Index, d.Source.Index, d.Key, d.Row, d.Accounted, firstOf(d), d.CloseAll, false, d.Delivered})
		}
	}
	for _, l := range s.Letters {
		if l.Slot != ledger.WholeRecord {
			paid = append(paid, payment{l.Source.Target.Index, l.Source.Index, l.Key, l.Row, l.Position, l.Position, false, true, []int{l.Slot}})
		}
	}
	for k, l := range st.letters {
		var all, delivered bool
		slots := map[int]bool{}
		for _, p := range paid {
			byRecord := k.target == p.target && k.scope == 0 && p.name != "" && k.name == p.name
			byRow := l.source == p.source && p.row != "" && l.row == p.row
			paid := p.at
			if !byRecord {
				paid = p.first
			}
			if !byRecord && !byRow || paid.Before(l.at) || k.slot >= 0 && p.transferred && (byRecord || p.name == "") {
				continue
			}
			all, delivered = all || p.all, delivered || !p.transferred
			for _, slot := range p.slots {
				slots[slot] = true
			}
		}
		if k.slot >= 0 {
			if all || slots[k.slot] {
				delete(st.letters, k)
			}
			continue
		}
		owedBefore := len(l.owed)
		for slot := range slots {
			delete(l.owed, slot)
		}
		if all || owedBefore == 0 && delivered || owedBefore > 0 && len(l.owed) == 0 {
			delete(st.letters, k)
		}
	}
}

// firstOf is from where on a version pays for its row's letters under another
// key, or under none.
func firstOf(d *ledger.Delivery) change.Position {
	if d.CloseAll || d.First == (change.Position{}) {
		return d.Accounted
	}
	return d.First
}

func (b *book) Lookup(ctx context.Context, target *change.Target, keys []string) (found []*change.Record, err error) {
	err = b.call(ctx, "lookup", func() error {
		found = make([]*change.Record, len(keys))
		for i, key := range keys {
			if r := b.world.state.records[recordKey{target.Index, key}]; r != nil {
				found[i] = &change.Record{CRMID: r.crmID, Accounted: r.accounted, Facts: slices.Clone(r.facts)}
			}
		}
		return nil
	})
	return found, err
}

func (b *book) KeysOfRecords(ctx context.Context, target *change.Target, ids []string) (known map[string]string, err error) {
	err = b.call(ctx, "keys of records", func() error {
		known = map[string]string{}
		for k, r := range b.world.state.records {
			if k.target == target.Index && slices.Contains(ids, r.crmID) {
				known[r.crmID] = k.key
			}
		}
		return nil
	})
	return known, err
}

func (b *book) Learn(ctx context.Context, learned []ledger.Learned) error {
	return b.fenced(ctx, "learn", 0, 0, func() {
		for _, d := range learned {
			target := d.Source.Target
			k := recordKey{target.Index, d.Key}
			r := b.world.state.records[k]
			if r == nil {
				r = &stored{facts: make([]change.Fact, len(target.Properties))}
				b.world.state.records[k] = r
			}
			if r.crmID == "" {
				r.crmID = d.CRMID
			}
			b.trace.add("%s learns that %s is %s", b.name, d.Key, d.CRMID)
		}
	})
}

func fingerprint(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text)
	return h.Sum64()
}

func (b *book) Fingerprint(text []byte) uint64 { return fingerprint(text) }

func (b *book) HasLetters() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.letters || len(b.world.state.letters) > 0
}

func (st *store) backfill(id int64) *ledger.Backfill { return st.backfills[id-1] }

func (b *book) Backfills(ctx context.Context) (open []ledger.Backfill, err error) {
	err = b.call(ctx, "backfills", func() error {
		open = nil
		for _, f := range b.world.state.backfills {
			if f.State == ledger.Waiting || f.State == ledger.Running {
				open = append(open, *f)
			}
		}
		return nil
	})
	return open, err
}

func (b *book) AddBackfill(ctx context.Context, f ledger.Backfill) (id int64, err error) {
	err = b.call(ctx, "add backfill", func() error {
		id = b.world.state.addBackfill(f)
		return nil
	})
	return id, err
}

func (st *store) addBackfill(f ledger.Backfill) int64 {
	f.ID, f.State = int64(len(st.backfills)+1), ledger.Waiting
	st.backfills = append(st.backfills, &f)
	if f.SourceHash != "" {
		st.hashes[f.Table+"\x00"+f.Object+"\x00"+f.Match] = f.SourceHash
	}
	st.trace.add("backfill %d of %s asked for", f.ID, f.Table)
	return f.ID
}

func (b *book) SourceHashes(ctx context.Context) (hashes []ledger.SourceHash, err error) {
	err = b.call(ctx, "hashes", func() error {
		hashes = nil
		for k, h := range b.world.state.hashes {
			p := strings.Split(k, "\x00")
			hashes = append(hashes, ledger.SourceHash{Table: p[0], Object: p[1], Match: p[2], Hash: h})
		}
		return nil
	})
	return hashes, err
}

func (b *book) ForgetSource(ctx context.Context, h ledger.SourceHash) error {
	return b.fenced(ctx, "forget", 0, 0, func() {
		delete(b.world.state.hashes, h.Table+"\x00"+h.Object+"\x00"+h.Match)
		b.trace.add("%s forgets %s", b.name, h.Table)
	})
}

func (b *book) SentChunks(ctx context.Context) (sent []ledger.SentChunk, err error) {
	err = b.call(ctx, "sent chunks", func() error {
		sent = slices.Clone(b.world.state.sent)
		return nil
	})
	return sent, err
}

// settled takes chunks off the list of what was sent.
func (st *store) settled(which func(c ledger.SentChunk) bool) {
	st.sent = slices.DeleteFunc(st.sent, which)
}

func (b *book) BackfillSentTo(ctx context.Context, id int64, chunk int, sentTo []string, rows []ledger.SentRow) error {
	return b.fenced(ctx, "sent to", 0, 0, func() {
		f := b.world.state.backfill(id)
		f.SentTo, f.State = slices.Clone(sentTo), ledger.Running
		b.world.state.settled(func(c ledger.SentChunk) bool { return c.Backfill == id && c.Number == chunk })
		b.world.state.sent = append(b.world.state.sent, ledger.SentChunk{
			Backfill: id, Number: chunk, Table: f.Table, Object: f.Object, Match: f.Match, Rows: slices.Clone(rows),
		})
		b.trace.add("%s backfill %d sent to %v", b.name, id, sentTo)
	})
}

func (b *book) FinishBackfill(ctx context.Context, id int64) error {
	return b.fenced(ctx, "finish", 0, 0, func() {
		b.world.state.backfill(id).State = ledger.Done
		b.trace.add("%s backfill %d finished", b.name, id)
	})
}

func (b *book) FailBackfill(ctx context.Context, id int64, message string) error {
	return b.fenced(ctx, "fail", 0, 0, func() {
		b.world.state.backfill(id).State = ledger.Failed
		b.trace.add("%s backfill %d failed: %s", b.name, id, message)
	})
}

func (b *book) Hold(ctx context.Context, h ledger.Held) error {
	return b.fenced(ctx, "hold", 0, 0, func() {
		st := &b.world.state
		b.trace.add("%s holds %+v", b.name, h)
		for _, known := range st.holds {
			if known.Digest == h.Digest {
				h.HeldAt, h.ResumedAt = known.HeldAt, known.ResumedAt
				*known = h
				return
			}
		}
		st.holds = append(st.holds, &h)
	})
}

func (b *book) Holds(ctx context.Context) (holds []ledger.Held, err error) {
	err = b.call(ctx, "holds", func() error {
		holds = nil
		for _, h := range b.world.state.holds {
			holds = append(holds, *h)
		}
		return nil
	})
	return holds, err
}

func (b *book) ForgetHolds(ctx context.Context, digests []string) error {
	return b.fenced(ctx, "forget holds", 0, 0, func() {
		st := &b.world.state
		st.holds = slices.DeleteFunc(st.holds, func(h *ledger.Held) bool { return slices.Contains(digests, h.Digest) })
	})
}

// resume is what a person does: it lets go what waits. Call it with the lock held.
func (st *store) resume() {
	for _, h := range st.holds {
		if h.ResumedAt.IsZero() {
			h.ResumedAt = time.Now()
			st.trace.add("a person resumes %s", h.Digest)
		}
	}
}

func (b *book) Letters(context.Context, ledger.Filter) ([]ledger.Parked, error) {
	return nil, errors.New("nothing is rechecked here")
}

func (b *book) KeysOf(context.Context, *change.Source, string) ([]string, error) {
	return nil, errors.New("no row is gone here")
}

func (b *book) DeliveredRows(context.Context, string, string, string, string, int) ([]string, string, error) {
	return nil, "", errors.New("no row is gone here")
}

func (b *book) DeliveredFrom(context.Context, *change.Target, []string, []ledger.Feeder) ([]bool, error) {
	return nil, errors.New("no row is gone here")
}

func (b *book) BackfillOpen(ctx context.Context, id int64) (open bool, err error) {
	err = b.call(ctx, "backfill open", func() error {
		f := b.world.state.backfill(id)
		open = f.State == ledger.Waiting || f.State == ledger.Running
		return nil
	})
	return open, err
}

func (b *book) KeysOfRows(context.Context, *change.Source, []string) (map[string][]string, error) {
	return nil, nil // the stream tells of every change of a key
}

func (b *book) RequestLate(context.Context, time.Time, int, string) (int64, error) {
	return 0, nil // the tests look at the list
}

func (b *book) DropLetters(context.Context, ledger.Filter) (int64, error) {
	return 0, errors.New("nobody drops letters here")
}

// covers tells whether an open letter owes the slot of the record, from at on.
func (st *store) covers(target int, key string, rows []string, slot int, at change.Position) (covered, whole bool) {
	for k, l := range st.letters {
		if k.target != target || l.at.Before(at) {
			continue
		}
		if !(k.scope == 0 && k.name == key || slices.Contains(rows, l.row)) {
			continue
		}
		switch {
		case k.slot == slot:
			covered = true
		case k.slot == ledger.WholeRecord && (l.owed[slot] || len(l.owed) == 0):
			covered, whole = true, true
		}
	}
	return covered, whole
}
