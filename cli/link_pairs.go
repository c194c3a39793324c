package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// pairing pairs rows with records by a value that both have. It holds what it
// needs of every record and row, some hundred bytes each.
type pairing struct {
	web     bool // the values are web addresses
	records map[string][]pairedRecord
	rows    map[string][]pairedRow
	taken   map[string]string // match value to the record that has it
	without int               // rows without a value
}

// normal is the value itself, as compared; a web address is listed under its root.
type pairedRecord struct{ id, match, normal string }

type pairedRow struct{ row, key, value, normal string }

// newPairing knows by its name whether a property holds web addresses.
func newPairing(property string) *pairing {
	name := strings.ToLower(property)
	return &pairing{
		web:     strings.Contains(name, "domain") || strings.Contains(name, "website") || strings.Contains(name, "url"),
		records: map[string][]pairedRecord{}, rows: map[string][]pairedRow{}, taken: map[string]string{},
	}
}

func (p *pairing) addRecord(id, value, match string) {
	if match != "" {
		p.taken[match] = id
	}
	if v := p.normal(value); v != "" {
		p.records[p.root(v)] = append(p.records[p.root(v)], pairedRecord{id, match, v})
	}
}

func (p *pairing) addRow(row, key, value string) {
	v := p.normal(value)
	if v == "" {
		p.without++
		return
	}
	p.rows[p.root(v)] = append(p.rows[p.root(v)], pairedRow{row, key, value, v})
}

// normal is the host of a web address, or the text without regard to case and to
// space.
func (p *pairing) normal(value string) string {
	s := strings.Join(strings.Fields(strings.ToLower(value)), " ")
	if p.web {
		s = host(s)
	}
	return s
}

// root is what two values must share: of a host the domain that somebody has
// registered, acme.co.uk for shop.acme.co.uk; else the value itself.
func (p *pairing) root(normal string) string {
	if !p.web {
		return normal
	}
	root, err := publicsuffix.EffectiveTLDPlusOne(normal)
	if err != nil {
		return normal // an address in numbers, a name without a dot
	}
	return root
}

// host takes scheme, user, port, path and a leading www. away from an address.
func host(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s = strings.TrimPrefix(s, "//")
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if name, port, ok := strings.Cut(s, ":"); ok && strings.Trim(port, "0123456789") == "" {
		s = name
	}
	s = strings.TrimPrefix(strings.Trim(s, ". "), "www.")
	if ascii, err := idna.Lookup.ToASCII(s); err == nil {
		return ascii // münchen.example is xn--mnchen-3ya.example
	}
	return s
}

// The states of a row.
const (
	pairUnique    = "unique"    // one record and one row share the value
	pairLinked    = "linked"    // the record has the row's match value
	pairAmbiguous = "ambiguous" // several records or rows share the value, or the record is another row's
	pairUnmatched = "unmatched" // no record has the value
	pairFailed    = "failed"    // HubSpot refused to set it
)

