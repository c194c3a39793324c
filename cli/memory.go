package cli

import (
	"context"
	"fmt"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/ledger"
)

// memory is what the ledger remembers, for a command that looks on.
type memory struct {
	*ledger.Ledger
	state ledger.State
	// known is set where there is a state. Without it the ledger must not be
	// asked about records.
	known bool
}

// recall opens the ledger and makes the mapping's targets known to it. A state
// that is not there yet is no error: nothing is remembered then.
func (d *desk) recall(ctx context.Context, v *view) (*memory, error) {
	book, err := d.ledger(ctx)
	if err != nil {
		return nil, err
	}
	m := &memory{Ledger: book}
	exists, err := d.stateExists(ctx)
	if err == nil && exists {
		m.state, m.known, err = book.Peek(ctx)
	}
	if err == nil && m.known {
		err = book.Attach(ctx, v.mapping.Targets())
	}
	if err != nil {
		book.Close()
		return nil, err
	}
	return m, nil
}

// stateExists reports whether the state schema is there at all.
func (d *desk) stateExists(ctx context.Context) (exists bool, err error) {
	db := d.db
	db.URL = d.cfg.Source.StateURL.Value
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", d.cfg.Source.Schema).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for the state schema: %w", err)
	}
	return exists, nil
}
