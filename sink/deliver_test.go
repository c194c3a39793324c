package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// fakeCRM is a portal of one object in memory. It judges a batch as the real
// one may, in any of the ways that are documented or open.
type fakeCRM struct {
	records map[string]map[string]string // by record id
	match   string                       // the unique property
	// perInput answers invalid values input by input; otherwise the whole batch
	// is refused.
	perInput bool
	// tell says how much a refusal of a whole batch tells of the fault.
	tell tellLevel
	// invalid gives a code where the value is refused.
	invalid func(property, value string) string
	// merged maps ids that were merged away, which updates leave out in silence.
	merged map[string]string
	// lose is asked for each input whether the answer leaves it out; write says
	// whether it is written all the same.
	lose func(id string, call int) (lost, write bool)
	// whole refuses a whole call of an object by itself.
	whole func(inputs []hubspot.Input) *hubspot.Error
	calls []string
	next  int
	// alter has the last word on an answer.
	alter func(call int, a *hubspot.Answer)
	// unanswered marks every answer so.
	unanswered bool
}

type tellLevel int

const (
	tellNothing tellLevel = iota
	tellProperty
	tellValue
)

func (f *fakeCRM) find(in hubspot.Input) (string, bool) {
	if in.IDProperty == "" {
		_, ok := f.records[in.ID]
		return in.ID, ok
	}
	for _, id := range slices.Sorted(maps.Keys(f.records)) {
		if f.records[id][in.IDProperty] == in.ID {
			return id, true
		}
	}
	return "", false
}

func (f *fakeCRM) BatchUpdate(ctx context.Context, object string, inputs []hubspot.Input) (hubspot.Answer, error) {
	return f.batch(ctx, "update", inputs)
}

func (f *fakeCRM) BatchUpsert(ctx context.Context, object string, inputs []hubspot.Input) (hubspot.Answer, error) {
	return f.batch(ctx, "upsert", inputs)
}

func (f *fakeCRM) batch(ctx context.Context, verb string, inputs []hubspot.Input) (hubspot.Answer, error) {
	if err := ctx.Err(); err != nil {
		return hubspot.Answer{}, err
	}
	f.calls = append(f.calls, fmt.Sprintf("%s %d", verb, len(inputs)))
	a := hubspot.Answer{Attempts: 1, Unanswered: f.unanswered, CorrelationID: fmt.Sprintf("c-%d", len(f.calls)), Outcomes: make([]hubspot.Outcome, len(inputs))}
	refuse := func(e *hubspot.Error) (hubspot.Answer, error) {
		if e.Status == 0 {
			e.Status = 400
		}
		e.CorrelationID = a.CorrelationID
		a.Outcomes = nil
		return a, e
	}
	if f.whole != nil {
		if e := f.whole(inputs); e != nil {
			return refuse(e)
		}
	}
	seen := map[string]bool{}
	for _, in := range inputs {
		id, ok := f.find(in)
		if ok && seen[id] {
			return refuse(&hubspot.Error{Category: "VALIDATION_ERROR", IDs: []string{id}, Message: "Duplicate IDs found in batch input: [" + id + "]. IDs must be unique"})
		}
		seen[id] = true
	}
	for i, in := range inputs {
		var details []hubspot.Detail
		for _, p := range in.Properties {
			if code := f.invalid; code != nil && code(p.Name, p.Value) != "" {
				d := hubspot.Detail{Property: p.Name, Code: code(p.Name, p.Value), Message: "bad " + p.Name}
				if f.tell == tellValue {
					d.Value, d.HasValue = p.Value, true
				}
				details = append(details, d)
			}
			if other, ok := f.find(hubspot.Input{ID: p.Value, IDProperty: f.match}); ok && p.Name == f.match {
				if id, _ := f.find(in); id != other {
					details = append(details, hubspot.Detail{Property: p.Name, Code: "CONFLICTING_UNIQUE_VALUE", Message: "taken"})
				}
			}
		}
		if details == nil {
			continue
		}
		e := &hubspot.Error{Category: "VALIDATION_ERROR", Message: "Property values were not valid", Details: details}
		if !f.perInput {
			if f.tell == tellNothing {
				e.Details = nil
			}
			return refuse(e)
		}
		a.Outcomes[i] = hubspot.Outcome{State: hubspot.Refused, Refusal: e}
	}
	for i, in := range inputs {
		o := &a.Outcomes[i]
		if o.State == hubspot.Refused {
			continue
		}
		if f.lose != nil {
			if lost, write := f.lose(in.ID, len(f.calls)); lost {
				if id, ok := f.find(in); ok && write {
					f.write(id, in.Properties)
				}
				continue
			}
		}
		if _, ok := f.merged[in.ID]; ok && in.IDProperty == "" {
			continue
		}
		id, ok := f.find(in)
		if !ok && verb == "upsert" {
			f.next++
			id, ok, o.Created = fmt.Sprintf("new-%d", f.next), true, true
			f.records[id] = map[string]string{}
		}
		if !ok {
			o.State, o.Refusal = hubspot.NotFound, &hubspot.Error{Status: 207, Category: "OBJECT_NOT_FOUND"}
			continue
		}
		o.State, o.ID = hubspot.Written, id
		f.write(id, in.Properties)
	}
	if f.alter != nil {
		f.alter(len(f.calls), &a)
	}
	return a, nil
}

