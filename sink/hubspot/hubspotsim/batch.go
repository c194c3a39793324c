package hubspotsim

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// write answers batch update, upsert and create. The portal is locked.
func (c *call) write(o *objectType) answer {
	b := &c.batch
	if c.inputs == 0 {
		return c.nothing() // also where the key "inputs" is missing altogether
	}
	if a, ok := c.shape(o); !ok {
		return a
	}
	if a, ok := c.resolve(o); !ok {
		return a
	}
	c.leaveOut()
	traced := true
	for i := range b.inputs {
		traced = traced && b.inputs[i].hasTrace
	}
	perInput := traced
	if c.route.op == "update" {
		perInput = traced && c.portal.quirks.UpdateErrorsPerInput.on(false, c.rng)
	}
	if a, ok := c.judge(o, perInput); !ok {
		return a
	}
	if a, ok := c.conflicts(perInput); !ok {
		return a
	}
	now := c.portal.now()
	for i := range b.inputs {
		if in := &b.inputs[i]; in.ghost || in.good() {
			c.apply(o, in, now)
		}
	}
	return c.results(o)
}

// nothing is the answer to a body without inputs: success, and nothing done.
func (c *call) nothing() answer {
	now := c.portal.now().UnixMilli()
	dst := append(c.out, `{"status":"COMPLETE","results":[],"startedAt":"`...)
	dst = c.updated.append(dst, now)
	dst = append(dst, `","completedAt":"`...)
	dst = c.updated.append(dst, now)
	c.out = append(dst, `"}`...)
	return answer{status: http.StatusOK, body: c.out}
}

// shape checks what can be said without looking at values or records.
func (c *call) shape(o *objectType) (answer, bool) {
	b := &c.batch
	if len(b.inputs) > maxInputs {
		return c.invalid(nil, "The maximum number of inputs supported in a batch is %d. Please reduce the number of items and try again", maxInputs), false
	}
	mixed := c.portal.quirks.MixedIDProperties.on(true, c.rng)
	for i := range b.inputs {
		in := &b.inputs[i]
		if !in.hasProps {
			in.props = nil
		}
		if len(in.props) == 0 {
			return c.invalid(map[string][]string{"properties": {"{}"}}, "No properties found to update, please provide at least one."), false
		}
		if c.route.op == "create" {
			if in.hasID || len(in.idProperty) > 0 {
				return c.badJSON(c.body, &syntaxError{0, "Unrecognized field \"id\": a create takes properties only"}), false
			}
		} else if len(in.id) == 0 {
			return c.badJSON(c.body, &syntaxError{0, "Missing required creator property 'id'"}), false
		}
		if !mixed && string(in.idProperty) != string(b.inputs[0].idProperty) {
			return c.invalid(nil, "All inputs of a batch must use the same idProperty"), false
		}
		if len(in.idProperty) > 0 {
			if d := o.live(in.idProperty); d == nil || !d.HasUniqueValue {
				return c.nonUnique(o, string(in.idProperty)), false
			}
		}
	}
	return c.distinctTraces()
}

func (c *call) nonUnique(o *objectType, property string) answer {
	message := "Unable to perform update/upsert by non-unique " + o.TypeID + " property " + property
	if property == "hs_object_id" {
		message += " in portal ID " + strconv.FormatInt(c.portal.id, 10)
	}
	return c.invalid(nil, "%s", message)
}

// distinctTraces is stricter than HubSpot is known to be: a trace id that
// names two inputs tells the sender nothing.
func (c *call) distinctTraces() (answer, bool) {
	b := &c.batch
	seen := make(map[string]struct{}, len(b.inputs))
	for i := range b.inputs {
		in := &b.inputs[i]
		if !in.hasTrace {
			continue
		}
		if _, twice := seen[string(in.trace)]; twice || len(in.trace) == 0 {
			return c.invalid(nil, "objectWriteTraceId %q is empty or not unique within the batch", in.trace), false
		}
		seen[string(in.trace)] = struct{}{}
	}
	return answer{}, true
}

// resolve finds each input's record, and refuses two inputs for one.
func (c *call) resolve(o *objectType) (answer, bool) {
	if c.route.op == "create" {
		for i := range c.batch.inputs {
			c.batch.inputs[i].isNew = true
		}
		return answer{}, true
	}
	p := c.portal
	var absent map[string]struct{}
	for i := range c.batch.inputs {
		in := &c.batch.inputs[i]
		merged := false
		if len(in.idProperty) > 0 {
			in.rec = o.defs[string(in.idProperty)].byUnique(in.id, p.foldCase)
			in.isNew = in.rec == nil && c.route.op == "upsert"
		} else {
			in.rec, merged = o.byRecordID(in.id)
			// An e-mail address, say, in the place of a record id changes nothing
			// and gives no error.
			in.silent = merged || in.rec == nil && !digitsOnly(in.id)
		}
		in.missing = in.rec == nil && !in.isNew && !in.silent
		var twice bool
		if in.rec != nil {
			twice = in.rec.seen == c.number
			in.rec.seen = c.number
		} else {
			if absent == nil {
				absent = map[string]struct{}{}
			}
			key := string(in.idProperty) + "\x00" + indexed(string(in.id), p.foldCase)
			_, twice = absent[key]
			absent[key] = struct{}{}
		}
		if twice {
			id := string(in.id)
			return c.invalid(map[string][]string{"ids": {id}}, "Duplicate IDs found in batch input: [%s]. IDs must be unique", id), false
		}
		in.ghost = merged && p.quirks.MergedWrites.on(false, c.rng)
	}
	return answer{}, true
}

