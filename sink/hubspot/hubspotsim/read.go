package hubspotsim

import (
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// read answers batch read. Ids that were merged away lead to the survivor.
func (c *call) read(o *objectType) answer {
	b := &c.batch
	if c.inputs == 0 {
		return c.nothing()
	}
	limit := maxInputs
	if len(b.history) > 0 {
		limit = 50
	}
	if len(b.inputs) > limit {
		return c.invalid(nil, "The maximum number of inputs supported in a batch is %d. Please reduce the number of items and try again", limit)
	}
	var key *definition
	if len(b.idProperty) > 0 {
		if key = o.live(b.idProperty); key == nil || !key.HasUniqueValue {
			return c.nonUnique(o, string(b.idProperty))
		}
	}
	seen := map[string]bool{}
	var given []int
	for i := range b.inputs {
		in := &b.inputs[i]
		if !in.hasID || in.hasProps || len(in.idProperty) > 0 {
			return c.badJSON(c.body, &syntaxError{0, "A read takes inputs of the form {\"id\":...}; idProperty and properties stand beside \"inputs\""})
		}
		if seen[string(in.id)] {
			return c.invalid(map[string][]string{"ids": {string(in.id)}}, "Duplicate IDs found in batch input: [%s]. IDs must be unique", in.id)
		}
		seen[string(in.id)] = true
		if key != nil {
			in.rec = key.byUnique(in.id, c.portal.foldCase)
		} else {
			in.rec, _ = o.byRecordID(in.id)
		}
		in.missing = in.rec == nil
		if !in.missing {
			given = append(given, i)
		}
	}
	c.leaveOut()
	if c.portal.quirks.Shuffle.on(true, c.rng) {
		c.rng.Shuffle(len(given), func(i, j int) { given[i], given[j] = given[j], given[i] })
	}
	sh := c.newView(o, texts(b.wanted), texts(b.history), key)
	dst := append(c.out, `{"status":"COMPLETE","results":[`...)
	for _, i := range given {
		if in := &b.inputs[i]; !in.hidden && !in.unapplied {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = append(sh.append(dst, in.rec), '}')
		}
	}
	c.out = append(dst, ']')
	return c.closeBatch(c.failures(o), http.StatusOK)
}

func texts(list [][]byte) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return out
}

// view is which properties a read shows.
type view struct {
	call          *call
	wanted, older []*definition
}

func (c *call) newView(o *objectType, wanted, history []string, key *definition) *view {
	s := &view{call: c}
	find := func(names []string) (ds []*definition) {
		for _, name := range names {
			if d := o.live([]byte(name)); d != nil { // unknown names are left out in silence
				ds = append(ds, d)
			}
		}
		return ds
	}
	s.wanted, s.older = find(wanted), find(history)
	if len(wanted) == 0 {
		s.wanted = find([]string{"name", "domain", "email", "firstname", "lastname", "dealname", "amount", "subject"})
	}
	if key != nil {
		s.wanted = append(s.wanted, key)
	}
	return s
}

// append writes a record up to, and without, its closing brace. A property
// that was never set is null, a cleared one "".
func (s *view) append(dst []byte, r *record) []byte {
	c := s.call
	dst = c.appendRecord(dst, r, func(dst []byte) []byte {
		for i, d := range s.wanted {
			if system(d.Name) || contains(s.wanted[:i], d) {
				continue
			}
			if v := r.find(d); v != nil {
				dst = c.appendProperty(dst, d, v.text)
				continue
			}
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, d.Name), `:null`...)
		}
		return dst
	})
	if len(s.older) == 0 {
		return dst
	}
	dst = append(dst, `,"propertiesWithHistory":{`...)
	for i, d := range s.older {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, d.Name), `:[`...)
		if v := r.find(d); v != nil {
			for h := v.history; h != nil; h = h.next {
				if h != v.history {
					dst = append(dst, ',')
				}
				dst = appendString(append(dst, `{"value":`...), h.text)
				dst = c.updated.append(append(dst, `,"timestamp":"`...), h.at)
				dst = appendString(append(dst, `","sourceType":`...), h.source)
				dst = append(dst, `,"sourceId":"simulator","sourceLabel":"simulator"}`...)
			}
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func contains(ds []*definition, d *definition) bool {
	for _, e := range ds {
		if e == d {
			return true
		}
	}
	return false
}

// list answers the paged list, by record id.
func (c *call) list(o *objectType) answer {
	q := c.request.URL.Query()
	limit := 10
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxInputs {
			return c.invalid(nil, "limit must be between 1 and %d", maxInputs)
		}
		limit = n
	}
	after := int64(0)
	if s := q.Get("after"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return c.invalid(nil, "invalid paging token: %s", s)
		}
		after = n
	}
	archived := q.Get("archived") == "true"
	records := o.sorted()
	from := sort.Search(len(records), func(i int) bool { return records[i].id >= after })
	sh := c.newView(o, csv(q, "properties"), csv(q, "propertiesWithHistory"), nil)
	dst := append(c.out, `{"results":[`...)
	n, next := 0, int64(0)
	for _, r := range records[from:] {
		if (r.archived != 0) != archived {
			continue
		}
		if n == limit {
			next = r.id
			break
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(sh.append(dst, r), '}')
		n++
	}
	dst = append(dst, ']')
	if next != 0 {
		id := strconv.FormatInt(next, 10)
		q.Set("after", id)
		link := "https://api.hubapi.com" + c.request.URL.Path + "?" + q.Encode()
		dst = append(dst, `,"paging":{"next":{"after":"`+id+`","link":`...)
		dst = append(appendString(dst, link), `}}`...)
	}
	c.out = append(dst, '}')
	return answer{status: http.StatusOK, body: c.out}
}

// csv reads a parameter that may be given several times and hold commas.
func csv(q url.Values, name string) (out []string) {
	for _, v := range q[name] {
		for s := range strings.SplitSeq(v, ",") {
			if s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
