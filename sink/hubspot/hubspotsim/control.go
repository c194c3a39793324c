package hubspotsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// control answers the interface below /_sim/, which needs no token:
//
//	GET    /_sim/stats
//	GET    /_sim/calls
//	GET    /_sim/journal?since=N&limit=M&wait=10s
//	GET    /_sim/faults          POST one fault or a list; DELETE all
//	GET    /_sim/quirks          PUT all of them
//	GET    /_sim/limits          PUT {"calls":100,"window":"10s","daily":250000}
//	POST   /_sim/spend           {"calls":1000} calls of other apps
//	POST   /_sim/tokens          {"token":"...","scopes":[...]}; DELETE ?token=...
//	GET    /_sim/objects/TYPE    POST one record's properties or a list
//	GET    /_sim/objects/TYPE/ID PATCH properties; DELETE archives
//	POST   /_sim/objects/TYPE/merge {"primaryObjectId":"1","objectIdToMerge":"2"}
//	GET    /_sim/properties/TYPE POST a definition or a list; DELETE ?name=...
func (p *Portal) control(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 2 {
		http.Error(w, "try /_sim/stats", http.StatusNotFound)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	q := r.URL.Query()
	var out any
	var err error
	switch what := r.Method + " " + parts[1]; {
	case what == "GET stats":
		out = p.Stats()
	case what == "GET calls":
		out = p.Calls()
	case what == "GET journal":
		out, err = p.controlJournal(r)
	case what == "GET faults":
		out = p.Faults()
	case what == "POST faults":
		var fs []Fault
		if fs, err = oneOrMore[Fault](r); err == nil {
			err = p.AddFaults(fs...)
		}
		out = p.Faults()
	case what == "DELETE faults":
		p.ClearFaults()
	case what == "GET quirks":
		p.mu.Lock()
		out = p.quirks
		p.mu.Unlock()
	case what == "PUT quirks":
		var quirks Quirks
		if err = decode(r, &quirks); err == nil {
			p.SetQuirks(quirks)
		}
	case what == "GET limits" || what == "PUT limits":
		out, err = p.controlLimits(r)
	case what == "POST spend":
		var body struct{ Calls int }
		if err = decode(r, &body); err == nil {
			p.Spend(body.Calls)
		}
	case what == "POST tokens":
		var t Token
		if err = decode(r, &t); err == nil {
			p.AddToken(t)
		}
	case what == "DELETE tokens":
		p.RevokeToken(q.Get("token"))
	case parts[1] == "objects" && len(parts) >= 3:
		out, err = p.controlObjects(r, parts[2], parts[3:])
	case parts[1] == "properties" && len(parts) == 3:
		out, err = p.controlProperties(r, parts[2])
	default:
		http.Error(w, "nothing answers "+r.Method+" "+r.URL.Path, http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if out == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = w.Write(append(mustJSON(out), '\n')) //nolint:gosec // JSON, and sent as JSON
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// oneOrMore reads a value or a list of them.
func oneOrMore[T any](r *http.Request) ([]T, error) {
	var raw json.RawMessage
	if err := decode(r, &raw); err != nil {
		return nil, err
	}
	if len(raw) == 0 || raw[0] != '[' {
		raw = append(append([]byte{'['}, raw...), ']')
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	var out []T
	return out, d.Decode(&out)
}

// controlJournal waits, if asked to, until there is something to tell.
func (p *Portal) controlJournal(r *http.Request) (any, error) {
	q := r.URL.Query()
	since, _ := strconv.ParseInt(q.Get("since"), 10, 64)
	limit, _ := strconv.Atoi(q.Get("limit"))
	var wait Duration
	if s := q.Get("wait"); s != "" {
		if err := wait.UnmarshalText([]byte(s)); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.journal.since(since, limit)
	if len(out) > 0 || wait == 0 {
		return out, nil
	}
	news := make(chan struct{})
	p.journal.waiting = append(p.journal.waiting, news)
	p.mu.Unlock()
	t := time.NewTimer(time.Duration(wait))
	defer t.Stop()
	select {
	case <-news:
	case <-t.C:
	case <-r.Context().Done():
	case <-p.closed:
	}
	p.mu.Lock()
	return p.journal.since(since, limit), nil
}

func (p *Portal) controlLimits(r *http.Request) (any, error) {
	type limits struct {
		Calls, Daily    int
		SearchPerSecond int
		Window          Duration
	}
	if r.Method == http.MethodPut {
		var l limits
		if err := decode(r, &l); err != nil {
			return nil, err
		}
		p.SetLimits(Limits{Calls: l.Calls, Window: time.Duration(l.Window), Daily: l.Daily, SearchPerSecond: l.SearchPerSecond})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.limits
	return limits{l.Calls, l.Daily, l.SearchPerSecond, Duration(l.Window)}, nil
}

func (p *Portal) controlObjects(r *http.Request, object string, rest []string) (any, error) {
	id := ""
	if len(rest) > 0 {
		id = rest[0]
	}
	p.mu.Lock()
	known := p.objects[object] != nil
	p.mu.Unlock()
	switch {
	case !known:
		return nil, fmt.Errorf("no object type %q", object)
	case r.Method == http.MethodGet && id == "":
		return p.Records(object), nil
	case r.Method == http.MethodGet:
		rec, ok := p.Record(object, id)
		if !ok {
			return nil, fmt.Errorf("no %s with id %s", object, id)
		}
		return rec, nil
	case r.Method == http.MethodPost && id == "merge":
		var body struct{ PrimaryObjectID, ObjectIDToMerge string }
		if err := decode(r, &body); err != nil {
			return nil, err
		}
		survivor, err := p.Merge(object, body.PrimaryObjectID, body.ObjectIDToMerge)
		return map[string]string{"id": survivor}, err
	case r.Method == http.MethodPost && id == "":
		records, err := oneOrMore[map[string]string](r)
		if err != nil {
			return nil, err
		}
		ids, err := p.Seed(object, records...)
		return map[string]any{"ids": ids}, err
	case r.Method == http.MethodPatch && id != "":
		var values map[string]string
		if err := decode(r, &values); err != nil {
			return nil, err
		}
		return nil, p.Edit(object, id, values)
	case r.Method == http.MethodDelete && id != "":
		return nil, p.Archive(object, id)
	}
	return nil, fmt.Errorf("%s is not for this path", r.Method)
}

func (p *Portal) controlProperties(r *http.Request, object string) (any, error) {
	switch r.Method {
	case http.MethodPost:
		defs, err := oneOrMore[Property](r)
		if err != nil {
			return nil, err
		}
		return nil, p.Define(object, defs...)
	case http.MethodDelete:
		return nil, p.Undefine(object, r.URL.Query().Get("name"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[object]
	if o == nil {
		return nil, fmt.Errorf("no object type %q", object)
	}
	out := map[string]Property{}
	for name, d := range o.defs {
		out[name] = d.Property
	}
	return out, nil
}
