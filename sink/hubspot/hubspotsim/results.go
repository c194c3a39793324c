package hubspotsim

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// results writes the answer: what was written, in no promised order, and what
// was not.
func (c *call) results(o *objectType) answer {
	b := &c.batch
	c.order = c.order[:0]
	for i := range b.inputs {
		in := &b.inputs[i]
		if in.good() && !in.hidden {
			c.order = append(c.order, i)
		}
	}
	if c.portal.quirks.Shuffle.on(true, c.rng) {
		c.rng.Shuffle(len(c.order), func(i, j int) { c.order[i], c.order[j] = c.order[j], c.order[i] })
	}
	dst := append(c.out, `{"status":"COMPLETE","results":[`...)
	for n, i := range c.order {
		in := &b.inputs[i]
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendRecord(dst, in.rec, func(dst []byte) []byte {
			for _, p := range in.props {
				if !system(p.def.Name) {
					if s := in.rec.find(p.def); s != nil {
						dst = c.appendProperty(dst, p.def, s.text)
					}
				}
			}
			return dst
		})
		if c.route.op == "upsert" {
			dst = append(dst, `,"new":`...)
			dst = strconv.AppendBool(dst, in.isNew)
		}
		if c.echoTrace && in.hasTrace {
			dst = append(dst, `,"objectWriteTraceId":`...)
			dst = appendString(dst, string(in.trace))
		}
		if len(in.warnings) > 0 {
			dst = append(dst, `,"warnings":`...)
			dst = append(dst, mustJSON(in.warnings)...)
		}
		dst = append(dst, '}')
	}
	c.out = append(dst, ']')
	status := http.StatusOK
	if c.route.op == "create" {
		status = http.StatusCreated
	}
	return c.closeBatch(c.failures(o), status)
}

// closeBatch ends a batch answer whose results are written.
func (c *call) closeBatch(errs []refusal, status int) answer {
	dst := c.out
	if len(errs) > 0 {
		status = http.StatusMultiStatus
		dst = append(dst, `,"numErrors":`...)
		dst = strconv.AppendInt(dst, int64(len(errs)), 10)
		dst = append(dst, `,"errors":`...)
		text, _ := json.Marshal(errs)
		dst = append(dst, text...)
	}
	if c.portal.quirks.NewFields.on(false, c.rng) {
		dst = append(dst, `,"links":{},"traceparent":{"a":[1,2.5e3,null,true]},"context":{}`...)
	}
	now := c.portal.now().UnixMilli()
	dst = append(dst, `,"startedAt":"`...)
	dst = c.updated.append(dst, now)
	dst = append(dst, `","completedAt":"`...)
	dst = c.updated.append(dst, now)
	c.out = append(dst, `"}`...)
	return answer{status: status, body: c.out}
}

// failures are the entries for inputs that were not written. An entry for
// missing records may stand for many inputs.
func (c *call) failures(o *objectType) []refusal {
	var errs []refusal
	var lost []int
	for i := range c.batch.inputs {
		in := &c.batch.inputs[i]
		switch {
		case in.hidden || in.unapplied:
		case in.missing:
			lost = append(lost, i)
		case len(in.failed) > 0:
			errs = append(errs, c.inputError(in))
		}
	}
	if len(lost) == 0 {
		return errs
	}
	perTrace := c.portal.quirks.NotFoundPerTrace.on(false, c.rng)
	named := c.portal.quirks.NotFoundNamesTraces.on(true, c.rng)
	all := c.lost(o)
	for _, i := range lost {
		in := &c.batch.inputs[i]
		entry := all
		if perTrace && in.hasTrace {
			entry = c.lost(o)
		}
		entry.Context["ids"] = append(entry.Context["ids"], string(in.id))
		if in.hasTrace && (named || perTrace) {
			entry.Context["objectWriteTraceId"] = append(entry.Context["objectWriteTraceId"], string(in.trace))
		}
		if perTrace && in.hasTrace {
			errs = append(errs, entry)
		}
	}
	if len(all.Context["ids"]) > 0 {
		errs = append(errs, all)
	}
	return errs
}

func (c *call) lost(o *objectType) refusal {
	return refusal{
		Status: "error", Category: "OBJECT_NOT_FOUND", Context: map[string][]string{},
		Message: "Could not get some " + o.Singular + " objects, they may be deleted or not exist. Check that ids are valid.",
	}
}

// inputError is the entry for one refused input. Its trace id names it.
func (c *call) inputError(in *input) refusal {
	r := c.valuesInvalid(in.failed)
	if p := in.failed[0]; p.code == "CONFLICT" {
		r = refusal{Category: "CONFLICT", Message: p.message, Context: map[string][]string{"existingId": {p.value}}}
	}
	r.Errors, r.Status = nil, "error"
	if r.Context == nil {
		r.Context = map[string][]string{}
	}
	if in.hasTrace {
		r.Context["objectWriteTraceId"] = []string{string(in.trace)}
	}
	return r
}
