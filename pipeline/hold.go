package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// Where Config.HoldAbove is set, a change of more records than that waits for a
// person. A transaction's versions are withheld until it is read whole; then they
// are let go, or wait on, in the queue, where they keep the checkpoint and where
// newer changes merge into them. After a restart redo finds the same transaction,
// and its digest is the same. That it was let go is in the ledger before anything
// of it is sent.
//
// The reader alone decides and releases. The loop that watches the ledger only
// tells it what a person has decided.

// sampleRecords is how many of the records are named.
const sampleRecords = 5

// Tally is what a change comes to.
type Tally struct {
	Records int64
	Samples []ledger.HeldSample
}

// gate is what is known of changes that wait.
type gate struct {
	news atomic.Bool // one that waits was let go

	mu    sync.Mutex
	letGo map[string]change.LSN // by digest; the commit position of transactions
	held  []*held
}

// held is a change that waits.
type held struct {
	ledger.Held
	versions *sink.Hold // of a transaction
	resumed  bool
}

// recallHolds reads, before the stream is, what was let go, and forgets what is
// over.
func (s *session) recallHolds(ctx context.Context) error {
	s.gate.letGo = map[string]change.LSN{}
	holds, err := s.Ledger.Holds(ctx)
	if err != nil || len(holds) == 0 {
		return ofLedger(err)
	}
	loads, err := s.Ledger.Backfills(ctx)
	if err != nil {
		return ofLedger(err)
	}
	var over []string
	for _, h := range holds {
		open := slices.ContainsFunc(loads, func(b ledger.Backfill) bool { return b.ID == h.Backfill })
		switch {
		case s.HoldAbove == nil, h.Backfill == 0 && h.Commit < s.state.Checkpoint, h.Backfill != 0 && !open:
			over = append(over, h.Digest)
		case !h.ResumedAt.IsZero():
			s.gate.letGo[h.Digest] = h.Commit
		}
	}
	if len(over) == 0 {
		return nil
	}
	return ofLedger(s.Ledger.ForgetHolds(ctx, over))
}

// passes reports whether a person has let the change go on.
func (g *gate) passes(digest func() string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.letGo) == 0 {
		return false
	}
	_, ok := g.letGo[digest()]
	return ok
}

func (g *gate) add(h *held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = append(g.held, h)
}

// update replaces what is known of a change that waits.
func (g *gate) update(h *held, now ledger.Held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.Held = now
}

// takeResumed takes the transactions out that a person has let go.
func (g *gate) takeResumed() (resumed []*held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = slices.DeleteFunc(g.held, func(h *held) bool {
		if h.resumed {
			resumed = append(resumed, h)
		}
		return h.resumed
	})
	return resumed
}

func (g *gate) remove(h *held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = slices.DeleteFunc(g.held, func(other *held) bool { return other == h })
}

// list is what waits, oldest first.
func (g *gate) list() []*held {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.held)
}

func (g *gate) status() []ledger.Held {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []ledger.Held
	for _, h := range g.held {
		list = append(list, h.Held)
	}
	return list
}

// withdrawn takes the loads out that wait and are not among those that are open.
func (g *gate) withdrawn(open []ledger.Backfill) (loads []*held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = slices.DeleteFunc(g.held, func(h *held) bool {
		over := h.Backfill != 0 && !slices.ContainsFunc(open, func(b ledger.Backfill) bool { return b.ID == h.Backfill })
		if over {
			loads = append(loads, h)
		}
		return over
	})
	return loads
}

// loadHeld reports whether the load waits.
func (g *gate) loadHeld(id int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.held, func(h *held) bool { return h.Backfill == id })
}

// resume takes note of what a person has let go, and returns the loads among it.
func (g *gate) resume(holds []ledger.Held) (loads []*held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range holds {
		if d.ResumedAt.IsZero() {
			continue
		}
		for _, h := range g.held {
			if h.Digest != d.Digest || h.resumed {
				continue
			}
			h.resumed = true
			g.letGo[h.Digest] = h.Commit
			if h.versions == nil {
				loads = append(loads, h)
			} else {
				g.news.Store(true)
			}
		}
	}
	g.held = slices.DeleteFunc(g.held, func(h *held) bool { return h.resumed && h.versions == nil })
	return loads
}

// over lists the transactions that were let go and are settled.
func (g *gate) over(checkpoint change.LSN) (digests []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for digest, commit := range g.letGo {
		if commit != 0 && commit < checkpoint {
			digests = append(digests, digest)
		}
	}
	return digests
}

func (g *gate) forget(digests []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range digests {
		delete(g.letGo, d)
	}
}

func (g *gate) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.held)+len(g.letGo) == 0
}

