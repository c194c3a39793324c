package ledger_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/migrations"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/pgcrm/pgcrm/internal/pgtest.(*Server).launch.func1"),
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).watchCtx"))
}

const schema = "My State"

var (
	companies = &change.Target{Index: 0, Object: "companies", Match: "account_id", Properties: []string{"domain", "name", "plan"}}
	byID      = &change.Target{Index: 1, Object: "companies", Match: change.RecordID, Properties: []string{"mrr"}}
	accounts  = &change.Source{Index: 0, Table: "public.accounts", Target: companies, Slots: []int{0, 1, 2}}
	billing   = &change.Source{Index: 1, Table: `public."Billing"`, Target: companies, Slots: []int{2}}
	usage     = &change.Source{Index: 2, Table: "public.usage", Target: byID, Slots: []int{0}}
	targets   = []*change.Target{companies, byID}

	at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

const (
	domain, name, plan = 0, 1, 2
)

func instance() ledger.Instance {
	return ledger.Instance{
		SystemID: "7300000000000000001", Timeline: 1, Database: "app", Slot: "pgcrm", Publication: "pgcrm",
		PublicationHash: "p1", MappingHash: "m1", PortalID: "12345", FlushedEnd: 1000, InitialCheckpoint: 900,
	}
}

// fixture is a migrated database.
type fixture struct{ url string }

func newFixture(t testing.TB) fixture {
	t.Helper()
	f := fixture{pgtest.Shared(t).NewDatabase(t)}
	if err := migrations.Apply(context.Background(), f.url, schema, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return f
}

// open opens a ledger that has not begun.
func (f fixture) open(t testing.TB) *ledger.Ledger { return f.openURL(t, f.url) }

func (f fixture) openURL(t testing.TB, url string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(context.Background(), ledgerConfig(fixture{url}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func ledgerConfig(f fixture) ledger.Config {
	return ledger.Config{
		URL:    func(context.Context) (string, error) { return f.url, nil },
		Schema: schema,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// begin opens a ledger that is the running instance.
func (f fixture) begin(t testing.TB) *ledger.Ledger {
	t.Helper()
	l := f.open(t)
	mustBegin(t, l, instance())
	return l
}

func mustBegin(t testing.TB, l *ledger.Ledger, in ledger.Instance) ledger.State {
	t.Helper()
	st, err := l.Begin(context.Background(), in, targets)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func settle(t testing.TB, l *ledger.Ledger, s ledger.Settlement) {
	t.Helper()
	if err := l.Settle(context.Background(), &s); err != nil {
		t.Fatal(err)
	}
}

func peek(t testing.TB, l *ledger.Ledger) ledger.State {
	t.Helper()
	st, found, err := l.Peek(context.Background())
	if err != nil || !found {
		t.Fatalf("Peek: %v, %v", found, err)
	}
	return st
}

func lookup(t testing.TB, l *ledger.Ledger, target *change.Target, keys ...string) []*change.Record {
	t.Helper()
	records, err := l.Lookup(context.Background(), target, keys)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func letters(t testing.TB, l *ledger.Ledger, f ledger.Filter) []ledger.Parked {
	t.Helper()
	list, err := l.Letters(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func pos(lsn change.LSN, ordinal uint32) change.Position {
	return change.Position{LSN: lsn, Ordinal: ordinal}
}

func problems(t *testing.T, err error) []string {
	t.Helper()
	var p interface{ Problems() []string }
	if !errors.As(err, &p) {
		t.Fatalf("%v has no problems to show", err)
	}
	if ledger.Transient(err) {
		t.Errorf("%v counts as transient", err)
	}
	for _, line := range p.Problems() {
		if strings.Contains(line, "\n") {
			t.Errorf("problem of several lines: %q", line)
		}
	}
	return p.Problems()
}

var ignoreTimes = cmpopts.IgnoreFields(ledger.State{}, "SavedAt")

func TestFirstAndLaterStarts(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	if _, found, err := l.Peek(t.Context()); found || err != nil {
		t.Fatalf("Peek of nothing: %v, %v", found, err)
	}

	stored := instance()
	stored.FlushedEnd, stored.InitialCheckpoint = 0, 0
	st := mustBegin(t, l, instance())
	want := ledger.State{Epoch: 1, Checkpoint: 900, Bound: 1000, First: true, CleanStop: true, Instance: stored}
	if diff := cmp.Diff(want, st, ignoreTimes); diff != "" {
		t.Fatal(diff)
	}
	if st := peek(t, l); st.CleanStop || st.Epoch != 1 {
		t.Fatalf("after the first start: %+v", st)
	}

	in := instance()
	in.FlushedEnd, in.InitialCheckpoint = 5000, 4000
	l2 := f.open(t)
	st = mustBegin(t, l2, in)
	want = ledger.State{Epoch: 2, Checkpoint: 900, Bound: 1000, Instance: stored}
	if diff := cmp.Diff(want, st, ignoreTimes); diff != "" {
		t.Fatal(diff)
	}
	if err := l2.Stop(t.Context(), 950); err != nil {
		t.Fatal(err)
	}
	st = mustBegin(t, f.open(t), in)
	want = ledger.State{Epoch: 3, Checkpoint: 950, Bound: 1000, CleanStop: true, Instance: stored}
	if diff := cmp.Diff(want, st, ignoreTimes); diff != "" {
		t.Fatal(diff)
	}
	if l.Fingerprint([]byte("x")) != l2.Fingerprint([]byte("x")) {
		t.Error("two instances give different fingerprints")
	}
	if other := newFixture(t).begin(t); l.Fingerprint([]byte("x")) == other.Fingerprint([]byte("x")) {
		t.Error("two ledgers give the same fingerprint")
	}
}

// TestRenumbering: after a change of publication or mapping, positions from
// before are not to be compared with.
func TestRenumbering(t *testing.T) {
	f := newFixture(t)
	f.begin(t)
	in := instance()
	in.FlushedEnd = 2000
	if st := mustBegin(t, f.open(t), in); st.OrdinalsSince != 0 {
		t.Fatalf("unchanged, yet ordinals since %v", st.OrdinalsSince)
	}
	in.MappingHash = "m2"
	if st := mustBegin(t, f.open(t), in); st.OrdinalsSince != 2000 {
		t.Fatalf("mapping changed: ordinals since %v", st.OrdinalsSince)
	}
	in.FlushedEnd = 3000
	if st := mustBegin(t, f.open(t), in); st.OrdinalsSince != 2000 {
		t.Fatalf("unchanged again: ordinals since %v", st.OrdinalsSince)
	}
	in.PublicationHash = "p2"
	if st := mustBegin(t, f.open(t), in); st.OrdinalsSince != 3000 {
		t.Fatalf("publication changed: ordinals since %v", st.OrdinalsSince)
	}
	if got := peek(t, f.open(t)); got.OrdinalsSince != 3000 || got.Instance.MappingHash != "m2" || got.Instance.PublicationHash != "p2" {
		t.Fatalf("stored %+v", got)
	}
}

func TestOtherSetupIsRefused(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	settle(t, l, ledger.Settlement{Checkpoint: 990})
	type ends = map[int32]change.LSN
	tests := map[string]struct {
		change func(*ledger.Instance)
		words  []string // one problem each
	}{
		"server":          {func(in *ledger.Instance) { in.SystemID = "7300000000000000002" }, []string{"PGCRM_NAME"}},
		"portal":          {func(in *ledger.Instance) { in.PortalID = "999" }, []string{"portal 12345"}},
		"database":        {func(in *ledger.Instance) { in.Database = "other" }, []string{`"other"`}},
		"slot":            {func(in *ledger.Instance) { in.Slot = "b" }, []string{"PGCRM_SLOT=pgcrm"}},
		"timeline":        {func(in *ledger.Instance) { in.Timeline = 2 }, []string{"timeline 2"}},
		"past":            {func(in *ledger.Instance) { in.FlushedEnd = 989 }, []string{"restored from the past"}},
		"all at once":     {func(in *ledger.Instance) { in.PortalID, in.Slot, in.Database = "9", "b", "c" }, []string{`"c"`, `"b"`, "portal"}},
		"portal not read": {func(in *ledger.Instance) { in.PortalID = "" }, nil},
		"left before":     {func(in *ledger.Instance) { in.Timeline, in.TimelineEnds = 2, ends{1: 989} }, []string{"left timeline 1 at 0/3DD in a failover"}},
		"not its history": {func(in *ledger.Instance) { in.Timeline, in.TimelineEnds = 3, ends{2: 995} }, []string{"does not know timeline 1"}},
		"left after":      {func(in *ledger.Instance) { in.Timeline, in.TimelineEnds = 2, ends{1: 990} }, nil},
		"the same":        {func(in *ledger.Instance) { in.Timeline = 2 }, nil}, // as it just became
	}
	for _, name := range []string{"server", "portal", "database", "slot", "timeline", "past", "all at once", "portal not read", "left before", "not its history", "left after", "the same"} {
		test := tests[name]
		in := instance()
		test.change(&in)
		before := peek(t, l)
		_, err := f.open(t).Begin(t.Context(), in, targets)
		if len(test.words) == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		lines := problems(t, err)
		if len(lines) != len(test.words) {
			t.Errorf("%s: %q", name, lines)
			continue
		}
		for i, word := range test.words {
			if !strings.Contains(lines[i], word) {
				t.Errorf("%s: %q lacks %q", name, lines[i], word)
			}
		}
		if diff := cmp.Diff(before, peek(t, l)); diff != "" {
			t.Errorf("%s: the refused start changed the state: %s", name, diff)
		}
	}
	if st := peek(t, l); st.Instance.PortalID != "12345" {
		t.Errorf("portal is now %q", st.Instance.PortalID)
	}
}

func TestFencing(t *testing.T) {
	f := newFixture(t)
	old := f.begin(t)
	settle(t, old, ledger.Settlement{Checkpoint: 920})
	id, err := old.AddBackfill(t.Context(), ledger.Backfill{Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "asked"})
	if err != nil {
		t.Fatal(err)
	}
	young := f.begin(t)
	before := peek(t, young)

	calls := map[string]func() error{
		"Settle": func() error {
			return old.Settle(t.Context(), &ledger.Settlement{
				Checkpoint: 990, Bound: 9999,
				Deliveries: []ledger.Delivery{{Source: accounts, Key: "1", Row: "1", Accounted: pos(980, 1), Facts: []change.Fact{{State: change.Known}}, Delivered: []int{0}}},
				Letters:    []ledger.Letter{{Source: accounts, Key: "1", Row: "1", Slot: name, Category: "x", Position: pos(980, 1), At: at}},
				Chunks:     []ledger.ChunkDone{{ID: id, DoneTo: []string{"7"}, Rows: 7, Last: true}},
			})
		},
		"empty Settle":   func() error { return old.Settle(t.Context(), &ledger.Settlement{}) },
		"RaiseBound":     func() error { return old.RaiseBound(t.Context(), 8888) },
		"Stop":           func() error { return old.Stop(t.Context(), 991) },
		"BackfillSentTo": func() error { return old.BackfillSentTo(t.Context(), id, 1, []string{"7"}, nil) },
		"FinishBackfill": func() error { return old.FinishBackfill(t.Context(), id) },
		"ForgetSource": func() error {
			return old.ForgetSource(t.Context(), ledger.SourceHash{Table: accounts.Table, Object: "companies", Match: "account_id"})
		},
		"once more after": func() error { return old.RaiseBound(t.Context(), 8888) },
	}
	for call, do := range calls {
		if err := do(); !errors.Is(err, ledger.ErrFenced) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if ledger.Transient(ledger.ErrFenced) {
		t.Error("being fenced counts as transient")
	}
	if diff := cmp.Diff(before, peek(t, young)); diff != "" {
		t.Errorf("state changed: %s", diff)
	}
	if lookup(t, young, companies, "1")[0] != nil || len(letters(t, young, ledger.Filter{})) != 0 {
		t.Error("a fenced settle left something")
	}
	b, _, err := young.Backfill(t.Context(), id)
	if err != nil || b.State != ledger.Waiting || b.DoneTo != nil || b.SentTo != nil {
		t.Errorf("backfill %+v, %v", b, err)
	}
	settle(t, young, ledger.Settlement{Checkpoint: 930})
}

// TestNotBegun: the first epoch is 1, so an instance that never began is fenced.
func TestNotBegun(t *testing.T) {
	f := newFixture(t)
	f.begin(t)
	if err := f.open(t).RaiseBound(t.Context(), 1); !errors.Is(err, ledger.ErrFenced) {
		t.Fatalf("got %v", err)
	}
}

func TestPositionsOnlyRise(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	check := func(checkpoint, bound change.LSN) {
		t.Helper()
		if st := peek(t, l); st.Checkpoint != checkpoint || st.Bound != bound {
			t.Fatalf("checkpoint %v, bound %v; want %v, %v", st.Checkpoint, st.Bound, checkpoint, bound)
		}
	}
	const high = 1 << 63 // as unsigned numbers
	settle(t, l, ledger.Settlement{Checkpoint: 950, Bound: 2000})
	check(950, 2000)
	settle(t, l, ledger.Settlement{Checkpoint: 940, Bound: 1500})
	check(950, 2000)
	settle(t, l, ledger.Settlement{})
	check(950, 2000)
	if err := l.RaiseBound(t.Context(), 1700); err != nil {
		t.Fatal(err)
	}
	check(950, 2000)
	if err := l.RaiseBound(t.Context(), high+5); err != nil {
		t.Fatal(err)
	}
	check(950, high+5)
	if err := l.Stop(t.Context(), 930); err != nil {
		t.Fatal(err)
	}
	check(950, high+5)

	delivery := func(lsn change.LSN, ordinal uint32) ledger.Delivery {
		return ledger.Delivery{Source: accounts, Key: "k", Row: "k", Accounted: pos(lsn, ordinal)}
	}
	for _, step := range []struct{ give, want change.Position }{
		{pos(10, 5), pos(10, 5)},
		{pos(10, 4), pos(10, 5)},
		{pos(9, 9), pos(10, 5)},
		{pos(10, 6), pos(10, 6)},
		{pos(11, 1), pos(11, 1)},
		{pos(high, 1), pos(high, 1)},
		{pos(11, 7), pos(high, 1)},
		{pos(high, 1<<32-1), pos(high, 1<<31-1)},
	} {
		settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{delivery(step.give.LSN, step.give.Ordinal)}})
		if got := lookup(t, l, companies, "k")[0].Accounted; got != step.want {
			t.Fatalf("after %v accounted %v, want %v", step.give, got, step.want)
		}
	}
}

func TestNoMigration(t *testing.T) {
	url := pgtest.Shared(t).NewDatabase(t)
	l := fixture{url}.open(t)
	_, _, err := l.Peek(t.Context())
	if lines := problems(t, err); !strings.Contains(lines[0], "pgcrm migrate") {
		t.Fatalf("%q", lines)
	}
	_, err = l.Begin(t.Context(), instance(), targets)
	problems(t, err)
}

func TestLeastPrivilege(t *testing.T) {
	server := pgtest.Shared(t)
	f := newFixture(t)
	config, err := pgx.ParseConfig(f.url)
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, f.url, `CREATE ROLE keeper LOGIN PASSWORD 'secret-word'`)
	t.Cleanup(func() { pgtest.Exec(t, server.URL("postgres"), "DROP ROLE keeper") })
	t.Cleanup(func() { pgtest.Exec(t, f.url, "DROP OWNED BY keeper") })
	l := f.openURL(t, server.RoleURL("keeper", "secret-word", config.Database))

	_, err = l.Begin(t.Context(), instance(), targets)
	problems(t, err)
	pgtest.Exec(t, f.url, migrations.Grants(schema, "keeper"))
	mustBegin(t, l, instance())
	everything(t, l)
}

// everything calls every method that writes.
func everything(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	id, err := l.AddBackfill(t.Context(), ledger.Backfill{Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "asked", SourceHash: "h"})
	if err != nil {
		t.Fatal(err)
	}
	settle(t, l, ledger.Settlement{
		Checkpoint: 950, Bound: 2000,
		Deliveries: []ledger.Delivery{{Source: accounts, Key: "1", OldKey: "0", Row: "r1", CRMID: "77", Accounted: pos(940, 1), Delivered: []int{name}, At: at}},
		Letters:    []ledger.Letter{{Source: accounts, Key: "1", Row: "r1", Slot: plan, Category: "c", Position: pos(940, 1), At: at}},
		Chunks:     []ledger.ChunkDone{{ID: id, DoneTo: []string{"1"}, Rows: 1}},
	})
	for _, err := range []error{
		l.RaiseBound(t.Context(), 2100),
		l.BackfillSentTo(t.Context(), id, 1, []string{"9"}, nil),
		l.FinishBackfill(t.Context(), id),
		l.ForgetSource(t.Context(), ledger.SourceHash{Table: billing.Table, Object: "companies", Match: "account_id"}),
		l.Stop(t.Context(), 960),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.DropLetters(t.Context(), ledger.Filter{}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
}
