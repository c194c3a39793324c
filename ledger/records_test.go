package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

func TestRecordsRoundTrip(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	var random strings.Builder // which an index cannot compress
	for rng := rand.New(rand.NewPCG(1, 2)); random.Len() < 60_000; {
		random.WriteRune(rune('0' + rng.IntN(1000)))
	}
	long := random.String()
	longer := long + "x"
	known := func(text string) change.Fact {
		return change.Fact{State: change.Known, Fingerprint: l.Fingerprint([]byte(text))}
	}
	unknown := change.Fact{State: change.Unknown}
	deliveries := []ledger.Delivery{
		{Source: accounts, Key: "z", Row: "26", CRMID: "900719925474099312345", Accounted: pos(1, 1), Facts: []change.Fact{known("a"), {}, known("")}},
		{Source: accounts, Key: "a", Row: "a", Accounted: pos(2, 2), Facts: []change.Fact{unknown, unknown, unknown}},
		{Source: accounts, Key: "it's \\ \"x\" {,} NULL", Row: `["1","ü"]`, Accounted: pos(3, 3), Facts: []change.Fact{known("b")}},
		{Source: accounts, Key: long, Row: long, Accounted: pos(4, 4), Facts: []change.Fact{known("c")}},
		{Source: accounts, Key: longer, Row: longer, Accounted: pos(5, 5)},
		{Source: usage, Key: "a", Row: "1", CRMID: "a", Accounted: pos(6, 6), Facts: []change.Fact{known("d")}},
	}
	settle(t, l, ledger.Settlement{Deliveries: deliveries})

	want := []*change.Record{
		{Table: accounts.Table, Row: "a", Accounted: pos(2, 2), Facts: []change.Fact{unknown, unknown, unknown}},
		nil,
		{CRMID: "900719925474099312345", Table: accounts.Table, Row: "26", Accounted: pos(1, 1), Facts: []change.Fact{known("a"), {}, known("")}},
		{Table: accounts.Table, Row: longer, Accounted: pos(5, 5), Facts: []change.Fact{{}, {}, {}}},
		{Table: accounts.Table, Row: long, Accounted: pos(4, 4), Facts: []change.Fact{known("c"), {}, {}}},
		{Table: accounts.Table, Row: `["1","ü"]`, Accounted: pos(3, 3), Facts: []change.Fact{known("b"), {}, {}}},
		{CRMID: "900719925474099312345", Table: accounts.Table, Row: "26", Accounted: pos(1, 1), Facts: []change.Fact{known("a"), {}, known("")}},
	}
	keys := []string{"a", "nobody", "z", longer, long, "it's \\ \"x\" {,} NULL", "z"}
	check := func(l *ledger.Ledger) {
		t.Helper()
		if diff := cmp.Diff(want, lookup(t, l, companies, keys...)); diff != "" {
			t.Error(diff)
		}
		other := []*change.Record{{CRMID: "a", Table: usage.Table, Row: "1", Accounted: pos(6, 6), Facts: []change.Fact{known("d")}}, nil}
		if diff := cmp.Diff(other, lookup(t, l, byID, "a", "z")); diff != "" {
			t.Error(diff)
		}
	}
	check(l)
	check(f.begin(t)) // another process
	if got := lookup(t, l, companies); len(got) != 0 {
		t.Errorf("no keys give %v", got)
	}
	if _, err := l.Lookup(t.Context(), &change.Target{Object: "deals"}, []string{"a"}); err == nil {
		t.Error("a target that Begin was not given is looked up")
	}
}

// TestUpdateOfRecord: facts are replaced whole, an id is kept where none is given.
func TestUpdateOfRecord(t *testing.T) {
	l := newFixture(t).begin(t)
	known := change.Fact{State: change.Known, Fingerprint: 1}
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: "1", CRMID: "7", Accounted: pos(1, 1), Facts: []change.Fact{known, known}}}})
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: "1", Accounted: pos(2, 1), Facts: []change.Fact{{State: change.Unknown}}}}})
	want := &change.Record{CRMID: "7", Table: accounts.Table, Row: "1", Accounted: pos(2, 1), Facts: []change.Fact{{State: change.Unknown}, {}, {}}}
	if diff := cmp.Diff(want, lookup(t, l, companies, "1")[0]); diff != "" {
		t.Fatal(diff)
	}
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: "1", CRMID: "8", Accounted: pos(2, 2)}}})
	want = &change.Record{CRMID: "8", Table: accounts.Table, Row: "1", Accounted: pos(2, 2), Facts: []change.Fact{{}, {}, {}}}
	if diff := cmp.Diff(want, lookup(t, l, companies, "1")[0]); diff != "" {
		t.Fatal(diff)
	}
	// Twice in one settle: the newest counts, in whatever order they come.
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{
		{Source: accounts, Key: "2", CRMID: "new", Accounted: pos(4, 1)},
		{Source: billing, Key: "2", CRMID: "old", Accounted: pos(3, 1)},
	}})
	if got := lookup(t, l, companies, "2")[0]; got.CRMID != "new" || got.Accounted != pos(4, 1) {
		t.Fatalf("%+v", got)
	}
}

