package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// simTarget is addressed by a unique property, simByID by record id.
var (
	simProperties = []string{"name", "pg_day", "pg_plan", "pg_seats"}
	simTarget     = &change.Target{Object: "companies", Match: "pg_key", Properties: simProperties}
	simByID       = &change.Target{Object: "companies", Match: change.RecordID, Properties: simProperties}
)

const (
	simName = iota
	simDay
	simPlan
	simSeats
)

func newSimPortal(t *testing.T, o hubspotsim.Options) *hubspotsim.Portal {
	t.Helper()
	p := hubspotsim.New(o)
	t.Cleanup(p.Close)
	options := []hubspotsim.Option{{Label: "Free", Value: "FREE"}, {Label: "Pro", Value: "PRO"}}
	err := p.Define("companies",
		hubspotsim.Property{Name: "pg_key", Type: "string", FieldType: "text", HasUniqueValue: true},
		hubspotsim.Property{Name: "pg_seats", Type: "number", FieldType: "number"},
		hubspotsim.Property{Name: "pg_plan", Type: "enumeration", FieldType: "select", Options: options},
		hubspotsim.Property{Name: "pg_day", Type: "date", FieldType: "date"},
	)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func simClient(t *testing.T, p *hubspotsim.Portal, change func(*hubspot.Config)) *hubspot.Client {
	t.Helper()
	cfg := hubspot.Config{
		BaseURL:     "http://127.0.0.1",
		Token:       func(context.Context) (string, error) { return hubspotsim.DefaultToken, nil },
		Transport:   p.Client(),
		CallTimeout: 20 * time.Second,
		Rand:        rand.New(rand.NewPCG(1, 2)).Float64,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := hubspot.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// simRow is what a row wants of its record, and which of it HubSpot must refuse.
type simRow struct {
	key    string
	id     string // of the record, empty where there is none
	values [4]string
	bad    [4]bool
}

func randomRow(r *rand.Rand, key, id string) simRow {
	row := simRow{key: key, id: id}
	row.values = [4]string{
		simName:  fmt.Sprint("Name ", r.IntN(1000)),
		simDay:   fmt.Sprintf("2026-%02d-%02d", 1+r.IntN(12), 1+r.IntN(28)),
		simPlan:  []string{"FREE", "PRO"}[r.IntN(2)],
		simSeats: strconv.Itoa(r.IntN(5000)),
	}
	spoil := func(slot int, values ...string) {
		row.values[slot], row.bad[slot] = values[r.IntN(len(values))], true
	}
	switch r.IntN(30) {
	case 0:
		spoil(simPlan, "GOLD", "free", "t")
	case 1:
		spoil(simSeats, "many", "1e9", "1,000")
	case 2:
		spoil(simDay, "2026-02-30", "yesterday")
	case 3:
		spoil(simName, strings.Repeat("x", 65_537))
		spoil(simSeats, "NaN")
	}
	if r.IntN(4) == 0 {
		row.values[simDay], row.bad[simDay] = "", false // cleared
	}
	return row
}

func (row *simRow) job(byID bool) sink.Job {
	j := sink.Job{Key: row.key}
	if byID {
		j.Key = row.id
	}
	for slot, value := range row.values {
		kind := change.Set
		if value == "" {
			kind = change.Clear
		}
		j.Props = j.Props.Append(slot, kind, []byte(value))
	}
	return j
}

// Under faults and under either answer to every open question: what is good is
// written, what is bad is parked by property, what is missing is told, and the
// verdicts say exactly what the portal holds.
func TestVerdictsAgreeWithThePortal(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { verdictsAgree(t, seed) })
		})
	}
}

