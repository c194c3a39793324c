package cli

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// stranger is a record of the portal whose match value none of the rows had that
// were compared.
type stranger struct{ key, id string }

// strangers looks for records whose match value no row has: those of rows that
// are gone, and those that pgcrm has never met. It lists the portal's records,
// a hundred a call.
func (c *verifyCommand) strangers(ctx context.Context, tables []*change.Relation, report *verification) error {
	for _, target := range c.mapping.Targets() {
		if target.ByRecordID() || !c.coversTarget(target, tables) {
			continue // every record has an id, and other tables may have the row
		}
		var found []stranger
		judge := func() error {
			err := c.judgeStrangers(ctx, target, found, report)
			found = found[:0]
			return err
		}
		gauge := c.gauge("list "+target.Object, 0, "record", "records")
		after := ""
		for listed := 0; listed == 0 || after != ""; {
			if listed >= c.records {
				report.Unlisted = append(report.Unlisted, target.Object)
				break
			}
			page, err := c.view.crm.List(ctx, target.Object, after, []string{target.Match})
			if err != nil {
				gauge.end()
				return err
			}
			gauge.add(len(page.Records))
			for i := range page.Records {
				r := &page.Records[i]
				if key, _ := r.Value(target.Match); key != "" && !report.keys.has(target, key) {
					found = append(found, stranger{key, r.ID})
				}
			}
			if len(found) >= readsAtOnce {
				if err := judge(); err != nil {
					return err
				}
			}
			listed += max(1, len(page.Records))
			after = page.After
		}
		gauge.end()
		if err := judge(); err != nil {
			return err
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

// leftRecord is a record that was delivered from a row that no longer feeds it.
type leftRecord struct {
	driftRecord
	source *change.Source
}

// judgeStrangers looks at strangers again, once what was committed by now is
// accounted for: rows may have come and gone since the tables were read.
func (c *verifyCommand) judgeStrangers(ctx context.Context, target *change.Target, found []stranger, report *verification) error {
	if len(found) == 0 {
		return nil
	}
	if _, err := c.accounted(ctx); err != nil {
		return err
	}
	traces, err := c.traces(ctx, target, found)
	if err != nil {
		return err
	}
	var left []leftRecord
	var unmet []stranger
	for i, s := range found {
		trace := traces[i]
		n := slices.IndexFunc(c.mapping.Sources(), func(s *change.Source) bool { return s.Target == target && s.Table == trace.Table })
		if n < 0 {
			unmet = append(unmet, s)
			continue
		}
		left = append(left, leftRecord{source: c.mapping.Sources()[n], driftRecord: driftRecord{
			Kind: kindExtra, Table: trace.Table, Row: trace.Row, Object: target.Object, Match: target.Match, Key: s.key,
			CRMID: s.id, URL: recordURL(c.account, target.Object, s.id),
		}})
	}
	if err := c.judgeLeft(ctx, target, left, report); err != nil {
		return err
	}
	return c.judgeUnmet(ctx, target, unmet, report)
}

// traces tells where records came from; the zero trace of those that the ledger
// does not know.
func (c *verifyCommand) traces(ctx context.Context, target *change.Target, found []stranger) ([]ledger.Trace, error) {
	traces := make([]ledger.Trace, len(found))
	if !c.memory.known {
		return traces, nil
	}
	keys := make([]string, len(found))
	for i := range found {
		keys[i] = found[i].key
	}
	records, err := c.memory.Lookup(ctx, target, keys)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if records[i] == nil {
			continue
		}
		if traces[i], _, err = c.memory.Trace(ctx, target, keys[i]); err != nil {
			return nil, err
		}
	}
	return traces, nil
}

// judgeLeft compares with what on_delete wants.
func (c *verifyCommand) judgeLeft(ctx context.Context, target *change.Target, left []leftRecord, report *verification) error {
	rows, err := c.rowsOf(ctx, left)
	if err != nil {
		return err
	}
	var jobs []sink.Job
	var judged []*leftRecord
	for i := range left {
		l := &left[i]
		switch {
		case l.fedBy(rows[l.Table]):
		case l.source.OnDelete == change.Ignore:
			report.Left++
		default:
			jobs = append(jobs, sink.Job{Key: l.Key, Props: l.source.GoneProps})
			judged = append(judged, l)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	found, behind, err := c.readOnceAccounted(ctx, target, jobs)
	if err != nil {
		return err
	}
	if rows, err = c.rowsOf(ctx, left); err != nil {
		return err
	}
	for i, l := range judged {
		if found[i].Found == sink.NotFound || l.fedBy(rows[l.Table]) {
			continue // archived meanwhile, or the row is back
		}
		l.Detail += ", and on_delete archives the record"
		if l.source.OnDelete == change.SetGone {
			for _, d := range found[i].Differs {
				p, _ := l.source.GoneProps.Get(d.Slot)
				l.Properties = append(l.Properties, driftProperty{Name: target.Properties[d.Slot], Database: string(p.Text), CRM: d.Stored, Cause: "on_delete"})
			}
			if len(l.Properties) == 0 {
				report.Left++
				continue
			}
		}
		if behind {
			report.bySource[l.source].Waiting++
			continue
		}
		report.bySource[l.source].Extra++
		report.drift(&l.driftRecord)
	}
	return nil
}

// readOnceAccounted asks the CRM for records once that is accounted for which was
// seen of their rows.
func (c *verifyCommand) readOnceAccounted(ctx context.Context, target *change.Target, jobs []sink.Job) (found []sink.ReadBack, behind bool, err error) {
	if behind, err = c.accounted(ctx); err != nil {
		return nil, false, err
	}
	found, err = c.comparer.crm.ReadBack(ctx, target, jobs)
	return found, behind, err
}

// rowsOf reads the rows that the records were delivered from, as they are now: by
// table and key what the mappings make of them.
func (c *verifyCommand) rowsOf(ctx context.Context, left []leftRecord) (map[string]map[string][]mapped, error) {
	keys := map[string][]rowKey{}
	for i := range left {
		l := &left[i]
		if key, ok := keyOf(len(c.relation(l.Table).PrimaryKey), l.Row); ok {
			keys[l.Table] = append(keys[l.Table], key)
		}
	}
	rows := map[string]map[string][]mapped{}
	mapper := newRowMapper(c.mapping)
	for table, list := range keys {
		rel := c.relation(table)
		chunk, err := readByKey(ctx, c.conn, rel, list)
		if err != nil {
			return nil, err
		}
		rows[table] = map[string][]mapped{}
		for _, key := range list {
			rows[table][key.String()] = nil
		}
		for _, values := range chunk.Rows {
			if rows[table][keyOfRow(rel, values).String()], err = mapper.row(rel, values); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// relation is a mapped table, which must be one.
func (c *verifyCommand) relation(table string) *change.Relation {
	i := slices.IndexFunc(c.relations, func(rel *change.Relation) bool { return rel.String() == table })
	return c.relations[i]
}

// fedBy says what became of the record's row and how the record is mended, and
// reports whether the row feeds it, as one does that came or changed since its
// table was read.
func (l *leftRecord) fedBy(rows map[string][]mapped) bool {
	row, asked := rows[l.Row]
	switch {
	case !asked:
		l.Detail = "its row has another kind of key by now, or a very long one"
		return false
	case row == nil:
		l.Detail, l.repair = "its row is gone", pipeline.RowGone
		return false
	}
	for i := range row {
		switch m := &row[i]; {
		case m.source != l.source:
		case m.fate == fateSent && m.key == l.Key, m.fate == fateRejected:
			return true
		case m.fate == fateGone || m.fate == fateExcluded:
			l.Detail, l.repair = "its row does not satisfy when", pipeline.Repair
		default:
			l.Detail = "its row has another match value"
		}
	}
	return false
}

// judgeUnmet looks for rows with the match values of records that the ledger does
// not know: such as do not satisfy when, or are new and not delivered yet.
func (c *verifyCommand) judgeUnmet(ctx context.Context, target *change.Target, unmet []stranger, report *verification) error {
	if len(unmet) == 0 {
		return nil
	}
	keys := make([]string, len(unmet))
	for i := range unmet {
		keys[i] = unmet[i].key
	}
	has := map[string]bool{}
	told := true // a row's match value reads as the CRM's does
	for _, src := range c.mapping.Sources() {
		if src.Target != target {
			continue
		}
		plain, err := c.rowsWith(ctx, src, keys, has)
		if err != nil {
			return err
		}
		told = told && plain
	}
	unmet = slices.DeleteFunc(unmet, func(s stranger) bool { return has[s.key] })
	if len(unmet) == 0 {
		return nil
	}
	jobs := make([]sink.Job, len(unmet))
	for i, s := range unmet {
		jobs[i].Key = s.key
	}
	found, _, err := c.readOnceAccounted(ctx, target, jobs)
	if err != nil {
		return err
	}
	for i, s := range unmet {
		switch {
		case found[i].Found == sink.NotFound: // its row came and went
		case !told && report.keys.excluded(target):
			report.Unjudged++
		default:
			report.Orphaned++
			report.drift(&driftRecord{
				Kind: kindOrphaned, Object: target.Object, Match: target.Match, Key: s.key,
				CRMID: s.id, URL: recordURL(c.account, target.Object, s.id), Detail: "no row has this match value, and pgcrm never wrote the record",
			})
		}
	}
	return nil
}

// rowsWith marks those match values that rows of the source have, and reports
// whether the column's text is what the CRM is sent.
func (c *verifyCommand) rowsWith(ctx context.Context, src *change.Source, keys []string, has map[string]bool) (plain bool, err error) {
	rel := c.relation(src.Table)
	name := c.mapping.MatchColumn(src)
	column := pgx.Identifier{name}.Sanitize()
	rows, _ := c.conn.Query(ctx, "SELECT DISTINCT "+column+"::pg_catalog.text FROM "+pgx.Identifier{rel.Schema, rel.Name}.Sanitize()+
		" WHERE "+column+"::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($1)", keys)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, fmt.Errorf("look for match values in %s: %w", rel, err)
	}
	for _, v := range values {
		has[v] = true
	}
	i := slices.IndexFunc(rel.Columns, func(col change.Column) bool { return col.Name == name })
	return i >= 0 && slices.Contains([]string{"int2", "int4", "int8", "text", "varchar", "uuid"}, rel.Columns[i].Type.Name), nil
}

// matchValues are the match values of the rows that were compared, by target:
// hashes, since there may be millions.
type matchValues map[*change.Target]*valueSet

type valueSet struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
	// excluded is set where rows do not satisfy when.
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

// excluded reports whether some rows do not satisfy when.
func (v matchValues) excluded(target *change.Target) bool {
	return v[target] != nil && v[target].excluded
}