// TestRename: the old key is forgotten, also where another record takes it in
// the same settle, but not where it was taken later.
func TestRename(t *testing.T) {
	l := newFixture(t).begin(t)
	deliver := func(key, oldKey, id string, lsn change.LSN) ledger.Delivery {
		return ledger.Delivery{Source: accounts, Key: key, OldKey: oldKey, Row: "r" + id, CRMID: id, Accounted: pos(lsn, 1)}
	}
	ids := func(keys ...string) string {
		var got []string
		for _, r := range lookup(t, l, companies, keys...) {
			if r == nil {
				got = append(got, "-")
				continue
			}
			got = append(got, r.CRMID)
		}
		return strings.Join(got, " ")
	}
	steps := []struct {
		deliveries []ledger.Delivery
		want       string // ids of a, b, c
	}{
		{[]ledger.Delivery{deliver("a", "", "1", 1), deliver("b", "", "2", 1)}, "1 2 -"},
		{[]ledger.Delivery{deliver("c", "a", "1", 2)}, "- 2 1"},
		{[]ledger.Delivery{deliver("b", "c", "1", 3), deliver("c", "b", "2", 3)}, "- 1 2"},
		{[]ledger.Delivery{deliver("a", "b", "1", 4), deliver("b", "", "3", 5)}, "1 3 2"},
		{[]ledger.Delivery{deliver("a", "b", "1", 4)}, "1 3 2"}, // again: b is a newer record's
	}
	for i, step := range steps {
		settle(t, l, ledger.Settlement{Deliveries: step.deliveries})
		if got := ids("a", "b", "c"); got != step.want {
			t.Fatalf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// TestChangedMapping: facts follow the property's name, not its slot.
func TestChangedMapping(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	fact := func(n uint64) change.Fact { return change.Fact{State: change.Known, Fingerprint: n} }
	settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: accounts, Key: "1", Accounted: pos(1, 1), Facts: []change.Fact{fact(1), fact(2), fact(3)}}}})

	changed := &change.Target{Object: "companies", Match: "account_id", Properties: []string{"aaa", "name", "plan", "zzz"}}
	source := &change.Source{Table: accounts.Table, Target: changed}
	l2 := f.open(t)
	if _, err := l2.Begin(t.Context(), instance(), []*change.Target{changed}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]change.Fact{{}, fact(2), fact(3), {}}, lookup(t, l2, changed, "1")[0].Facts); diff != "" {
		t.Fatal(diff)
	}
	settle(t, l2, ledger.Settlement{Deliveries: []ledger.Delivery{{Source: source, Key: "1", Accounted: pos(2, 1), Facts: []change.Fact{fact(9), fact(2), {}, fact(8)}}}})
	if diff := cmp.Diff([]change.Fact{fact(9), fact(2), {}, fact(8)}, lookup(t, l2, changed, "1")[0].Facts); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]change.Fact{{}, fact(2), {}}, lookup(t, f.begin(t), companies, "1")[0].Facts); diff != "" {
		t.Fatal(diff)
	}
}

