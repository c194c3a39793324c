package pipeline

import (
	"context"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// leave treats the record that a row has left for another one, which had the new
// match value already, as that of a deleted row. An error leaves the version
// undecided: what is done again finds the same two records, or the one that is
// archived no longer.
func (s *session) leave(ctx context.Context, target *change.Target, a *attempt, v sink.Verdict) ([]ledger.Letter, error) {
	e := a.entry
	if v.Left == "" || v.Outcome != sink.Delivered || e.Source.OnDelete == change.Ignore {
		return nil, nil
	}
	var own []bool
	err := s.persist(ctx, "ledger_rows", func() (err error) {
		own, err = s.Ledger.DeliveredFrom(ctx, target, []string{e.OldKey}, []ledger.Feeder{{Source: e.Source, Row: e.Row}})
		return err
	})
	if err != nil || !own[0] {
		return nil, err
	}
	call := s.Deliverer.Archive
	if e.Source.OnDelete == change.SetGone {
		call = s.Deliverer.Deliver
	}
	verdicts, err := call(ctx, target, []sink.Job{{Key: e.OldKey, CRMID: v.Left, Missing: change.Skip, Props: e.Source.GoneProps}})
	if err != nil {
		return nil, err
	}
	switch left := verdicts[0]; left.Outcome {
	case sink.Delivered, sink.NotFound, sink.Skipped:
		return nil, nil
	default:
		rejection := change.Rejection{Category: sink.CategoryRefused, Reason: "HubSpot refused what on_delete asks for the record that the row has left"}
		if left.Rejection != nil {
			rejection = *left.Rejection
		}
		l := a.letter(ledger.WholeRecord, rejection)
		l.Key = e.OldKey
		return []ledger.Letter{a.correlated(l, left)}, nil
	}
}
