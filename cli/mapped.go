package cli

import (
	"bytes"
	"errors"
	"slices"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping"
)

// mapped is what one mapping makes of a row as it is now.
type mapped struct {
	source *change.Source
	row    string
	fate   fate
	// key is the match value; empty unless the row addresses a record.
	key   string
	props change.Props
	// rejection says why the row addresses no record.
	rejection *change.Rejection
}

// fate is what the mapping decides about a row as a whole.
type fate string

const (
	fateSent     fate = "mapped"   // its properties belong into the CRM
	fateGone     fate = "gone"     // it does not satisfy when, and on_delete says what then
	fateExcluded fate = "excluded" // it does not satisfy when, and nothing follows
	fateNoMatch  fate = "no_match" // its match column is NULL
	fateRejected fate = "rejected" // it cannot address a record
)

// rowMapper maps rows that were read. One goroutine.
type rowMapper struct {
	mapper  *mapping.Mapper
	sources []*change.Source
	patches []change.Patch
}

func newRowMapper(m *mapping.Mapping) *rowMapper {
	return &rowMapper{mapper: m.Mapper(), sources: m.Sources()}
}

// row tells what each mapping of the table makes of a row.
func (x *rowMapper) row(rel *change.Relation, values []change.Value) ([]mapped, error) {
	skipped := map[*change.Source]uint64{}
	for _, src := range x.sources {
		skipped[src] = x.mapper.Skipped(src)
	}
	ev := change.Event{Kind: change.Insert, Snapshot: true, Relation: rel, New: values}
	var err error
	if x.patches, err = x.mapper.Map(&ev, x.patches[:0]); err != nil {
		return nil, err
	}
	for i := range x.patches {
		if why := x.patches[i].Unfit; why != "" {
			return nil, errors.New(why)
		}
	}
	var all []mapped
	for _, src := range x.sources {
		if src.Table != rel.String() {
			continue
		}
		m := mapped{source: src, row: keyOfRow(rel, values).String(), fate: fateExcluded}
		if x.mapper.Skipped(src) > skipped[src] {
			m.fate = fateNoMatch
		}
		i := slices.IndexFunc(x.patches, func(p change.Patch) bool { return p.Source == src })
		if i >= 0 {
			m.take(&x.patches[i])
		}
		all = append(all, m)
	}
	return all, nil
}

// rows is row of many.
func (x *rowMapper) rows(rel *change.Relation, rows [][]change.Value) (all []mapped, err error) {
	for _, values := range rows {
		more, err := x.row(rel, values)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// take copies a patch, which is valid until the next row only.
func (m *mapped) take(p *change.Patch) {
	m.key, m.props = string(p.Key), bytes.Clone(p.Props)
	switch {
	case p.Gone:
		m.fate = fateGone
	case p.Rejection != nil:
		m.fate, m.rejection = fateRejected, &change.Rejection{Category: p.Rejection.Category, Reason: p.Rejection.Reason}
	default:
		m.fate = fateSent
	}
}
