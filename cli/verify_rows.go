package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
)

// verifyTable compares rows of one table, and those that differ again.
func (c *verifyCommand) verifyTable(ctx context.Context, rel *change.Relation, report *verification) error {
	r := cdc.Range{Limit: readsAtOnce}
	rows, err := cdc.CountEstimate(ctx, c.conn, rel)
	if err != nil {
		return err
	}
	if !c.all && rows > c.sample {
		r.Where = fmt.Sprintf("pg_catalog.random() < %.9f", float64(c.sample)/float64(rows))
		rows = c.sample
	}
	gauge := c.gauge("verify "+rel.String(), rows, "row", "rows")
	defer gauge.end()
	for _, src := range c.sources(rel) {
		report.table(src)
	}
	mapper := newRowMapper(c.mapping)
	var suspects []rowKey
	err = eachChunk(ctx, c.conn, rel, r, func(chunk cdc.Chunk) error {
		list, err := c.compareRows(ctx, mapper, rel, chunk.Rows)
		if err != nil {
			return err
		}
		differ := map[string]bool{}
		for i := range list {
			if c.judge(&list[i]) != nil {
				differ[list[i].row] = true
			}
		}
		for _, values := range chunk.Rows {
			if key := keyOfRow(rel, values); differ[key.String()] {
				suspects = append(suspects, key)
			}
		}
		for i := range list {
			if !differ[list[i].row] {
				report.count(&list[i], nil)
			}
		}
		gauge.add(len(chunk.Rows))
		return nil
	})
	for look := 1; err == nil && len(suspects) > 0; look++ {
		suspects, err = c.lookAgain(ctx, mapper, rel, suspects, look == looks, report)
	}
	return err
}

// looks is how often rows are looked at again that change while they are compared.
const looks = 3

// lookAgain compares rows that differed: it reads them, waits until what was
// committed by then is accounted for, asks the CRM, and reads them once more.
// What differs then, of rows that stayed the same, differs indeed. Those that did
// not stay the same are returned, or on the last look count as waiting.
func (c *verifyCommand) lookAgain(ctx context.Context, mapper *rowMapper, rel *change.Relation, keys []rowKey, last bool, report *verification) (moving []rowKey, err error) {
	for part := range slices.Chunk(keys, readsAtOnce) {
		before, err := readByKey(ctx, c.conn, rel, part)
		if err != nil {
			return nil, err
		}
		behind, err := c.accounted(ctx)
		if err != nil {
			return nil, err
		}
		list, err := c.compareRows(ctx, mapper, rel, before.Rows)
		if err != nil {
			return nil, err
		}
		moved, err := c.moved(ctx, mapper, rel, part, list)
		if err != nil {
			return nil, err
		}
		for i := range list {
			finding := c.judge(&list[i])
			switch {
			case moved[list[i].row] && !last:
				continue
			case finding == nil:
			case moved[list[i].row]:
				finding.Cause = causeWaiting
			default:
				if err := c.explainCause(ctx, &list[i], finding, behind); err != nil {
					return nil, err
				}
			}
			report.count(&list[i], finding)
		}
		for _, key := range part {
			if moved[key.String()] && !last {
				moving = append(moving, key)
			}
		}
	}
	return moving, nil
}

// moved names the rows of which the mapping makes something else by now.
func (c *verifyCommand) moved(ctx context.Context, mapper *rowMapper, rel *change.Relation, keys []rowKey, list []comparison) (map[string]bool, error) {
	chunk, err := readByKey(ctx, c.conn, rel, keys)
	if err != nil {
		return nil, err
	}
	now, err := mapper.rows(rel, chunk.Rows)
	if err != nil {
		return nil, err
	}
	type sourceRow struct {
		source *change.Source
		row    string
	}
	known := make(map[sourceRow]*mapped, len(now))
	for i := range now {
		known[sourceRow{now[i].source, now[i].row}] = &now[i]
	}
	moved := map[string]bool{}
	for i := range list {
		was := list[i].mapped
		is := known[sourceRow{was.source, was.row}]
		if is == nil || is.fate != was.fate || is.key != was.key || !bytes.Equal(is.props, was.props) {
			moved[was.row] = true
		}
	}
	return moved, nil
}

// compareRows maps rows and compares those that address a record. Rows of which
// nothing is sent come along uncompared.
func (c *verifyCommand) compareRows(ctx context.Context, mapper *rowMapper, rel *change.Relation, rows [][]change.Value) ([]comparison, error) {
	all, err := mapper.rows(rel, rows)
	if err != nil {
		return nil, err
	}
	var list []comparison
	for i := range all {
		if all[i].fate != fateSent {
			list = append(list, comparison{mapped: &all[i]})
		}
	}
	for target, part := range byTarget(all) {
		compared, err := c.compare(ctx, target, part)
		if err != nil {
			return nil, err
		}
		list = append(list, compared...)
	}
	return list, nil
}

// accounted waits until the running instance has accounted for everything that
// was committed before the call, and reports whether one runs that has not: it is
// behind, or something is held back. It writes a mark into the log, whose position
// the instance saves once it has come to it; an idle one saves few others.
func (c *verifyCommand) accounted(ctx context.Context) (behind bool, err error) {
	slot, ok, err := cdc.SlotInfo(ctx, c.conn, c.cfg.Source.Slot)
	if err != nil || !ok || slot.ActivePID == 0 || !c.memory.known {
		return false, err
	}
	at, err := cdc.EmitMark(ctx, c.conn, markPrefix, []byte(pipeline.SaveMark))
	if err != nil {
		return false, err
	}
	wait := c.wait
	if c.behind {
		wait = 0
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		state, _, err := c.memory.Peek(ctx)
		if err != nil || state.Checkpoint >= at {
			return false, err
		}
		if c.behind {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			c.behind = true
		case <-tick.C:
		}
	}
}
