package pipeline

import (
	"context"
	"sync"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// unfit are the mappings that wait because their table does not fit them: a
// column is missing, say; or the CRM's properties do not, see putOff. The stream is
// read on all the same. What it says of such a table is left out and owed: a load of
// the table is in the ledger before the checkpoint can pass the first change that
// was left out.
//
// A load pays for a change if it reads the row after it. So one load is enough
// until it has begun, which is when its first chunk was read; what is left out
// while that is read spoils it.
type unfit struct {
	mu  sync.Mutex
	why map[*change.Source]string

	asking sync.Mutex
	owing  map[debt]int64 // the load that is asked for and has not begun
}

// debt is a load that is owed to a mapping: of its rows, or of those that are gone.
type debt struct {
	source *change.Source
	reason string
}

// recall is told of every load in the ledger.
func (u *unfit) recall(src *change.Source, b ledger.Backfill) {
	if b.Reason != Mended && b.Reason != GoneRows || len(b.SentTo) > 0 || len(b.DoneTo) > 0 {
		return
	}
	u.asking.Lock()
	defer u.asking.Unlock()
	u.owe(debt{src, b.Reason}, b.ID)
}

func (u *unfit) owe(d debt, id int64) {
	if u.owing == nil {
		u.owing = map[debt]int64{}
	}
	u.owing[d] = id
}

// begun is told that a load is about to send rows.
func (u *unfit) begun(src *change.Source, b ledger.Backfill) {
	u.asking.Lock()
	defer u.asking.Unlock()
	if d := (debt{src, b.Reason}); u.owing[d] == b.ID {
		delete(u.owing, d)
	}
}

// set takes note of why a mapping waits, and reports whether that is news.
func (u *unfit) set(src *change.Source, why string) (news bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.why == nil {
		u.why = map[*change.Source]string{}
	}
	news = u.why[src] != why
	u.why[src] = why
	return news
}

// clear is told that the mapping fits, and reports whether it waited.
func (u *unfit) clear(src *change.Source) (waited bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, waited = u.why[src]
	delete(u.why, src)
	return waited
}

func (u *unfit) any() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.why) > 0
}

func (u *unfit) addTo(held map[string]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for src, why := range u.why {
		held[HeldName(src)] = why
	}
}

// HeldName names a mapping that waits for its table in Status.Held.
func HeldName(src *change.Source) string { return src.Table + " -> " + src.Target.Object }

// fitting leaves the patches of mappings out that cannot take the change, and
// sees to it that the change is owed to them.
func (s *session) fitting(ctx context.Context, patches []change.Patch) ([]change.Patch, error) {
	fit := patches[:0]
	for i := range patches {
		p := patches[i]
		if p.Unfit == "" {
			if s.read.unfit && !p.Gone {
				s.fits(p.Source)
				s.read.unfit = s.unfit.any()
			}
			fit = append(fit, p)
			continue
		}
		s.read.unfit = true
		if err := s.owe(ctx, p.Source, p.Unfit); err != nil {
			return nil, err
		}
	}
	return fit, nil
}

// owe has the mapping wait, and its rows loaded once it goes on.
func (s *session) owe(ctx context.Context, src *change.Source, why string) error {
	s.waitFor(src, why)
	return s.oweLoad(ctx, debt{src, Mended})
}

func (s *session) waitFor(src *change.Source, why string) {
	if s.unfit.set(src, why) {
		s.Log.Error("mapping_waits", "table", src.Table, "object", src.Target.Object, "match", src.Target.Match, "problem", why,
			"note", "what changes in the table is left out and owed: its rows are loaded once it is mended; everything else goes on")
	}
}

// oweLoad sees to it that a load is in the ledger which has not begun.
func (s *session) oweLoad(ctx context.Context, d debt) error {
	src := d.source
	s.loads.spoil(src) // before it is seen whether a load has begun
	s.unfit.asking.Lock()
	defer s.unfit.asking.Unlock()
	if s.unfit.owing[d] != 0 {
		return nil
	}
	id, err := s.Ledger.AddBackfill(ctx, ledger.Backfill{
		Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Reason: d.reason,
	})
	if err != nil {
		return ofLedger(err)
	}
	s.unfit.owe(d, id)
	return nil
}

// fits is told that the mapping fits its table. It may still wait for properties.
func (s *session) fits(src *change.Source) {
	if s.Mapper.Waits(src) == "" && s.unfit.clear(src) {
		s.Log.Info("mapping_goes_on", "table", src.Table, "object", src.Target.Object, "match", src.Target.Match)
	}
}
