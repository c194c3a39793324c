package ledger

import (
	"context"
	"iter"
)

// A letter about a whole record names the row of its newest change. Where several
// tables feed the record, the rows of the others stand in a table of their own: once
// the record is there it lacks what all of them say.

// Of a letter that a change of another table is about to take over, the row is kept;
// then those are added that are not its own.
var (
	displaceStatement = statement{"displace", `INSERT INTO letter_feeder AS r (letter, source, row_key)
		SELECT DISTINCT l.id, l.source, l.row_key
		FROM unnest($1::int2[], $2::bytea[], $3::int2[], $4::bytea[]) AS n(target, name, source, row_key)
		JOIN letter l ON l.target = n.target AND l.scope = 0 AND l.name = n.name AND l.property = -1 AND l.source <> n.source
		ON CONFLICT (letter, source) DO UPDATE SET row_key = excluded.row_key WHERE r.row_key <> excluded.row_key`}
	letterFeederStatement = statement{"letter_feeder", `INSERT INTO letter_feeder AS r (letter, source, row_key)
		SELECT l.id, n.source, n.row_key
		FROM unnest($1::int2[], $2::bytea[], $3::int2[], $4::bytea[]) AS n(target, name, source, row_key)
		JOIN letter l ON l.target = n.target AND l.scope = 0 AND l.name = n.name AND l.property = -1 AND l.source <> n.source
		ON CONFLICT (letter, source) DO UPDATE SET row_key = excluded.row_key WHERE r.row_key <> excluded.row_key`}
)

// letterFeeders adds the rows of letters about whole records that several tables feed,
// around what open does.
func (l *Ledger) letterFeeders(ctx context.Context, t *transaction, letters []Letter, open func()) error {
	type place struct {
		target int16
		name   string
		source int16
	}
	rows := map[place]string{}
	var order []place
	for i := range letters {
		letter := &letters[i]
		of := l.names.target(letter.Source.Target)
		if letter.Slot != WholeRecord || letter.Key == "" || !l.names.several(of.id) {
			continue
		}
		for _, row := range append([]Feeder{{Source: letter.Source, Row: letter.Row}}, letter.Also...) {
			source, err := l.internSource(ctx, row.Source)
			if err != nil {
				return err
			}
			p := place{of.id, address(letter.Key), source}
			if _, known := rows[p]; !known {
				order = append(order, p)
			}
			rows[p] = row.Row
		}
	}
	if len(order) == 0 {
		open()
		return nil
	}
	var target, name, source, row array
	target.reset(oidInt2)
	name.reset(oidBytea)
	source.reset(oidInt2)
	row.reset(oidBytea)
	for _, p := range order {
		target.addInt2(p.target)
		name.addString(p.name)
		source.addInt2(p.source)
		row.addString(rows[p])
	}
	params := [][]byte{target.bytes(), name.bytes(), source.bytes(), row.bytes()}
	t.add(displaceStatement, params...)
	open()
	t.add(letterFeederStatement, params...)
	return nil
}

// ParkedRow is a row that a parked record is to be delivered from.
type ParkedRow struct {
	Table string
	Row   string // primary key
}

// Rows are the rows to read for the letter to be tried again; those whose key is
// not known are left out.
func (p *Parked) Rows() iter.Seq[ParkedRow] {
	return func(yield func(ParkedRow) bool) {
		if p.Row != "" && !yield(ParkedRow{p.Table, p.Row}) {
			return
		}
		for _, also := range p.Also {
			if also.Row != "" && !yield(also) {
				return
			}
		}
	}
}