func verdictsAgree(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 42))
	limits := hubspotsim.Unthrottled()
	quirks := hubspotsim.Hostile()
	switch seed % 3 {
	case 0:
		quirks.UpdateErrorsPerInput = hubspotsim.On
	case 1:
		quirks.UpdateErrorsPerInput = hubspotsim.Off
	}
	portal := newSimPortal(t, hubspotsim.Options{Seed: seed, Limits: &limits, Quirks: quirks})
	const n = 100
	rows := make([]simRow, n)
	for i := range rows {
		rows[i].key = fmt.Sprint("key-", i)
		if r.IntN(12) == 0 {
			continue
		}
		ids, err := portal.Seed("companies", map[string]string{"pg_key": rows[i].key, "name": "before"})
		if err != nil {
			t.Fatal(err)
		}
		rows[i].id = ids[0]
	}
	faults := []hubspotsim.Fault{
		{Rate: 0.06, Effect: hubspotsim.Status, Status: 503},
		{Rate: 0.03, Effect: hubspotsim.Status, Status: 502, Applied: true},
		{Rate: 0.02, Effect: hubspotsim.Status, Status: 429},
		{Rate: 0.02, Effect: hubspotsim.Status, Status: 423},
		{Rate: 0.03, Effect: hubspotsim.CutBefore},
		{Rate: 0.03, Effect: hubspotsim.CutAfter},
		{Rate: 0.03, Effect: hubspotsim.Truncate},
		{Rate: 0.03, Effect: hubspotsim.Short},
		{Rate: 0.02, Effect: hubspotsim.HTML},
		{Rate: 0.02, Effect: hubspotsim.Hang},
		{Rate: 0.10, Op: "update", Effect: hubspotsim.Missing, Inputs: 1 + r.IntN(3), Applied: r.IntN(2) == 0},
		{Rate: 0.02, Op: "update", Effect: hubspotsim.Empty, Applied: r.IntN(2) == 0},
	}
	if err := portal.AddFaults(faults...); err != nil {
		t.Fatal(err)
	}
	d := sink.NewDeliverer(simClient(t, portal, nil), nil)
	for round := range 4 {
		byID := round%2 == 1
		target := simTarget
		var jobs []sink.Job
		var sent []*simRow
		if byID {
			target = simByID
			mergeSome(t, portal, r, rows)
		}
		for i := range rows {
			if byID && rows[i].id == "" {
				continue
			}
			rows[i] = randomRow(r, rows[i].key, rows[i].id)
			jobs, sent = append(jobs, rows[i].job(byID)), append(sent, &rows[i])
		}
		verdicts, err := d.Deliver(t.Context(), target, jobs)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range verdicts {
			checkVerdict(t, portal, sent[i], &v, byID)
		}
	}
}

// mergeSome merges two records as a person would. The rows keep the old ids.
func mergeSome(t *testing.T, portal *hubspotsim.Portal, r *rand.Rand, rows []simRow) {
	t.Helper()
	i := r.IntN(len(rows))
	ids, err := portal.Seed("companies", map[string]string{"name": "to be merged"})
	if err != nil {
		t.Fatal(err)
	}
	if rows[i].id != "" {
		if _, err := portal.Merge("companies", rows[i].id, ids[0]); err != nil {
			t.Log(err) // it was merged before
		}
	}
}

func checkVerdict(t *testing.T, portal *hubspotsim.Portal, row *simRow, v *sink.Verdict, byID bool) {
	t.Helper()
	if v.Attempts < 1 {
		t.Errorf("%s: no attempt: %+v", row.key, v)
	}
	if row.id == "" {
		if v.Outcome != sink.NotFound {
			t.Errorf("%s does not exist: %v", row.key, v.Outcome)
		}
		return
	}
	if v.Outcome != sink.Delivered {
		if v.Rejection != nil && v.Rejection.Category == sink.CategoryUnaccounted {
			return // HubSpot lied about it over and over
		}
		t.Errorf("%s: %v, rejection %+v", row.key, v.Outcome, v.Rejection)
		return
	}
	refused := map[int]bool{}
	for _, r := range v.Refusals {
		refused[r.Slot] = true
	}
	record, ok := portal.Record("companies", v.CRMID)
	if !ok {
		t.Errorf("%s: delivered to %q, which is not there", row.key, v.CRMID)
		return
	}
	if !byID && v.CRMID != row.id && record.Properties["pg_key"] != row.key {
		t.Errorf("%s: delivered to %s, the record of another key", row.key, v.CRMID)
	}
	for slot, name := range simProperties {
		switch {
		case row.bad[slot] != refused[slot]:
			t.Errorf("%s.%s = %.20q: bad %v, refused %v", row.key, name, row.values[slot], row.bad[slot], refused[slot])
		case !row.bad[slot] && !holds(record.Properties[name], row.values[slot]):
			t.Errorf("%s.%s is %q, not %q", row.key, name, record.Properties[name], row.values[slot])
		}
	}
	if len(v.NotApplied) > 0 {
		t.Errorf("%s: not applied %+v", row.key, v.NotApplied)
	}
}