// TestSettleIsLikeAMap settles random deliveries, some of them twice, and
// compares with a map.
func TestSettleIsLikeAMap(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	model := map[string]*change.Record{}
	fact := rapid.Custom(func(t *rapid.T) change.Fact {
		fact := change.Fact{State: change.FactState(rapid.IntRange(0, 2).Draw(t, "state"))}
		if fact.State == change.Known {
			fact.Fingerprint = rapid.Uint64().Draw(t, "fingerprint")
		}
		return fact
	})
	lsn := change.LSN(0)
	rapid.Check(t, func(t *rapid.T) {
		var s ledger.Settlement
		before := maps.Clone(model)
		for range rapid.IntRange(0, 20).Draw(t, "deliveries") {
			lsn++
			key := fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))
			d := ledger.Delivery{
				Source: rapid.SampledFrom([]*change.Source{accounts, billing}).Draw(t, "source"), Key: key, Row: "r" + key,
				CRMID: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "id"), Accounted: pos(lsn, rapid.Uint32Range(0, 9).Draw(t, "ordinal")),
				Facts: rapid.SliceOfN(fact, 0, 3).Draw(t, "facts"),
			}
			s.Deliveries = append(s.Deliveries, d)
			record := model[key]
			if record == nil {
				record = &change.Record{}
				model[key] = record
			}
			// Of several in one settle only the newest is stored.
			for _, earlier := range s.Deliveries[:len(s.Deliveries)-1] {
				if earlier.Key == key && earlier.CRMID != "" && d.CRMID == "" {
					d.CRMID = "?"
				}
			}
			record.Accounted, record.Row = d.Accounted, d.Row
			if before[key] == nil {
				record.Table = d.Source.Table // the first one stays
			}
			record.Facts = append(append([]change.Fact{}, d.Facts...), make([]change.Fact, 3-len(d.Facts))...)
			if d.CRMID != "" {
				record.CRMID = d.CRMID
			}
		}
		for range rapid.IntRange(1, 2).Draw(t, "times") {
			if err := l.Settle(t.Context(), &s); err != nil {
				t.Fatal(err)
			}
		}
		for key, want := range model {
			records, err := l.Lookup(t.Context(), companies, []string{key})
			if err != nil {
				t.Fatal(err)
			}
			got := records[0]
			if want.CRMID == "?" {
				want.CRMID = got.CRMID
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: %s", key, diff)
			}
		}
	})
}

func TestConcurrentCalls(t *testing.T) {
	l := newFixture(t).begin(t)
	var g errgroup.Group
	for worker := range 8 {
		g.Go(func() error {
			for i := range 20 {
				key := fmt.Sprintf("%d-%d", worker, i)
				err := l.Settle(t.Context(), &ledger.Settlement{
					Deliveries: []ledger.Delivery{{Source: accounts, Key: key, Accounted: pos(change.LSN(i+1), 1), Delivered: []int{name}}},
					Letters:    []ledger.Letter{{Source: accounts, Key: key, Slot: plan, Category: "c", Position: pos(1, 1), At: at}},
				})
				if err != nil {
					return err
				}
				records, err := l.Lookup(t.Context(), companies, []string{"nobody", key})
				if err != nil {
					return err
				}
				if records[0] != nil || records[1] == nil {
					return fmt.Errorf("%s: %v", key, records)
				}
				l.Fingerprint([]byte(key))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := len(letters(t, l, ledger.Filter{})); n != 160 {
		t.Fatalf("%d letters", n)
	}
}

// An id that is saved before anything is delivered is known by its key and under
// its number, never replaces one that is known, and goes with its key.
func TestIDsAreLearned(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	deliver := func(d ledger.Delivery) {
		t.Helper()
		d.At = at
		settle(t, l, ledger.Settlement{Deliveries: []ledger.Delivery{d}})
	}
	deliver(ledger.Delivery{Source: accounts, Key: "known", Row: "1", CRMID: "11", Accounted: pos(1, 0)})
	err := l.Learn(t.Context(), []ledger.Learned{
		{Source: accounts, Key: "known", Row: "1", CRMID: "99"},
		{Source: accounts, Key: "new", Row: "2", CRMID: "22"},
		{Source: accounts, Key: "new", Row: "2", CRMID: "22"},
	})
	if err != nil {
		t.Fatal(err)
	}
	known, err := l.KeysOfRecords(t.Context(), companies, []string{"11", "22", "33", "99"})
	if diff := cmp.Diff(map[string]string{"11": "known", "22": "new"}, known); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	records, err := l.Lookup(t.Context(), companies, []string{"new"})
	if err != nil || records[0] == nil || records[0].CRMID != "22" || records[0].Accounted != (change.Position{}) {
		t.Fatalf("%+v, %v", records[0], err)
	}
	for _, fact := range records[0].Facts {
		if fact.State != change.Never {
			t.Errorf("something is known of it: %+v", fact)
		}
	}
	deliver(ledger.Delivery{Source: accounts, Key: "newer", OldKey: "new", Row: "2", CRMID: "22", Accounted: pos(2, 0)})
	if known, err = l.KeysOfRecords(t.Context(), companies, []string{"22"}); err != nil || known["22"] != "newer" {
		t.Errorf("after the rename: %v, %v", known, err)
	}
	f.begin(t)
	if err := l.Learn(t.Context(), []ledger.Learned{{Source: accounts, Key: "late", Row: "3", CRMID: "33"}}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("of one that was overtaken: %v", err)
	}
}