func (f *fakeCRM) write(id string, properties []hubspot.Property) {
	for _, p := range properties {
		f.records[id][p.Name] = p.Value
	}
}

func (f *fakeCRM) BatchRead(_ context.Context, _, idProperty string, ids, properties []string) ([]hubspot.Found, error) {
	f.calls = append(f.calls, fmt.Sprintf("read %d", len(ids)))
	out := make([]hubspot.Found, len(ids))
	for i, id := range ids {
		if _, ok := f.merged[id]; ok {
			continue
		}
		out[i] = f.read(hubspot.Input{ID: id, IDProperty: idProperty}, properties)
	}
	return out, nil
}

func (f *fakeCRM) Get(_ context.Context, _, id string, properties []string) (hubspot.Found, error) {
	f.calls = append(f.calls, "get")
	if to, ok := f.merged[id]; ok {
		id = to
	}
	return f.read(hubspot.Input{ID: id}, properties), nil
}

func (f *fakeCRM) read(in hubspot.Input, properties []string) hubspot.Found {
	id, ok := f.find(in)
	if !ok {
		return hubspot.Found{State: hubspot.NotFound}
	}
	found := hubspot.Found{State: hubspot.Written, ID: id}
	for _, name := range properties {
		if value, ok := f.records[id][name]; ok {
			found.Properties = append(found.Properties, hubspot.Property{Name: name, Value: value})
		}
	}
	return found
}

// The target of most tests: records by pg_id, properties name, plan, seats.
var deliveryTarget = &change.Target{Object: "companies", Match: "pg_id", Properties: []string{"name", "plan", "seats"}}

const (
	slotName = iota
	slotPlan
	slotSeats
)

func newFakeCRM(n int) *fakeCRM {
	f := &fakeCRM{records: map[string]map[string]string{}, match: "pg_id"}
	for i := range n {
		f.records[fmt.Sprintf("90%02d", i)] = map[string]string{"pg_id": fmt.Sprint("k", i)}
	}
	return f
}

// jobsFor makes n jobs that set name, plan and seats.
func jobsFor(n int) []Job {
	jobs := make([]Job, n)
	for i := range jobs {
		jobs[i] = Job{Key: fmt.Sprint("k", i), Props: propsOf("name", fmt.Sprint("n", i), "plan", "FREE", "seats", fmt.Sprint(i))}
	}
	return jobs
}

func propsOf(pairs ...string) change.Props {
	var props change.Props
	for slot, name := range deliveryTarget.Properties {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] != name {
				continue
			}
			kind := change.Set
			if pairs[i+1] == "" {
				kind = change.Clear
			}
			props = props.Append(slot, kind, []byte(pairs[i+1]))
		}
	}
	return props
}

