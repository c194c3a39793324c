package sink

import (
	"context"
	"errors"
	"slices"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// Identify tells the record ids that match values have now; those without a
// record are left out. Where HubSpot refuses to say it, none are known: the call
// that follows meets the same refusal, and deals with it. The error is ctx's, or
// what the client could not wait out.
func (d *Deliverer) Identify(ctx context.Context, target *change.Target, keys []string) (map[string]string, error) {
	ids := make(map[string]string, len(keys))
	for some := range slices.Chunk(keys, hubspot.MaxBatch) {
		found, err := d.crm.BatchRead(ctx, target.Object, target.Match, some, nil)
		var refusal *hubspot.Error
		switch {
		case errors.As(err, &refusal) && ctx.Err() == nil:
			return nil, nil //nolint:nilnil // nothing is known
		case err != nil:
			return nil, err
		}
		for i, key := range some {
			if found[i].State == hubspot.Written {
				ids[key] = found[i].ID
			}
		}
	}
	return ids, nil
}
