package change

import (
	"encoding/binary"
	"iter"
	"strings"
)

// PropKind says what a patch does to a property.
type PropKind uint8

// The kinds of property change.
const (
	// Set writes the text.
	Set PropKind = iota + 1
	// ClearIfDelivered clears the property if pgcrm has delivered it, and leaves alone what
	// the CRM held before (on_null: clear).
	ClearIfDelivered
	// Clear writes the empty string, HubSpot's way to clear, in any case.
	Clear
	// Refused is a value that cannot be sent; the text is its Rejection.
	Refused
	// RefusedOver is as Refused, and came over a value that was still waiting.
	RefusedOver
)

// Prop is one property of a Props.
type Prop struct {
	Slot int
	Kind PropKind
	// Text is the value for Set, the packed rejection for Refused and
	// RefusedOver, else empty.
	Text []byte
}

// Rejection unpacks the reason of a refused property.
func (p Prop) Rejection() Rejection {
	category, reason, _ := strings.Cut(string(p.Text), "\x00")
	return Rejection{Category: category, Reason: reason}
}

// Props is a packed list of properties in ascending order of slot. It is one
// allocation however many properties it has, and its text goes into the request
// as it stands.
type Props []byte

const propHeader = 2 + 1 + 4 // slot, kind, length of the text

// Append adds a property. Slots must be appended in ascending order.
func (p Props) Append(slot int, kind PropKind, text []byte) Props {
	p = binary.LittleEndian.AppendUint16(p, uint16(slot)) //nolint:gosec // a mapping has at most MaxSlots properties
	p = append(p, byte(kind))
	p = binary.LittleEndian.AppendUint32(p, uint32(len(text))) //nolint:gosec // Postgres values are below 1 GiB
	return append(p, text...)
}

// AppendRefused adds a refused property.
func (p Props) AppendRefused(slot int, r Rejection) Props {
	return p.Append(slot, Refused, []byte(r.Category+"\x00"+r.Reason))
}

// MaxSlots is the largest number of properties that a Target can have.
const MaxSlots = 1 << 16

// All yields the properties in order of slot. The text aliases p.
func (p Props) All() iter.Seq[Prop] {
	return func(yield func(Prop) bool) {
		for rest := p; len(rest) > 0; {
			var prop Prop
			prop, rest = rest.next()
			if !yield(prop) {
				return
			}
		}
	}
}

// Len counts the properties.
func (p Props) Len() int {
	n := 0
	for rest := p; len(rest) > 0; n++ {
		_, rest = rest.next()
	}
	return n
}

// Get finds the property in the slot.
func (p Props) Get(slot int) (Prop, bool) {
	for prop := range p.All() {
		if prop.Slot == slot {
			return prop, true
		}
	}
	return Prop{}, false
}

func (p Props) next() (Prop, Props) {
	n := int(binary.LittleEndian.Uint32(p[3:]))
	end := propHeader + n
	return Prop{
		Slot: int(binary.LittleEndian.Uint16(p)),
		Kind: PropKind(p[2]),
		Text: p[propHeader:end:end],
	}, p[end:]
}

// Merge appends to dst what older and newer give when applied one after the
// other: per slot the newer wins. A NULL over a value that is still waiting has
// been seen turning NULL, so it clears whatever the ledger says, also where a
// value that cannot be sent came between the two.
func Merge(dst, older, newer Props) Props {
	for len(older) > 0 && len(newer) > 0 {
		o, restOlder := older.next()
		n, restNewer := newer.next()
		switch {
		case o.Slot < n.Slot:
			dst = append(dst, older[:len(older)-len(restOlder)]...)
			older = restOlder
		case o.Slot > n.Slot:
			dst = append(dst, newer[:len(newer)-len(restNewer)]...)
			newer = restNewer
		default:
			if o.Kind == Set || o.Kind == Clear || o.Kind == RefusedOver {
				switch n.Kind {
				case ClearIfDelivered:
					n.Kind = Clear
				case Refused:
					n.Kind = RefusedOver
				}
			}
			dst = dst.Append(n.Slot, n.Kind, n.Text)
			older, newer = restOlder, restNewer
		}
	}
	dst = append(dst, older...)
	return append(dst, newer...)
}

// Without appends to dst the properties of p whose slot drop does not name.
func (p Props) Without(dst Props, drop func(slot int) bool) Props {
	for rest := p; len(rest) > 0; {
		prop, after := rest.next()
		if !drop(prop.Slot) {
			dst = append(dst, rest[:len(rest)-len(after)]...)
		}
		rest = after
	}
	return dst
}
