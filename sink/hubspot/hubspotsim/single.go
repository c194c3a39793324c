package hubspotsim

import (
	"net/http"
	"strconv"
)

// lookUp finds the record in the path, or answers 404.
func (c *call) lookUp(o *objectType) (*record, answer) {
	q := c.request.URL.Query()
	if name := q.Get("idProperty"); name != "" && c.route.op != "delete" {
		d := o.live([]byte(name))
		if d == nil || !d.HasUniqueValue {
			return nil, c.nonUnique(o, name)
		}
		if r := d.byUnique([]byte(c.route.id), c.portal.foldCase); r != nil {
			return r, answer{}
		}
		return nil, c.notFound()
	}
	if !digitsOnly([]byte(c.route.id)) {
		return nil, c.refuse(http.StatusNotFound, refusal{
			Message: "Object not found.  objectId are usually numeric.", Category: "OBJECT_NOT_FOUND",
			Context: map[string][]string{"id": {c.route.id}},
		})
	}
	if r, _ := o.byRecordID([]byte(c.route.id)); r != nil {
		return r, answer{}
	}
	return nil, c.notFound()
}

func (c *call) get(o *objectType) answer {
	r, a := c.lookUp(o)
	if r == nil {
		return a
	}
	q := c.request.URL.Query()
	sh := c.newView(o, csv(q, "properties"), csv(q, "propertiesWithHistory"), o.live([]byte(q.Get("idProperty"))))
	c.out = append(sh.append(c.out, r), '}')
	return answer{status: http.StatusOK, body: c.out}
}

// single answers PATCH of one record and POST of a new one.
func (c *call) single(o *objectType) answer {
	b := &c.batch
	if err := b.parseSingle(c.body); err != nil {
		return c.badJSON(c.body, err)
	}
	in := &b.inputs[0]
	c.inputs = 1
	if len(in.props) == 0 {
		return c.invalid(map[string][]string{"properties": {"{}"}}, "No properties found to update, please provide at least one.")
	}
	in.isNew = c.route.op == "post"
	if !in.isNew {
		r, a := c.lookUp(o)
		if r == nil {
			return a
		}
		in.rec, in.id = r, []byte(c.route.id)
		in.idProperty = []byte(c.request.URL.Query().Get("idProperty"))
	}
	if a, ok := c.judge(o, false); !ok {
		return a
	}
	if a, ok := c.conflicts(false); !ok {
		return a
	}
	c.apply(o, in, c.portal.now())
	status := http.StatusOK
	if in.isNew {
		status = http.StatusCreated
	}
	names := make([]string, len(in.props))
	for i, p := range in.props {
		names[i] = p.def.Name
	}
	c.out = append(c.newView(o, names, nil, nil).append(c.out, in.rec), '}')
	return answer{status: status, body: c.out}
}

func (c *call) deleteOne(o *objectType) answer {
	r, a := c.lookUp(o)
	if r == nil {
		if c.portal.quirks.ArchiveUnknown.on(false, c.rng) {
			return a
		}
		return answer{status: http.StatusNoContent}
	}
	c.archive(o, r)
	return answer{status: http.StatusNoContent}
}

// archiveBatch takes record ids only.
func (c *call) archiveBatch(o *objectType) answer {
	b := &c.batch
	if c.inputs > maxInputs {
		return c.invalid(nil, "The maximum number of inputs supported in a batch is %d. Please reduce the number of items and try again", maxInputs)
	}
	for i := range b.inputs {
		in := &b.inputs[i]
		if !in.hasID || in.hasProps || len(in.idProperty) > 0 {
			return c.badJSON(c.body, &syntaxError{0, "An archive takes inputs of the form {\"id\":...}"})
		}
		if !digitsOnly(in.id) {
			return c.invalid(map[string][]string{"ids": {string(in.id)}}, "Invalid record id: %s", in.id)
		}
		in.rec, _ = o.byRecordID(in.id)
		in.missing = in.rec == nil
	}
	c.leaveOut()
	for i := range b.inputs {
		if in := &b.inputs[i]; in.rec != nil && !in.unapplied {
			c.archive(o, in.rec)
		}
	}
	if errs := c.failures(o); len(errs) > 0 && c.portal.quirks.ArchiveUnknown.on(false, c.rng) {
		c.out = append(c.out, `{"status":"COMPLETE","results":[]`...)
		return c.closeBatch(errs, http.StatusMultiStatus)
	}
	return answer{status: http.StatusNoContent}
}

func (c *call) archive(o *objectType, r *record) {
	if r.archived != 0 {
		return // named twice in one batch
	}
	p := c.portal
	now := p.now()
	o.archive(r, now.UnixMilli(), p.foldCase)
	p.stats.Written++
	if !p.journal.off() {
		p.journal.add(Entry{
			Time: now, Received: c.received, Request: c.id, Call: c.number, Source: "archive", Late: c.late,
			Object: o.Name, ID: strconv.FormatInt(r.id, 10), By: "hs_object_id",
		})
	}
}

// parseSingle reads {"properties":{...}} as a batch of one.
func (b *batch) parseSingle(text []byte) error {
	if err := b.parse([]byte(`{}`)); err != nil {
		return err
	}
	b.scan.text, b.scan.pos = text, 0
	if err := b.input(); err != nil {
		return err
	}
	in := &b.inputs[0]
	in.props = b.props[in.first:in.last:in.last]
	return b.scan.end()
}
