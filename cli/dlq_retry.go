package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// keysPerRequest bounds the rows that one request names.
const keysPerRequest = 10_000

func newDLQRetryCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Ask the running instance to read the rows of parked records again and to send them",
		Long: `Asks the running instance to read the rows of parked records again and to deliver
what they hold now. Only it writes to the CRM, so that no older value can come
after a newer one. The letters close once that has gone well.`,
		Example: `  pgcrm dlq retry 12 13
  pgcrm dlq retry --reason not_found
  pgcrm dlq retry --all`,
	}
	return actOnLetters(cmd, env, (*desk).retry)
}

// retried is what dlq retry -o json prints.
type retried struct {
	Letters  int     `json:"letters"`
	Rows     int     `json:"rows"`
	Requests []int64 `json:"requests"`
}

func (d *desk) retry(ctx context.Context, book *ledger.Ledger, filter ledger.Filter, asJSON bool) error {
	letters, err := book.Letters(ctx, filter)
	if err != nil {
		return err
	}
	requests := rowsOfLetters(letters)
	done := retried{Letters: len(letters), Requests: []int64{}}
	for _, r := range requests {
		id, err := book.AddBackfill(ctx, r)
		if err != nil {
			return err
		}
		done.Rows += len(r.Keys)
		done.Requests = append(done.Requests, id)
	}
	switch {
	case asJSON:
		err = d.out.json(done)
	case len(letters) == 0:
		d.out.println("nothing such is parked")
	default:
		d.out.printf("asked: %s of %s; %s by reading the rows again\n",
			plural(int64(done.Rows), "row", "rows"), plural(int64(len(letters)), "parked record", "parked records"), d.whoActs(ctx))
	}
	if err != nil {
		return err
	}
	return missingLetters(filter.IDs, letters)
}

// rowsOfLetters makes requests of letters: for each mapping of a table its rows,
// each once, in the order of the letters.
func rowsOfLetters(letters []ledger.Parked) []ledger.Backfill {
	type source struct{ table, object, match string }
	type row struct {
		source
		key string
	}
	var requests []ledger.Backfill
	open := map[source]int{}
	asked := map[row]bool{}
	for _, l := range letters {
		for r := range l.Rows() {
			src := source{r.Table, l.Object, l.Match}
			if asked[row{src, r.Row}] {
				continue
			}
			asked[row{src, r.Row}] = true
			i, ok := open[src]
			if !ok || len(requests[i].Keys) == keysPerRequest {
				i = len(requests)
				open[src] = i
				requests = append(requests, ledger.Backfill{Table: r.Table, Object: l.Object, Match: l.Match, Reason: pipeline.Retry})
			}
			requests[i].Keys = append(requests[i].Keys, r.Row)
			requests[i].Estimate++
		}
	}
	return requests
}
