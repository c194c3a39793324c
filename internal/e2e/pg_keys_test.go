package e2e

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

const keysMapping = `
version: 1
tables:
  accounts:
    match: {website: host}
    properties: {name: name, account_notes: notes}
`

// holder is the id of the company that has the website; empty for none.
func (w *world) holder(host string) string {
	r, ok := w.portal.Find("companies", "website", host)
	if !ok {
		return ""
	}
	return r.ID
}

// holds waits until the company has the website, and the name.
func (w *world) holds(p *process, id, host, name, notes string) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		r, ok := w.portal.Find("companies", "website", host)
		switch {
		case !ok:
			return "nobody has " + host
		case r.ID != id:
			return host + " is with " + r.ID + " and not with " + id
		case r.Properties["name"] != name:
			return host + " has the name " + r.Properties["name"] + " and not " + name
		case r.Properties["account_notes"] != notes:
			return host + " has other notes"
		}
		return ""
	})
}

// arrivesAt waits until whoever has the website has the name.
func (w *world) arrivesAt(p *process, host, name string) {
	w.t.Helper()
	eventually(w.t, patience, func() string {
		p.alive()
		if r, ok := w.portal.Find("companies", "website", host); !ok || r.Properties["name"] != name {
			return host + " has not the name " + name
		}
		return ""
	})
}

// TestPGKeyChanges changes the match value, which is no part of the primary key,
// in every way there is, and has the records follow. Under the default replica
// identity the log does not tell what it was before.
func TestPGKeyChanges(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{"DEFAULT", "FULL"} {
		t.Run(identity, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, `
CREATE TABLE accounts (id bigint PRIMARY KEY, host text NOT NULL UNIQUE, name text, notes text);
ALTER TABLE accounts ALTER notes SET STORAGE EXTERNAL;
ALTER TABLE accounts REPLICA IDENTITY `+identity, keysMapping, hubspotsim.Unique("website"), hubspotsim.Text("account_notes"))
			notes := map[string]string{}
			for _, host := range []string{"a", "b", "c"} {
				w.seed2("website", host)
				notes[host] = strings.Repeat("notes of "+host+" ", 300)
				w.exec(`INSERT INTO accounts VALUES (ascii($1), $1, 'row of ' || $1, $2)`, host, notes[host])
			}
			w.seed2("website", "taken")
			a, b, c, taken := w.holder("a"), w.holder("b"), w.holder("c"), w.holder("taken")
			p := w.start()
			w.holds(p, a, "a", "row of a", notes["a"])
			w.holds(p, b, "b", "row of b", notes["b"])
			w.holds(p, c, "c", "row of c", notes["c"])
			w.streams(p)

			w.exec(`UPDATE accounts SET host = 'elsewhere' WHERE host = 'a'`)
			w.holds(p, a, "elsewhere", "row of a", notes["a"])
			w.exec(`UPDATE accounts SET host = 'a' WHERE host = 'elsewhere'`)
			w.holds(p, a, "a", "row of a", notes["a"])
			w.exec(`UPDATE accounts SET host = 'there' WHERE host = 'a'; UPDATE accounts SET host = 'a', name = 'and back' WHERE host = 'there'`)
			w.holds(p, a, "a", "and back", notes["a"])

			w.exec(`UPDATE accounts SET host = 'third' WHERE host = 'a';
				UPDATE accounts SET host = 'a', name = 'swapped' WHERE host = 'b';
				UPDATE accounts SET host = 'b' WHERE host = 'third'`)
			w.holds(p, b, "a", "swapped", notes["b"])
			w.holds(p, a, "b", "and back", notes["a"])

			w.exec(`UPDATE accounts SET host = 'free' WHERE host = 'a'; UPDATE accounts SET host = 'a' WHERE host = 'c'`)
			w.holds(p, b, "free", "swapped", notes["b"])
			w.holds(p, c, "a", "row of c", notes["c"])
			p.kill()

			w.exec(`UPDATE accounts SET id = id + 1000 WHERE host = 'a'`)
			w.exec(`UPDATE accounts SET name = 'other primary key' WHERE host = 'a'`)
			w.exec(`UPDATE accounts SET id = id + 1000, host = 'both' WHERE host = 'b'`)
			p = w.start()
			w.holds(p, c, "a", "other primary key", notes["c"])
			w.holds(p, a, "both", "and back", notes["a"])
			w.exec(`UPDATE accounts SET host = 'again' WHERE host = 'both'`)
			w.holds(p, a, "again", "and back", notes["a"])

			// While the mapping waits for a column the log says nothing to it.
			w.seed2("website", "new")
			w.exec(`ALTER TABLE accounts RENAME notes TO remarks`)
			w.exec(`UPDATE accounts SET host = 'unseen', name = 'renamed unseen' WHERE host = 'again'`)
			w.exec(`UPDATE accounts SET host = 'new' WHERE host = 'a'; INSERT INTO accounts VALUES (1, 'a', 'takes a', 'n')`)
			eventually(t, patience, func() string {
				p.alive()
				if !p.log.contains("mapping_waits") {
					return "the mapping does not wait"
				}
				return ""
			})
			w.exec(`ALTER TABLE accounts RENAME remarks TO notes`)
			w.holds(p, a, "unseen", "renamed unseen", notes["a"])
			w.arrivesAt(p, "a", "takes a")
			w.arrivesAt(p, "new", "other primary key")

			// Another record has the new value: it takes the row, whole.
			w.exec(`UPDATE accounts SET host = 'taken' WHERE host = 'free'`)
			w.holds(p, taken, "taken", "swapped", notes["b"])
			w.settles(p)
			if got := w.letters(); len(got) > 0 {
				t.Errorf("letters %q", got)
			}
			for _, e := range w.portal.Journal(0) {
				for _, prop := range e.Properties {
					if prop.Value == "" && prop.Name != "website" {
						t.Errorf("%s of %s was cleared", prop.Name, e.ID)
					}
				}
			}
			if code := p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
