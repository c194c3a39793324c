package pipeline

import (
	"context"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// What a mapping asks of rows that are gone concerns only a record that was
// delivered from that row. Several tables, and several rows of one, may feed one
// record: the ledger keeps the last row of each mapping.

// findOrigins tells which of the entries' records were delivered from their rows.
func (s *session) findOrigins(ctx context.Context, target *change.Target, batch []*sink.Entry, records []*change.Record, found []remembered) error {
	var keys []string
	var rows []ledger.Feeder
	var at []int
	for i, e := range batch {
		if e.Source.OnDelete != change.Ignore && e.Rejection == nil && records[i] != nil {
			keys, at = append(keys, e.Key), append(at, i)
			// A deletion may name the record alone.
			rows = append(rows, ledger.Feeder{Source: e.Source, Row: e.Row, Any: e.Gone && e.Row == ""})
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return s.persist(ctx, "ledger_rows", func() error {
		delivered, err := s.Ledger.DeliveredFrom(ctx, target, keys, rows)
		if err != nil {
			return err
		}
		for k, i := range at {
			found[i].ofRow = delivered[k]
		}
		return nil
	})
}

// foreign reports whether the row that is gone is one that nothing was delivered
// from, in this version either.
func (a *attempt) foreign() bool { return a.entry.Gone && !a.entry.GoneOwn && !a.ofRow }

// archives reports whether the record is to be archived.
func (a *attempt) archives() bool { return a.entry.Archives() && !a.foreign() }

// adopts reports whether the ledger must learn that the record is as this row
// says, though nothing is to be sent: it was delivered from another row before.
func (a *attempt) adopts() bool {
	return a.entry.Source.OnDelete != change.Ignore && !a.entry.Gone && a.now != nil && !a.ofRow && len(a.diff.Settled) > 0
}
