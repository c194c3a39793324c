package ledger

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pgcrm/pgcrm/change"
)

// namesOf builds the numbers of a target whose slots have these property ids.
func namesOf(ids []int32) *targetNames {
	var n names
	n.reset()
	target := &change.Target{}
	byName := map[string]int32{}
	for i, id := range ids {
		name := string(rune('a' + i))
		target.Properties = append(target.Properties, name)
		byName[name] = id
	}
	n.addTarget(target, 1, byName)
	return n.target(target)
}

func TestFactsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.Int32Range(0, 300), 0, 20, rapid.ID[int32]).Draw(t, "ids")
		names := namesOf(ids)
		want := make([]change.Fact, len(ids))
		given := 0
		for i := range want {
			want[i].State = change.FactState(rapid.IntRange(0, 2).Draw(t, "state"))
			if want[i].State == change.Known {
				want[i].Fingerprint = rapid.Uint64().Draw(t, "fingerprint")
			}
			if want[i].State != change.Never {
				given = i + 1
			}
		}
		packed := appendFacts([]byte("before"), want[:given], names.ids, names.order)[len("before"):]
		got := make([]change.Fact, len(want))
		if err := readFacts(got, packed, names.slots); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}

		// Read by a target that maps some of the properties, in other slots.
		var kept []int32
		for i := len(ids) - 1; i >= 0; i -= 2 {
			kept = append(kept, ids[i])
		}
		got = make([]change.Fact, len(kept))
		if err := readFacts(got, packed, namesOf(kept).slots); err != nil {
			t.Fatal(err)
		}
		for i, id := range kept {
			if got[i] != want[slices.Index(ids, id)] {
				t.Fatalf("property %d: %v", id, got[i])
			}
		}
	})
}

func TestFactsAreSmall(t *testing.T) {
	ids := make([]int32, 63)
	facts := make([]change.Fact, len(ids))
	for i := range ids {
		ids[i] = int32(i)
		facts[i] = change.Fact{State: change.Known, Fingerprint: 1}
	}
	names := namesOf(ids)
	if n := len(appendFacts(nil, facts, names.ids, names.order)); n != 9*len(ids) {
		t.Errorf("%d bytes for %d properties", n, len(ids))
	}
	if n := len(appendFacts(nil, make([]change.Fact, len(ids)), names.ids, names.order)); n != 0 {
		t.Errorf("%d bytes for nothing", n)
	}
}

// FuzzReadFacts: damaged facts give an error or some facts, never a panic.
func FuzzReadFacts(f *testing.F) {
	names := namesOf([]int32{0, 3, 200})
	f.Add(appendFacts(nil, []change.Fact{{State: change.Known, Fingerprint: 1}, {State: change.Unknown}, {State: change.Known}}, names.ids, names.order))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{2, 1, 2})
	f.Fuzz(func(t *testing.T, packed []byte) {
		facts := make([]change.Fact, 3)
		if err := readFacts(facts, packed, names.slots); err != nil {
			return
		}
		again := make([]change.Fact, 3)
		if err := readFacts(again, appendFacts(nil, facts, names.ids, names.order), names.slots); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(facts, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
