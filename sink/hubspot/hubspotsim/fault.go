package hubspotsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The effects that a Fault can have.
const (
	Status      = "status"       // answer with Fault.Status and nothing done, unless Applied
	DelayBefore = "delay_before" // wait for Delay, then work
	DelayAfter  = "delay_after"  // work, then wait for Delay, then answer
	CutBefore   = "cut_before"   // close the connection, nothing done
	CutAfter    = "cut_after"    // work, then close the connection without an answer
	CutBody     = "cut_body"     // close the connection after half of the request, nothing done
	Truncate    = "truncate"     // work, then send half of the answer and close the connection
	Short       = "short"        // work, then send half of the answer as if it were whole
	HTML        = "html"         // 200 with an HTML page, nothing done unless Applied
	Empty       = "empty"        // 200 with no results and no errors, nothing done unless Applied
	Missing     = "missing"      // some inputs are left out of the answer, and not written unless Applied
	Refuse      = "refuse"       // some inputs are refused with VALIDATION_ERROR
	Hang        = "hang"         // no answer until the sender gives up, nothing done
	Late        = "late"         // close the connection, and do the work Delay later
)

// effects lists them all, for error messages.
func effects() []string {
	return []string{
		Status, DelayBefore, DelayAfter, CutBefore, CutAfter, CutBody, Truncate, Short, HTML, Empty, Missing, Refuse, Hang, Late,
	}
}

// Fault is something that goes wrong with some calls. Without Rate, Times or
// For it befalls every call that it matches, until it is removed.
type Fault struct {
	// ID is given by the portal.
	ID int `json:"id,omitempty"`

	// Which calls. Op is update, upsert, create, read, archive, get, patch, post,
	// delete, list, merge, account, usage, token, properties (all of its calls)
	// or write (update, upsert, create, patch, post, archive, delete); empty for
	// all. Object is a name as in the path; empty for all.
	Op     string `json:"op,omitempty"`
	Object string `json:"object,omitempty"`
	// Contains, if not empty, is text that the body of the request must have:
	// a key or a trace id. CutBody knows no body and must do without.
	Contains string `json:"contains,omitempty"`

	// How often. Rate is a probability (0 means 1). Skip lets the first matching
	// calls pass. Times ends the fault after that many calls. Start and For bound
	// it in time, counted from when it was added; with Every it comes back.
	Rate  float64  `json:"rate,omitempty"`
	Skip  int      `json:"skip,omitempty"`
	Times int      `json:"times,omitempty"`
	Start Duration `json:"start,omitempty"`
	For   Duration `json:"for,omitempty"`
	Every Duration `json:"every,omitempty"`

	// What. Effect is one of the constants above.
	Effect string `json:"effect"`
	// Status for the effect status: 401, 403, 423, 429, 477, 500, 502, 503, 504,
	// 521 to 526, or any other.
	Status int `json:"status,omitempty"`
	// Policy of a 429: TEN_SECONDLY_ROLLING if empty, DAILY, SECONDLY.
	Policy string `json:"policy,omitempty"`
	// RetryAfter is sent as a header if not 0.
	RetryAfter Duration `json:"retryAfter,omitempty"`
	Delay      Duration `json:"delay,omitempty"`
	// Applied: the work is done all the same.
	Applied bool `json:"applied,omitempty"`
	// Inputs is how many inputs Missing and Refuse concern; 1 if 0. With
	// Contains it is those inputs alone whose id, key or trace id it is.
	Inputs int `json:"inputs,omitempty"`
	// Property is what Refuse complains of: only inputs that carry it are
	// refused. Empty means the first property of any input.
	Property string `json:"property,omitempty"`
	// Hang makes Late wait until the sender gives up rather than cut.
	Hang bool `json:"hang,omitempty"`

	added time.Time
	seen  int
	hits  int
}

// Duration is a time.Duration that JSON writes as "1.5s". Bare numbers are
// milliseconds.
type Duration time.Duration

// UnmarshalText reads "1.5s" or "1500".
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if digitsOnly(text) {
		s += "ms"
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 1.5s or 200ms", text)
	}
	*d = Duration(v)
	return nil
}

// UnmarshalJSON reads a string or a number of milliseconds.
func (d *Duration) UnmarshalJSON(text []byte) error {
	return d.UnmarshalText([]byte(strings.Trim(string(text), `"`)))
}

