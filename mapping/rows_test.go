package mapping

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

func TestExpressionFormats(t *testing.T) {
	for _, test := range []struct{ property, rule, column, text, want string }{
		{"domain", `{expr: "lower(trim(website_host))"}`, "website_host", " ACME.example ", "=acme.example"},
		{"domain", `{expr: "lower(trim(website_host))"}`, "website_host", null, "?"},
		{"domain", `{expr: "lower(trim(website_host))", on_null: overwrite}`, "website_host", null, "!"},
		{"domain", `{expr: "lower(trim(website_host))", on_null: keep}`, "website_host", null, ""},
		{"domain", `{expr: "trim(website_host)"}`, "website_host", "  ", "!"},
		{"domain", `{expr: "website_host ?? 'none'"}`, "website_host", null, "=none"},
		{"mrr", `{expr: "mrr_cents / 100"}`, "mrr_cents", "123456", "=1234.56"},
		{"mrr", `{expr: "mrr * 12"}`, "mrr", "0.10", "=1.20"},
		{"mrr", `{expr: "score * 1"}`, "score", "1.5e-07", "=0.00000015"},
		{"mrr", `{expr: "score * 1"}`, "score", "NaN", "#invalid_value"},
		{"mrr", `{expr: "1 / seats"}`, "seats", "0", "#invalid_value"},
		{"mrr", `{expr: "amount + 1"}`, "amount", "0.5", "=1.5"},
		{"mrr", `{expr: "active ? 1 : 0"}`, "active", "t", "=1"},
		{"mrr", `{expr: "meta.n"}`, "meta", `{"n": 1.10}`, "=1.10"},
		{"mrr", `{expr: "meta.n"}`, "meta", `{"n": "x"}`, "#invalid_value"},
		{"mrr", `{expr: "meta.n"}`, "meta", `{"n": null}`, "?"},
		{"mrr", `{expr: "meta.n"}`, "meta", `[1]`, "?"},
		{"is_active", `{expr: "deleted_at == nil"}`, "deleted_at", null, "=true"},
		{"is_active", `{expr: "seats > 10"}`, "seats", null, "?"},
		{"renewal_date", `{expr: "renews_at", tz: America/New_York}`, "renews_at", "2026-01-31 03:00:00+00", "=2026-01-30"},
		{"renewal_date", `{expr: "signed_on ?? date('2026-01-01')"}`, "signed_on", null, "=2026-01-01"},
		{"renewal_date", `{expr: "signed_on"}`, "signed_on", "infinity", "#invalid_value"},
		{"renewal_date", `{expr: "signed_on"}`, "signed_on", "0044-03-15 BC", "#invalid_value"},
		{"renewed_at", `{expr: "seen_at + duration('1h')", tz: America/New_York}`, "seen_at", "2026-01-31 12:00:00.123456", "=2026-01-31T18:00:00.123Z"},
		{"plan", `{expr: "plan == 'ent' ? 'ENTERPRISE' : 'FREE'"}`, "plan", "ent", "=ENTERPRISE"},
		{"plan", `{expr: "upper(plan)"}`, "plan", "x", "#invalid_option"},
		{"plan", `{expr: "upper(plan)", by: label}`, "plan", "free", "#invalid_option"},
		{"plan", `{expr: "lower(plan)", values: {ent: ENTERPRISE}}`, "plan", "ENT", "=ENTERPRISE"},
		{"plan", `{expr: "lower(plan)", values: {ent: ENTERPRISE}, on_other: clear}`, "plan", "x", "?"},
		{"tags", `{expr: "filter(tags, # != 'b')"}`, "tags", "{a,b,c}", "=a;c"},
		{"tags", `{expr: "meta.tags"}`, "meta", `{"tags": ["a", "c", "a", null]}`, "=a;c"},
		{"tags", `{expr: "meta.tags"}`, "meta", `{"tags": ["z"]}`, "#invalid_option"},
		{"tags", `{expr: "meta.tags"}`, "meta", `{"tags": []}`, "!"},
		{"tags", `{expr: "meta.tags"}`, "meta", `{"tags": {"a": 1}}`, "#invalid_value"},
		{"status", `{expr: "meta.o"}`, "meta", `{"o": {"b": 1, "a": [true]}}`, `={"a":[true],"b":1}`},
		{"status", `{expr: "tags"}`, "tags", `{a,"b c"}`, "=a;b c"},
		{"status", `{expr: "email"}`, "email", "A@b", "=A@b"},
		{"status", `{expr: "code + '!'"}`, "code", "ab  ", "=ab!"},
		{"status", `{expr: "string(renews_at)"}`, "renews_at", "2026-01-31 12:00:00+00", "=2026-01-31 12:00:00+00"},
		{"status", `{expr: "stage == 'won' ? 'y' : 'n'"}`, "stage", "won", "=y"},
		{"status", `{expr: "repeat(plan, 70000)"}`, "plan", "x", "#too_long"},
	} {
		if got := formatted(t, test.property, test.rule, test.column, test.text); got != test.want {
			t.Errorf("%s: %s of %s %.60q: got %.80q, want %.80q", test.property, test.rule, test.column, test.text, got, test.want)
		}
	}
}

