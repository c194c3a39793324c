package mapping

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

// mapOne maps an event of one source and describes what came of it.
func mapOne(t *testing.T, m *Mapping, ev *change.Event) string {
	t.Helper()
	x := m.Mapper()
	patches, err := x.Map(ev, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(patches) == 0 {
		if x.Skipped(m.Sources()[0]) == 1 {
			return "skipped"
		}
		return "nothing"
	}
	p := patches[0]
	s := "[" + string(p.Key) + "]"
	if len(p.OldKey) > 0 {
		s += " was [" + string(p.OldKey) + "]"
	}
	if string(p.Row) != string(p.Key) {
		s += " row " + string(p.Row)
	}
	if len(p.OldRow) > 0 {
		s += " was with row " + string(p.OldRow)
	}
	if p.Rejection != nil {
		return s + " rejected " + p.Rejection.Category
	}
	if p.Whole {
		s += " whole"
	}
	if p.Gone {
		s += " gone"
	}
	if p.Reread {
		s += " reread"
	}
	if props := show(p); props != "" {
		s += " " + props
	}
	return s
}

// TestRowChanges holds events against the patches that they give, under
//
//	name: account_name (clear), notes: keep, status: overwrite, source: const
func TestRowChanges(t *testing.T) {
	const src = `version: 1
tables:
  accounts:
    match: {account_id: %s}
    properties:
      name: account_name
      notes: {column: notes, on_null: keep}
      status: {column: plan, on_null: overwrite}
      source: {const: postgres}
`
	rel := accounts()
	full := map[string]string{"id": "7", "email": "k7", "account_name": "Acme", "notes": "n", "plan": "p"}
	with := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for k, v := range full {
			m[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, test := range map[string]struct {
		match  string // column, id where empty
		kind   change.Kind
		new    map[string]string
		old    map[string]string
		key    bool // old is a key-only tuple
		expect string
	}{
		"insert":                {kind: change.Insert, new: full, expect: "[7] whole name=Acme notes=n source=postgres status=p"},
		"insert of NULLs":       {kind: change.Insert, new: map[string]string{"id": "7"}, expect: "[7] whole name? source=postgres status!"},
		"empty text":            {kind: change.Insert, new: with("account_name", "", "notes", ""), expect: "[7] whole name! notes! source=postgres status=p"},
		"update":                {kind: change.Update, new: with("account_name", "B"), expect: "[7] whole name=B notes=n source=postgres status=p"},
		"update, unchanged":     {kind: change.Update, new: with("notes", unchanged), expect: "[7] name=Acme source=postgres status=p"},
		"full old, unchanged":   {kind: change.Update, new: with("notes", unchanged), old: full, expect: "[7] name=Acme source=postgres status=p"},
		"seen turning NULL":     {kind: change.Update, new: with("account_name", null), old: full, expect: "[7] whole name! notes=n source=postgres status=p"},
		"NULL before":           {kind: change.Update, new: with("account_name", null), old: with("account_name", null), expect: "[7] whole name? notes=n source=postgres status=p"},
		"key-only old":          {kind: change.Update, new: with("id", "8", "account_name", null), old: map[string]string{"*": unchanged, "id": "7"}, key: true, expect: "[8] was [7] whole name? notes=n source=postgres status=p"},
		"moved, unchanged":      {kind: change.Update, new: with("id", "8", "notes", unchanged), old: map[string]string{"*": unchanged, "id": "7"}, key: true, expect: "[8] was [7] reread name=Acme source=postgres status=p"},
		"moved, unchanged, old": {kind: change.Update, new: with("id", "8", "notes", unchanged), old: full, expect: "[8] was [7] whole name=Acme notes=n source=postgres status=p"},
		"match is no key":       {match: "email", kind: change.Update, new: with("email", "k8"), old: full, expect: "[k8] was [k7] row 7 whole name=Acme notes=n source=postgres status=p"},
		"match is not told":     {match: "email", kind: change.Update, new: with("email", "k8"), expect: "[k8] row 7 was with row 7 whole name=Acme notes=n source=postgres status=p"},
		"nor with another row":  {match: "email", kind: change.Update, new: with("id", "8", "email", "k8"), old: map[string]string{"*": unchanged, "id": "7"}, key: true, expect: "[k8] row 8 was with row 7 whole name=Acme notes=n source=postgres status=p"},
		"match turns NULL":      {match: "email", kind: change.Update, new: with("email", null), old: full, expect: "skipped"},
		"match comes to be":     {match: "email", kind: change.Update, new: with("notes", unchanged), old: with("email", null), expect: "[k7] row 7 whole name=Acme notes=n source=postgres status=p"},
		"match is empty":        {match: "email", kind: change.Insert, new: with("email", ""), expect: "[] row 7 rejected invalid_key"},
		"match unchanged":       {match: "email", kind: change.Update, new: with("email", unchanged), expect: "[] row 7 rejected invalid_key"},
		"match unchanged, old":  {match: "email", kind: change.Update, new: with("email", unchanged), old: full, expect: "[k7] row 7 whole name=Acme notes=n source=postgres status=p"},
		"delete":                {kind: change.Delete, old: map[string]string{"*": unchanged, "id": "7"}, key: true, expect: "nothing"},
		"truncate":              {kind: change.Truncate, expect: "nothing"},
		"begin":                 {kind: change.Begin, expect: "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			match := test.match
			if match == "" {
				match = "id"
			}
			ev := &change.Event{Kind: test.kind, Relation: rel, OldIsKey: test.key}
			if test.new != nil {
				ev.New = row(t, rel, test.new)
			}
			if test.old != nil {
				ev.Old = row(t, rel, test.old)
			}
			m := compile(t, replaceOnce(src, "%s", match))
			if got := mapOne(t, m, ev); got != test.expect {
				t.Errorf("got  %s\nwant %s", got, test.expect)
			}
		})
	}
}

func TestCompositeKey(t *testing.T) {
	rel := accounts()
	rel.PrimaryKey = []int{1, 0}
	f, err := Parse("m", []byte(oneProperty("status", "plan")))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(f, []*change.Relation{rel}, companies())
	if err != nil {
		t.Fatal(err)
	}
	ev := &change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, map[string]string{"id": "7", "account_name": "a\"\n", "plan": "x"})}
	if got, want := mapOne(t, m, ev), `[7] row ["a\"\u000a","7"] whole status=x`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRecordID(t *testing.T) {
	m := compile(t, "version: 1\ntables:\n  accounts:\n    match: {hs_object_id: plan}\n    properties: {name: account_name}\n")
	for id, want := range map[string]string{
		"123": "[123] row 7 whole name?", "12x": "[] row 7 rejected invalid_key", "-1": "[] row 7 rejected invalid_key", "1.5": "[] row 7 rejected invalid_key",
	} {
		ev := &change.Event{Kind: change.Insert, Relation: accounts(), New: row(t, accounts(), map[string]string{"id": "7", "plan": id})}
		if got := mapOne(t, m, ev); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

func TestSeveralMappingsOfATable(t *testing.T) {
	m := compile(t, "version: 1\ntables:\n  accounts:\n  - match: {account_id: id}\n    properties: {name: account_name}\n  - match: {account_no: id}\n    properties: {status: plan}\n")
	x := m.Mapper()
	rel := accounts()
	patches, err := x.Map(&change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, map[string]string{"id": "7", "account_name": "A", "plan": "P"})}, nil)
	if err != nil || len(patches) != 2 {
		t.Fatal(patches, err)
	}
	if a, b := show(patches[0]), show(patches[1]); a != "name=A" || b != "status=P" {
		t.Errorf("%s, %s", a, b)
	}
	if patches[0].Source == patches[1].Source || patches[0].Source.Target == patches[1].Source.Target {
		t.Error("sources or targets are one")
	}
}

func TestOldRelationsAreForgotten(t *testing.T) {
	m := compile(t, oneProperty("name", "account_name"))
	x := m.Mapper()
	for range 100 {
		rel := accounts()
		if _, err := x.Map(&change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, map[string]string{"id": "7"})}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.bound) > relationsKept {
		t.Errorf("%d relations are kept", len(x.bound))
	}
}

