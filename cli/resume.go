package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
)

func newResumeCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume [DIGEST]",
		Short: "Let a held change go on",
		Long: `With PGCRM_HOLD_ABOVE=N a transaction or a load that would change more than N
records waits, and nothing of it is sent. Without a digest this shows what waits,
with some of its records; with one it lets that change go on. The running instance
takes it up within seconds, or the next one does.

If the change is a mistake, do not resume it: put the rows right in the database.
What is then as it was before is not sent, and the wait ends by itself.`,
		Example: `  pgcrm resume
  pgcrm resume 5f0c9a7be312`,
		Args: cobra.MaximumNArgs(1),
	}
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := newDesk(env, config.NeedDatabase)
		if err != nil {
			return err
		}
		book, err := d.ledger(cmd.Context())
		if err != nil {
			return err
		}
		defer book.Close()
		if len(args) == 0 {
			return d.listHeld(cmd.Context(), book, format.json())
		}
		return d.resume(cmd.Context(), book, strings.ToLower(args[0]), format.json())
	}
	return cmd
}

// heldChange is a held change as resume -o json prints it.
type heldChange struct {
	Digest  string              `json:"digest"`
	What    string              `json:"what"`
	Records int64               `json:"records"`
	Partial bool                `json:"at_least"`
	Samples []ledger.HeldSample `json:"samples"`
	Since   time.Time           `json:"since"`
	Resumed *time.Time          `json:"resumed"`
}

func heldChangeOf(h ledger.Held) heldChange {
	c := heldChange{Digest: h.Digest, What: heldWhat(h), Records: h.Records, Partial: h.Partial, Samples: h.Samples, Since: h.HeldAt.UTC()}
	if !h.ResumedAt.IsZero() {
		at := h.ResumedAt.UTC()
		c.Resumed = &at
	}
	return c
}

// heldWhat names a held change.
func heldWhat(h ledger.Held) string {
	if h.Backfill == 0 {
		return "the transaction that committed at " + h.Commit.String()
	}
	switch {
	case len(h.Samples) == 0:
	case h.Samples[0].Gone:
		return fmt.Sprintf("on_delete of rows that are gone from %s (backfill %d)", h.Samples[0].Table, h.Backfill)
	default:
		return fmt.Sprintf("load %d of %s", h.Backfill, h.Samples[0].Table)
	}
	return fmt.Sprintf("load %d", h.Backfill)
}

// heldCount is how many records it would change.
func heldCount(h ledger.Held) string {
	count := plural(h.Records, "record", "records")
	if h.Partial {
		count = "at least " + count
	}
	return count
}

// waiting lists what waits.
func waiting(holds []ledger.Held) []ledger.Held {
	var list []ledger.Held
	for _, h := range holds {
		if h.ResumedAt.IsZero() {
			list = append(list, h)
		}
	}
	return list
}

func (d *desk) listHeld(ctx context.Context, book *ledger.Ledger, asJSON bool) error {
	holds, err := book.Holds(ctx)
	if err != nil {
		return err
	}
	holds = waiting(holds)
	if asJSON {
		list := make([]heldChange, len(holds))
		for i, h := range holds {
			list[i] = heldChangeOf(h)
		}
		return d.out.json(list)
	}
	if len(holds) == 0 {
		d.out.println("nothing waits for you")
		return nil
	}
	for i, h := range holds {
		if i > 0 {
			d.out.println("")
		}
		d.out.printf("%s  %s would change %s; held since %s UTC\n", d.out.paint(yellow, h.Digest), sayable(heldWhat(h)), heldCount(h), h.HeldAt.UTC().Format(time.DateTime))
		t := newTable("TABLE", "ROW", "OBJECT", "MATCH", "WOULD WRITE")
		for _, s := range h.Samples {
			t.add(s.Table, s.Row, s.Object, s.Match+"="+s.Key, s.What())
		}
		t.print(d.out, "  ")
		if rest := h.Records - int64(len(h.Samples)); rest > 0 {
			d.out.printf("  and %s more\n", thousands(rest))
		}
		d.out.printf("  to see values: pgcrm plan; to let it go on: pgcrm resume %s\n", h.Digest)
	}
	return nil
}

func (d *desk) resume(ctx context.Context, book *ledger.Ledger, digest string, asJSON bool) error {
	holds, err := book.Holds(ctx)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if h.Digest != digest {
			continue
		}
		if _, err := book.Resume(ctx, digest); err != nil {
			return err
		}
		before := h
		if h.ResumedAt.IsZero() {
			h.ResumedAt = d.now()
		}
		if asJSON {
			return d.out.json(heldChangeOf(h))
		}
		if !before.ResumedAt.IsZero() {
			d.out.printf("%s was let go before, at %s UTC\n", heldWhat(h), before.ResumedAt.UTC().Format(time.DateTime))
			return nil
		}
		d.out.printf("%s may go on: %s; %s\n", heldWhat(h), heldCount(h), d.whoActs(ctx))
		return nil
	}
	wrong := problems{lines: []string{fmt.Sprintf("nothing that waits has the digest %s", sayable(digest))}}
	for _, h := range waiting(holds) {
		wrong.lines = append(wrong.lines, fmt.Sprintf("held is %s: %s would change %s", h.Digest, heldWhat(h), heldCount(h)))
	}
	if len(wrong.lines) == 1 {
		wrong.lines[0] += "; nothing waits at all"
	}
	return wrong.err()
}
