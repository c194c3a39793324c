package sink_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// TestEveryOpenQuestionBothWays: what HubSpot's documentation leaves open, the
// simulator answers one way and the other, one question at a time; what becomes of
// every kind of record is the same under both.
func TestEveryOpenQuestionBothWays(t *testing.T) {
	questions := reflect.TypeFor[hubspotsim.Quirks]()
	for i := range questions.NumField() {
		for _, play := range []hubspotsim.Play{hubspotsim.Off, hubspotsim.On} {
			if questions.Field(i).Name == "MixedIDProperties" && play == hubspotsim.On {
				continue // the default, and asked in the next one
			}
			var o hubspotsim.Options
			reflect.ValueOf(&o.Quirks).Elem().Field(i).Set(reflect.ValueOf(play))
			t.Run(fmt.Sprint(questions.Field(i).Name, " ", play), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { allKindsOfRecords(t, o, "v3") })
			})
		}
	}
	for name, small := range map[string]hubspotsim.Options{"small bodies": {MaxBodyBytes: 80_000}, "hostile": {Quirks: hubspotsim.Hostile(), Seed: 5}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { allKindsOfRecords(t, small, "v3") })
		})
	}
	for _, version := range []string{"2026-03", "2026-09"} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { allKindsOfRecords(t, hubspotsim.Options{}, version) })
		})
	}
}

var quirkTarget = &change.Target{Object: "companies", Match: "pg_key", Properties: []string{"domain", "name", "pg_plan", "pg_seats", "pg_tax"}}

const (
	quirkDomain = iota
	quirkName
	quirkPlan
	quirkSeats
	quirkTax
)

// expected is what becomes of a job.
type expected struct {
	job     sink.Job
	outcome sink.Outcome
	refused map[int]string // categories, by slot
	created bool
	taken   bool              // another record had the new key
	key     string            // that the portal has in the end; empty for none
	has     map[string]string // what it has under it
}

func allKindsOfRecords(t *testing.T, o hubspotsim.Options, version string) {
	limits := hubspotsim.Unthrottled()
	o.Limits, o.JournalLimit = &limits, -1
	fold := o.Quirks.FoldCase == hubspotsim.On
	portal := newSimPortal(t, o)
	tax := hubspotsim.Unique("pg_tax")
	if err := portal.Define("companies", tax); err != nil {
		t.Fatal(err)
	}
	seed := func(values map[string]string) string {
		t.Helper()
		ids, err := portal.Seed("companies", values)
		if err != nil {
			t.Fatal(err)
		}
		return ids[0]
	}
	props := func(pairs ...any) (p change.Props) {
		for i := 0; i < len(pairs); i += 2 {
			kind, text := change.Set, pairs[i+1].(string)
			if text == "" {
				kind = change.Clear
			}
			p = p.Append(pairs[i].(int), kind, []byte(text))
		}
		return p
	}
	var all []expected
	add := func(e expected) { all = append(all, e) }
	for i := range 30 {
		key := fmt.Sprint("good-", i)
		seed(map[string]string{"pg_key": key, "name": "before", "pg_seats": "1"})
		add(expected{
			job: sink.Job{Key: key, Props: props(quirkName, "Name", quirkSeats, "")}, outcome: sink.Delivered,
			key: key, has: map[string]string{"name": "Name", "pg_seats": ""},
		})
	}
	holder := seed(map[string]string{"pg_key": "holder", "pg_tax": "tax-1"})
	for name, bad := range map[string]struct {
		slot            int
		value, category string
	}{
		"bad-option": {quirkPlan, "GOLD", change.InvalidOption},
		"bad-number": {quirkSeats, "1e9", change.InvalidValue},
		"bad-text":   {quirkName, strings.Repeat("x", 65_537), change.TooLong},
		"clash":      {quirkTax, "tax-1", sink.CategoryConflict},
	} {
		seed(map[string]string{"pg_key": name, "name": "before", "pg_plan": "FREE", "pg_seats": "1"})
		good, value := quirkPlan, "PRO"
		if bad.slot == quirkPlan {
			good, value = quirkName, "After"
		}
		pairs := []any{good, value, bad.slot, bad.value}
		if bad.slot < good {
			pairs = []any{bad.slot, bad.value, good, value}
		}
		add(expected{
			job: sink.Job{Key: name, Props: props(pairs...)}, outcome: sink.Delivered, refused: map[int]string{bad.slot: bad.category},
			key: name, has: map[string]string{quirkTarget.Properties[good]: value},
		})
		creates := expected{
			job:     sink.Job{Key: "new-" + name, Missing: change.Create, Whole: true, Props: props(append([]any{quirkDomain, "new.example"}, pairs...)...)},
			outcome: sink.Delivered, created: true, refused: map[int]string{bad.slot: bad.category},
			key: "new-" + name, has: map[string]string{quirkTarget.Properties[good]: value},
		}
		if bad.category == sink.CategoryConflict {
			// Which property clashes is not told: another record may be meant by the row.
			creates = expected{job: creates.job, outcome: sink.Refused}
		}
		add(creates)
	}
	add(expected{job: sink.Job{Key: "nobody", Props: props(quirkName, "n")}, outcome: sink.NotFound})
	add(expected{job: sink.Job{Key: "skipped", Missing: change.Skip, Props: props(quirkName, "n")}, outcome: sink.Skipped})
	add(expected{
		job:     sink.Job{Key: "new", Missing: change.Create, Whole: true, Props: props(quirkName, "New", quirkPlan, "PRO")},
		outcome: sink.Delivered, created: true, key: "new", has: map[string]string{"name": "New", "pg_plan": "PRO"},
	})
	id := seed(map[string]string{"pg_key": "old-name", "name": "before"})
	add(expected{
		job:     sink.Job{Key: "old-name", RenameTo: "new-name", CRMID: id, Props: props(quirkName, "Renamed")},
		outcome: sink.Delivered, key: "new-name", has: map[string]string{"name": "Renamed", "hs_object_id": id},
	})
	leaves := seed(map[string]string{"pg_key": "leaves", "name": "left alone"})
	seed(map[string]string{"pg_key": "taken", "name": "before"})
	add(expected{
		job:     sink.Job{Key: "leaves", RenameTo: "taken", CRMID: leaves, Props: props(quirkName, "Taken over")},
		outcome: sink.Delivered, taken: true, key: "taken", has: map[string]string{"name": "Taken over"},
	})
	// One record under two spellings, or none under the second.
	seed(map[string]string{"pg_key": "case", "name": "before"})
	spelt := expected{job: sink.Job{Key: "CASE", Props: props(quirkPlan, "PRO")}, outcome: sink.NotFound}
	if fold {
		spelt.outcome, spelt.key, spelt.has = sink.Delivered, "case", map[string]string{"pg_plan": "PRO", "name": "Both"}
	}
	add(spelt)
	add(expected{job: sink.Job{Key: "case", Props: props(quirkName, "Both")}, outcome: sink.Delivered, key: "case", has: map[string]string{"name": "Both"}})

	jobs := make([]sink.Job, len(all))
	for i := range all {
		jobs[i] = all[i].job
	}
	d := sink.NewDeliverer(simClient(t, portal, func(cfg *hubspot.Config) { cfg.APIVersion = version }), nil)
	verdicts, err := d.Deliver(t.Context(), quirkTarget, jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		checkExpected(t, portal, &all[i], &verdicts[i])
	}
	if r, _ := portal.Record("companies", holder); r.Properties["pg_tax"] != "tax-1" {
		t.Errorf("the record with the number has %q", r.Properties["pg_tax"])
	}
	mergedAndArchived(t, portal, d)
}

