package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
)

// portal is the CRM.
type portal struct {
	*world
	byKey map[recordKey]*record
	out   map[recordKey]*outward
	log   []string // what was sent, and what became of it
	down  bool
	held  bool
}

// record is a record of the CRM, which may be yet to be made.
type record struct {
	n       int
	id      string
	target  int
	key     string // in the CRM
	exists  bool
	values  [2]string
	before  [2]string // pgcrm met it
	written [2]bool   // by pgcrm

	rows     []string // primary keys of the rows that it was the record of
	renamed  bool
	void     [2]int       // how many versions were of rows that are gone
	versions [2][]version // what the database said, in order of commit
	sent     [2]int       // the earliest version that the last sent value can be
}

func (c *portal) init(w *world) {
	c.world = w
	c.byKey = map[recordKey]*record{}
	c.out = map[recordKey]*outward{}
}

// The first letter of a value says what becomes of it.
const (
	mappingRefuses = '!' // the mapping cannot write it
	crmRefuses     = 'x' // the CRM refuses the property
	crmRefusesAll  = 'w' // the CRM refuses the record
	crmStoresOther = 'n' // the CRM accepts it and stores another value
)

// substitute is the value that the CRM stores in the place of some.
const substitute = "other"

func other(c cell) bool { return !c.null && c.text != "" && c.text[0] == crmStoresOther }

func plain(c cell) bool {
	if c.null || c.text == "" {
		return true
	}
	switch c.text[0] {
	case mappingRefuses, crmRefuses, crmRefusesAll, crmStoresOther:
		return false
	}
	return true
}

// Archive implements pipeline.Deliverer; no mapping here archives.
func (s *sender) Archive(context.Context, *change.Target, []sink.Job) ([]sink.Verdict, error) {
	return nil, errors.New("nothing is archived here")
}

// sender is a process's way to the CRM. It implements pipeline.Deliverer.
type sender struct {
	*world
	*process
	dice *dice
}

func (s *sender) Deliver(ctx context.Context, target *change.Target, jobs []sink.Job) ([]sink.Verdict, error) {
	verdicts := make([]sink.Verdict, len(jobs))
	open := make([]int, len(jobs))
	for i := range jobs {
		open[i] = i
	}
	s.mu.Lock()
	for i := range jobs {
		s.crm.takeOut(s.process, target.Index, &jobs[i])
	}
	s.mu.Unlock()
	var hold error
	right := ctx.Value(rightKey{}).(right)
	for attempt := 0; len(open) > 0; attempt++ {
		if attempt > 0 {
			if err := pause(right.until, min(time.Second<<min(attempt, 5), 30*time.Second)); err != nil {
				return verdicts, err
			}
		}
		gone := pause(ctx, s.dice.upTo(2*s.delay))
		// From here to where the CRM takes the request no time passes.
		if err := errors.Join(right.until.Err(), right.permit(right.until)); err != nil {
			return verdicts, err
		}
		s.mu.Lock()
		if s.dead && gone == nil {
			gone = errDead
		}
		fate := "ok"
		switch {
		case s.overtaken && s.lease == 0:
			fate = "lost" // the lease would see to that
		case gone != nil:
			if s.dice.chance(0.5) {
				fate = "applied, not heard"
			} else {
				fate = "lost"
			}
		case s.calm:
		case s.crm.down:
			fate = "lost"
		case s.crm.held:
			fate = "held"
		case s.dice.chance(s.crmFaults):
			fate = [...]string{"applied, not heard", "lost", "unavailable", "partly", "held"}[s.dice.n(min(4+attempt, 5))]
		}
		if s.onRequest != nil && gone == nil {
			if f := s.onRequest(s.process, pickJobs(jobs, open)); f != "" {
				fate = f
			}
		}
		asked := open
		var again []int
		for _, i := range open {
			v, j := &verdicts[i], &jobs[i]
			v.Attempts++
			done := fate == "ok" || fate == "partly" && s.dice.chance(0.5)
			applied := done || fate == "applied, not heard"
			if fate != "held" && fate != "unavailable" {
				s.history.sent(s.process, target, j)
			}
			var answer sink.Verdict
			if applied {
				answer = s.crm.apply(target, j)
			}
			if !done {
				v.Unanswered = v.Unanswered || fate != "unavailable" && fate != "held"
				again = append(again, i)
				continue
			}
			answer.Attempts, answer.Unanswered = v.Attempts, v.Unanswered
			*v = answer
			if answer.Outcome == sink.Skipped {
				s.crm.back(target.Index, jobKey(j)) // no settle will tell
			}
		}
		if fate != "held" && fate != "unavailable" {
			for _, i := range asked {
				s.crm.log = append(s.crm.log, s.name+" "+describe(target, jobs[i:i+1], []int{0})+fate)
			}
		}
		s.trace.add("%s request: %s %s", s.name, fate, describe(target, jobs, open))
		s.mu.Unlock()
		open = again
		if gone != nil {
			return verdicts, gone
		}
		if fate == "held" {
			hold = &sink.HoldError{Target: target, Slot: -1, Mend: "mend it"}
			break
		}
	}
	s.mu.Lock()
	for _, i := range open {
		s.crm.back(target.Index, jobKey(&jobs[i]))
	}
	s.mu.Unlock()
	return verdicts, hold
}

