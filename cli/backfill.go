package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// pipeline.Asked is the reason of requests that backfill files.

// backfillCommand is what the flags of `pgcrm backfill` say.
type backfillCommand struct {
	*desk
	where  string
	keys   []string
	all    bool
	follow bool
	cancel int64
	format *outputFormat
	stop   <-chan struct{}
}

func newBackfillCommand(stop <-chan struct{}, env Environment) *cobra.Command {
	b := &backfillCommand{stop: stop}
	cmd := &cobra.Command{
		Use:   "backfill TABLE",
		Short: "Send a table, or some of its rows, again while streaming goes on",
		Long: `Asks the running instance to read rows of a table and to send what the CRM does
not hold yet, beside the stream and after it: live changes go first. It prints
the number of the request and returns, or follows it with --follow; Ctrl-C then
ends the following and not the load. What a restart interrupts goes on after it.
Of a load that is cancelled what was sent stays, and what waits is not sent.

Where the ledger knows that the CRM holds a value already, nothing is sent: a
second backfill of an unchanged table makes no call.`,
		Example: `  pgcrm backfill accounts
  pgcrm backfill accounts --where "plan = 'pro'" --follow
  pgcrm backfill accounts --keys 7,12,99
  psql -Atc 'SELECT id FROM accounts WHERE ...' | pgcrm backfill accounts --keys -
  pgcrm backfill --all
  pgcrm backfill --cancel 3`,
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&b.where, "where", "", "only rows that satisfy this SQL condition over the table's columns")
	f.StringArrayVar(&b.keys, "keys", nil, `only rows with these primary keys, "7,12"; of several columns as JSON arrays; - reads one a line from standard input`)
	f.BoolVar(&b.all, "all", false, "every mapped table")
	f.BoolVarP(&b.follow, "follow", "f", false, "show the progress until it is done")
	f.Int64Var(&b.cancel, "cancel", 0, "give up the request with this number instead")
	b.format = addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := b.check(args); err != nil {
			return err
		}
		needs := []config.Need{config.NeedDatabase, config.NeedCRM, config.NeedMapping}
		if b.cancel > 0 {
			needs = needs[:1]
		}
		var err error
		if b.desk, err = newDesk(env, needs...); err != nil {
			return err
		}
		if b.cancel > 0 {
			return b.giveUp(cmd.Context())
		}
		return b.run(cmd.Context(), args, cmd.InOrStdin())
	}
	return cmd
}

func (b *backfillCommand) check(args []string) error {
	switch {
	case b.cancel < 0:
		return &usageError{"--cancel takes the number that pgcrm backfill printed"}
	case b.cancel > 0 && (len(args) > 0 || b.all || b.where != "" || len(b.keys) > 0 || b.follow):
		return &usageError{"--cancel stands alone"}
	case b.cancel > 0:
		return nil
	case b.all && len(args) > 0, !b.all && len(args) == 0:
		return &usageError{"name one table, or say --all for every mapped table"}
	case b.all && (b.where != "" || len(b.keys) > 0):
		return &usageError{"--where and --keys are about one table; name it instead of --all"}
	case b.where != "" && len(b.keys) > 0:
		return &usageError{"--where and --keys contradict one another; keep one"}
	}
	return nil
}

// cancelled is what backfill --cancel -o json prints.
type cancelled struct {
	ID        int64 `json:"id"`
	Cancelled bool  `json:"cancelled"`
}

// request is a filed backfill as -o json prints it.
type request struct {
	ID       int64  `json:"id"`
	Table    string `json:"table"`
	Object   string `json:"object"`
	Match    string `json:"match"`
	Estimate int64  `json:"estimate,omitempty"`
}

