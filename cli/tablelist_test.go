package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTableNamesKeepTheirQuotes(t *testing.T) {
	var got tableList
	for _, given := range []string{`accounts, crm."Odd, ""odd"" Table"`, `"X"`} {
		if err := got.Set(given); err != nil {
			t.Fatal(err)
		}
	}
	want := tableList{"accounts", `crm."Odd, ""odd"" Table"`, `"X"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestATableWithAnOddName is named to each command that takes --table.
func TestATableWithAnOddName(t *testing.T) {
	const name = `"Odd, ""odd"" Table"`
	w := newWorldWith(t, `CREATE TABLE `+name+` (id bigint PRIMARY KEY, name text); INSERT INTO `+name+` VALUES (1, 'One')`,
		"version: 1\ntables: {'"+name+"': {match: {account_id: id}, properties: {name: name}}}\n")
	if out := w.ok("init", "--table", name, "--file", "-"); !strings.Contains(out, `'public.`+name+`':`) {
		t.Errorf("got\n%s", out)
	}
	if out := w.ok("plan", "--table", name); !strings.Contains(out, "One") {
		t.Errorf("got\n%s", out)
	}
	w.migrate()
	if o := w.run("verify", "--table", name, "--wait", "0"); o.code != exitDrift {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if out := w.ok("explain", name, "1"); !strings.Contains(out, "One") {
		t.Errorf("got\n%s", out)
	}
}
