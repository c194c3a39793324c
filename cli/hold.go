package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// heldSamples is how many records of a load are named.
const heldSamples = 5

// countLoad counts the records that a load would change, by what the ledger knows,
// over a connection of its own.
func countLoad(db cdc.Config, found *survey, known *memory) func(context.Context, ledger.Backfill, *change.Source) (pipeline.Tally, error) {
	return func(ctx context.Context, b ledger.Backfill, source *change.Source) (pipeline.Tally, error) {
		rel := found.relation(b.Table)
		if rel == nil {
			return pipeline.Tally{}, fmt.Errorf("table %s is not mapped", b.Table)
		}
		conn, err := cdc.Connect(ctx, db)
		if err != nil {
			return pipeline.Tally{}, err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		c := comparer{memory: known}
		tally := tally{}
		if pk := rel.PrimaryKey; len(pk) != 1 || rel.Columns[pk[0]].Name != found.mapping.MatchColumn(source) {
			tally.seen = matchValues{}
		}
		mapper := newRowMapper(found.mapping)
		err = eachChunk(ctx, conn, rel, cdc.Range{Limit: readsAtOnce, Where: b.Where}, func(chunk cdc.Chunk) error {
			var rows []mapped
			for _, values := range chunk.Rows {
				more, err := mapper.row(rel, values)
				if err != nil {
					return err
				}
				rows = append(rows, more...)
			}
			var sent []*mapped
			for i := range rows {
				if m := &rows[i]; m.source.Index == source.Index && m.fate == fateSent {
					sent = append(sent, m)
				}
			}
			compared, err := c.ledgerOnly(ctx, source.Target, sent)
			for i := range compared {
				tally.row(&compared[i])
			}
			return err
		})
		return tally.Tally, err
	}
}

// tally counts records, each once.
type tally struct {
	pipeline.Tally
	// seen are the match values counted so far; nil where no two rows share one.
	seen matchValues
}

// seenAtMost is how many match values are remembered: beyond them a record that
// several rows feed may count more than once.
const seenAtMost = 500_000

func (t *tally) row(l *comparison) {
	var names []string
	for _, p := range l.props {
		if p.sends {
			names = append(names, p.name)
		}
	}
	if len(names) == 0 {
		return
	}
	if t.seen != nil {
		if t.seen.has(l.source.Target, l.key) {
			return
		}
		if t.Records < seenAtMost {
			t.seen.add(l.mapped)
		}
	}
	t.Records++
	if len(t.Samples) < heldSamples {
		target := l.source.Target
		t.Samples = append(t.Samples, ledger.HeldSample{
			Table: l.source.Table, Row: l.row, Object: target.Object, Match: target.Match, Key: l.key, Properties: names,
		})
	}
}

func (s *survey) relation(table string) *change.Relation {
	for _, rel := range s.relations {
		if rel.String() == table {
			return rel
		}
	}
	return nil
}

// showHeld tells of a held change. Keys are values, and shown only with them.
func showHeld(h ledger.Held, values bool) admin.Held {
	var samples []string
	for _, s := range h.Samples {
		row := "rows of " + s.Table
		if values {
			row = fmt.Sprintf("row %s of %s", s.Row, s.Table)
		}
		samples = append(samples, fmt.Sprintf("%s (%s)", row, s.What()))
	}
	reason := fmt.Sprintf("would change %s, more than PGCRM_HOLD_ABOVE; nothing of it is sent until `pgcrm resume %s`", heldCount(h), h.Digest)
	if len(samples) > 0 {
		reason += "; among them " + strings.Join(distinct(samples), ", ")
	}
	since := h.HeldAt.UTC()
	return admin.Held{What: heldWhat(h), Reason: reason, Digest: h.Digest, Records: h.Records, Partial: h.Partial, Samples: samples, Since: &since}
}

// distinct names each once: without keys five rows of one table read alike.
func distinct(lines []string) (once []string) {
	for _, line := range lines {
		if !slices.Contains(once, line) {
			once = append(once, line)
		}
	}
	return once
}
