package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

func TestBackfill(t *testing.T) {
	w := newWorld(t)
	w.migrate()
	filed := func(id int64) string {
		return w.text("SELECT concat_ws('|', table_name, object, match, reason, condition, array_to_string(keys, ','), state) FROM "+w.name+".backfill WHERE id = $1", id)
	}
	for args, want := range map[string]string{
		"accounts":                             "public.accounts|companies|account_id|requested||waiting",
		"public.accounts --keys 7,12 --keys 7": "public.accounts|companies|account_id|requested||7,12|waiting",
		"--all":                                "public.accounts|companies|account_id|requested||waiting",
	} {
		got := read[[]request](w, append([]string{"backfill"}, strings.Fields(args)...)...)
		if len(got) != 1 || got[0].Table != "public.accounts" || got[0].Estimate == 0 {
			t.Errorf("backfill %s: %+v", args, got)
			continue
		}
		if filed := filed(got[0].ID); filed != want {
			t.Errorf("backfill %s filed %s, want %s", args, filed, want)
		}
	}
	text := w.ok("backfill", "accounts", "--where", "plan = 'pro'")
	if !strings.HasPrefix(text, "asked: backfill 4 of public.accounts to companies; no instance runs now") {
		t.Errorf("got %s", text)
	}
	if got := filed(4); got != "public.accounts|companies|account_id|requested|plan = 'pro'|waiting" {
		t.Errorf("filed %s", got)
	}

	if text := w.ok("backfill", "--cancel", "4"); !strings.HasPrefix(text, "cancelled backfill 4") {
		t.Errorf("got %s", text)
	}
	if text := w.ok("backfill", "--cancel", "4"); text != "backfill 4 was over already: cancelled\n" {
		t.Errorf("got %s", text)
	}
	if o := w.run("backfill", "--cancel", "99"); o.code != exitFailed || !strings.Contains(o.stderr, "there is no backfill 99") {
		t.Errorf("got %+v", o)
	}
	w.refused("mapped are public.accounts", "backfill", "acounts")
	w.refused("name one table", "backfill")
	w.refused("name one table", "backfill", "accounts", "--all")
	w.refused("contradict", "backfill", "accounts", "--keys", "1", "--where", "true")
	w.refused("the condition cannot be used on table public.accounts: column \"plans\" does not exist", "backfill", "accounts", "--where", "plans = 'pro'")
	w.refused(`no such key of public.accounts: invalid input syntax for type bigint: "seven"; its primary key is id`, "backfill", "accounts", "--keys", "7,seven")
	w.refused("names no key", "backfill", "accounts", "--keys", ",")
	w.refused("stands alone", "backfill", "accounts", "--cancel", "4")
}

func TestBackfillIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.exec("UPDATE " + w.name + ".backfill SET finished_at = started_at")
	var out bytes.Buffer
	b := backfillOn(t, w, &out)
	book, err := b.ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	if err := b.followAll(t.Context(), book, []int64{1}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "backfill 1 of public.accounts: done, 12 rows\n" {
		t.Errorf("got %q", got)
	}
	w.exec("UPDATE " + w.name + ".backfill SET state = 'failed', message = 'no such condition'")
	if err := b.followAll(t.Context(), book, []int64{1}); err == nil || err.Error() != "backfill 1: failed: no such condition" {
		t.Errorf("got %v", err)
	}
}

func TestBackfillIsCarriedOutAndFollowed(t *testing.T) {
	w := newWorld(t)
	w.start()
	writes := len(w.portal.Journal(0))
	text := w.ok("backfill", "accounts", "--keys", "3,4", "--follow")
	if !strings.Contains(text, "the running instance carries it out\n") || !strings.Contains(text, "done, 2 rows") {
		t.Errorf("got %s", text)
	}
	done := read[[]progress](w, "backfill", "accounts", "--where", "id <= 10", "--follow")
	if len(done) != 1 || done[0].State != ledger.Done || done[0].Rows != 10 {
		t.Errorf("got %+v", done)
	}
	if now := len(w.portal.Journal(0)); now != writes {
		t.Errorf("what the CRM holds already was written again: %d writes", now-writes)
	}
}

