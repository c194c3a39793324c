package change

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLSNRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := LSN(rapid.Uint64().Draw(t, "lsn"))
		got, err := ParseLSN(want.String())
		if err != nil || got != want {
			t.Fatalf("ParseLSN(%q) = %v, %v", want.String(), got, err)
		}
	})
	for _, bad := range []string{"", "0", "/", "0/", "1/2/3", "100000000/0", "-1/0", "0/G"} {
		if _, err := ParseLSN(bad); err == nil {
			t.Errorf("ParseLSN(%q) did not fail", bad)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	ordered := []Position{{}, {1, 0}, {1, 1}, {2, 0}, {2, 7}}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := p.Before(q); got != (i < j) {
				t.Errorf("%v.Before(%v) = %v", p, q, got)
			}
		}
	}
}

func TestQuoteName(t *testing.T) {
	for in, want := range map[string]string{
		"accounts": "accounts", "Accounts": `"Accounts"`, `a"b`: `"a""b"`, "1a": `"1a"`, "a1_": "a1_", "": `""`, "ä": `"ä"`,
	} {
		if got := QuoteName(in); got != want {
			t.Errorf("QuoteName(%q) = %s, want %s", in, got, want)
		}
	}
}

// drawProps draws properties for up to eight slots.
func drawProps(t *rapid.T, label string) Props {
	var p Props
	for slot := range 8 {
		kind := PropKind(rapid.IntRange(0, 4).Draw(t, label))
		switch kind {
		case 0:
			continue
		case Set:
			p = p.Append(slot, kind, []byte(rapid.SampledFrom([]string{"", "a", "bb"}).Draw(t, label+" text")))
		case Refused:
			p = p.AppendRefused(slot, Rejection{InvalidValue, "no"})
		default:
			p = p.Append(slot, kind, nil)
		}
	}
	return p
}

func bySlot(p Props) map[int]Prop {
	m := map[int]Prop{}
	for prop := range p.All() {
		m[prop.Slot] = prop
	}
	return m
}

// TestMergeEqualsOneAfterTheOther compares the merge with a map that applies
// the two patches in sequence.
func TestMergeEqualsOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		older, newer := drawProps(t, "older"), drawProps(t, "newer")
		want := bySlot(older)
		for slot, n := range bySlot(newer) {
			o, waiting := want[slot]
			seen := waiting && (o.Kind == Set || o.Kind == Clear || o.Kind == RefusedOver)
			switch {
			case seen && n.Kind == ClearIfDelivered:
				n.Kind = Clear
			case seen && n.Kind == Refused:
				n.Kind = RefusedOver
			}
			want[slot] = n
		}
		merged := Merge(nil, older, newer)
		if diff := cmp.Diff(want, bySlot(merged)); diff != "" {
			t.Fatal(diff)
		}
		last := -1
		for p := range merged.All() {
			if p.Slot <= last {
				t.Fatalf("slot %d after %d", p.Slot, last)
			}
			last = p.Slot
		}
		if merged.Len() != len(want) {
			t.Fatalf("Len %d, want %d", merged.Len(), len(want))
		}
		rest := merged.Without(nil, func(slot int) bool { return slot%2 == 0 })
		for slot, prop := range want {
			got, ok := rest.Get(slot)
			if ok != (slot%2 == 1) || ok && cmp.Diff(prop, got) != "" {
				t.Fatalf("Without: slot %d: %v %v", slot, got, ok)
			}
		}
	})
}

// A value was waiting, so it may have been sent: a NULL after it must clear it,
// whatever came between.
func TestANullClearsTheValueUnderARefusedOne(t *testing.T) {
	value := Props(nil).Append(0, Set, []byte("a"))
	refused := Props(nil).AppendRefused(0, Rejection{InvalidValue, "no"})
	null := Props(nil).Append(0, ClearIfDelivered, nil)
	merged := Merge(nil, Merge(nil, Merge(nil, value, refused), refused), null)
	if p, _ := merged.Get(0); p.Kind != Clear {
		t.Errorf("value, refused, NULL: kind %d, want Clear", p.Kind)
	}
	// What the CRM held before pgcrm met the record stays.
	merged = Merge(nil, refused, null)
	if p, _ := merged.Get(0); p.Kind != ClearIfDelivered {
		t.Errorf("refused, NULL: kind %d, want ClearIfDelivered", p.Kind)
	}
}

func TestRejectionTravelsPacked(t *testing.T) {
	want := Rejection{InvalidOption, "“x” is not among the options"}
	p, ok := Props(nil).AppendRefused(3, want).Get(3)
	if !ok || p.Rejection() != want {
		t.Fatalf("got %v, %v", p, ok)
	}
}