func (b *backfillCommand) run(ctx context.Context, args []string, stdin io.Reader) error {
	v, err := b.view(ctx)
	if err != nil {
		return err
	}
	defer v.close(ctx)
	tables := v.relations
	if !b.all {
		rel, err := v.table(args[0])
		if err != nil {
			return err
		}
		tables = []*change.Relation{rel}
	}
	keys, err := b.rowKeys(ctx, v, tables[0], stdin)
	if err != nil {
		return err
	}
	book, err := b.ledger(ctx)
	if err != nil {
		return err
	}
	defer book.Close()
	filed := []request{}
	for _, rel := range tables {
		more, err := b.file(ctx, v, book, rel, keys)
		if err != nil {
			return err
		}
		filed = append(filed, more...)
	}
	if b.format.json() && !b.follow {
		return b.out.json(filed)
	}
	if !b.format.json() {
		who := b.whoActs(ctx)
		for _, r := range filed {
			b.out.printf("asked: backfill %d of %s to %s; %s\n", r.ID, r.Table, r.Object, who)
		}
	}
	if !b.follow {
		return nil
	}
	ids := make([]int64, len(filed))
	for i, r := range filed {
		ids[i] = r.ID
	}
	return b.followAll(ctx, book, ids)
}

// rowKeys reads --keys, and tries them out; nil where there are none.
func (b *backfillCommand) rowKeys(ctx context.Context, v *view, rel *change.Relation, stdin io.Reader) ([]string, error) {
	if len(b.keys) == 0 {
		return nil, nil
	}
	texts := b.keys
	if slices.Equal(texts, []string{"-"}) {
		texts = nil
		lines := bufio.NewScanner(stdin)
		for lines.Scan() {
			texts = append(texts, lines.Text())
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read the keys: %w", err)
		}
	}
	keys, err := parseKeys(rel, texts)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, &usageError{"--keys names no key"}
	}
	list := make([]string, 0, len(keys))
	for part := range slices.Chunk(keys, keysPerRequest) {
		if _, err := readByKey(ctx, v.conn, rel, part); err != nil {
			return nil, err
		}
		for _, k := range part {
			list = append(list, k.String())
		}
	}
	return list, nil
}

// file tries the condition out and files a request for each mapping of the table.
func (b *backfillCommand) file(ctx context.Context, v *view, book *ledger.Ledger, rel *change.Relation, keys []string) ([]request, error) {
	estimate := int64(len(keys))
	if b.where != "" {
		if _, err := cdc.ReadChunk(ctx, v.conn, rel, cdc.Range{Limit: 1, Where: b.where}); err != nil {
			return nil, err
		}
	} else if keys == nil {
		var err error
		if estimate, err = cdc.CountEstimate(ctx, v.conn, rel); err != nil {
			return nil, err
		}
	}
	parts := [][]string{nil}
	if len(keys) > 0 {
		parts = slices.Collect(slices.Chunk(keys, keysPerRequest))
	}
	var filed []request
	for _, src := range v.sources(rel) {
		for _, part := range parts {
			r := ledger.Backfill{
				Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Reason: pipeline.Asked,
				Where: b.where, Keys: part, Estimate: estimate,
			}
			if part != nil {
				r.Estimate = int64(len(part))
			}
			id, err := book.AddBackfill(ctx, r)
			if err != nil {
				return nil, err
			}
			filed = append(filed, request{ID: id, Table: src.Table, Object: r.Object, Match: r.Match, Estimate: r.Estimate})
		}
	}
	return filed, nil
}

func (b *backfillCommand) giveUp(ctx context.Context) error {
	book, err := b.ledger(ctx)
	if err != nil {
		return err
	}
	defer book.Close()
	was, found, err := book.Backfill(ctx, b.cancel)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is no backfill %d; pgcrm status lists them", b.cancel)
	}
	open, err := book.CancelBackfill(ctx, b.cancel)
	if err != nil {
		return err
	}
	if b.format.json() {
		return b.out.json(cancelled{b.cancel, open})
	}
	if !open {
		b.out.printf("backfill %d was over already: %s\n", b.cancel, was.State)
		return nil
	}
	b.out.printf("cancelled backfill %d of %s; what it has sent stays sent\n", b.cancel, was.Table)
	return nil
}
