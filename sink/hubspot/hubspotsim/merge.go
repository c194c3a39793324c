package hubspotsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

func (c *call) merge(o *objectType) answer {
	var req struct {
		Primary string `json:"primaryObjectId"`
		Other   string `json:"objectIdToMerge"`
	}
	if err := json.Unmarshal(c.body, &req); err != nil {
		return c.badJSON(c.body, err)
	}
	r, err := c.portal.mergeLocked(o, req.Primary, req.Other, c)
	if err != nil {
		return c.invalid(nil, "%s", err)
	}
	c.out = append(c.newView(o, nil, nil, nil).append(c.out, r), '}')
	return answer{status: http.StatusOK, body: c.out}
}

// Merge merges two records as a person would in HubSpot, and returns the
// survivor's id. Unless [Quirks.KeepPrimaryID], that is a new one, and both old
// ids lead to it.
func (p *Portal) Merge(object, primary, other string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[object]
	if o == nil {
		return "", fmt.Errorf("no object type %q", object)
	}
	p.number++
	r, err := p.mergeLocked(o, primary, other, nil)
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(r.id, 10), nil
}

func (p *Portal) mergeLocked(o *objectType, primary, other string, c *call) (*record, error) {
	first, _ := o.byRecordID([]byte(primary))
	second, _ := o.byRecordID([]byte(other))
	if first == nil || second == nil || first == second {
		return nil, fmt.Errorf("cannot merge %s and %s: they must be two %s that exist", primary, other, o.Name)
	}
	now := p.now()
	ms := now.UnixMilli()
	var keep bool
	if c != nil {
		keep = p.quirks.KeepPrimaryID.on(false, c.rng)
	} else {
		keep = p.quirks.KeepPrimaryID == On
	}
	survivor := first
	if !keep {
		p.lastID++
		survivor = o.insert(p.lastID, ms)
		survivor.created = min(first.created, second.created)
	}
	ids := p.retire(o, second, survivor)
	if !keep {
		ids = append(p.retire(o, first, survivor), ids...)
	}
	// The primary's values win; of a unique property only one can stay.
	for _, from := range []*record{first, second} {
		for _, s := range from.values {
			if survivor.text(s.def) == "" && s.def.Name != "hs_merged_object_ids" {
				p.remember(o.set(survivor, s.def, s.text, p.foldCase), ms, "MERGE_OBJECTS")
			}
		}
	}
	if d := o.defs["hs_merged_object_ids"]; d != nil {
		if old := survivor.text(d); old != "" {
			ids = append(strings.Split(old, ";"), ids...)
		}
		o.set(survivor, d, strings.Join(ids, ";"), p.foldCase)
	}
	survivor.updated = ms
	if !p.journal.off() {
		e := Entry{
			Time: now, Received: now, Source: "merge", Object: o.Name,
			ID: strconv.FormatInt(survivor.id, 10), By: "hs_object_id", Key: primary, New: !keep,
		}
		if c != nil {
			e.Request, e.Call = c.id, c.number
		}
		p.journal.add(e)
	}
	return survivor, nil
}

// retire makes a record's id, and the ids that lead to it, lead to another
// record. It returns those ids.
func (p *Portal) retire(o *objectType, r, survivor *record) []string {
	for _, s := range r.values {
		s.def.release(r, s.text, p.foldCase)
	}
	delete(o.byID, r.id)
	for i, other := range o.sorted() {
		if other == r {
			o.order = append(o.order[:i], o.order[i+1:]...)
			break
		}
	}
	for id, to := range o.merged {
		if to == r {
			o.merged[id] = survivor
		}
	}
	o.merged[r.id] = survivor
	ids := []string{strconv.FormatInt(r.id, 10)}
	if d := o.defs["hs_merged_object_ids"]; d != nil {
		if old := r.text(d); old != "" && survivor != r {
			ids = append(strings.Split(old, ";"), ids...)
		}
	}
	return ids
}
