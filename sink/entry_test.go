package sink

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

// A version may hold changes of rows of several tables. What one of them carries
// whole says nothing of what the others leave out.
func TestAVersionOfTwoTables(t *testing.T) {
	usage := &change.Source{Index: 2, Table: "public.usage", Target: companies, Slots: []int{1}}
	from := func(src *change.Source, row string, whole, reread bool) *change.Patch {
		return &change.Patch{Source: src, Key: []byte("k"), Row: []byte(row), Props: set(src.Slots[0], "1"), Whole: whole, Reread: reread}
	}
	for name, tc := range map[string]struct {
		changes         []*change.Patch
		partial, reread bool
		rows            []string
	}{
		"whole":                      {[]*change.Patch{from(accounts, "1", true, false)}, false, false, []string{"public.accounts 1"}},
		"a part":                     {[]*change.Patch{from(accounts, "1", false, true)}, true, true, []string{"public.accounts 1"}},
		"a part, then whole":         {[]*change.Patch{from(accounts, "1", false, true), from(accounts, "1", true, false)}, false, false, []string{"public.accounts 1"}},
		"whole, then a part":         {[]*change.Patch{from(accounts, "1", true, false), from(accounts, "1", false, false)}, false, false, []string{"public.accounts 1"}},
		"a part, another's whole":    {[]*change.Patch{from(accounts, "1", false, true), from(usage, "9", true, false)}, true, true, []string{"public.usage 9", "public.accounts 1"}},
		"whole, another's part":      {[]*change.Patch{from(accounts, "1", true, false), from(usage, "9", false, false)}, true, false, []string{"public.usage 9", "public.accounts 1"}},
		"whole, another's whole":     {[]*change.Patch{from(accounts, "1", true, false), from(usage, "9", true, false)}, false, false, []string{"public.usage 9", "public.accounts 1"}},
		"both whole, then a part":    {[]*change.Patch{from(accounts, "1", true, false), from(usage, "9", true, false), from(accounts, "1", false, false)}, false, false, []string{"public.accounts 1", "public.usage 9"}},
		"another row of one of them": {[]*change.Patch{from(accounts, "1", true, false), from(usage, "9", true, false), from(accounts, "2", true, false)}, false, false, []string{"public.accounts 2", "public.usage 9"}},
		"a row that is not known":    {[]*change.Patch{from(accounts, "1", true, false), from(usage, "", true, false)}, false, false, []string{"public.accounts 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			q := newTestQueue(t)
			feed(q, 10, tc.changes...)
			batch := takeNow(q)
			if len(batch) != 1 {
				t.Fatalf("%d versions", len(batch))
			}
			e := batch[0]
			if e.Partial != tc.partial || e.Reread != tc.reread {
				t.Errorf("partial %v, reread %v; want %v, %v", e.Partial, e.Reread, tc.partial, tc.reread)
			}
			var rows []string
			for o := range e.Rows {
				rows = append(rows, o.Source.Table+" "+o.Row)
			}
			if diff := cmp.Diff(tc.rows, rows); diff != "" {
				t.Error(diff)
			}
			if all := slices.Collect(e.Rows); len(all) != len(rows) {
				t.Errorf("%d rows", len(all))
			}
		})
	}
}