func TestExpressionProblemsPointIntoTheFile(t *testing.T) {
	src := `version: 1
tables:
  accounts:
    match: {account_id: id}
    when: deleted_at == nill
    on_delete: {set: {status: x, plan: NONE, account_id: 1, createdate: y}}
    properties:
      domain: {expr: "lower(website_hosst)"}
      mrr:
        expr: |
          mrr_cents
            / hundred
      name:
        expr: >
          folded
          text
      seats: {expr: "plan"}
      renewal_date: {expr: renews_at}
      notes: {expr: price}
      is_active: {expr: "seats"}
      tags: {expr: "stage == 'wonn' ? 'a' : 'b'"}
      plan: {expr: "tags", values: {a: FREE}}
`
	want := []string{
		"m.yaml:5:25: table public.accounts has no column nill; write nil for NULL",
		"m.yaml:6:40: “NONE” is not among the option values of plan; its options are ENTERPRISE, FREE",
		"m.yaml:6:46: account_id is the match property and is written from its column already; remove this line",
		"m.yaml:6:61: property createdate is read-only in HubSpot and cannot be written; map another",
		"m.yaml:8:29: table public.accounts has no column website_hosst; did you mean website_host?",
		"m.yaml:12:15: table public.accounts has no column hundred; an expression reads the table's columns; put a text in quotes",
		"m.yaml:14:15: syntax: unexpected token Identifier(\"text\"); see docs/mapping.md for the language",
		"m.yaml:17:21: the expression gives a text, and property seats is a number; wrap it in float(...)",
		"m.yaml:18:28: the expression gives a timestamp with time zone, and property renewal_date is a date; which date it is depends on the zone: add tz, as in tz: UTC",
		"m.yaml:19:21: column price is of the type money, whose text depends on the server's lc_monetary; store the amount as numeric",
		"m.yaml:20:25: the expression gives a number, and property is_active is a bool; compare it with something",
		"m.yaml:21:30: stage is never \"wonn\"; it is one of lead, won, lost",
	}
	if diff := cmp.Diff(want, compileProblems(t, src)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestWhenAndDelete holds changes of a row with a soft delete against what they
// ask.
func TestWhenAndDelete(t *testing.T) {
	const src = `version: 1
tables:
  accounts:
    match: {account_id: email}
    when: "deleted_at == nil"
    on_delete: {set: {status: churned, plan: ''}}
    properties: {name: account_name, status: {const: live}}
`
	rel := accounts()
	live := map[string]string{"id": "7", "email": "k7", "account_name": "A"}
	gone := map[string]string{"id": "7", "email": "k7", "account_name": "A", "deleted_at": "2026-01-31 12:00:00+00"}
	with := func(m map[string]string, pairs ...string) map[string]string {
		c := map[string]string{}
		for k, v := range m {
			c[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i]] = pairs[i+1]
		}
		return c
	}
	keyOnly := map[string]string{"*": unchanged, "id": "7"}
	for name, test := range map[string]struct {
		kind     change.Kind
		snapshot bool
		new, old map[string]string
		key      bool
		ignore   bool
		want     string
	}{
		"insert live":              {kind: change.Insert, new: live, want: "[k7] row 7 whole name=A status=live"},
		"insert gone":              {kind: change.Insert, new: gone, want: "nothing"},
		"snapshot gone":            {kind: change.Insert, snapshot: true, new: gone, want: "[k7] row 7 gone plan! status=churned"},
		"snapshot gone, ignore":    {kind: change.Insert, snapshot: true, new: gone, ignore: true, want: "nothing"},
		"update live":              {kind: change.Update, new: live, want: "[k7] row 7 was with row 7 whole name=A status=live"},
		"leaves":                   {kind: change.Update, new: gone, want: "[k7] row 7 gone plan! status=churned"},
		"leaves, ignore":           {kind: change.Update, new: gone, ignore: true, want: "nothing"},
		"leaves, full":             {kind: change.Update, new: gone, old: live, want: "[k7] row 7 gone plan! status=churned"},
		"was away already":         {kind: change.Update, new: gone, old: gone, want: "nothing"},
		"leaves with its key":      {kind: change.Update, new: with(gone, "email", "k8", "id", "8"), old: live, want: "[k7] row 7 gone plan! status=churned"},
		"leaves, had no record":    {kind: change.Update, new: gone, old: with(live, "email", null), want: "nothing"},
		"enters":                   {kind: change.Update, new: live, old: gone, want: "[k7] row 7 whole name=A status=live"},
		"enters, unchanged, full":  {kind: change.Update, new: with(live, "account_name", unchanged), old: gone, want: "[k7] row 7 whole name=A status=live"},
		"unchanged, not full":      {kind: change.Update, new: with(live, "account_name", unchanged), want: "[k7] row 7 was with row 7 status=live"},
		"condition is not known":   {kind: change.Update, new: with(live, "deleted_at", unchanged), want: "[k7] row 7 reread"},
		"condition, full":          {kind: change.Update, new: with(live, "deleted_at", unchanged), old: live, want: "[k7] row 7 whole name=A status=live"},
		"deleted, key only":        {kind: change.Delete, old: keyOnly, key: true, want: "[] row 7 gone plan! status=churned"},
		"deleted, full":            {kind: change.Delete, old: live, want: "[k7] row 7 gone plan! status=churned"},
		"deleted, was away":        {kind: change.Delete, old: gone, want: "nothing"},
		"deleted, had no record":   {kind: change.Delete, old: with(live, "email", null), want: "nothing"},
		"deleted, ignore":          {kind: change.Delete, old: live, ignore: true, want: "nothing"},
		"moved, unchanged, no old": {kind: change.Update, new: with(live, "email", "k8", "account_name", unchanged), old: map[string]string{"*": unchanged, "id": "7", "email": "k7"}, key: true, want: "[k8] was [k7] row 7 reread status=live"},
	} {
		t.Run(name, func(t *testing.T) {
			ev := &change.Event{Kind: test.kind, Relation: rel, OldIsKey: test.key, Snapshot: test.snapshot}
			if test.new != nil {
				ev.New = row(t, rel, test.new)
			}
			if test.old != nil {
				ev.Old = row(t, rel, test.old)
			}
			text := src
			if test.ignore {
				text = replaceOnce(src, "{set: {status: churned, plan: ''}}", "ignore")
			}
			if got := mapOne(t, compile(t, text), ev); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestExpressionsOverUnchangedColumns: all unchanged is unchanged, some
// unchanged must be read again, a full old row fills in.
func TestExpressionsOverUnchangedColumns(t *testing.T) {
	m := compile(t, oneProperty("status", `{expr: "plan + notes"}`))
	rel := accounts()
	for name, test := range map[string]struct {
		new, old map[string]string
		want     string
	}{
		"all known":     {new: map[string]string{"id": "7", "plan": "p", "notes": "n"}, want: "[7] whole status=pn"},
		"some known":    {new: map[string]string{"id": "7", "plan": "p", "notes": unchanged}, want: "[7] reread"},
		"none known":    {new: map[string]string{"id": "7", "plan": unchanged, "notes": unchanged}, want: "[7]"},
		"full old":      {new: map[string]string{"id": "7", "plan": "p", "notes": unchanged}, old: map[string]string{"id": "7", "plan": "o", "notes": "n"}, want: "[7] whole status=pn"},
		"turned NULL":   {new: map[string]string{"id": "7", "plan": null, "notes": "n"}, old: map[string]string{"id": "7", "plan": "o", "notes": "n"}, want: "[7] whole status!"},
		"was NULL":      {new: map[string]string{"id": "7", "plan": null, "notes": "n"}, old: map[string]string{"id": "7", "notes": "n"}, want: "[7] whole status?"},
		"old not known": {new: map[string]string{"id": "7", "plan": null, "notes": "n"}, want: "[7] whole status?"},
	} {
		t.Run(name, func(t *testing.T) {
			ev := &change.Event{Kind: change.Update, Relation: rel, New: row(t, rel, test.new)}
			if test.old != nil {
				ev.Old = row(t, rel, test.old)
			}
			if got := mapOne(t, m, ev); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestPriority(t *testing.T) {
	src := `version: 1
tables:
  accounts:
  - match: {account_id: id}
    properties: {name: account_name, status: plan}
  - match: {account_id: email}
    priority: 1
    properties: {status: notes}
`
	m := compile(t, src)
	if a, b := m.Sources()[0].Slots, m.Sources()[1].Slots; len(a) != 1 || a[0] != 0 || len(b) != 1 || b[0] != 1 {
		t.Error(a, b)
	}
	if len(m.Warnings()) != 1 {
		t.Error(m.Warnings())
	}
	got := compileProblems(t, replaceOnce(src, "    priority: 1\n", ""))
	want := []string{"m.yaml:7:18: property status of companies is written by the mapping of public.accounts on line 5 as well; remove one, or give the mapping that decides a higher priority: priority: 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDirection(t *testing.T) {
	m := compile(t, oneProperty("lifecyclestage", "{column: lifecycle, direction: allow}"))
	if diff := cmp.Diff([]int{0}, m.Sources()[0].ClearFirst); diff != "" {
		t.Error(diff)
	}
}

func TestContractExample(t *testing.T) {
	m := compile(t, `version: 1
tables:
  public.accounts:                    # a mapping, or a list of mappings; quoted where SQL would quote
    object: companies                 # the HubSpot object type; companies is the default
    match: {account_id: id}           # HubSpot property with unique values: column
    when: "deleted_at == nil"         # an expression
    on_missing: park                  # park (default) | create | skip
    on_delete: ignore                 # ignore (default) | archive | {set: {status: churned}}
    properties:
      name: account_name
      domain: {expr: "lower(trim(website_host))"}
      plan: {column: plan, values: {free: FREE, ent: ENTERPRISE}, on_other: park}
      source: {const: postgres}
      renewal_date: {column: renews_at, tz: America/New_York}
      mrr: {expr: "mrr_cents / 100", on_null: keep}
      notes: {column: notes, on_overflow: truncate}
      stage: {column: stage, by: label}
      lifecyclestage: {column: lifecycle, direction: allow}
`)
	rel := accounts()
	ev := &change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, map[string]string{
		"id": "7", "account_name": "Acme", "website_host": " ACME.example", "plan": "ent", "renews_at": "2026-01-31 03:00:00+00", "mrr_cents": "123456", "stage": "won", "lifecycle": "customer",
	})}
	want := "[7] whole domain=acme.example lifecyclestage=customer mrr=1234.56 name=Acme notes? plan=ENTERPRISE renewal_date=2026-01-30 source=postgres stage=2"
	if got := mapOne(t, m, ev); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(m.Warnings()) > 0 {
		t.Error(m.Warnings())
	}
}
