package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/ledger"
)

func TestParkedRecords(t *testing.T) {
	w := newWorld(t)
	// Accounts 11 and 12 have no company; the plan of 2 is no option.
	w.exec("UPDATE accounts SET plan = E'gold\\n' WHERE id = 2")
	w.start()
	letters := read[[]map[string]any](w, "dlq", "list")
	if len(letters) != 3 {
		t.Fatalf("want three letters: %v", letters)
	}
	byKey := map[string]map[string]any{}
	for _, l := range letters {
		byKey[l["key"].(string)] = l
	}
	for key, want := range map[string]map[string]any{
		"11": {"object": "companies", "match": "account_id", "table": "public.accounts", "category": "not_found", "row": "11"},
		"2":  {"object": "companies", "match": "account_id", "table": "public.accounts", "category": "invalid_option", "property": "plan"},
	} {
		for name, value := range want {
			if byKey[key][name] != value {
				t.Errorf("letter of %s: %s is %v, want %v", key, name, byKey[key][name], value)
			}
		}
		if _, has := byKey[key]["property"]; key == "11" && has {
			t.Error("a letter about a record names a property")
		}
		for _, name := range []string{"id", "reason", "position", "first_seen", "last_seen", "attempts", "correlation_id"} {
			if byKey[key][name] == nil {
				t.Errorf("letter of %s has no %s", key, name)
			}
		}
	}

	text := w.ok("dlq", "list", "--reason", "invalid_option")
	if !strings.Contains(text, "plan") || strings.Contains(text, "not_found") || strings.Count(text, "\n") != 2 {
		t.Errorf("got\n%s", text)
	}
	for _, none := range [][]string{
		{"--table", "other"}, {"--object", "contacts"}, {"--key", "3"}, {"--property", "name"}, {"--older-than", "1h"},
	} {
		if got := read[[]letter](w, append([]string{"dlq", "list"}, none...)...); len(got) != 0 {
			t.Errorf("%v selects %v", none, got)
		}
	}
	if n := len(read[[]letter](w, "dlq", "list", "--table", "accounts", "--limit", "2")); n != 2 {
		t.Errorf("--limit 2 gives %d", n)
	}

	id := string(mustJSON(t, byKey["2"]["id"]))
	if shown := w.ok("dlq", "show", id); !strings.Contains(shown, "companies with account_id 2") || !strings.Contains(shown, "invalid_option") {
		t.Errorf("got\n%s", shown)
	}
	if o := w.run("dlq", "show", "999999"); o.code != exitFailed || !strings.Contains(o.stderr, "999999") {
		t.Errorf("a letter that is not there: %+v", o)
	}

	asked := read[retried](w, "dlq", "retry", "--reason", "not_found")
	if asked.Letters != 2 || asked.Rows != 2 || len(asked.Requests) != 1 {
		t.Errorf("got %+v", asked)
	}
	got := w.text("SELECT reason || ' ' || table_name || ' ' || object || ' ' || match || ' ' || array_to_string(keys, ',') FROM "+w.name+".backfill WHERE id = $1", asked.Requests[0])
	if got != "retry public.accounts companies account_id 11,12" {
		t.Errorf("filed %s", got)
	}
	if text := w.ok("dlq", "retry", id); !strings.Contains(text, "the running instance") {
		t.Errorf("got %s", text)
	}

	if text := w.ok("dlq", "drop", "--key", "11"); text != "dropped 1 parked record\n" {
		t.Errorf("got %s", text)
	}
	if left := read[[]letter](w, "dlq", "list", "--reason", "not_found"); slices.ContainsFunc(left, func(l letter) bool { return l.Key == "11" }) {
		t.Error("11 is still parked")
	}
}

func TestRetryDeliversAndClosesTheLetter(t *testing.T) {
	w := newWorld(t)
	w.start()
	if _, err := w.portal.Seed("companies", map[string]string{"account_id": "11"}); err != nil {
		t.Fatal(err)
	}
	w.ok("dlq", "retry", "--key", "11")
	w.eventually(func() string {
		if got := w.company(11)["name"]; got != "Company 11" {
			return fmt.Sprintf("the name of 11 is %q", got)
		}
		if left := read[[]letter](w, "dlq", "list", "--key", "11"); len(left) > 0 {
			return fmt.Sprintf("still parked: %+v", left)
		}
		return ""
	})
	if left := read[[]letter](w, "dlq", "list"); len(left) != 1 || left[0].Key != "12" {
		t.Errorf("left are %+v", left)
	}
}

func TestParkedRecordsWithoutState(t *testing.T) {
	w := newWorld(t)
	w.refused("pgcrm migrate", "dlq", "list")
	w.refused("see pgcrm dlq list", "dlq", "show", "seven")
	w.refused("the number of a parked record", "dlq", "show")
	w.refused("or say --all", "dlq", "drop")
	w.refused("or say --all", "dlq", "retry")
	w.refused("contradict", "dlq", "drop", "7", "--all")
	w.refused("neither text nor json", "dlq", "list", "-o", "yaml")
	w.refused("is not a table name", "dlq", "list", "--table", "a.b.c")
	w.refused("pgcrm dlq list, show", "dlq")
	w.refused("older-than", "dlq", "list", "--older-than", "soon")
}

func TestRowsOfLetters(t *testing.T) {
	letters := []ledger.Parked{
		{Table: "public.a", Object: "companies", Match: "k", Row: "1", Property: "name"},
		{Table: "public.a", Object: "companies", Match: "k", Row: "1", Property: "plan"},
		{Table: "public.a", Object: "contacts", Match: "k", Row: "1"},
		{Table: "public.a", Object: "companies", Match: "k", Row: `["2","x"]`},
	}
	want := []ledger.Backfill{
		{Table: "public.a", Object: "companies", Match: "k", Reason: "retry", Keys: []string{"1", `["2","x"]`}, Estimate: 2},
		{Table: "public.a", Object: "contacts", Match: "k", Reason: "retry", Keys: []string{"1"}, Estimate: 1},
	}
	if diff := cmp.Diff(want, rowsOfLetters(letters)); diff != "" {
		t.Error(diff)
	}
	var many []ledger.Parked
	for i := range keysPerRequest + 1 {
		many = append(many, ledger.Parked{Table: "t", Row: strings.Repeat("x", i%7) + time.Duration(i).String()})
	}
	if got := rowsOfLetters(many); len(got) != 2 || len(got[0].Keys) != keysPerRequest || len(got[1].Keys) != 1 {
		t.Errorf("%d requests", len(got))
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
