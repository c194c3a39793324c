package pipeline_test

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// history is what the database said of each record, in order of commit, and the
// checks of pgcrm's promises against it. It knows nothing of how pgcrm works.
type history struct {
	*world
	records []*record
	byKey   map[recordKey]*record // whom a key means at the end of the log
}

// version is a property as one change left it.
type version struct {
	at     change.Position
	value  cell
	silent bool // no change carried it
}

func (h *history) init(w *world) {
	h.world = w
	h.byKey = map[recordKey]*record{}
}

// of returns the record that the key means, making a new one where there is none.
func (h *history) of(table int, key string) *record {
	k := recordKey{table, key}
	r := h.byKey[k]
	if r == nil {
		r = &record{n: len(h.records), id: strconv.Itoa(1000 + len(h.records)), target: table}
		h.records = append(h.records, r)
		h.byKey[k] = r
	}
	return r
}

func (h *history) ofKey(table int, key string) *record { return h.byKey[recordKey{table, key}] }

// named tells which record a value belongs to: all values say it, "a7@3".
func named(text []byte) (int, bool) {
	_, n, ok := strings.Cut(string(text), "@")
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(n)
	return i, err == nil
}

// meant is the record that a job is about.
func (h *history) meant(target int, j *sink.Job) *record {
	for p := range j.Props.All() {
		if n, ok := named(p.Text); ok {
			return h.records[n]
		}
	}
	for _, key := range []string{j.Key, j.RenameTo} {
		if r := h.crm.byKey[recordKey{target, key}]; r != nil {
			return r
		}
	}
	return h.of(target, jobKey(j))
}

// commit takes note of a change.
func (h *history) commit(at change.Position, c rowChange) {
	if c.after == nil {
		// Nothing is owed to the record of a row that is gone.
		if r := h.ofKey(c.before.id.table, strings.TrimPrefix(c.before.key, string(mappingRefuses))); r != nil {
			r.void = [2]int{len(r.versions[0]), len(r.versions[1])}
		}
		return
	}
	table := c.after.id.table
	if c.after.key[0] == mappingRefuses {
		return // it addresses no record
	}
	if c.before != nil && c.before.key != c.after.key && c.before.key[0] != mappingRefuses {
		from := recordKey{table, c.before.key}
		h.byKey[recordKey{table, c.after.key}] = h.byKey[from]
		h.byKey[from].renamed = true
		delete(h.byKey, from)
	}
	r := h.of(table, c.after.key)
	if pk := strconv.Itoa(c.after.id.id); !slices.Contains(r.rows, pk) {
		r.rows = append(r.rows, pk)
	}
	for slot, carried := range c.carries {
		appears := c.before != nil && c.before.key[0] == mappingRefuses
		if carried || appears {
			c.after.versions[slot] = len(r.versions[slot])
			r.versions[slot] = append(r.versions[slot], version{at, c.after.cells[slot], !carried})
		}
	}
}

// sent checks that no older value goes out after a newer one. A value that the
// database had more than once is taken for the earliest that it can be.
func (h *history) sent(p *process, target *change.Target, j *sink.Job) {
	if p.overtaken && h.lease == 0 {
		return // nothing keeps a living predecessor from sending, but the lease
	}
	r := h.meant(target.Index, j)
	there := h.crm.byKey[recordKey{target.Index, j.Key}] == r || j.RenameTo != "" && h.crm.byKey[recordKey{target.Index, j.RenameTo}] == r
	if !there && (r.exists || j.Missing != change.Create) {
		return // it reaches no record; in redo a rename may have been applied before
	}
	for prop := range j.Props.All() {
		want := cell{text: string(prop.Text)}
		if prop.Kind == change.Clear {
			want = cell{null: true}
			if j.RenameTo != "" {
				continue // it does not say which record it is about
			}
		}
		if len(r.versions[prop.Slot]) == 0 {
			continue // the key means nothing any more, and NULL does not tell whose it was
		}
		i := r.sent[prop.Slot]
		for i < len(r.versions[prop.Slot]) && r.versions[prop.Slot][i].value != want {
			i++
		}
		if i == len(r.versions[prop.Slot]) {
			h.fault("%s sends %s of record %d %s=%v after %v, which is newer", p.name, jobKey(j), r.n,
				target.Properties[prop.Slot], want, r.versions[prop.Slot][r.sent[prop.Slot]].value)
			return
		}
		r.sent[prop.Slot] = i
		if at := r.versions[prop.Slot][i].at; at.LSN >= h.state.bound && at.LSN > 0 {
			h.fault("%s sends %s at %v, not below the bound %v", p.name, jobKey(j), at, h.state.bound)
		}
	}
}