func outcomes(verdicts []Verdict) map[Outcome]int {
	count := map[Outcome]int{}
	for _, v := range verdicts {
		count[v.Outcome]++
	}
	return count
}

func deliver(t *testing.T, f *fakeCRM, jobs []Job) []Verdict {
	t.Helper()
	verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), deliveryTarget, jobs)
	if err != nil {
		t.Fatalf("%v; calls %q", err, f.calls)
	}
	return verdicts
}

func TestDeliverWritesABatch(t *testing.T) {
	f := newFakeCRM(3)
	jobs := jobsFor(3)
	jobs[1].Props = propsOf("name", "", "plan", "PRO")
	verdicts := deliver(t, f, jobs)
	want := []Verdict{
		{Outcome: Delivered, CRMID: "9000", Correlation: "c-1", Attempts: 1},
		{Outcome: Delivered, CRMID: "9001", Correlation: "c-1", Attempts: 1},
		{Outcome: Delivered, CRMID: "9002", Correlation: "c-1", Attempts: 1},
	}
	if d := cmp.Diff(want, verdicts); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"pg_id": "k1", "name": "", "plan": "PRO"}, f.records["9001"]); d != "" {
		t.Error(d)
	}
}

// One bad record parks alone, whatever the refusal tells and however many are bad.
func TestOneBadRecordNeverStopsTheOthers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		perInput bool
		tell     tellLevel
		maxCalls int
	}{
		{"told for each input", true, tellValue, 2},
		{"whole batch, with the value", false, tellValue, 4},
		{"whole batch, with the property", false, tellProperty, 60},
		{"whole batch, without a word", false, tellNothing, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeCRM(100)
			f.perInput, f.tell = tt.perInput, tt.tell
			f.invalid = func(property, value string) string {
				if property == "seats" && value == "many" {
					return "INVALID_INTEGER"
				}
				return ""
			}
			jobs := jobsFor(100)
			bad := []int{0, 41, 99}
			for _, i := range bad {
				jobs[i].Props = propsOf("name", fmt.Sprint("n", i), "seats", "many")
			}
			verdicts := deliver(t, f, jobs)
			for i, v := range verdicts {
				isBad := slices.Contains(bad, i)
				got := f.records[fmt.Sprintf("90%02d", i)]
				switch {
				case !isBad && (v.Outcome != Delivered || len(v.Refusals) > 0 || got["seats"] != fmt.Sprint(i)):
					t.Errorf("good record %d: %+v, %v", i, v, got)
				case isBad && tt.tell == tellNothing:
					if v.Outcome != Refused || v.Rejection == nil || v.Rejection.Category != CategoryRefused {
						t.Errorf("bad record %d: %+v", i, v)
					}
				case isBad:
					want := []SlotRefusal{{Slot: slotSeats, Rejection: change.Rejection{Category: change.InvalidValue, Reason: "INVALID_INTEGER: bad seats"}}}
					if d := cmp.Diff(want, v.Refusals); d != "" || v.Outcome != Delivered || got["name"] != fmt.Sprint("n", i) {
						t.Errorf("bad record %d: %+v, %v %s", i, v, got, d)
					}
				}
			}
			if len(f.calls) > tt.maxCalls {
				t.Errorf("%d calls: %q", len(f.calls), f.calls)
			}
		})
	}
}

func TestARecordWithNothingLeftIsRefused(t *testing.T) {
	f := newFakeCRM(1)
	f.perInput = true
	f.invalid = func(property, _ string) string {
		return map[string]string{"plan": "INVALID_OPTION", "seats": "INVALID_INTEGER"}[property]
	}
	verdicts := deliver(t, f, []Job{{Key: "k0", Props: propsOf("plan", "x", "seats", "y")}})
	v := verdicts[0]
	if v.Outcome != Refused || len(v.Refusals) != 2 || v.Rejection != nil {
		t.Errorf("%+v", v)
	}
}

