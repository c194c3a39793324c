package cdc

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// patience bounds a test on a busy machine; no test passes by waiting.
const patience = 60 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

var slots atomic.Int64

// database is an empty database of the shared server, with a Config for it.
type database struct {
	testing.TB
	ctx  context.Context
	url  string
	cfg  Config
	conn *pgx.Conn
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	return databaseOn(t, pgtest.Shared(t))
}

func databaseOn(t testing.TB, server *pgtest.Server) *database {
	t.Helper()
	url := server.NewDatabase(t)
	d := &database{TB: t, ctx: testContext(t), url: url, cfg: Config{
		URL:              func(context.Context) (string, error) { return url, nil },
		Slot:             fmt.Sprintf("cdc_%d", slots.Add(1)),
		Publication:      "My \"pub\"",
		WALSenderTimeout: patience,
	}}
	d.conn = d.connect()
	return d
}

func (d *database) connect() *pgx.Conn {
	d.Helper()
	conn, err := Connect(d.ctx, d.cfg)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// exec runs statements, each in a transaction of its own.
func (d *database) exec(statements ...string) {
	d.Helper()
	for _, sql := range statements {
		if _, err := d.conn.Exec(d.ctx, sql); err != nil {
			d.Fatalf("%v\n%s", err, sql)
		}
	}
}

// tx runs statements in one transaction.
func (d *database) tx(statements ...string) {
	d.Helper()
	d.exec("BEGIN; " + strings.Join(statements, "; ") + "; COMMIT")
}

func (d *database) describe(tables ...string) []*change.Relation {
	d.Helper()
	names := make([]Name, len(tables))
	for i, t := range tables {
		names[i] = Name{"public", t}
	}
	rels, err := Describe(d.ctx, d.conn, names)
	if err != nil {
		d.Fatal(err)
	}
	return rels
}

// publish makes publication and slot.
func (d *database) publish(tables ...string) Slot {
	d.Helper()
	if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, d.describe(tables...), nil); err != nil {
		d.Fatal(err)
	}
	slot, err := EnsureSlot(d.ctx, d.cfg)
	if err != nil {
		d.Fatal(err)
	}
	return slot
}

func (d *database) open(start change.LSN) *Stream {
	d.Helper()
	s, err := Open(d.ctx, d.cfg, start)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func (d *database) close(s *Stream) {
	d.Helper()
	if err := s.Close(d.ctx); err != nil {
		d.Fatal(err)
	}
}

func (d *database) slot() Slot {
	d.Helper()
	slot, ok, err := SlotInfo(d.ctx, d.conn, d.cfg.Slot)
	if err != nil || !ok {
		d.Fatal(ok, err)
	}
	return slot
}

// next returns the next event that is no Progress.
func (d *database) next(s *Stream) *change.Event {
	d.Helper()
	for {
		ev, err := s.Next(d.ctx)
		if err != nil {
			d.Fatal(err)
		}
		if ev.Kind != change.Progress {
			return ev
		}
	}
}

// transaction reads one transaction and returns its changes as text, and its
// commit. Empty ones, which Postgres 14 sends too, are passed over.
func (d *database) transaction(s *Stream) (changes []string, commit change.Event) {
	d.Helper()
	for len(changes) == 0 {
		changes, commit = d.anyTransaction(s)
	}
	return changes, commit
}

func (d *database) anyTransaction(s *Stream) (changes []string, commit change.Event) {
	d.Helper()
	begin := *d.next(s)
	if begin.Kind != change.Begin {
		d.Fatalf("got %s, want a begin", begin.Kind)
	}
	for {
		ev := d.next(s)
		if ev.Pos.LSN != begin.Pos.LSN || ev.XID != begin.XID {
			d.Fatalf("event %v of transaction %d, in %v of %d", ev.Pos, ev.XID, begin.Pos, begin.XID)
		}
		if ev.Kind == change.Commit {
			return changes, *ev
		}
		changes = append(changes, show(ev))
	}
}

// until reads transactions until one holds the text.
func (d *database) until(s *Stream, text string) (all []string, commit change.Event) {
	d.Helper()
	for {
		changes, commit := d.transaction(s)
		all = append(all, changes...)
		if strings.Contains(strings.Join(changes, "\n"), text) {
			return all, commit
		}
	}
}

// show writes an event as one line: "2 update t old(1,_) (2,NULL)".
func show(ev *change.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", ev.Pos.Ordinal, ev.Kind)
	if ev.Relation != nil {
		fmt.Fprintf(&b, " %s", ev.Relation)
	}
	if ev.Old != nil {
		word := "old"
		if ev.OldIsKey {
			word = "key"
		}
		fmt.Fprintf(&b, " %s%s", word, showRow(ev.Old))
	}
	if ev.New != nil {
		fmt.Fprintf(&b, " %s", showRow(ev.New))
	}
	for _, rel := range ev.Truncated {
		fmt.Fprintf(&b, " %s", rel)
	}
	if ev.Kind == change.Mark {
		fmt.Fprintf(&b, " %s %s", ev.Prefix, ev.Content)
	}
	return b.String()
}

func showRow(row []change.Value) string {
	var cells []string
	for _, v := range row {
		switch v.Kind {
		case change.Null:
			cells = append(cells, "NULL")
		case change.Unchanged:
			cells = append(cells, "_")
		default:
			text := string(v.Text)
			if len(text) > 40 {
				text = fmt.Sprintf("%s..%d", text[:4], len(text))
			}
			cells = append(cells, text)
		}
	}
	return "(" + strings.Join(cells, ",") + ")"
}
