package sink

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// What an endpoint takes is learned once, and not anew with every batch.
func TestALimitOfBatchesIsLearnedOnce(t *testing.T) {
	bytesOf := func(inputs []hubspot.Input) (n int) {
		for _, in := range inputs {
			n += len(in.ID) + 40
			for _, p := range in.Properties {
				n += len(p.Name) + len(p.Value) + 6
			}
		}
		return n
	}
	long := jobsFor(100)
	for i := range long {
		long[i].Props = propsOf("name", strings.Repeat("x", 1000-2*len(long[i].Key))) // all of one size
	}
	giant := jobsFor(100)
	giant[7].Props = propsOf("name", strings.Repeat("x", 50_000))
	tests := []struct {
		name          string
		jobs          []Job
		whole         func(inputs []hubspot.Input) *hubspot.Error
		first, second []string
		refused       int
	}{
		{
			name: "the number is stated",
			jobs: jobsFor(100),
			whole: func(inputs []hubspot.Input) *hubspot.Error {
				if len(inputs) <= 40 {
					return nil
				}
				return &hubspot.Error{Category: "VALIDATION_ERROR", Message: "The maximum number of inputs supported in a batch is 40. Please reduce the number of items and try again"}
			},
			first:  []string{"update 100", "update 40", "update 40", "update 20"},
			second: []string{"update 40", "update 40", "update 20"},
		},
		{
			name: "the number is not stated",
			jobs: jobsFor(100),
			whole: func(inputs []hubspot.Input) *hubspot.Error {
				if len(inputs) <= 40 {
					return nil
				}
				return &hubspot.Error{Category: "VALIDATION_ERROR", Message: "More than the maximum number of inputs"}
			},
			first:  []string{"update 100", "update 50", "update 25", "update 25", "update 25", "update 25"},
			second: []string{"update 25", "update 25", "update 25", "update 25"},
		},
		{
			name: "a body is too large",
			jobs: long,
			whole: func(inputs []hubspot.Input) *hubspot.Error {
				if bytesOf(inputs) <= 70_000 {
					return nil
				}
				return &hubspot.Error{Status: 413}
			},
			first:  []string{"update 100", "update 50", "update 50"},
			second: []string{"update 50", "update 50"},
		},
		{
			name: "one record is too large by itself",
			jobs: giant,
			whole: func(inputs []hubspot.Input) *hubspot.Error {
				if bytesOf(inputs) <= 40_000 {
					return nil
				}
				return &hubspot.Error{Status: 413}
			},
			first:   []string{"update 100", "update 99", "update 1"},
			second:  []string{"update 99", "update 1"},
			refused: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeCRM(100)
			f.whole = tt.whole
			d := NewDeliverer(f, nil)
			for _, want := range [][]string{tt.first, tt.second} {
				f.calls = nil
				verdicts, err := d.Deliver(t.Context(), deliveryTarget, tt.jobs)
				if err != nil {
					t.Fatal(err)
				}
				if got := outcomes(verdicts); got[Delivered] != 100-tt.refused || got[Refused] != tt.refused {
					t.Errorf("outcomes: %v", got)
				}
				if diff := cmp.Diff(want, f.calls); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// A limit is that of one endpoint: another object's batches keep their size.
func TestALimitOfBatchesIsThatOfOneEndpoint(t *testing.T) {
	f := newFakeCRM(100)
	f.whole = func(inputs []hubspot.Input) *hubspot.Error {
		if len(inputs) <= 50 {
			return nil
		}
		return &hubspot.Error{Message: "The maximum number of inputs supported in a batch is 50"}
	}
	d := NewDeliverer(f, nil)
	if _, err := d.Deliver(t.Context(), deliveryTarget, jobsFor(100)); err != nil {
		t.Fatal(err)
	}
	f.whole, f.calls = nil, nil
	contacts := &change.Target{Object: "contacts", Match: deliveryTarget.Match, Properties: deliveryTarget.Properties}
	if _, err := d.Deliver(t.Context(), contacts, jobsFor(100)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"update 100"}, f.calls); diff != "" {
		t.Error(diff)
	}
}