func TestMissingRecords(t *testing.T) {
	f := newFakeCRM(1)
	jobs := []Job{
		{Key: "parked", Props: propsOf("name", "a")},
		{Key: "skipped", Missing: change.Skip, Props: propsOf("name", "b")},
		{Key: "created", Missing: change.Create, Whole: true, Props: propsOf("name", "c")},
		{Key: "partial", Missing: change.Create, Props: propsOf("name", "d")},
		{Key: "vanished", Missing: change.Create, Whole: true, CRMID: "77", Props: propsOf("name", "e")},
		{Key: "k0", Props: propsOf("name", "f")},
	}
	verdicts := deliver(t, f, jobs)
	var got []Outcome
	for _, v := range verdicts {
		got = append(got, v.Outcome)
	}
	want := []Outcome{NotFound, Skipped, Delivered, NotFound, NotFound, Delivered}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if v := verdicts[2]; !v.Created || f.records[v.CRMID]["pg_id"] != "created" || f.records[v.CRMID]["name"] != "c" {
		t.Errorf("created: %+v, %v", v, f.records)
	}
	if len(f.records) != 2 {
		t.Errorf("%d records: %v", len(f.records), f.records)
	}
	if r := verdicts[0].Rejection; r == nil || r.Category != CategoryNotFound {
		t.Errorf("parked: %+v", r)
	}
}

func TestConfigurationFaultsHoldTheMapping(t *testing.T) {
	code := func(property, code string) func(string, string) string {
		return func(p, _ string) string {
			if p == property {
				return code
			}
			return ""
		}
	}
	t.Run("property is gone", func(t *testing.T) {
		for _, perInput := range []bool{false, true} {
			f := newFakeCRM(3)
			f.tell, f.perInput, f.invalid = tellProperty, perInput, code("plan", "PROPERTY_DOESNT_EXIST")
			jobs := jobsFor(3)
			jobs[2].Props = propsOf("name", "no plan")
			verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), deliveryTarget, jobs)
			var hold *HoldError
			if !errors.As(err, &hold) || hold.Property != "plan" || hold.Slot != slotPlan {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(map[Outcome]int{Undecided: 2, Delivered: 1}, outcomes(verdicts)); d != "" {
				t.Error(d)
			}
			if f.records["9002"]["name"] != "no plan" {
				t.Error("the record without the property was held too")
			}
		}
	})
	t.Run("match property is not unique", func(t *testing.T) {
		f := newFakeCRM(3)
		f.whole = func([]hubspot.Input) *hubspot.Error {
			return &hubspot.Error{Category: "VALIDATION_ERROR", Message: "Unable to perform update/upsert by non-unique 0-2 property pg_id"}
		}
		verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), deliveryTarget, jobsFor(3))
		var hold *HoldError
		if !errors.As(err, &hold) || hold.Property != "pg_id" || outcomes(verdicts)[Undecided] != 3 {
			t.Errorf("%v, %v", err, outcomes(verdicts))
		}
	})
	t.Run("match property cannot be written", func(t *testing.T) {
		f := newFakeCRM(3)
		f.tell, f.invalid = tellProperty, code("pg_id", "READ_ONLY_VALUE")
		d := NewDeliverer(f, nil)
		for range 2 {
			verdicts, err := d.Deliver(t.Context(), deliveryTarget, jobsFor(3))
			if err != nil || outcomes(verdicts)[Delivered] != 3 {
				t.Fatalf("%v, %v", err, outcomes(verdicts))
			}
		}
		if d := cmp.Diff([]string{"update 3", "update 3", "update 3"}, f.calls); d != "" {
			t.Error(d)
		}
	})
	t.Run("every record of many refused alike", func(t *testing.T) {
		f := newFakeCRM(100)
		f.whole = func([]hubspot.Input) *hubspot.Error {
			return &hubspot.Error{Message: "Invalid input JSON on line 3, column 9"}
		}
		verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), deliveryTarget, jobsFor(100))
		var hold *HoldError
		if !errors.As(err, &hold) || outcomes(verdicts)[Undecided] != 100 {
			t.Errorf("%v, %v", err, outcomes(verdicts))
		}
		if len(f.calls) > 20 {
			t.Errorf("%d calls", len(f.calls))
		}
	})
}

