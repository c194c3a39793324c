package cli

import (
	"time"

	"github.com/pgcrm/pgcrm/pipeline"
)

// pace is how quickly a backfill goes.
type pace struct {
	meter meter
	rate  float64 // rows a second; zero where it is not known yet
}

// paces looks at the backfills under way, and forgets those that are over. Call
// it with the lock held.
func (s *status) paces(backfills []pipeline.BackfillStatus, now time.Time) {
	before := s.pace
	s.pace = map[int64]*pace{}
	for _, b := range backfills {
		p := before[b.ID]
		if p == nil {
			p = &pace{}
		}
		p.rate = p.meter.rate(now, b.Rows)
		s.pace[b.ID] = p
	}
}

// left guesses the seconds that are left, nil where nothing tells.
func (p *pace) left(b pipeline.BackfillStatus) *float64 {
	if p.rate <= 0 || b.Estimate <= b.Rows || b.Waiting != "" {
		return nil
	}
	seconds := float64(b.Estimate-b.Rows) / p.rate
	return &seconds
}
