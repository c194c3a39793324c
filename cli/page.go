package cli

import (
	"context"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// pageOperator does what is asked for on the status page: the same as the
// commands, beside the pipeline and through the ledger.
type pageOperator struct{ status *status }

func (o pageOperator) book() (*ledger.Ledger, error) {
	o.status.mu.Lock()
	defer o.status.mu.Unlock()
	if o.status.book == nil {
		return nil, admin.ErrNotReady
	}
	return o.status.book, nil
}

// Letters implements admin.Operator.
func (o pageOperator) Letters(ctx context.Context, f admin.LetterFilter) ([]admin.Letter, error) {
	parked, err := o.parked(ctx, f)
	letters := make([]admin.Letter, len(parked))
	for i, p := range lettersOf(parked) {
		letters[i] = admin.Letter{
			ID: p.ID, Object: p.Object, Match: p.Match, Table: p.Table, Key: p.Key, Row: p.Row, Property: p.Property, Owed: p.Owed,
			Category: p.Category, Reason: p.Reason, Position: p.Position, FirstSeen: p.FirstSeen, LastSeen: p.LastSeen,
			Attempts: p.Attempts, CorrelationID: p.CorrelationID,
		}
	}
	return letters, err
}

func (o pageOperator) parked(ctx context.Context, f admin.LetterFilter) ([]ledger.Parked, error) {
	book, err := o.book()
	if err != nil {
		return nil, err
	}
	return book.Letters(ctx, filterOf(f))
}

func filterOf(f admin.LetterFilter) ledger.Filter {
	return ledger.Filter{IDs: f.IDs, Category: f.Category, After: f.After, Limit: f.Limit}
}

// Retry implements admin.Operator.
func (o pageOperator) Retry(ctx context.Context, f admin.LetterFilter) (int64, error) {
	letters, err := o.parked(ctx, f)
	if err != nil {
		return 0, err
	}
	book, err := o.book()
	if err != nil {
		return 0, err
	}
	for _, request := range rowsOfLetters(letters) {
		if _, err := book.AddBackfill(ctx, request); err != nil {
			return 0, err
		}
	}
	return int64(len(letters)), nil
}

// Drop implements admin.Operator.
func (o pageOperator) Drop(ctx context.Context, f admin.LetterFilter) (int64, error) {
	book, err := o.book()
	if err != nil {
		return 0, err
	}
	return book.DropLetters(ctx, filterOf(f))
}

// Resume implements admin.Operator.
func (o pageOperator) Resume(ctx context.Context, digest string) error {
	book, err := o.book()
	if err != nil {
		return err
	}
	found, err := book.Resume(ctx, digest)
	if err == nil && !found {
		return admin.ErrNotFound
	}
	return err
}

// noted hands deliveries to the page.
func noted(to *admin.Deliveries, values bool) func(pipeline.Delivery) {
	return func(d pipeline.Delivery) {
		to.Note(func() admin.Delivery { return deliveryOf(d, values) })
	}
}

func deliveryOf(d pipeline.Delivery, values bool) admin.Delivery {
	shown := admin.Delivery{
		Table: d.Entry.Source.Table, Object: d.Entry.Source.Target.Object, Properties: []admin.Property{},
		LatencySeconds: d.Latency.Seconds(), Load: len(d.Entry.Chunks) > 0,
	}
	if values {
		shown.Row = d.Entry.Row
	}
	for p := range d.Sent.All() {
		property := admin.Property{Name: d.Entry.Source.Target.Properties[p.Slot], Cleared: p.Kind == change.Clear}
		if values && !property.Cleared {
			text := string(p.Text)
			property.Value = &text
		}
		shown.Properties = append(shown.Properties, property)
	}
	return shown
}
