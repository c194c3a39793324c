package sink

import (
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// deliveryItem is a job on its way.
type deliveryItem struct {
	job     *Job
	verdict *Verdict
	props   []change.Prop // still to be written
	// id addresses the record: by record id, or else by the match property.
	id   string
	byID bool
	// renaming is set while the match property gets a new value.
	renaming bool
	upsert   bool
	tries    int // sent again without being accounted for
	ways     int // sent again since another record made way

	backward   backward
	moving     []change.Prop // to be set once they are cleared
	unanswered bool          // by an attempt
}

func (it *deliveryItem) begins(target *change.Target, job *Job, verdict *Verdict) {
	*it = deliveryItem{job: job, verdict: verdict, id: job.Key, byID: target.ByRecordID()}
	it.props = make([]change.Prop, 0, job.Props.Len())
	for p := range job.Props.All() {
		it.props = append(it.props, p)
	}
	verdict.CRMID = job.CRMID
	if it.byID && verdict.CRMID == "" {
		verdict.CRMID = job.Key
	}
	if job.RenameTo != "" && !it.byID {
		it.renaming = true
		if job.CRMID != "" {
			it.id, it.byID = job.CRMID, true
		}
	}
}

// parcel is what goes into one call.
type parcel struct {
	items  []*deliveryItem
	byID   bool
	upsert bool
	bytes  int // while it is packed
}

// push sorts items into parcels to be sent next, in order: alike in address and
// verb, none larger than the endpoint takes, and no two inputs of one that may resolve to
// the same record, which would fail the whole batch.
func (r *deliveryRun) push(items ...*deliveryItem) {
	var parcels []parcel
	var ids []map[string]bool
	for _, it := range items {
		limit, size := r.limit(r.endpoint(it.upsert)), r.size(it)
		names := it.names()
		i := 0
		for ; i < len(parcels); i++ {
			p := &parcels[i]
			if p.byID == it.byID && p.upsert == it.upsert && limit.fits(len(p.items)+1, p.bytes+size) && !anyIn(ids[i], names) {
				break
			}
		}
		if i == len(parcels) {
			parcels = append(parcels, parcel{byID: it.byID, upsert: it.upsert})
			ids = append(ids, map[string]bool{})
		}
		parcels[i].items = append(parcels[i].items, it)
		parcels[i].bytes += size
		for _, name := range names {
			ids[i][name] = true
		}
	}
	r.parcels = append(parcels, r.parcels...)
}

// names are all the names under which HubSpot may know the item's record, as
// it compares them: it lowers the case of e-mails.
func (it *deliveryItem) names() []string {
	names := []string{strings.ToLower(strings.TrimSpace(it.id))}
	if it.byID {
		names[0] = "#" + it.id
	}
	if id := it.verdict.CRMID; id != "" && !it.byID {
		names = append(names, "#"+id)
	}
	if it.renaming {
		names = append(names, strings.ToLower(it.job.RenameTo), strings.ToLower(it.job.Key))
	}
	return names
}

func anyIn(set map[string]bool, names []string) bool {
	for _, name := range names {
		if set[name] {
			return true
		}
	}
	return false
}
