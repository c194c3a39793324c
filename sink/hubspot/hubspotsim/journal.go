package hubspotsim

import (
	"bytes"
	"slices"
	"time"
)

// Entry is one write that took effect.
type Entry struct {
	Seq int64 `json:"seq"`
	// Time at which the write took effect, and Received, at which its request
	// had been read whole. They are far apart for a late one.
	Time     time.Time `json:"time"`
	Received time.Time `json:"received"`
	// Request is the correlation id of the call, Call its number; empty and 0
	// for writes by the control interface.
	Request string `json:"request,omitempty"`
	Call    uint64 `json:"call,omitempty"`
	// Source is the operation: update, upsert, create, patch, archive, merge,
	// or seed for the control interface. Late is set for a request that was
	// applied after its sender had given up.
	Source string `json:"source"`
	Late   bool   `json:"late,omitempty"`
	Object string `json:"object"`
	ID     string `json:"id"`
	// By is the property that found the record, hs_object_id if it was the
	// record id, and Key its value in the request.
	By    string `json:"by,omitempty"`
	Key   string `json:"key,omitempty"`
	Trace string `json:"trace,omitempty"`
	New   bool   `json:"new,omitempty"`
	// Properties are the values as they were sent and applied. Ignored names
	// those that were accepted and not applied.
	Properties Values   `json:"properties"`
	Ignored    []string `json:"ignored,omitempty"`
}

// Value is one property of an Entry.
type Value struct{ Name, Value string }

// Values are the properties of an Entry in the order of the request.
type Values []Value

// Get returns a value by name.
func (vs Values) Get(name string) (string, bool) {
	for _, v := range vs {
		if v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

// MarshalJSON writes an object.
func (vs Values) MarshalJSON() ([]byte, error) {
	dst := []byte{'{'}
	for i, v := range vs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, v.Name), ':')
		dst = appendString(dst, v.Value)
	}
	return append(dst, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (vs *Values) UnmarshalJSON(text []byte) error {
	s := scanner{text: bytes.Clone(text)}
	*vs = nil
	return s.object(func(key []byte) error {
		if s.peek() != '"' {
			return s.unexpected("a string")
		}
		value, err := s.str()
		*vs = append(*vs, Value{string(key), string(value)})
		return err
	})
}

// journal keeps entries. It is guarded by Portal.mu.
type journal struct {
	entries []Entry // the newest ones
	next    int64   // the Seq of the next entry
	limit   int
	hook    func(Entry)
	waiting []chan struct{}
}

func (j *journal) off() bool { return j.limit < 0 && j.hook == nil }

func (j *journal) add(e Entry) {
	if j.next == 0 {
		j.next = 1
	}
	e.Seq = j.next
	j.next++
	if j.hook != nil {
		j.hook(e)
	}
	if j.limit >= 0 {
		j.entries = append(j.entries, e)
	}
	// Cutting at twice the limit makes the copying cost constant per entry.
	if j.limit > 0 && len(j.entries) >= 2*j.limit {
		j.entries = append([]Entry(nil), j.entries[len(j.entries)-j.limit:]...)
	}
	for _, c := range j.waiting {
		close(c)
	}
	j.waiting = nil
}

// since returns entries whose Seq is above seq.
func (j *journal) since(seq int64, limit int) []Entry {
	i, _ := slices.BinarySearchFunc(j.entries, seq+1, func(e Entry, seq int64) int { return int(e.Seq - seq) })
	out := j.entries[i:]
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return append([]Entry{}, out...)
}

// Journal returns the writes after the entry numbered since, oldest first. A
// bounded journal may have lost the first of them: compare Seq.
func (p *Portal) Journal(since int64) []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.journal.since(since, 0)
}
