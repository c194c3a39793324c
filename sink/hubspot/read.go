package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// mergedIDs is the property in which a survivor lists the ids that were merged
// into it, with semicolons.
const mergedIDs = "hs_merged_object_ids"

// Found is what a read says of one id.
type Found struct {
	// State is Written (there it is), NotFound, Refused or Unaccounted.
	State State
	// ID is the record's id now. It differs from the id asked for where the
	// record was merged into another one.
	ID         string
	Properties []Property
	Refusal    *Error
}

// Value gives the property's value; none where it was never set.
func (f *Found) Value(name string) (string, bool) {
	for i := range f.Properties {
		if f.Properties[i].Name == name {
			return f.Properties[i].Value, true
		}
	}
	return "", false
}

// BatchRead reads properties of up to MaxBatch records, by record id or, with
// idProperty, by the value of a unique property. The result has one entry for
// each id, in the order of ids. Errors are those of BatchUpdate.
func (c *Client) BatchRead(ctx context.Context, object, idProperty string, ids, properties []string) ([]Found, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > MaxBatch {
		return nil, fmt.Errorf("a batch of %d inputs: HubSpot takes %d", len(ids), MaxBatch)
	}
	extra := mergedIDs
	if idProperty != "" {
		extra = idProperty // else the answer could not be told apart
	}
	body := append([]byte(nil), `{"properties":[`...)
	body = appendString(body, extra)
	for _, name := range properties {
		if name != extra {
			body = append(body, ',')
			body = appendString(body, name)
		}
	}
	body = append(body, `],"propertiesWithHistory":[],`...)
	if idProperty != "" {
		body = append(body, `"idProperty":`...)
		body = appendString(body, idProperty)
		body = append(body, ',')
	}
	body = append(appendIDs(body, ids), '}')

	var parsed batchAnswer
	_, err := c.do(ctx, &call{
		endpoint: object + "/batch/read",
		method:   http.MethodPost,
		path:     c.objectPath(object, "batch", "read"),
		query:    url.Values{"archived": {"false"}},
		body:     body,
		gate:     object,
		check:    func(r reply) (err error) { parsed, err = parseBatch(r.body); return err },
	})
	if err != nil {
		return nil, err
	}
	return found(ids, idProperty, &parsed), nil
}

func found(ids []string, idProperty string, parsed *batchAnswer) []Found {
	inputs := make([]Input, len(ids))
	for i, id := range ids {
		inputs[i] = Input{ID: id, IDProperty: idProperty}
	}
	m := matcher{inputs: inputs, outcomes: make([]Outcome, len(ids))}
	m.index(make([]string, len(ids)))
	out := make([]Found, len(ids))
	take := func(i int, r *result) {
		m.take(i, r)
		out[i].Properties = r.properties
	}
	for i := range parsed.results {
		r := &parsed.results[i]
		n, ok := m.exact(r)
		if !ok {
			n, ok = m.loose(r)
		}
		if ok {
			take(n, r)
			continue
		}
		for _, p := range r.properties {
			if p.Name != mergedIDs || idProperty != "" {
				continue
			}
			for old := range strings.SplitSeq(p.Value, ";") {
				if n, ok := m.byID[strings.TrimSpace(old)]; ok {
					take(n, r)
				}
			}
		}
	}
	m.errors(parsed.errors)
	for i := range out {
		o := &m.outcomes[i]
		out[i].State, out[i].ID, out[i].Refusal = o.State, o.ID, o.Refusal
		if o.State != Written {
			out[i].Properties = nil
		}
	}
	return out
}

// Get reads one record by its id. An id that was merged away gives the survivor
// under its own id; that of a record that does not exist NotFound. More properties
// than an address has room for are left out all.
func (c *Client) Get(ctx context.Context, object, id string, properties []string) (Found, error) {
	const longest = 4000 // longer ones are answered with 414
	list := strings.Join(properties, ",")
	if len(list) > longest {
		list = ""
	}
	var got result
	_, err := c.do(ctx, &call{
		endpoint: object + "/get",
		method:   http.MethodGet,
		path:     c.objectPath(object, id),
		query:    url.Values{"properties": {list}},
		gate:     object,
		check: func(r reply) (err error) {
			s := newScanner(r.body)
			if got, err = s.result(); err == nil && got.id == "" {
				err = errShape
			}
			return err
		},
	})
	var refusal *Error
	switch {
	case errors.As(err, &refusal) && refusal.Class() == Missing:
		return Found{State: NotFound, Refusal: refusal}, nil
	case err != nil:
		return Found{}, err
	}
	return Found{State: Written, ID: got.id, Properties: got.properties}, nil
}
