package ledger_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pgcrm/pgcrm/ledger"
)

func TestPublished(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	load := func(string) []ledger.Backfill {
		return []ledger.Backfill{{Table: "public.accounts", Object: "companies", Match: "account_id", Reason: "published_anew"}}
	}
	say := func(token string, want bool) {
		t.Helper()
		if filed, err := l.Published(t.Context(), "public.accounts", "a", token, load); err != nil || (len(filed) > 0) != want {
			t.Errorf("%s: filed %v, %v", token, filed, err)
		}
	}
	say("a", false) // nothing is known of the table
	first := load("")[0]
	first.Reason, first.SourceHash = "first_load", "h"
	if _, err := l.AddBackfill(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	say("a", false)
	say("a", false)
	say("b", true)
	second := ledger.Backfill{Table: "public.usage", Object: "companies", Match: "account_id", Reason: "first_load", SourceHash: "h"}
	if _, err := l.AddBackfill(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if filed, err := l.Published(t.Context(), "public.usage", "a", "b", load); err != nil || len(filed) == 0 {
		t.Errorf("a break before the first look: filed %v, %v", filed, err)
	}
	say("b", false)
	say("a", true)

	var filed atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			ok, err := f.open(t).Published(t.Context(), "public.accounts", "a", "c", load)
			if err != nil {
				t.Error(err)
			}
			if len(ok) > 0 {
				filed.Add(1)
			}
		})
	}
	all.Wait()
	open, err := l.Backfills(t.Context())
	if err != nil || filed.Load() != 1 || len(open) != 6 {
		t.Errorf("%d filed, %d open: %v", filed.Load(), len(open), err)
	}
}