func TestRecordsThatAreOneNeverFailTheBatch(t *testing.T) {
	t.Run("known by their id", func(t *testing.T) {
		f := newFakeCRM(3)
		jobs := jobsFor(3)
		jobs[0].CRMID, jobs[2].CRMID = "9000", "9000"
		if got := outcomes(deliver(t, f, jobs)); got[Delivered] != 3 || len(f.calls) != 2 {
			t.Errorf("%v after %q", got, f.calls)
		}
	})
	t.Run("told by HubSpot", func(t *testing.T) {
		f := newFakeCRM(8)
		// Two keys of one record: as if HubSpot matched in its own way.
		f.whole = func(inputs []hubspot.Input) *hubspot.Error {
			n := 0
			for _, in := range inputs {
				if in.ID == "k1" || in.ID == "k6" {
					n++
				}
			}
			if n < 2 {
				return nil
			}
			return &hubspot.Error{Category: "VALIDATION_ERROR", IDs: []string{"9001"}, Message: "Duplicate IDs found in batch input: [9001]. IDs must be unique"}
		}
		if got := outcomes(deliver(t, f, jobsFor(8))); got[Delivered] != 8 {
			t.Errorf("%v after %q", got, f.calls)
		}
	})
	t.Run("the same record id twice", func(t *testing.T) {
		f := newFakeCRM(1)
		target := &change.Target{Object: "companies", Match: change.RecordID, Properties: []string{"name"}}
		var first, second change.Props
		first, second = first.Append(0, change.Set, []byte("1")), second.Append(0, change.Set, []byte("2"))
		verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), target, []Job{{Key: "9000", Props: first}, {Key: "9000", Props: second}})
		if err != nil || outcomes(verdicts)[Delivered] != 2 || f.records["9000"]["name"] != "2" {
			t.Errorf("%v %v %v", err, verdicts, f.records)
		}
	})
}

func TestWhatNoAnswerAccountsForIsReadBack(t *testing.T) {
	t.Run("written all the same", func(t *testing.T) {
		f := newFakeCRM(3)
		f.lose = func(id string, call int) (bool, bool) { return id == "k1", true }
		verdicts := deliver(t, f, jobsFor(3))
		if verdicts[1].Outcome != Delivered || verdicts[1].CRMID != "9001" {
			t.Errorf("%+v after %q", verdicts[1], f.calls)
		}
		if d := cmp.Diff([]string{"update 3", "read 1"}, f.calls); d != "" {
			t.Error(d)
		}
	})
	t.Run("not written the first time", func(t *testing.T) {
		f := newFakeCRM(3)
		f.lose = func(id string, call int) (bool, bool) { return id == "k1" && call == 1, false }
		if got := deliver(t, f, jobsFor(3)); got[1].Outcome != Delivered || f.records["9001"]["name"] != "n1" {
			t.Errorf("%+v", got[1])
		}
	})
	t.Run("never written", func(t *testing.T) {
		f := newFakeCRM(3)
		f.lose = func(id string, _ int) (bool, bool) { return id == "k1", false }
		got := deliver(t, f, jobsFor(3))
		if got[1].Outcome != Refused || got[1].Rejection == nil || got[1].Rejection.Category != CategoryUnaccounted {
			t.Errorf("%+v", got[1])
		}
		if got[0].Outcome != Delivered || got[2].Outcome != Delivered {
			t.Errorf("%+v", outcomes(got))
		}
	})
	t.Run("merged away", func(t *testing.T) {
		f := newFakeCRM(2)
		f.merged = map[string]string{"1111": "9001"}
		f.records["1111"] = map[string]string{}
		target := &change.Target{Object: "companies", Match: change.RecordID, Properties: []string{"name"}}
		var props change.Props
		props = props.Append(0, change.Set, []byte("new"))
		verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), target, []Job{{Key: "1111", Props: props}, {Key: "9000", Props: props}})
		if err != nil || verdicts[0].Outcome != Delivered || verdicts[0].CRMID != "9001" || f.records["9001"]["name"] != "new" {
			t.Errorf("%v %+v %v after %q", err, verdicts[0], f.records, f.calls)
		}
	})
	t.Run("gone", func(t *testing.T) {
		f := newFakeCRM(2)
		f.lose = func(id string, _ int) (bool, bool) { return id == "nobody", false }
		got := deliver(t, f, []Job{{Key: "nobody", Props: propsOf("name", "x")}, {Key: "k0", Props: propsOf("name", "x")}})
		if got[0].Outcome != NotFound || got[1].Outcome != Delivered {
			t.Errorf("%+v", got)
		}
	})
}