func checkExpected(t *testing.T, portal *hubspotsim.Portal, want *expected, v *sink.Verdict) {
	t.Helper()
	if v.Outcome != want.outcome || v.Created != want.created || v.KeyTaken != want.taken {
		t.Errorf("%s: outcome %v created %v taken %v, want %v %v %v: %+v", want.job.Key, v.Outcome, v.Created, v.KeyTaken, want.outcome, want.created, want.taken, v.Rejection)
		return
	}
	refused := map[int]string{}
	for _, r := range v.Refusals {
		refused[r.Slot] = r.Rejection.Category
	}
	if len(refused) != len(want.refused) {
		t.Errorf("%s: refused %v, want %v", want.job.Key, refused, want.refused)
	}
	for slot, category := range want.refused {
		if refused[slot] != category {
			t.Errorf("%s: %s refused as %q, want %q", want.job.Key, quirkTarget.Properties[slot], refused[slot], category)
		}
	}
	if want.key == "" {
		return
	}
	record, ok := portal.Find("companies", "pg_key", want.key)
	if !ok || v.CRMID != record.ID {
		t.Errorf("%s: delivered to %q, and %q is %q", want.job.Key, v.CRMID, want.key, record.ID)
	}
	for name, value := range want.has {
		if got := record.Properties[name]; got != value && (name != "hs_object_id" || record.ID != value) {
			t.Errorf("%s: %s is %.30q, want %.30q", want.job.Key, name, got, value)
		}
	}
}

// mergedAndArchived are records by id: one that was merged away, and one that is
// archived, twice.
func mergedAndArchived(t *testing.T, portal *hubspotsim.Portal, d *sink.Deliverer) {
	t.Helper()
	var ids []string
	for _, key := range []string{"survivor", "merged", "archived", "beside"} {
		more, err := portal.Seed("companies", map[string]string{"pg_key": key, "name": "before"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, more...)
	}
	survivor, err := portal.Merge("companies", ids[0], ids[1])
	if err != nil {
		t.Fatal(err)
	}
	byID := &change.Target{Object: "companies", Match: change.RecordID, Properties: []string{"name"}}
	job := func(id string) sink.Job {
		return sink.Job{Key: id, CRMID: id, Props: change.Props{}.Append(0, change.Set, []byte("After"))}
	}
	verdicts, err := d.Deliver(t.Context(), byID, []sink.Job{job(ids[1]), job(ids[3])})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{survivor, ids[3]} {
		if r, _ := portal.Record("companies", want); verdicts[i].Outcome != sink.Delivered || verdicts[i].CRMID != want || r.Properties["name"] != "After" {
			t.Errorf("%d: %+v, and the record has %q", i, verdicts[i], r.Properties["name"])
		}
	}
	c := simClient(t, portal, nil)
	for _, outcomes := range [][]sink.Outcome{{sink.Delivered}, {sink.Delivered, sink.NotFound}} {
		verdicts, err := d.Archive(t.Context(), c, byID, []sink.Job{{Key: ids[2], CRMID: ids[2]}})
		if err != nil || !slices.Contains(outcomes, verdicts[0].Outcome) {
			t.Errorf("archived: %+v %v", verdicts, err)
		}
	}
	if verdicts, err = d.Deliver(t.Context(), byID, []sink.Job{job(ids[2])}); err != nil || verdicts[0].Outcome != sink.NotFound {
		t.Errorf("an archived record: %+v %v", verdicts, err)
	}
}
