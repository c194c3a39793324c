package cli

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// strangers looks for records whose match value no row has: those of rows that
// are gone, and those that pgcrm has never met. It lists the portal's records,
// a hundred a call.
func (c *verifyCommand) strangers(ctx context.Context, tables []*change.Relation, report *verification) error {
	for _, target := range c.mapping.Targets() {
		if target.ByRecordID() || !c.coversTarget(target, tables) {
			continue // every record has an id, and other tables may have the row
		}
		after := ""
		for {
			page, err := c.view.crm.List(ctx, target.Object, after, []string{target.Match})
			if err != nil {
				return err
			}
			for i := range page.Records {
				r := &page.Records[i]
				key, _ := r.Value(target.Match)
				if key == "" || report.keys.has(target, key) {
					continue
				}
				if err := c.stranger(ctx, target, key, r.ID, report); err != nil {
					return err
				}
			}
			if after = page.After; after == "" {
				break
			}
		}
	}
	return nil
}

// coversTarget reports whether every table that feeds the target was compared.
func (c *verifyCommand) coversTarget(target *change.Target, tables []*change.Relation) bool {
	for _, src := range c.mapping.Sources() {
		if src.Target == target && !slices.ContainsFunc(tables, func(rel *change.Relation) bool { return rel.String() == src.Table }) {
			return false
		}
	}
	return true
}

// stranger judges a record whose match value no row has.
func (c *verifyCommand) stranger(ctx context.Context, target *change.Target, key, id string, report *verification) error {
	f := driftRecord{
		Kind: kindExtra, Object: target.Object, Match: target.Match, Key: key,
		CRMID: id, URL: recordURL(c.account, target.Object, id), Detail: "no row has this match value, and pgcrm never wrote the record",
	}
	var trace ledger.Trace
	if c.memory.known {
		var err error
		if trace, _, err = c.memory.Trace(ctx, target, key); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(c.mapping.Sources(), func(s *change.Source) bool { return s.Target == target && s.Table == trace.Table })
	switch {
	case i >= 0:
	case report.keys.excluded(target):
		report.Unjudged++
		return nil
	default:
		report.Extra++
		report.Drift = append(report.Drift, f)
		return nil
	}
	src := c.mapping.Sources()[i]
	f.Kind, f.Table, f.Row = kindOrphaned, trace.Table, trace.Row
	switch src.OnDelete {
	case change.Ignore:
		report.Left++
		return nil
	case change.Archive:
		f.Detail = "its row is gone or does not satisfy when, and on_delete archives the record"
	case change.SetGone:
		found, err := c.comparer.crm.ReadBack(ctx, target, []sink.Job{{Key: key, Props: src.GoneProps}})
		if err != nil {
			return err
		}
		for _, d := range found[0].Differs {
			p, _ := src.GoneProps.Get(d.Slot)
			f.Properties = append(f.Properties, driftProperty{Name: target.Properties[d.Slot], Database: string(p.Text), CRM: d.Stored, Cause: "on_delete"})
		}
		if len(f.Properties) == 0 {
			report.Left++
			return nil
		}
		f.Detail = fmt.Sprintf("its row is gone or does not satisfy when, and on_delete sets %s", plural(int64(src.GoneProps.Len()), "property", "properties"))
	}
	report.bySource[src].Orphaned++
	report.Drift = append(report.Drift, f)
	return nil
}

// matchValues are the match values of the rows that were compared, by target:
// hashes, since there may be millions.
type matchValues map[*change.Target]*valueSet

type valueSet struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
	// excluded is set where rows do not satisfy when: their match values are not
	// known.
	excluded bool
}

func (v matchValues) add(m *mapped) {
	set := v[m.source.Target]
	if set == nil {
		set = &valueSet{seed: maphash.MakeSeed(), hashes: map[uint64]struct{}{}}
		v[m.source.Target] = set
	}
	switch m.fate {
	case fateSent:
		set.hashes[maphash.String(set.seed, m.key)] = struct{}{}
	case fateExcluded, fateGone:
		set.excluded = true
	case fateNoMatch, fateRejected:
	}
}

func (v matchValues) has(target *change.Target, key string) bool {
	set := v[target]
	if set == nil {
		return false
	}
	_, ok := set.hashes[maphash.String(set.seed, key)]
	return ok
}

// excluded reports whether some rows' match values are not known.
func (v matchValues) excluded(target *change.Target) bool {
	return v[target] != nil && v[target].excluded
}