// holdLoop looks in the ledger for what a person has decided, and has the reader
// wake for it.
func (s *session) holdLoop(ctx context.Context) error {
	for {
		if err := sleep(ctx, requestPoll); err != nil {
			return nil //nolint:nilerr // told to stop
		}
		if s.gate.idle() {
			continue
		}
		err := s.persist(ctx, "list_holds", func() error {
			holds, err := s.Ledger.Holds(ctx)
			if err != nil {
				return err
			}
			for _, h := range s.gate.resume(holds) {
				s.logResumed(h)
			}
			over := s.gate.over(change.LSN(s.saved.Load()))
			if len(over) == 0 {
				return nil
			}
			s.gate.forget(over)
			return s.Ledger.ForgetHolds(ctx, over)
		})
		if err != nil {
			return unlessEnded(ctx, err)
		}
		if s.gate.news.Load() {
			s.stream.RequestProgress() // the answer wakes the reader
		}
	}
}

func (s *session) logResumed(h *held) {
	s.Log.Info("resumed", "digest", h.Digest, "records", h.Records)
}

// noteHeld writes down that a change waits, and says so.
func (s *session) noteHeld(ctx context.Context, h *held, what string) error {
	if err := s.Ledger.Hold(ctx, h.Held); err != nil {
		return ofLedger(err)
	}
	s.gate.add(h)
	s.Log.Warn("held", "digest", h.Digest, "what", what, "records", h.Records, "count", countInWords(h.Partial), "hold_above", *s.HoldAbove,
		"samples", samplesInWords(h.Samples),
		"note", "nothing of it is sent until you run: pgcrm resume "+h.Digest+
			" (`pgcrm resume` names the records). Other changes go on while PGCRM_BUFFER_BYTES has room, and the server keeps its log meanwhile. If it is a mistake, put the rows right: what is then unchanged is not sent")
	return nil
}

// samplesInWords names no record, since keys are values, and what is alike once.
func samplesInWords(samples []ledger.HeldSample) string {
	var words []string
	for _, r := range samples {
		if word := fmt.Sprintf("rows of %s (%s)", r.Table, r.What()); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// tally counts the versions that would change the CRM, as far as the ledger knows
// it. That a version is in doubt has it sent, and says nothing of change. some is
// told of each.
func (s *session) tally(ctx context.Context, entries []*sink.Entry, each func(e *sink.Entry, changes bool)) (t Tally, err error) {
	byTarget := map[*change.Target][]*sink.Entry{}
	var targets []*change.Target
	for _, e := range entries {
		target := e.Source.Target
		if byTarget[target] == nil {
			targets = append(targets, target)
		}
		byTarget[target] = append(byTarget[target], e)
	}
	for _, target := range targets {
		for batch := range slices.Chunk(byTarget[target], lookupRows) {
			turn(ctx)
			if _, err := s.stream.KeepAlive(ctx); err != nil {
				return t, err
			}
			records, err := s.Ledger.Lookup(ctx, target, lookupKeys(batch))
			if err != nil {
				return t, ofLedger(err)
			}
			for i, found := range s.remember(batch, records) {
				a := &attempt{session: s, entry: batch[i], remembered: found}
				slots, changes := a.changes()
				if each != nil {
					each(a.entry, changes)
				}
				if !changes {
					continue
				}
				t.Records++
				if len(t.Samples) < sampleRecords {
					t.Samples = append(t.Samples, sampleOf(a.entry, slots))
				}
			}
		}
	}
	return t, nil
}

// changes reports whether the version would change the record, and by which
// properties.
func (a *attempt) changes() (slots []int, changes bool) {
	if a.settled {
		return nil, false
	}
	return changesOf(a.entry, a.now, a.renames(), a.Ledger.Fingerprint)
}

// changesOf compares a version with what is known of its record.
func changesOf(e *sink.Entry, now *change.Record, renames bool, fingerprint func([]byte) uint64) (slots []int, changes bool) {
	switch {
	case e.Rejection != nil, e.GoneOnly && now == nil:
		return nil, false
	case e.Archives():
		return nil, true
	}
	compared := sink.Entry{Source: e.Source, Props: e.Props} // not in doubt
	for p := range compared.Diff(now, fingerprint).Send.All() {
		slots = append(slots, p.Slot)
	}
	return slots, len(slots) > 0 || renames
}

func sampleOf(e *sink.Entry, slots []int) ledger.HeldSample {
	target := e.Source.Target
	sample := ledger.HeldSample{
		Table: e.Source.Table, Row: e.Row, Object: target.Object, Match: target.Match, Key: e.Key, Archives: e.Archives(),
	}
	for _, slot := range slots {
		sample.Properties = append(sample.Properties, target.Properties[slot])
	}
	if e.OldKey != "" {
		sample.Key = e.OldKey
		sample.Properties = append(sample.Properties, target.Match)
	}
	return sample
}

// digestOf names a change: short enough to be typed, long enough to be meant.
func digestOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}