func TestRenames(t *testing.T) {
	job := func(crmID string) Job {
		return Job{Key: "k0", RenameTo: "k9", CRMID: crmID, Props: propsOf("name", "renamed")}
	}
	t.Run("by the old key and by record id", func(t *testing.T) {
		for _, id := range []string{"", "9000"} {
			f := newFakeCRM(2)
			v := deliver(t, f, []Job{job(id)})[0]
			if v.Outcome != Delivered || v.KeyTaken || f.records["9000"]["pg_id"] != "k9" || f.records["9000"]["name"] != "renamed" {
				t.Errorf("%+v %v", v, f.records)
			}
		}
	})
	t.Run("done already", func(t *testing.T) {
		f := newFakeCRM(2)
		f.records["9000"]["pg_id"] = "k9"
		v := deliver(t, f, []Job{job("")})[0]
		if v.Outcome != Delivered || f.records["9000"]["name"] != "renamed" {
			t.Errorf("%+v %v", v, f.records)
		}
	})
	t.Run("the new key is taken", func(t *testing.T) {
		for _, tell := range []bool{true, false} {
			f := newFakeCRM(10)
			f.perInput, f.tell = tell, tellProperty
			v := deliver(t, f, []Job{job("9000")})[0]
			if v.Outcome != Delivered || !v.KeyTaken || v.CRMID != "9009" || f.records["9009"]["name"] != "renamed" || f.records["9000"]["name"] != "" {
				t.Errorf("%+v %v", v, f.records)
			}
		}
	})
}

func TestDeliverEndsWithItsContext(t *testing.T) {
	f := newFakeCRM(3)
	ctx, cancel := context.WithCancel(t.Context())
	f.unanswered = true
	f.whole = func([]hubspot.Input) *hubspot.Error { cancel(); return &hubspot.Error{Message: "?"} }
	verdicts, err := NewDeliverer(f, nil).Deliver(ctx, deliveryTarget, jobsFor(3))
	if !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("error %v", err)
	}
	for _, v := range verdicts {
		if v.Outcome != Undecided || !v.Unanswered {
			t.Errorf("%+v", v)
		}
	}
}

func TestStoredValuesAreComparedAsHubSpotWritesThem(t *testing.T) {
	for _, tt := range []struct {
		sent, stored string
		same         bool
	}{
		{"a", "a", true},
		{"1234.50", "1234.5", true},
		{"A@B.example", "a@b.example", true},
		{" x ", "x", true},
		{"2026-01-31", "1769817600000", true},
		{"2026-01-31T10:00:00.000Z", "2026-01-31T10:00:00Z", true},
		{"2026-01-31T10:00:00Z", "1769853600000", true},
		{"b;a", "a;b", true},
		{";c", "a;b;c", true},
		{"a;b", "a;b;c", false},
		{"a;b", "a", false},
		{"lead", "customer", false},
		{"", "x", false},
		{"12", "13", false},
		{"2026-01-31", "2026-02-01", false},
		{"1e5", "100000", false},
		{"https://www.Acme.example/about", "acme.example", true},
		{"acme.example", "other.example", false},
		{"+1 (555) 123-4567", "15551234567", true},
		{"0043 555 1234567", "+435551234567", true},
		{"+1 (555) 123-4567", "+1 555 123 4568", false},
		{"1234567", "7654321", false},
	} {
		if got := sameStored(tt.sent, tt.stored); got != tt.same {
			t.Errorf("sameStored(%q, %q) = %v", tt.sent, tt.stored, got)
		}
	}
}

