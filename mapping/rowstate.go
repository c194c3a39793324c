package mapping

import (
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping/expression"
)

// load gives a running program a column's value.
func (r *runner) load(column int) (any, error) {
	at := r.reading[column]
	if !r.before && r.isDecoded[at] {
		return r.decoded[at], nil
	}
	var v change.Value
	if r.before {
		v = r.ev.Old[r.at[at]]
	} else {
		v = r.known(at)
	}
	if v.Kind != change.Text {
		return nil, nil // NULL
	}
	value, err := r.columns[at].decode(v.Text)
	if err == nil && !r.before {
		r.decoded[at], r.isDecoded[at] = value, true
	}
	return value, err
}

// eval runs a formula over the new row, or the old one, which must be full.
func (r *runner) eval(f *formula, before bool) (any, error) {
	r.reading, r.before = f.columns, before
	return f.program.Eval(&r.frame)
}

type knowledge uint8

const (
	noneKnown knowledge = iota
	someKnown
	allKnown
)

// knows tells how many of the columns that a formula reads the change carries.
func (r *runner) knows(f *formula) knowledge {
	known := 0
	for _, column := range f.columns {
		if r.known(column).Kind != change.Unchanged {
			known++
		}
	}
	switch known {
	case len(f.columns):
		return allKnown
	case 0:
		return noneKnown
	}
	return someKnown
}

// condition applies when. entered tells that the row satisfies it and did not,
// or may not have, before; outcome is nothing where the change asks nothing.
func (r *runner) condition(patch *change.Patch) (entered bool, _ outcome) {
	if r.when == nil {
		return false, mapped
	}
	if r.knows(r.when) != allKnown {
		patch.Reread = true
		return false, mapped
	}
	now, err := r.eval(r.when, false)
	if err != nil {
		patch.Rejection = rejection(err)
		patch.Rejection.Reason = "when: " + patch.Rejection.Reason
		return false, mapped
	}
	update := r.ev.Kind == change.Update
	was := true // as far as can be told
	if r.full && update {
		if v, err := r.eval(r.when, true); err == nil {
			was = v == true
		}
	}
	if now == true {
		return update && !was, mapped
	}
	if !was || !update && !r.ev.Snapshot || r.source.OnDelete == change.Ignore {
		return false, nothing
	}
	return false, r.gone(patch)
}

// gone makes a patch of the policy for rows that are gone. The record is the
// one that the row had before the change.
func (r *runner) gone(patch *change.Patch) outcome {
	r.row = r.rowKey(r.row, true)
	patch.Gone, patch.Props, patch.Row = true, r.source.GoneProps, r.row
	if !r.carriesPrimary() {
		patch.Row = nil // the replica identity is another index
	}
	var key change.Value // unchanged: not known
	if at := r.at[r.match]; at >= 0 && at < len(r.ev.Old) {
		key = r.ev.Old[at]
	}
	if key.Kind == change.Null && r.full {
		return nothing // it addressed no record
	}
	if key.Kind != change.Text && r.ev.Kind != change.Delete {
		key = r.known(r.match)
	}
	if key.Kind != change.Text {
		return mapped
	}
	r.setKey(patch, key)
	if patch.Rejection != nil {
		patch.Rejection = nil
		return nothing // nor did this one
	}
	return mapped
}

// carriesPrimary reports whether a deletion says which row it was.
func (r *runner) carriesPrimary() bool {
	if r.ev.Kind != change.Delete {
		return true
	}
	for _, column := range r.primary {
		if i := r.at[column]; i < 0 || i >= len(r.ev.Old) || r.ev.Old[i].Kind != change.Text {
			return false
		}
	}
	return true
}

// deleted maps the deletion of a row.
func (r *runner) deleted() (change.Patch, outcome) {
	patch := change.Patch{Source: r.source}
	if r.source.OnDelete == change.Ignore || len(r.ev.Old) == 0 {
		return patch, nothing
	}
	if r.full && r.when != nil && r.has(r.when) {
		if v, err := r.eval(r.when, true); err == nil && v != true {
			return patch, nothing
		}
	}
	return patch, r.gone(&patch)
}

// has reports whether the table has the columns that a formula reads.
func (r *runner) has(f *formula) bool {
	for _, column := range f.columns {
		if r.at[column] < 0 {
			return false
		}
	}
	return true
}

// canDelete reports whether the event is a deletion that can be mapped though
// columns are missing: it asks nothing, or the row's key is there.
func (r *runner) canDelete(ev *change.Event, at []int) bool {
	if ev.Kind != change.Delete {
		return false
	}
	for _, column := range r.primary {
		if at[column] < 0 {
			return r.source.OnDelete == change.Ignore
		}
	}
	return true
}

// appendResult computes an expression and formats its value.
func (r *runner) appendResult(out change.Props, p *propPlan) change.Props {
	v, err := r.eval(p.formula, false)
	if err != nil {
		return out.AppendRefused(p.slot, *rejection(err))
	}
	if v == nil {
		return r.appendNull(out, p)
	}
	if p.values != nil {
		if isListOrMap(v) {
			return out.AppendRefused(p.slot, change.Rejection{Category: change.InvalidValue, Reason: "values maps one value, and the expression gives several"})
		}
		return r.appendValue(out, p, []byte(expression.Text(v)))
	}
	var why *change.Rejection
	r.scratch, why = p.format.appendAny(r.scratch[:0], v)
	switch {
	case why != nil:
		return out.AppendRefused(p.slot, *why)
	case len(r.scratch) == 0:
		return out.Append(p.slot, change.Clear, nil)
	}
	return out.Append(p.slot, change.Set, r.scratch)
}

// clearingResult is clearing for an expression: in any case where it had a value
// over the old row.
func (r *runner) clearingResult(p *propPlan) change.PropKind {
	if r.full && r.ev.Kind == change.Update {
		if v, err := r.eval(p.formula, true); err == nil && v != nil {
			return change.Clear
		}
	}
	return change.ClearIfDelivered
}

func isListOrMap(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// appendAny writes an expression's value.
func (f *format) appendAny(dst []byte, v any) ([]byte, *change.Rejection) {
	list, ok := v.([]any)
	if !ok {
		text := []byte(expression.Text(v))
		if _, isMap := v.(map[string]any); isMap && f.to != typeString {
			return dst, invalid(text, "is an object, and the property takes one value; name a key")
		}
		return f.appendScalarText(dst, text)
	}
	start := len(dst)
	var why *change.Rejection
	for _, item := range list {
		if item == nil {
			continue
		}
		element := []byte(expression.Text(item))
		switch {
		case isListOrMap(item) || f.to != typeOptions && f.to != typeString:
			why = invalid(element, "is an element of a list, and the property takes one value")
		case f.to == typeString:
			dst, why = appendElement(dst, start, element)
		default:
			if element, why = f.lookup(element); why == nil {
				dst, why = tick(dst, start, element)
			}
		}
		if why != nil {
			return dst[:start], why
		}
	}
	return f.checkLength(dst, start)
}