// begin is a session's. A record that was renamed is in two entries of the queue:
// in redo the value before may go out once more, right before the rename and what
// came with it. Within a session it never goes back.
func (h *history) begin() {
	for _, r := range h.records {
		if r.renamed {
			r.sent = [2]int{}
		}
	}
}

// accounted reports whether the database's version i of a property is delivered,
// superseded by a later one, or in a letter.
func (h *history) accounted(r *record, slot, i int) bool {
	for j, v := range r.versions[slot][i:] {
		if h.holds(r, slot, v.value) || j > 0 && other(v.value) && r.values[slot] == substitute {
			return true
		}
	}
	since := r.versions[slot][i].at
	if v := r.versions[slot][i]; v.silent || other(v.value) {
		since = change.Position{} // what is not stored is sent once, and its letter stays
	}
	covered, _ := h.state.covers(r.target, h.keyOf(r), r.rows, slot, since)
	return covered || h.owed(r) || h.policy == change.Skip && !r.exists
}

// owed reports whether a load is in the ledger, and has yet to come to the record's
// rows, that makes good for what a mapping left out.
func (h *history) owed(r *record) bool {
	return slices.ContainsFunc(h.state.backfills, func(b *ledger.Backfill) bool {
		open := b.Reason == pipeline.Mended && (b.State == ledger.Waiting || b.State == ledger.Running)
		return open && (len(b.DoneTo) == 0 || slices.ContainsFunc(r.rows, func(row string) bool { return row > b.DoneTo[0] }))
	})
}

// holds reports whether the CRM has what the value asks for.
func (h *history) holds(r *record, slot int, value cell) bool {
	switch {
	case !plain(value):
		return false
	case !value.null:
		return r.exists && r.values[slot] == value.text
	case r.written[slot]:
		return r.values[slot] == ""
	}
	return true // cleared, or never delivered
}

// keyOf is the key by which the record's letters are filed.
func (h *history) keyOf(r *record) string {
	for k, other := range h.byKey {
		if other == r {
			return k.key
		}
	}
	return r.key
}

// checkAccounted checks a checkpoint: nothing that committed before it may be
// open.
func (h *history) checkAccounted(checkpoint change.LSN) {
	for _, r := range h.records {
		for slot, versions := range r.versions {
			last := -1
			for i, v := range versions {
				if v.at.LSN < checkpoint && v.at.LSN > 0 && !v.silent {
					last = i
				}
			}
			if last >= r.void[slot] && !h.accounted(r, slot, last) {
				h.fault("checkpoint %v saved: record %d %s slot %d = %v at %v is in no letter, and the CRM has %q",
					checkpoint, r.n, h.keyOf(r), slot, versions[last].value, versions[last].at, r.values[slot])
			}
		}
	}
}

// changed is the record that was changed at a position.
func (h *history) changed(at change.Position) *record {
	for _, r := range h.records {
		for _, versions := range r.versions {
			if slices.ContainsFunc(versions, func(v version) bool { return v.at == at }) {
				return r
			}
		}
	}
	return nil
}

// checkDelivery checks the accounted position of a record.
func (h *history) checkDelivery(d *ledger.Delivery) {
	r := h.changed(d.Accounted)
	if r == nil {
		return // a chunk's row
	}
	for slot, versions := range r.versions {
		last := -1
		for i, v := range versions {
			if !d.Accounted.Before(v.at) && v.at.LSN > 0 && !v.silent {
				last = i
			}
		}
		if last >= r.void[slot] && !h.accounted(r, slot, last) {
			h.fault("record %d %s accounted for at %v: slot %d = %v at %v is in no letter, and the CRM has %q",
				r.n, d.Key, d.Accounted, slot, versions[last].value, versions[last].at, r.values[slot])
		}
	}
}