func TestHoldErrorsTellNoValues(t *testing.T) {
	refusal := &hubspot.Error{Status: 400, Category: "VALIDATION_ERROR", Message: "secret row value", Details: []hubspot.Detail{
		{Property: "plan", Value: "secret", HasValue: true, Code: "READ_ONLY_VALUE", Message: "secret"},
	}}
	e := newHoldError(deliveryTarget, "plan", slotPlan, refusal)
	if s := strings.Join(e.Problems(), " ") + e.Error() + refusal.Error(); strings.Contains(s, "secret") {
		t.Errorf("tells a value: %s", s)
	}
	if _, err := json.Marshal(e.Problems()); err != nil {
		t.Error(err)
	}
}

// An error that names no input is about some of those that are unaccounted for.
func TestErrorsThatNameNobody(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refusal hubspot.Error
		always  bool
		want    Outcome
	}{
		{"a refusal that comes back alone", hubspot.Error{Category: "VALIDATION_ERROR", Message: "Enter a numb"}, true, Refused},
		{"something was not found", hubspot.Error{Category: "OBJECT_NOT_FOUND"}, false, Delivered},
		{"for a while", hubspot.Error{Category: "RATE_LIMITS"}, false, Delivered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeCRM(4)
			f.lose = func(id string, call int) (bool, bool) { return id == "k2" && (call == 1 || tt.always), false }
			f.alter = func(call int, a *hubspot.Answer) {
				for i := range a.Outcomes {
					if a.Outcomes[i].State == hubspot.Unaccounted && (call == 1 || tt.always) {
						a.Stray = []*hubspot.Error{&tt.refusal}
					}
				}
			}
			verdicts := deliver(t, f, jobsFor(4))
			if verdicts[2].Outcome != tt.want || outcomes(verdicts)[Delivered] < 3 {
				t.Errorf("%+v after %q", verdicts[2], f.calls)
			}
		})
	}
}

func TestScopesThatAnInputLacksHoldTheMapping(t *testing.T) {
	f := newFakeCRM(2)
	f.alter = func(_ int, a *hubspot.Answer) {
		a.Outcomes[1] = hubspot.Outcome{State: hubspot.Refused, Refusal: &hubspot.Error{Status: 207, Category: "MISSING_SCOPES", Scopes: []string{"crm.objects.companies.sensitive.write"}}}
	}
	verdicts, err := NewDeliverer(f, nil).Deliver(t.Context(), deliveryTarget, jobsFor(2))
	var hold *HoldError
	if !errors.As(err, &hold) || !strings.Contains(hold.Error(), "sensitive.write") || verdicts[0].Outcome != Delivered || verdicts[1].Outcome != Undecided {
		t.Errorf("%v %+v", err, verdicts)
	}
}

func TestValuesThatHubSpotDoesNotTake(t *testing.T) {
	f := newFakeCRM(1)
	f.alter = func(_ int, a *hubspot.Answer) {
		a.Outcomes[0].Stored = []hubspot.Property{{Name: "plan", Value: "PRO"}, {Name: "seats", Value: "0.0"}}
	}
	v := deliver(t, f, jobsFor(1))[0]
	if d := cmp.Diff([]NotApplied{{Slot: slotPlan, Stored: "PRO"}}, v.NotApplied); d != "" || v.Outcome != Delivered {
		t.Errorf("%+v %s", v, d)
	}
}

// A clash over a value that must be unique is one whatever HubSpot's words are.
func TestAClashIsAConflict(t *testing.T) {
	for _, refusal := range []hubspot.Error{
		{Status: 400, Category: "VALIDATION_ERROR", Message: "propertyValue: already has that value tax-1"},
		{Status: 207, Category: "CONFLICT"},
		{Status: 409},
		{Status: 400, Details: []hubspot.Detail{{Property: "tax_no", Code: "CONFLICTING_UNIQUE_VALUE"}}},
	} {
		if got := categoryOf(&refusal); got != CategoryConflict {
			t.Errorf("%+v is %s", refusal, got)
		}
	}
}