// MarshalText writes "1.5s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Check says what is wrong with the fault.
func (f *Fault) Check() error {
	switch {
	case !slices.Contains(effects(), f.Effect):
		return fmt.Errorf("fault: effect %q is not one of %s", f.Effect, strings.Join(effects(), ", "))
	case f.Effect == Status && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("fault: status needs a code between 200 and 599, not %d", f.Status)
	case f.Rate < 0 || f.Rate > 1:
		return fmt.Errorf("fault: rate %v is not between 0 and 1", f.Rate)
	case f.Every > 0 && (f.For == 0 || f.For >= f.Every):
		return fmt.Errorf("fault: every needs a for that is shorter than it")
	case f.Op != "" && !slices.Contains(ops(), f.Op):
		return fmt.Errorf("fault: op %q is not one of %s", f.Op, strings.Join(ops(), ", "))
	}
	return nil
}

func ops() []string {
	return []string{
		"update", "upsert", "create", "read", "archive", "get", "patch", "post", "delete", "list", "merge", "search",
		"account", "usage", "token", "introspect", "properties", "write",
	}
}

// faults are those that are set. They are guarded by Portal.mu.
type faults struct {
	list []*Fault
	next int
}

// AddFaults sets faults. The first one that befalls a call decides; delays add
// up.
func (p *Portal) AddFaults(fs ...Fault) error {
	for i := range fs {
		if err := fs[i].Check(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range fs {
		p.faults.next++
		f.ID, f.added, f.seen, f.hits = p.faults.next, p.now(), 0, 0
		p.faults.list = append(p.faults.list, &f)
	}
	return nil
}

// ClearFaults removes all faults. Those that are under way go on: see
// [Portal.Close] for ending delays.
func (p *Portal) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.list = nil
}

// Faults returns those that are set.
func (p *Portal) Faults() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Fault, len(p.faults.list))
	for i, f := range p.faults.list {
		out[i] = *f
	}
	return out
}

// plan is what befalls one call.
type plan struct {
	before, after time.Duration
	fault         *Fault
}

// is says whether the plan's fault has the effect.
func (p *plan) is(effect string) bool { return p.fault != nil && p.fault.Effect == effect }

func (p *plan) name() string {
	switch {
	case p.fault != nil && p.fault.Effect == Status:
		return fmt.Sprintf("status %d", p.fault.Status)
	case p.fault != nil:
		return p.fault.Effect
	case p.before > 0:
		return DelayBefore
	case p.after > 0:
		return DelayAfter
	}
	return ""
}

// pick draws what befalls a call. Every fault draws, hit or not, so that one
// more fault doesn't change the luck of those before it.
func (fs *faults) pick(c *call, torn bool) plan {
	var out plan
	now := c.portal.now()
	for _, f := range fs.list {
		luck := c.rng.Float64()
		if (f.Effect == CutBody) != torn || !f.matches(&c.route, c.body) || !f.active(now) {
			continue
		}
		f.seen++
		if f.seen <= f.Skip || f.Times > 0 && f.hits >= f.Times || f.Rate > 0 && luck >= f.Rate {
			continue
		}
		switch f.Effect {
		case DelayBefore:
			out.before += time.Duration(f.Delay)
		case DelayAfter:
			out.after += time.Duration(f.Delay)
		default:
			if out.fault != nil {
				continue
			}
			out.fault = f
		}
		f.hits++
	}
	if out.fault != nil {
		copied := *out.fault
		out.fault = &copied
	}
	return out
}

func (f *Fault) matches(r *route, body []byte) bool {
	switch f.Op {
	case "", r.op:
	case "properties":
		if !strings.HasPrefix(r.op, "properties.") {
			return false
		}
	case "write":
		if !slices.Contains([]string{"update", "upsert", "create", "patch", "post", "archive", "delete"}, r.op) {
			return false
		}
	default:
		return false
	}
	return (f.Object == "" || f.Object == r.object) && (f.Contains == "" || strings.Contains(string(body), f.Contains))
}

func (f *Fault) active(now time.Time) bool {
	age := now.Sub(f.added) - time.Duration(f.Start)
	if age < 0 {
		return false
	}
	if f.Every > 0 {
		age %= time.Duration(f.Every)
	}
	return f.For == 0 || age < time.Duration(f.For)
}