// pair is a row and the record found for it, as link -o json prints it.
type pair struct {
	State  string `json:"state"`
	Row    string `json:"row"`
	Key    string `json:"key"`
	Value  string `json:"value"`
	CRMID  string `json:"crm_id,omitempty"`
	URL    string `json:"url,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// linked is the outcome of pgcrm link.
type linked struct {
	Table     string `json:"table"`
	Object    string `json:"object"`
	Match     string `json:"match"`
	Unique    int    `json:"unique"`
	Linked    int    `json:"linked"`
	Ambiguous int    `json:"ambiguous"`
	Unmatched int    `json:"unmatched"`
	Failed    int    `json:"failed"`
	// Without counts rows whose column is NULL or empty.
	Without int    `json:"without_value"`
	Pairs   []pair `json:"pairs"`
}

// result pairs what was added.
func (p *pairing) result(account hubspot.Account, src *change.Source) *linked {
	out := &linked{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Without: p.without, Pairs: []pair{}}
	for value, rows := range p.rows {
		for _, r := range rows {
			one := p.pair(r, rows, p.records[value], src.Target.Match)
			one.URL = recordURL(account, out.Object, one.CRMID)
			out.Pairs = append(out.Pairs, one)
		}
	}
	slices.SortFunc(out.Pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(len(a.Row), len(b.Row)), cmp.Compare(a.Row, b.Row))
	})
	out.count()
	return out
}

// closest keeps to the records that have the row's very host, and where there are
// some, to the rows that have it as well. A root that several share says less.
func closest(r pairedRow, rows []pairedRow, records []pairedRecord) ([]pairedRow, []pairedRecord) {
	var same []pairedRecord
	for _, rec := range records {
		if rec.normal == r.normal {
			same = append(same, rec)
		}
	}
	if len(same) == 0 {
		return rows, records
	}
	var alike []pairedRow
	for _, other := range rows {
		if other.normal == r.normal {
			alike = append(alike, other)
		}
	}
	return alike, same
}

// pair decides about one row, given all rows and records that share its root.
func (p *pairing) pair(r pairedRow, rows []pairedRow, records []pairedRecord, match string) pair {
	one := pair{Row: r.row, Key: r.key, Value: r.value}
	rows, records = closest(r, rows, records)
	if id, ok := p.taken[r.key]; ok {
		one.State, one.CRMID = pairLinked, id
		return one
	}
	switch {
	case len(records) == 0:
		one.State, one.Detail = pairUnmatched, "no record has this value"
	case len(records) > 1:
		ids := make([]string, len(records))
		for i, rec := range records {
			ids[i] = rec.id
		}
		slices.Sort(ids)
		one.State, one.Detail = pairAmbiguous, fmt.Sprintf("%d records have it: %s", len(ids), strings.Join(ids[:min(len(ids), 5)], ", "))
	case len(rows) > 1:
		one.State, one.CRMID, one.Detail = pairAmbiguous, records[0].id, fmt.Sprintf("%d rows have it", len(rows))
	case records[0].match != "":
		one.State, one.CRMID, one.Detail = pairAmbiguous, records[0].id, fmt.Sprintf("the record has %s %s already", match, records[0].match)
	default:
		one.State, one.CRMID = pairUnique, records[0].id
	}
	return one
}

func (l *linked) count() {
	l.Unique, l.Linked, l.Ambiguous, l.Unmatched, l.Failed = 0, 0, 0, 0, 0
	for i := range l.Pairs {
		switch l.Pairs[i].State {
		case pairUnique:
			l.Unique++
		case pairLinked:
			l.Linked++
		case pairAmbiguous:
			l.Ambiguous++
		case pairUnmatched:
			l.Unmatched++
		case pairFailed:
			l.Failed++
		}
	}
}

func (l *linked) print(p *printer, wrote bool) {
	colours := map[string]paint{pairUnique: green, pairLinked: green, pairAmbiguous: yellow, pairUnmatched: dim, pairFailed: red}
	t := newTable("STATE", "ROW", "VALUE", "RECORD", "WHY")
	shown := map[string]int{}
	for _, one := range l.Pairs {
		if shown[one.State]++; shown[one.State] <= detailsShown {
			t.addCells(cell{one.State, colours[one.State]}, cell{text: one.Row}, cell{text: one.Value}, cell{text: one.CRMID}, cell{text: one.Detail})
		}
	}
	t.print(p, "")
	for _, state := range []string{pairAmbiguous, pairFailed, pairLinked, pairUnique, pairUnmatched} {
		if more := shown[state] - detailsShown; more > 0 {
			p.printf("... and %s more that are %s; -o json lists all\n", thousands(int64(more)), state)
		}
	}
	p.printf("%d unique, %d linked, %d ambiguous, %d unmatched, %d without a value", l.Unique, l.Linked, l.Ambiguous, l.Unmatched, l.Without)
	if l.Failed > 0 {
		p.printf(", %d failed", l.Failed)
	}
	p.println()
	if l.Unique > 0 && !wrote {
		p.printf("nothing was written; --write sets %s of the unique ones\n", l.Match)
	}
}