func TestFollowingStopsAndTheLoadGoesOn(t *testing.T) {
	w := newWorld(t)
	w.migrate()
	id := read[[]request](w, "backfill", "accounts")[0].ID
	var out bytes.Buffer
	b := backfillOn(t, w, &out)
	stop := make(chan struct{})
	b.stop = stop
	book, err := b.ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	close(stop)
	if err := b.followAll(t.Context(), book, []int64{id}); err != nil {
		t.Fatal(err)
	}
	want := "backfill 1 of public.accounts: waiting to begin\nno longer followed; the load goes on (pgcrm backfill --cancel 1 ends it)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func backfillOn(t *testing.T, w *world, out *bytes.Buffer) *backfillCommand {
	t.Helper()
	d, err := newDesk(Environment{Env: w.environ(), Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	format := asText
	return &backfillCommand{desk: d, format: &format}
}

func TestProgress(t *testing.T) {
	for want, p := range map[string]progress{
		"backfill 3 of t: waiting to begin": {State: ledger.Waiting},
		"backfill 3 of t: 0 rows":           {State: ledger.Running},
		"backfill 3 of t: 12,000 rows of about 48,000 (25 %), 1,200 rows/s, 30 s left":       {State: ledger.Running, Rows: 12000, Estimate: 48000, Rate: 1200},
		"backfill 3 of t: 50 rows of about 50 (100 %), 5 rows/s":                             {State: ledger.Running, Rows: 50, Estimate: 40, Rate: 5},
		"backfill 3 of t: done, 1 row":                                                       {State: ledger.Done, Rows: 1, Seconds: 0.2},
		"backfill 3 of t: done, 1,000,000 rows in 40 s (25,000 rows/s)":                      {State: ledger.Done, Rows: 1_000_000, Seconds: 40},
		"backfill 3 of t: cancelled after 10 rows":                                           {State: ledger.Cancelled, Rows: 10},
		"backfill 3 of t: failed: the condition cannot be used on table t: division by zero": {State: ledger.Failed, Message: "the condition cannot be used on table t: division by zero"},
	} {
		p.ID, p.Table = 3, "t"
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBar(t *testing.T) {
	for want, p := range map[string]progress{
		"":                            {State: ledger.Running, Rows: 10},
		"[........................] ": {State: ledger.Running, Estimate: 48},
		"[######..................] ": {State: ledger.Running, Rows: 12, Estimate: 48},
		"[########################] ": {State: ledger.Running, Rows: 50, Estimate: 48},
	} {
		if got := p.bar(); got != want {
			t.Errorf("%+v: got %q, want %q", p, got, want)
		}
	}
	if got := (progress{State: ledger.Done, Rows: 5, Estimate: 5}).bar(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestMeterMeasuresTheLastWhile(t *testing.T) {
	var m meter
	at := time.Unix(1000, 0)
	if got := m.rate(at, 500); got != 0 {
		t.Errorf("at first: %v", got)
	}
	for i := range 60 {
		at = at.Add(time.Second)
		rows := int64(500 + 100*(i+1))
		if i >= 30 {
			rows = 500 + 3000 + 1000*int64(i-29)
		}
		got := m.rate(at, rows)
		if want := 100.0; i < 30 && got != want {
			t.Fatalf("second %d: %v, want %v", i, got, want)
		}
		if want := 1000.0; i > 50 && got != want {
			t.Fatalf("second %d: %v, want %v", i, got, want)
		}
	}
}

func TestParseKeys(t *testing.T) {
	one := &change.Relation{Schema: "public", Name: "a", Columns: []change.Column{{Name: "id"}}, PrimaryKey: []int{0}}
	two := &change.Relation{Schema: "public", Name: "b", Columns: []change.Column{{Name: "region"}, {Name: "no"}}, PrimaryKey: []int{0, 1}}
	for _, c := range []struct {
		rel   *change.Relation
		texts []string
		want  []string
	}{
		{one, []string{"1, 2,,1", "3"}, []string{"1", "2", "3"}},
		{one, []string{`"a,b",O'Hara`}, []string{"a,b", "O'Hara"}},
		{two, []string{`["eu",1],["us","2"]`, `["eu","1"]`}, []string{`["eu","1"]`, `["us","2"]`}},
		{two, []string{`["a\"<\n",12345678901234567890]`}, []string{`["a\"<\u000a","12345678901234567890"]`}},
	} {
		keys, err := parseKeys(c.rel, c.texts)
		if err != nil {
			t.Errorf("%q: %v", c.texts, err)
			continue
		}
		var got []string
		for _, k := range keys {
			got = append(got, k.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.texts, diff)
		}
	}
	for _, bad := range []string{"eu,1", `["eu"]`, `["eu",null]`, `{"region":"eu"}`} {
		if _, err := parseKeys(two, []string{bad}); err == nil || !strings.Contains(err.Error(), `'["REGION","NO"]'`) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
