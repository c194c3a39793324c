package ledger_test

import (
	"testing"

	"github.com/pgcrm/pgcrm/ledger"
)

func TestOptions(t *testing.T) {
	l := newFixture(t).open(t)
	retry := ledger.Backfill{Table: "public.accounts", Object: "companies", Match: "account_id", Reason: "retry", Keys: []string{"1"}}
	say := func(token string, want bool) {
		t.Helper()
		if news, err := l.Options(t.Context(), retry.Table, retry.Object, retry.Match, token, []ledger.Backfill{retry}); err != nil || news != want {
			t.Errorf("%s: news %v, %v", token, news, err)
		}
	}
	say("a", false) // nothing is known of the table
	for _, object := range []string{"companies", "deals"} {
		load := ledger.Backfill{Table: retry.Table, Object: object, Match: retry.Match, Reason: "first_load", SourceHash: "h"}
		if _, err := l.AddBackfill(t.Context(), load); err != nil {
			t.Fatal(err)
		}
	}
	say("a", true) // the first look: others may have been before
	say("a", false)
	say("b", true)
	say("b", false)
	retry.Object = "deals"
	say("b", true) // the first look at another object
	say("a", true)
	open, err := l.Backfills(t.Context())
	if err != nil || len(open) != 6 {
		t.Errorf("%d open: %v", len(open), err)
	}
}
