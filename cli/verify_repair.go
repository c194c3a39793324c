package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// fileRepairs asks the running instance for what mends the findings.
func (c *verifyCommand) fileRepairs(ctx context.Context, v *verification) error {
	v.Requests = []int64{}
	empty, err := c.emptyTables(ctx, v)
	if err != nil {
		return err
	}
	file := func(r *ledger.Backfill) error {
		r.Estimate = int64(len(r.Keys))
		id, err := c.memory.AddBackfill(ctx, *r)
		v.Requests = append(v.Requests, id)
		r.Keys = nil
		return err
	}
	type request struct{ table, object, match, reason string }
	requests := map[request]*ledger.Backfill{}
	var order []*ledger.Backfill
	left := map[string]int64{}
	for i := range v.Drift {
		f := &v.Drift[i]
		if f.repair == "" {
			continue
		}
		if f.repair == pipeline.RowGone && empty[f.Table] {
			left[f.Table]++
			continue
		}
		what := request{f.Table, f.Object, f.Match, f.repair}
		r := requests[what]
		if r == nil {
			r = &ledger.Backfill{Table: f.Table, Object: f.Object, Match: f.Match, Reason: f.repair}
			requests[what] = r
			order = append(order, r)
		}
		if r.Keys = append(r.Keys, f.Row); len(r.Keys) == keysPerRequest {
			if err := file(r); err != nil {
				return err
			}
		}
	}
	for _, r := range order {
		if len(r.Keys) > 0 {
			if err := file(r); err != nil {
				return err
			}
		}
	}
	for table, n := range left {
		v.NotRepaired = append(v.NotRepaired, fmt.Sprintf("%s is empty, as after TRUNCATE: %s of its rows left as they are",
			table, plural(n, "record", "records")))
	}
	if v.Drifted > driftKept {
		v.NotRepaired = append(v.NotRepaired, fmt.Sprintf("asked for the first %s; run it again once they are repaired", thousands(driftKept)))
	}
	return nil
}

// emptyTables tells which of the tables whose rows are gone have none at all.
func (c *verifyCommand) emptyTables(ctx context.Context, v *verification) (map[string]bool, error) {
	empty := map[string]bool{}
	for i := range v.Drift {
		table := v.Drift[i].Table
		if _, asked := empty[table]; asked || v.Drift[i].repair != pipeline.RowGone {
			continue
		}
		chunk, err := cdc.ReadChunk(ctx, c.conn, c.relation(table), cdc.Range{Limit: 1})
		if err != nil {
			return nil, err
		}
		empty[table] = len(chunk.Rows) == 0
	}
	return empty, nil
}

// keyOf takes a row's key, as a trace or a letter names it, apart; false of one
// that is too long to be named.
func keyOf(columns int, row string) (rowKey, bool) {
	if strings.HasPrefix(row, "\x00") {
		return nil, false
	}
	if columns == 1 {
		return rowKey{row}, true
	}
	var key rowKey
	if err := json.Unmarshal([]byte(row), &key); err != nil || len(key) != columns {
		return nil, false
	}
	return key, true
}