// checkChunk checks a backfill's progress: what the chunk's SELECT saw must be
// accounted for.
func (h *history) checkChunk(b *ledger.Backfill, doneTo []string) {
	table := slices.IndexFunc(h.pg.tables, func(t *change.Relation) bool { return t.String() == b.Table })
	last := strconv.Itoa(table) + "/" + strings.Join(doneTo, ",")
	for i := len(h.pg.reads) - 1; i >= 0; i-- {
		read := h.pg.reads[i]
		if read.last != last {
			continue
		}
		for row, r := range read.rows {
			if now := h.pg.rows[row.id]; now == nil || h.ofKey(row.id.table, now.key) != r {
				continue // deleted since, and perhaps another by now
			}
			for slot, v := range row.versions {
				// What the stream carries, or supersedes, redo protects.
				newest := r.versions[slot][len(r.versions[slot])-1]
				if newest.at.LSN < h.state.checkpoint && !h.accounted(r, slot, v) {
					h.fault("backfill %d done to %v: record %d %s slot %d = %v is in no letter, and the CRM has %q",
						b.ID, doneTo, r.n, h.keyOf(r), slot, r.versions[slot][v].value, r.values[slot])
				}
			}
		}
		return
	}
}

// checkEnd compares the CRM with the database, once nothing is open any more.
func (h *history) checkEnd() {
	for id, row := range h.pg.rows {
		if row.key[0] == mappingRefuses {
			l := h.state.letters[letterKey{id.table, id.table + 1, strconv.Itoa(id.id), ledger.WholeRecord}]
			if l == nil && len(h.pg.log) > 0 && row.lsn > 0 {
				h.fault("row %v has a key that addresses no record, and there is no letter", id)
			}
			continue
		}
		r := h.ofKey(id.table, row.key)
		if r.exists && r.key != row.key {
			if covered, _ := h.state.covers(id.table, row.key, r.rows, -1, change.Position{}); !covered {
				h.fault("row %v has the key %s, its record %s", id, row.key, r.key)
			}
		}
		for slot, want := range row.cells {
			h.checkProperty(r, row, slot, want)
		}
	}
}

func (h *history) checkProperty(r *record, row *row, slot int, want cell) {
	versions := r.versions[slot]
	last := versions[len(versions)-1]
	covered, whole := h.state.covers(r.target, row.key, []string{strconv.Itoa(row.id.id)}, slot, change.Position{})
	right := h.holds(r, slot, want)
	if want.null && right && !r.written[slot] {
		// Never delivered: what the CRM had before must be there still, unless a
		// value was seen turning NULL.
		right = r.values[slot] == r.before[slot] || !r.exists || slices.ContainsFunc(versions, func(v version) bool { return !v.value.null })
	}
	if !r.exists && (want.null || h.policy == change.Skip) {
		right = true
	}
	switch {
	case !right && !covered:
		h.fault("record %d %s slot %d: the database has %v, the CRM %q, and there is no letter", r.n, row.key, slot, want, r.values[slot])
	case right && h.state.letters[letterKey{r.target, 0, row.key, slot}] != nil && !whole && plain(last.value) && r.exists && last.at.LSN > 0:
		h.fault("record %d %s slot %d: %v is in the CRM, and there is a letter still", r.n, row.key, slot, want)
	}
	fact := h.state.records[recordKey{r.target, row.key}]
	if fact == nil || slot >= len(fact.facts) || fact.facts[slot].State != change.Known {
		return
	}
	known := fact.facts[slot].Fingerprint
	futile := func(v version) bool { return other(v.value) && known == ^fingerprint([]byte(v.value.text)) }
	if r.values[slot] == substitute && slices.ContainsFunc(versions, futile) {
		return
	}
	if r.exists && known != fingerprint([]byte(r.values[slot])) {
		h.fault("record %d %s slot %d: the ledger knows another value than the CRM's %q", r.n, row.key, slot, r.values[slot])
	}
}