// holds compares the portal's text with what was sent: dates are kept as
// milliseconds.
func holds(stored, sent string) bool {
	if stored == sent {
		return true
	}
	day, err := time.Parse(time.DateOnly, sent)
	return err == nil && stored == strconv.FormatInt(day.UnixMilli(), 10)
}

func TestAPropertyDeletedInThePortalHoldsAndGoesOn(t *testing.T) {
	for _, play := range []hubspotsim.Play{hubspotsim.Off, hubspotsim.On} {
		synctest.Test(t, func(t *testing.T) {
			portal := newSimPortal(t, hubspotsim.Options{Quirks: hubspotsim.Quirks{UpdateErrorsPerInput: play}})
			var jobs []sink.Job
			for i := range 10 {
				key := fmt.Sprint("k", i)
				if _, err := portal.Seed("companies", map[string]string{"pg_key": key, "name": "x"}); err != nil {
					t.Fatal(err)
				}
				row := simRow{key: key, values: [4]string{"n", "2026-01-01", "PRO", "5"}}
				jobs = append(jobs, row.job(false))
			}
			jobs[3].Props = change.Props(nil).Append(simName, change.Set, []byte("alone"))
			if err := portal.Undefine("companies", "pg_plan"); err != nil {
				t.Fatal(err)
			}
			d := sink.NewDeliverer(simClient(t, portal, nil), nil)
			verdicts, err := d.Deliver(t.Context(), simTarget, jobs)
			var hold *sink.HoldError
			if !errors.As(err, &hold) || hold.Property != "pg_plan" || hold.Slot != simPlan {
				t.Fatalf("error %v", err)
			}
			for i, v := range verdicts {
				if (v.Outcome == sink.Delivered) != (i == 3) || i != 3 && v.Outcome != sink.Undecided {
					t.Errorf("%d: %v", i, v.Outcome)
				}
			}
			err = portal.Define("companies", hubspotsim.Property{
				Name: "pg_plan", Type: "enumeration", FieldType: "select", Options: []hubspotsim.Option{{Label: "Pro", Value: "PRO"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			verdicts, err = d.Deliver(t.Context(), simTarget, jobs)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range verdicts {
				if v.Outcome != sink.Delivered {
					t.Errorf("%d: %v", i, v.Outcome)
				}
			}
		})
	}
}

func TestCreateAndRenameAgainstThePortal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		portal := newSimPortal(t, hubspotsim.Options{Quirks: hubspotsim.Hostile()})
		d := sink.NewDeliverer(simClient(t, portal, nil), nil)
		row := simRow{key: "new", values: [4]string{"n", "2026-01-01", "PRO", "5"}}
		job := row.job(false)
		job.Missing, job.Whole = change.Create, true
		verdicts, err := d.Deliver(t.Context(), simTarget, []sink.Job{job})
		if err != nil || verdicts[0].Outcome != sink.Delivered || !verdicts[0].Created {
			t.Fatalf("%+v %v", verdicts, err)
		}
		record, ok := portal.Find("companies", "pg_key", "new")
		if !ok || record.ID != verdicts[0].CRMID || record.Properties["name"] != "n" {
			t.Fatalf("%+v", record)
		}
		for _, id := range []string{"", record.ID} {
			from, to := "new", "newer"
			if id != "" {
				from, to = to, from
			}
			verdicts, err = d.Deliver(t.Context(), simTarget, []sink.Job{{Key: from, RenameTo: to, CRMID: id}})
			if err != nil || verdicts[0].Outcome != sink.Delivered || verdicts[0].CRMID != record.ID || verdicts[0].KeyTaken {
				t.Fatalf("%+v %v", verdicts, err)
			}
			if found, ok := portal.Find("companies", "pg_key", to); !ok || found.ID != record.ID {
				t.Fatalf("%+v", found)
			}
		}
		taken, err := portal.Seed("companies", map[string]string{"pg_key": "taken", "name": "other"})
		if err != nil {
			t.Fatal(err)
		}
		rename := row.job(false)
		rename.RenameTo = "taken"
		rename.Yields = func(_ context.Context, id string) (sink.Yield, error) {
			if id != taken[0] {
				t.Errorf("asked about record %s", id)
			}
			return sink.Stays, nil
		}
		verdicts, err = d.Deliver(t.Context(), simTarget, []sink.Job{rename})
		if v := verdicts[0]; err != nil || v.Outcome != sink.Refused || v.Rejection == nil || v.Rejection.Category != sink.CategoryConflict || v.KeyTaken {
			t.Fatalf("%+v %v", verdicts, err)
		}
		if r, _ := portal.Find("companies", "pg_key", "taken"); r.ID != taken[0] || r.Properties["name"] != "other" {
			t.Fatalf("a record that does not yield has %v", r.Properties)
		}
		rename.Yields = func(context.Context, string) (sink.Yield, error) { return sink.TakesOver, nil }
		verdicts, err = d.Deliver(t.Context(), simTarget, []sink.Job{rename})
		if err != nil || verdicts[0].Outcome != sink.Delivered || !verdicts[0].KeyTaken || verdicts[0].CRMID != taken[0] {
			t.Fatalf("%+v %v", verdicts, err)
		}
		asked := 0
		rename.Yields = func(ctx context.Context, id string) (sink.Yield, error) {
			asked++
			_, err := d.Deliver(ctx, simTarget, []sink.Job{{Key: "away", RenameTo: "away", CRMID: id}})
			return sink.MadeWay, err
		}
		verdicts, err = d.Deliver(t.Context(), simTarget, []sink.Job{rename})
		if err != nil || verdicts[0].Outcome != sink.Delivered || verdicts[0].KeyTaken || verdicts[0].CRMID != record.ID || asked != 1 {
			t.Fatalf("%+v %v, asked %d times", verdicts, err, asked)
		}
		if away, ok := portal.Find("companies", "pg_key", "away"); !ok || away.ID != taken[0] {
			t.Fatalf("%+v", away)
		}
	})
}

func TestAStageIsMovedBackWhereTheMappingSaysSo(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			portal := newSimPortal(t, hubspotsim.Options{Seed: seed, Quirks: hubspotsim.Hostile()})
			target := &change.Target{Object: "companies", Match: "pg_key", Properties: []string{"lifecyclestage", "name"}}
			var jobs []sink.Job
			for i, stage := range []string{"customer", "lead", "customer", "lead"} {
				key := fmt.Sprint("k", i)
				if _, err := portal.Seed("companies", map[string]string{"pg_key": key, "lifecyclestage": stage}); err != nil {
					t.Fatal(err)
				}
				job := sink.Job{Key: key, Backward: []int{0}}
				job.Props = job.Props.Append(0, change.Set, []byte("opportunity")).Append(1, change.Set, []byte("n"))
				jobs = append(jobs, job)
			}
			jobs[2].Backward = nil
			jobs[3].RenameTo = "renamed"
			if err := portal.AddFaults(hubspotsim.Fault{Rate: 0.2, Effect: hubspotsim.CutAfter}, hubspotsim.Fault{Rate: 0.1, Op: "update", Effect: hubspotsim.Missing}); err != nil {
				t.Fatal(err)
			}
			verdicts, err := sink.NewDeliverer(simClient(t, portal, nil), nil).Deliver(t.Context(), target, jobs)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range verdicts {
				record, _ := portal.Record("companies", v.CRMID)
				stage := record.Properties["lifecyclestage"]
				if i == 2 {
					if v.Outcome != sink.Delivered || stage != "customer" || len(v.NotApplied) != 1 || v.NotApplied[0].Stored != "customer" {
						t.Errorf("forward only: %+v, %s", v, stage)
					}
					continue
				}
				if v.Outcome != sink.Delivered || stage != "opportunity" || len(v.NotApplied) != 0 || record.Properties["name"] != "n" {
					t.Errorf("%d: %+v, %s", i, v, stage)
				}
			}
		})
	}
}

