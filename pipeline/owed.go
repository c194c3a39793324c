package pipeline

import (
	"context"
	"slices"

	"github.com/pgcrm/pgcrm/change"
)

// A mapping may wait for properties of the CRM: one that it writes was deleted or
// became read-only while it was at work. Its rows are mapped as before, since
// redo must meet what was sent before. What it would write is put off when a
// version is taken, and owed, as where a column is missing: so the log is let go,
// and other mappings of the same record go on.

// putOff leaves out of the version what mappings would write that wait.
func (a *attempt) putOff() {
	e := a.entry
	sources := []*change.Source{e.Source}
	for _, o := range e.Also {
		sources = append(sources, o.Source)
	}
	for _, src := range sources {
		if a.Mapper.Waits(src) == "" {
			continue
		}
		its := func(slot int) bool { return slices.Contains(src.Slots, slot) }
		before := len(a.owed)
		for p := range a.diff.Send.All() {
			if its(p.Slot) {
				a.owed = append(a.owed, p.Slot)
			}
		}
		a.diff.Send = a.diff.Send.Without(nil, its)
		if len(a.owed) > before || src == e.Source && a.renames() {
			a.waiting = append(a.waiting, src)
		}
	}
}

// nothingToSend reports whether the version needs no call. A rename by a mapping
// that waits is put off too: the load finds what the record was called.
func (a *attempt) nothingToSend() bool {
	return len(a.diff.Send) == 0 && (!a.renames() || a.waitsItself())
}

// waitsItself reports whether the mapping of the newest change waits.
func (a *attempt) waitsItself() bool { return len(a.waiting) > 0 && a.waiting[0] == a.entry.Source }

// puttingOff completes the outcome of a version that needs no call since it is put
// off. An attempt may have sent it before.
func (a *attempt) puttingOff(o *outcome) {
	if len(a.waiting) == 0 {
		return
	}
	o.name = Coalesced // with what the load will bring
	o.late, o.answered = a.sentBefore(), a.Now()
	if a.waitsItself() {
		o.reread = false
	}
	if a.renames() {
		o.delivery = nil // it was not renamed
	}
}

// owe has the loads filed that make good for what is put off, before anything of
// the version is settled.
func (a *attempt) owe(ctx context.Context) error {
	for _, src := range a.waiting {
		if why := a.Mapper.Waits(src); why != "" { // still
			a.waitFor(src, why)
		}
		debts := []debt{{src, Mended}}
		if src == a.entry.Source && a.entry.Gone {
			debts = append(debts, debt{src, GoneRows})
		}
		for _, d := range debts {
			if err := a.persist(ctx, "owe", func() error { return a.oweLoad(ctx, d) }); err != nil {
				return err
			}
		}
	}
	return nil
}