// judge checks all values. Unless errors are per input, the first bad one
// refuses the batch.
func (c *call) judge(o *objectType, perInput bool) (answer, bool) {
	var all problems
	for i := range c.batch.inputs {
		in := &c.batch.inputs[i]
		if in.missing || in.silent && !in.ghost {
			continue
		}
		ps, err := c.values(o, in)
		if err != nil {
			return c.badJSON(c.body, err), false
		}
		if in.isNew {
			ps = append(append(ps, c.required(o, in)...), in.otherKey()...)
		}
		if in.refused {
			p := in.blamed(c.plan.fault.Property)
			ps = append(ps, problem{"refused on request", "INVALID_VALUE", string(p.name), string(p.value), true})
		}
		in.failed, in.ghost = ps, in.ghost && len(ps) == 0
		all = append(all, ps...)
	}
	if len(all) > 0 && !perInput {
		return c.refuse(http.StatusBadRequest, c.valuesInvalid(all)), false
	}
	return answer{}, true
}

// values checks an input's properties, and marks those that stay as they are.
func (c *call) values(o *objectType, in *input) (problems, error) {
	var ps problems
	for i := range in.props {
		p := &in.props[i]
		p.def = o.live(p.name)
		switch {
		case p.def == nil || p.def.unborn(c.portal):
			name := strings.ToValidUTF8(string(p.name), string(utf8.RuneError))
			ps = append(ps, problem{message: "Property \"" + name + "\" does not exist", code: "PROPERTY_DOESNT_EXIST", name: name})
			continue
		case p.def.Calculated:
			ps = append(ps, problem{"\"" + p.def.Name + "\" is a calculated property; its value cannot be set.", "READ_ONLY_VALUE", p.def.Name, string(p.value), true})
			continue
		case p.def.Modification.ReadOnlyValue:
			ps = append(ps, problem{"\"" + p.def.Name + "\" is a read only property; its value cannot be set.", "READ_ONLY_VALUE", p.def.Name, string(p.value), true})
			continue
		}
		for _, earlier := range in.props[:i] {
			if earlier.def == p.def {
				return nil, &syntaxError{0, "Duplicate field '" + p.def.Name + "'"}
			}
		}
		p.keep = p.null // null is accepted and changes nothing
		if p.null || len(p.value) == 0 {
			continue
		}
		bad, ok, canonical := p.def.check(p.value, c.route.version)
		if !ok {
			ps = append(ps, bad)
			continue
		}
		if canonical != "" {
			in.warnings = append(in.warnings, warning{
				"PROPERTY_VALUE_NORMALIZED", "The value was normalized to midnight UTC",
				map[string]string{"propertyName": p.def.Name, "rawValue": string(p.value), "normalizedValue": canonical},
			})
			p.value = []byte(canonical)
		}
		if p.def.ForwardOnly && in.rec != nil && p.def.backwards(in.rec.text(p.def), string(p.value)) {
			p.keep = true
		}
	}
	return ps, nil
}

func (d *definition) backwards(old, value string) bool {
	from, ok := d.rank[old]
	return ok && d.rank[value] < from
}

// required names what a new record lacks.
func (c *call) required(o *objectType, in *input) problems {
	if len(o.RequiredAny) == 0 {
		return nil
	}
	for _, p := range in.props {
		for _, name := range o.RequiredAny {
			if string(p.name) == name && len(p.value) > 0 {
				return nil
			}
		}
	}
	return problems{{
		message: "Error creating " + o.Singular + ". Some required properties were not set: one of " + strings.Join(o.RequiredAny, ", "),
		code:    "MISSING_REQUIRED_PROPERTY", name: o.RequiredAny[0],
	}}
}

// otherKey refuses an upsert that would create a record under another key than
// the one that it asked for. HubSpot's answer is not known.
func (in *input) otherKey() problems {
	for _, p := range in.props {
		if len(in.idProperty) > 0 && string(p.name) == string(in.idProperty) && string(p.value) != string(in.id) {
			return problems{{"The value is not the id that the record is to be created by", "INVALID_VALUE", string(p.name), string(p.value), true}}
		}
	}
	return nil
}