func TestMapDoesNotAllocate(t *testing.T) {
	m := compile(t, `version: 1
tables:
  accounts:
    match: {account_id: id}
    properties:
      name: account_name
      mrr: mrr
      renewed_at: renews_at
      is_active: active
      plan: {column: plan, values: {free: FREE}}
      stage: {column: stage, by: label}
      tags: tags
`)
	rel := accounts()
	ev := &change.Event{Kind: change.Update, Relation: rel, New: row(t, rel, map[string]string{
		"id": "7", "account_name": "Acme", "mrr": "12.50", "renews_at": "2026-01-31 12:00:00.123456+00", "active": "t", "plan": "free", "stage": "won", "tags": "{a,b}",
	})}
	x := m.Mapper()
	dst, err := x.Map(ev, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("is_active=true mrr=12.50 name=Acme plan=FREE renewed_at=2026-01-31T12:00:00.123Z stage=2 tags=a;b", show(dst[0])); diff != "" {
		t.Error(diff)
	}
	if n := testing.AllocsPerRun(100, func() { dst, _ = x.Map(ev, dst[:0]) }); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func BenchmarkMap(b *testing.B) {
	m := compile(b, "version: 1\ntables:\n  accounts:\n    match: {account_id: id}\n    properties: {name: account_name, domain: website_host, plan: {column: plan, values: {free: FREE}}, seats: seats, mrr: mrr, is_active: active, renewed_at: renews_at}\n")
	rel := accounts()
	ev := &change.Event{Kind: change.Update, Relation: rel, New: row(b, rel, map[string]string{
		"id": "7", "account_name": "Acme", "website_host": "acme.example", "mrr": "12.50", "seats": "5", "renews_at": "2026-01-31 12:00:00.123456+00", "active": "t", "plan": "free",
	})}
	x := m.Mapper()
	var dst []change.Patch
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = x.Map(ev, dst[:0])
	}
}
