package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

func TestLink(t *testing.T) {
	w := newWorldWith(t, `CREATE TABLE accounts (id bigint PRIMARY KEY, name text, host text, plan text, seats int);
		INSERT INTO accounts VALUES (21, 'One', 'https://www.One.example/about', 'free', 1), (22, 'Two', 'two.example', 'free', 1),
			(23, 'Three', 'shared.example', 'free', 1), (24, 'Four', 'www.shared.example', 'free', 1), (25, 'Five', 'nobody.example', 'free', 1),
			(26, 'Six', NULL, 'free', 1), (7, 'Seven', 'elsewhere.example', 'free', 1), (28, 'Eight', 'taken.example', 'free', 1);`, worldMapping)
	ids, err := w.portal.Seed("companies",
		map[string]string{"domain": "one.example"}, map[string]string{"domain": "two.example"}, map[string]string{"domain": "two.example"},
		map[string]string{"domain": "shared.example"}, map[string]string{"domain": "taken.example", "account_id": "99"})
	if err != nil {
		t.Fatal(err)
	}
	states := func(l linked) map[string]string {
		m := map[string]string{}
		for _, p := range l.Pairs {
			m[p.Row] = p.State
		}
		return m
	}
	want := map[string]string{
		"21": pairUnique, "22": pairAmbiguous, "23": pairAmbiguous, "24": pairAmbiguous, "25": pairUnmatched, "7": pairLinked, "28": pairAmbiguous,
	}
	before := len(w.portal.Journal(0))
	found := read[linked](w, "link", "accounts", "--by", "domain=host")
	if diff := cmp.Diff(want, states(found)); diff != "" || found.Without != 1 || found.Unique != 1 {
		t.Errorf("%s\n%+v", diff, found)
	}
	text := w.ok("link", "accounts", "--by", "domain=host")
	for _, s := range []string{"1 unique, 1 linked, 4 ambiguous, 1 unmatched, 1 without a value", "--write sets account_id", "2 records have it", "2 rows have it", "has account_id 99 already"} {
		if !strings.Contains(text, s) {
			t.Errorf("no %q in\n%s", s, text)
		}
	}
	if len(w.portal.Journal(0)) != before {
		t.Error("written without --write")
	}
	written := read[linked](w, "link", "accounts", "--by", "domain=host", "--write")
	if written.Linked != 2 || written.Unique != 0 {
		t.Errorf("got %+v", written)
	}
	if r, ok := w.portal.Find("companies", "account_id", "21"); !ok || r.ID != ids[0] {
		t.Errorf("21 is linked to %+v", r)
	}
	// Once more there is nothing left to do.
	before = len(w.portal.Journal(0))
	if again := read[linked](w, "link", "accounts", "--by", "domain=host", "--write"); again.Linked != 2 || len(w.portal.Journal(0)) != before {
		t.Errorf("got %+v", again)
	}
	for want, by := range map[string]string{
		"has no column hosts": "domain=hosts", "companies has no property domains": "domains=host", "--by is PROPERTY=COLUMN": "domain", "is the match property": "account_id=host",
	} {
		w.refused(want, "link", "accounts", "--by", by)
	}
	w.refused("name one table", "link", "--by", "domain=host")
	w.refused("name one with --object", "link", "accounts", "--by", "domain=host", "--object", "deals")
}

func TestLinkPagesAndRefusals(t *testing.T) {
	w := newWorldWith(t, `CREATE TABLE accounts (id bigint PRIMARY KEY, name text, plan text, seats int);
		INSERT INTO accounts SELECT 1000 + i, 'Company ' || i, 'free', 1 FROM generate_series(1, 250) i;`, worldMapping)
	var companies []map[string]string
	for i := range 250 {
		companies = append(companies, map[string]string{"name": "  company   " + fmt.Sprint(i+1)})
	}
	if _, err := w.portal.Seed("companies", companies...); err != nil {
		t.Fatal(err)
	}
	if err := w.portal.AddFaults(hubspotsim.Fault{Op: "update", Effect: hubspotsim.Status, Status: 400, Contains: `"1250"`}); err != nil {
		t.Fatal(err)
	}
	o := w.run("link", "accounts", "--by", "name=name", "--write")
	if o.code != exitFailed || !strings.Contains(o.stdout, "0 unique, 249 linked, 0 ambiguous, 0 unmatched, 0 without a value, 1 failed") {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	w.portal.ClearFaults()
	if found := read[linked](w, "link", "accounts", "--by", "name=name", "--write"); found.Linked != 250 {
		t.Errorf("linked %d of 250", found.Linked)
	}
}

// A host that is the same counts for more than a domain that is: of the rows and
// records of one domain, those with the same host are paired first.
func TestPairsByDomain(t *testing.T) {
	p := newPairing("domain")
	for id, domain := range map[string]string{
		"acme": "acme.co.uk", "other": "other.co.uk", "shop": "shop.two.example", "blog": "blog.two.example", "both": "three.example",
		"page": "somebody.github.io", "mu": "xn--mnchen-3ya.example",
	} {
		p.addRecord(id, domain, "")
	}
	for row, site := range map[string]string{
		"1": "https://shop.acme.co.uk/x", "2": "http://www.shop.two.example", "3": "two.example", "4": "a.three.example", "5": "b.three.example",
		"6": "nobody.github.io", "7": "München.example", "8": "uk", "9": "10.0.0.1", "10": "THREE.example",
	} {
		p.addRow(row, row, site)
	}
	got := map[string]string{}
	for _, one := range p.result(hubspot.Account{}, &change.Source{Target: &change.Target{}}).Pairs {
		got[one.Row] = strings.TrimSpace(one.State + " " + one.CRMID)
	}
	want := map[string]string{
		"1": "unique acme", "2": "unique shop", "3": "ambiguous", "4": "ambiguous both", "5": "ambiguous both", "10": "unique both",
		"6": "unmatched", "7": "unique mu", "8": "unmatched", "9": "unmatched",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHostOfAnAddress(t *testing.T) {
	p := newPairing("website")
	for in, want := range map[string]string{
		"https://www.Acme.example/about?x=1": "acme.example", "ACME.example.": "acme.example", "//acme.example:8443": "acme.example",
		"http://user@acme.example": "acme.example", "  ": "", "www.acme.example": "acme.example", "acme.example#top": "acme.example",
	} {
		if got := p.normal(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := newPairing("name").normal("  ACME \t Inc/Co "); got != "acme inc/co" {
		t.Errorf("got %q", got)
	}
}
