package hubspotsim

import (
	"maps"
	"strconv"
	"time"
)

// Stats are counts since the portal was made.
type Stats struct {
	// Calls by operation and status, "update 200"; status 0 is a connection
	// that was cut.
	Calls map[string]int `json:"calls"`
	// Faults by effect.
	Faults map[string]int `json:"faults"`
	// Written counts records written through the API.
	Written int64 `json:"written"`
	// Late is the number of requests that wait to be applied late.
	Late int `json:"late"`
	// Journal is the number of the newest entry.
	Journal int64 `json:"journal"`
	// DailyUsed counts the account's calls today.
	DailyUsed int `json:"dailyUsed"`
	// Objects counts records by type, archived ones too.
	Objects map[string]int `json:"objects"`
}

func newStats() Stats {
	return Stats{Calls: map[string]int{}, Faults: map[string]int{}}
}

func statKey(op string, status int) string { return op + " " + strconv.Itoa(status) }

// Stats returns the counts.
func (p *Portal) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Calls, s.Faults = maps.Clone(s.Calls), maps.Clone(s.Faults)
	s.Journal = max(0, p.journal.next-1)
	p.quota.turn(p.now().In(p.zone))
	s.DailyUsed = p.quota.daily
	s.Objects = map[string]int{}
	for _, o := range p.objects {
		s.Objects[o.Name] = len(o.order)
	}
	return s
}

// Call is one call of the CRM API.
type Call struct {
	Number   uint64        `json:"number"`
	Time     time.Time     `json:"time"`
	Duration time.Duration `json:"duration"` // in nanoseconds
	Request  string        `json:"request"`  // the correlation id
	Op       string        `json:"op"`       // empty for a path that leads nowhere
	Object   string        `json:"object,omitempty"`
	Inputs   int           `json:"inputs,omitempty"`
	Status   int           `json:"status"` // 0: cut
	Fault    string        `json:"fault,omitempty"`
}

// callLog keeps the newest calls, in the order in which they ended.
type callLog struct {
	off  bool
	list []Call
}

const keptCalls = 100_000

func (l *callLog) add(c Call) {
	if l.off {
		return
	}
	l.list = append(l.list, c)
	if len(l.list) >= 2*keptCalls {
		l.list = append([]Call(nil), l.list[len(l.list)-keptCalls:]...)
	}
}

// Calls returns the newest calls, at least the last 100,000 of them, in the
// order in which they ended. A portal without journal keeps none.
func (p *Portal) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call{}, p.log.list...)
}