func TestArchive(t *testing.T) {
	for _, play := range []hubspotsim.Play{hubspotsim.Off, hubspotsim.On} {
		synctest.Test(t, func(t *testing.T) {
			portal := newSimPortal(t, hubspotsim.Options{Quirks: hubspotsim.Quirks{ArchiveUnknown: play}})
			var jobs []sink.Job
			for i := range 130 {
				key := fmt.Sprint("k", i)
				ids, err := portal.Seed("companies", map[string]string{"pg_key": key, "name": "x"})
				if err != nil {
					t.Fatal(err)
				}
				job := sink.Job{Key: key}
				if i%2 == 0 {
					job.CRMID = ids[0]
				}
				jobs = append(jobs, job)
			}
			jobs = append(jobs, sink.Job{Key: "nobody"})
			if err := portal.AddFaults(hubspotsim.Fault{Op: "archive", Effect: hubspotsim.CutAfter, Times: 1}); err != nil {
				t.Fatal(err)
			}
			c := simClient(t, portal, nil)
			verdicts, err := sink.NewDeliverer(c, nil).Archive(t.Context(), c, simTarget, jobs)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range verdicts[:130] {
				// Of a call that was cut after its work, the second try finds nothing left.
				gone := v.Outcome == sink.Delivered || v.Outcome == sink.NotFound && v.Unanswered
				if _, there := portal.Find("companies", "pg_key", jobs[i].Key); there || !gone {
					t.Fatalf("%s: %+v", jobs[i].Key, v)
				}
			}
			if v := verdicts[130]; v.Outcome != sink.NotFound {
				t.Errorf("nobody: %+v", v)
			}
		})
	}
}

