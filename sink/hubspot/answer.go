package hubspot

import (
	"math/big"
	"strings"
)

// State is what an answer says of one input.
type State uint8

// The states of an input.
const (
	// Unaccounted: neither among the results nor named by an error. It was not
	// written, or under another id; nobody knows.
	Unaccounted State = iota
	// Written: among the results. For a read: found.
	Written
	// NotFound: no such record.
	NotFound
	// Refused: named by an error; Outcome.Refusal says why.
	Refused
	// TryAgain: named by an error that goes away by itself.
	TryAgain
)

// String names the state.
func (s State) String() string {
	return [...]string{"unaccounted", "written", "not found", "refused", "try again"}[s]
}

// Answer accounts for every input of a batch.
type Answer struct {
	// Outcomes has one entry for each input, in the order of the inputs. It is
	// nil where an error is returned as well.
	Outcomes []Outcome
	// Stray are errors of the answer that name no input.
	Stray []*Error
	// Unanswered is set where an attempt ended without a definite answer after
	// the request may have reached HubSpot: it may have been applied, or may yet
	// be. A later definite answer does not take that back.
	Unanswered bool
	// Attempts counts the requests made.
	Attempts      int
	CorrelationID string
}

// Outcome is what became of one input.
type Outcome struct {
	State State
	// ID is the record's id as the answer has it. It differs from the id that was
	// sent where the record was merged into another one.
	ID string
	// Created is set where an upsert created the record.
	Created bool
	// Stored are the properties of the input whose value HubSpot gives back with
	// another text than was sent. Formats are normalised, so that alone is no
	// fault. A property that the answer does not give back is not here.
	Stored []Property
	// Refusal says why, for NotFound, Refused and TryAgain.
	Refusal *Error
}

// account finds each input in the answer: by trace id, by record id, by the
// value of the id property, and for errors by context.ids. Never by index.
func account(inputs []Input, traces []string, parsed *batchAnswer) Answer {
	m := matcher{inputs: inputs, outcomes: make([]Outcome, len(inputs))}
	m.index(traces)
	var rest []int
	for i := range parsed.results {
		if n, ok := m.exact(&parsed.results[i]); ok {
			m.take(n, &parsed.results[i])
		} else {
			rest = append(rest, i)
		}
	}
	m.errors(parsed.errors)
	for _, i := range rest {
		if n, ok := m.loose(&parsed.results[i]); ok {
			m.take(n, &parsed.results[i])
		}
	}
	return Answer{Outcomes: m.outcomes, Stray: m.stray}
}

type matcher struct {
	inputs   []Input
	outcomes []Outcome
	byTrace  map[string]int
	byID     map[string]int
	stray    []*Error
	// property is the id property of the inputs, unless they are mixed.
	property string
	mixed    bool
}

func (m *matcher) index(traces []string) {
	m.byTrace = make(map[string]int, len(traces))
	m.byID = make(map[string]int, len(traces))
	if len(m.inputs) > 0 {
		m.property = m.inputs[0].IDProperty
	}
	for i := range m.inputs {
		m.byTrace[traces[i]] = i
		m.mixed = m.mixed || m.inputs[i].IDProperty != m.inputs[0].IDProperty
		if m.inputs[i].ID != "" {
			m.byID[m.inputs[i].ID] = i
		}
	}
}

func (m *matcher) exact(r *result) (int, bool) {
	if r.trace != "" {
		if i, ok := m.byTrace[r.trace]; ok {
			return i, true
		}
	}
	if i, ok := m.byID[r.id]; ok && m.inputs[i].IDProperty == "" {
		return i, true
	}
	for _, p := range r.properties {
		if !m.mixed && p.Name != m.property {
			continue
		}
		if i, ok := m.byID[p.Value]; ok && p.Name == m.inputs[i].IDProperty {
			return i, true
		}
	}
	return 0, false
}

// loose finds the one input that nothing accounts for yet and whose id differs
// from the result's only as HubSpot normalises values: in case, in space around
// it, in the way a number is written.
func (m *matcher) loose(r *result) (int, bool) {
	found, n := -1, 0
	for i := range m.inputs {
		if m.outcomes[i].State != Unaccounted || m.inputs[i].IDProperty == "" {
			continue
		}
		for _, p := range r.properties {
			if p.Name == m.inputs[i].IDProperty && sameID(p.Value, m.inputs[i].ID) {
				found = i
				n++
			}
		}
	}
	return found, n == 1
}

func sameID(a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	return strings.EqualFold(a, b) || SameNumber(a, b)
}

// SameNumber reports whether both texts are decimal numbers of equal value.
func SameNumber(a, b string) bool {
	const longest = 64 // a rational of a long exponent takes memory
	if a == "" || b == "" || len(a) > longest || len(b) > longest || strings.ContainsAny(a+b, "eEpPxX/_") {
		return false
	}
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	return okX && okY && x.Cmp(y) == 0
}

func (m *matcher) take(i int, r *result) {
	o := &m.outcomes[i]
	if o.State == Refused || o.State == NotFound {
		return // an error that names the input outweighs a result
	}
	o.State, o.ID, o.Created = Written, strings.Clone(r.id), r.created
	o.Stored = nil
	for _, sent := range m.inputs[i].Properties {
		for _, p := range r.properties {
			if p.Name == sent.Name {
				if p.Value != sent.Value {
					o.Stored = append(o.Stored, Property{sent.Name, strings.Clone(p.Value)})
				}
				break
			}
		}
	}
}

func (m *matcher) errors(list []*Error) {
	for _, e := range list {
		state := Refused
		switch e.Class() {
		case Missing:
			state = NotFound
		case Retry:
			state = TryAgain
		default: // about the input as it is
		}
		named := false
		mark := func(i int) {
			named = true
			refusal := e
			if m.outcomes[i].State == Refused {
				refusal = joined(m.outcomes[i].Refusal, e)
			}
			m.outcomes[i] = Outcome{State: state, Refusal: refusal}
		}
		for _, trace := range e.TraceIDs {
			if i, ok := m.byTrace[trace]; ok {
				mark(i)
			}
		}
		if !named { // context.ids beside a trace id name the same input
			for _, id := range e.IDs {
				if i, ok := m.byID[id]; ok {
					mark(i)
				}
			}
		}
		if !named {
			m.stray = append(m.stray, e)
		}
	}
}

// joined is one refusal out of two of the same input.
func joined(a, b *Error) *Error {
	out := *a
	out.Details = append(append([]Detail(nil), a.Details...), b.Details...)
	return &out
}
