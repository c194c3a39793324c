package cli

import (
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/pipeline"
)

func TestTimeLeft(t *testing.T) {
	s := &status{}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	load := pipeline.BackfillStatus{ID: 7, Estimate: 10_000}
	s.paces([]pipeline.BackfillStatus{load}, now)
	if left := s.pace[7].left(load); left != nil {
		t.Errorf("%v s left, before anything moved", *left)
	}
	load.Rows = 1000
	s.paces([]pipeline.BackfillStatus{load}, now.Add(5*time.Second))
	if left := s.pace[7].left(load); left == nil || *left != 45 {
		t.Errorf("left is %v, want 45", left)
	}
	load.Rows = 10_001
	if left := s.pace[7].left(load); left != nil {
		t.Errorf("%v s left, of more rows than were thought", *left)
	}
	s.paces(nil, now)
	if len(s.pace) > 0 {
		t.Error("what is over is remembered")
	}
}