func TestReadBack(t *testing.T) {
	portal := newSimPortal(t, hubspotsim.Options{Quirks: hubspotsim.Hostile()})
	row := simRow{key: "a", values: [4]string{"n", "2026-01-01", "PRO", "5.0"}}
	ids, err := portal.Seed("companies", map[string]string{"pg_key": "a", "name": "n", "pg_day": "1767225600000", "pg_seats": "5"})
	if err != nil {
		t.Fatal(err)
	}
	d := sink.NewDeliverer(simClient(t, portal, nil), nil)
	got, err := d.ReadBack(t.Context(), simTarget, []sink.Job{row.job(false), {Key: "nobody", Props: row.job(false).Props}})
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	if r := got[0]; r.Found != sink.Delivered || r.CRMID != ids[0] || len(r.Differs) != 1 || r.Differs[0].Slot != simPlan || r.Differs[0].Stored != "" {
		t.Errorf("%+v", r)
	}
	if got[1].Found != sink.NotFound {
		t.Errorf("%+v", got[1])
	}
}

// The ids of more records than fit into a call are found; where HubSpot refuses to
// tell them, none are known, and that is no error.
func TestIdentify(t *testing.T) {
	portal := newSimPortal(t, hubspotsim.Options{})
	want := map[string]string{}
	var keys []string
	for i := range 150 {
		key := fmt.Sprintf("K-%d", i)
		keys = append(keys, key, "nobody "+key)
		ids, err := portal.Seed("companies", map[string]string{"pg_key": key})
		if err != nil {
			t.Fatal(err)
		}
		want[key] = ids[0]
	}
	d := sink.NewDeliverer(simClient(t, portal, nil), nil)
	got, err := d.Identify(t.Context(), simTarget, keys)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	got, err = d.Identify(t.Context(), &change.Target{Object: "companies", Match: "name"}, keys[:2])
	if len(got) != 0 || err != nil {
		t.Errorf("by a property without unique values: %v, %v", got, err)
	}
}