// Identify implements pipeline.Deliverer.
func (s *sender) Identify(ctx context.Context, target *change.Target, keys []string) (map[string]string, error) {
	if err := pause(ctx, s.dice.upTo(s.delay)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]string{}
	for _, key := range keys {
		if r := s.crm.byKey[recordKey{target.Index, key}]; r != nil {
			ids[key] = r.id
		}
	}
	return ids, nil
}

// right is the client's part of a session's end and of the lease: nothing is begun
// after until, or without a permit.
type right struct {
	until  context.Context
	permit func(context.Context) error
}

type rightKey struct{}

func withRight(ctx, until context.Context, permit func(context.Context) error) context.Context {
	return context.WithValue(ctx, rightKey{}, right{until, permit})
}

func pickJobs(jobs []sink.Job, open []int) []sink.Job {
	picked := make([]sink.Job, len(open))
	for i, n := range open {
		picked[i] = jobs[n]
	}
	return picked
}

func jobKey(j *sink.Job) string {
	if j.RenameTo != "" {
		return j.RenameTo
	}
	return j.Key
}

func describe(target *change.Target, jobs []sink.Job, open []int) string {
	text := ""
	for _, i := range open {
		text += "[" + jobs[i].Key
		if jobs[i].RenameTo != "" {
			text += "=>" + jobs[i].RenameTo
		}
		for p := range jobs[i].Props.All() {
			text += fmt.Sprintf(" %s=%q", target.Properties[p.Slot], p.Text)
		}
		text += "] "
	}
	return text
}

// outward is a version that is out: from its dispatch to the COMMIT of its
// settle.
type outward struct {
	by   *process
	keys []recordKey
}

func (c *portal) takeOut(p *process, target int, j *sink.Job) {
	o := &outward{by: p, keys: []recordKey{{target, j.Key}}}
	if j.RenameTo != "" && j.RenameTo != j.Key {
		o.keys = append(o.keys, recordKey{target, j.RenameTo})
	}
	for _, k := range o.keys {
		if other := c.out[k]; other != nil && other.by == p {
			c.fault("%s is out twice", k.key)
		}
		c.out[k] = o
	}
}

func (c *portal) back(target int, key string) {
	if o := c.out[recordKey{target, key}]; o != nil {
		for _, k := range o.keys {
			if c.out[k] == o {
				delete(c.out, k)
			}
		}
	}
}

// allBack forgets what a process had out: its session is over.
func (c *portal) allBack(p *process) {
	for k, o := range c.out {
		if o.by == p {
			delete(c.out, k)
		}
	}
}

// apply is what the CRM does with one input, and its answer.
func (c *portal) apply(target *change.Target, j *sink.Job) sink.Verdict {
	r := c.byKey[recordKey{target.Index, j.Key}]
	if j.RenameTo != "" {
		other := c.byKey[recordKey{target.Index, j.RenameTo}]
		if j.CRMID != "" {
			r = c.byID(j.CRMID)
		}
		switch {
		case r == nil, r == other:
			r = other
		case other == nil:
			delete(c.byKey, recordKey{target.Index, r.key})
			r.key = j.RenameTo
			c.byKey[recordKey{target.Index, r.key}] = r
		default:
			c.fault("rename of %s to %s, which another record has", j.Key, j.RenameTo)
		}
	}
	if r != nil {
		return c.write(r, j)
	}
	switch {
	case j.Missing == change.Skip:
		return sink.Verdict{Outcome: sink.Skipped}
	case j.Missing == change.Create && j.Whole && j.CRMID == "":
		r = c.history.meant(target.Index, j)
		r.exists, r.key = true, jobKey(j)
		c.byKey[recordKey{target.Index, r.key}] = r
		v := c.write(r, j)
		v.Created = true
		return v
	}
	return sink.Verdict{Outcome: sink.NotFound, Rejection: &change.Rejection{Category: "not_found"}}
}

func (c *portal) byID(id string) *record {
	for _, r := range c.byKey {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (c *portal) write(r *record, j *sink.Job) sink.Verdict {
	v := sink.Verdict{Outcome: sink.Delivered, CRMID: r.id, Correlation: "c"}
	wrote := false
	for p := range j.Props.All() {
		if len(p.Text) > 0 && p.Text[0] == crmRefusesAll {
			return sink.Verdict{Outcome: sink.Refused, CRMID: r.id, Rejection: &change.Rejection{Category: "refused"}}
		}
	}
	for p := range j.Props.All() {
		if n, named := named(p.Text); named && n != r.n {
			c.fault("%q was written to record %d, %s", p.Text, r.n, r.key)
		}
		switch {
		case p.Kind != change.Set && p.Kind != change.Clear:
			c.fault("%s: property of kind %d went to the CRM", r.key, p.Kind)
		case len(p.Text) > 0 && p.Text[0] == mappingRefuses:
			c.fault("%s: %q went to the CRM", r.key, p.Text)
		case len(p.Text) > 0 && p.Text[0] == crmRefuses:
			v.Refusals = append(v.Refusals, sink.SlotRefusal{Slot: p.Slot, Rejection: change.Rejection{Category: "refused"}})
		case len(p.Text) > 0 && p.Text[0] == crmStoresOther:
			r.values[p.Slot], r.written[p.Slot] = substitute, true
			v.NotApplied = append(v.NotApplied, sink.NotApplied{Slot: p.Slot, Stored: substitute})
			wrote = true
		default:
			r.values[p.Slot], r.written[p.Slot] = string(p.Text), true
			wrote = true
		}
	}
	if !wrote && len(v.Refusals) > 0 && j.RenameTo == "" {
		v.Outcome = sink.Refused
	}
	return v
}
