package sink

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

func length(b []byte) uint64 { return uint64(len(b)) + 1000 }

func TestDiff(t *testing.T) {
	known := func(text string) change.Fact {
		return change.Fact{State: change.Known, Fingerprint: length([]byte(text))}
	}
	unknown := change.Fact{State: change.Unknown}
	one := func(kind change.PropKind, text string) change.Props {
		return change.Props(nil).Append(0, kind, []byte(text))
	}
	setX, clearAlways, clearIf := one(change.Set, "x"), one(change.Clear, ""), one(change.ClearIfDelivered, "")
	refused := change.Props(nil).AppendRefused(0, change.Rejection{Category: change.TooLong, Reason: "65,537 characters"})

	for _, tc := range []struct {
		name  string
		props change.Props
		fact  *change.Fact
		doubt Doubt
		want  Diff
	}{
		{"never delivered", setX, nil, 0, Diff{Send: setX}},
		{"other value", setX, ptr(known("other")), 0, Diff{Send: setX}},
		{"same value", setX, ptr(known("x")), 0, Diff{Settled: []int{0}}},
		{"accepted and not stored", setX, ptr(FutileFact([]byte("x"), length)), 0, Diff{Futile: []int{0}}},
		{"another one was not stored", setX, ptr(FutileFact([]byte("other"), length)), 0, Diff{Send: setX}},
		{"not stored, and redone", setX, ptr(FutileFact([]byte("x"), length)), Redone, Diff{Send: setX}},
		{"not cleared", clearIf, ptr(FutileFact(nil, length)), 0, Diff{Futile: []int{0}}},
		{"not cleared, overwrite", clearAlways, ptr(FutileFact(nil, length)), 0, Diff{Futile: []int{0}}},
		{"unknown equals nothing", setX, &unknown, 0, Diff{Send: setX}},
		{"redone is not compared", setX, ptr(known("x")), Redone, Diff{Send: setX}},
		{"clear what was delivered", clearIf, ptr(known("x")), 0, Diff{Send: clearAlways}},
		{"clear what is unknown", clearIf, &unknown, 0, Diff{Send: clearAlways}},
		{"leave alone what was never delivered", clearIf, nil, 0, Diff{Settled: []int{0}}},
		{"leave alone also in redo", clearIf, nil, Redone, Diff{Settled: []int{0}}},
		{"cleared already", clearIf, ptr(known("")), 0, Diff{Settled: []int{0}}},
		{"overwrite clears always", clearAlways, nil, 0, Diff{Send: clearAlways}},
		{"overwrite, cleared already", clearAlways, ptr(known("")), 0, Diff{Settled: []int{0}}},
		{"refused", refused, ptr(known("x")), 0, Diff{Refused: []SlotRefusal{{0, change.Rejection{Category: change.TooLong, Reason: "65,537 characters"}}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var record *change.Record
			if tc.fact != nil {
				record = &change.Record{Facts: []change.Fact{*tc.fact}}
			}
			e := &Entry{Props: tc.props, Doubt: tc.doubt}
			if diff := cmp.Diff(tc.want, e.Diff(record, length)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }
