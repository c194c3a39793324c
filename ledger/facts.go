package ledger

import (
	"encoding/binary"
	"errors"

	"github.com/pgcrm/pgcrm/change"
)

// Facts are stored packed: in ascending order of the property's id a varint of
// the distance to the id before (the first counts from -1) times two, plus one
// where the property is Unknown, and for a Known one its fingerprint in eight
// bytes. A property that is Never takes nothing. With fewer than 64 properties
// a known one takes nine bytes.

// appendFacts packs facts, which lie by slot. order has the target's slots in
// ascending order of id.
func appendFacts(dst []byte, facts []change.Fact, ids []int32, order []int) []byte {
	last := int32(-1)
	for _, slot := range order {
		if slot >= len(facts) || facts[slot].State == change.Never {
			continue
		}
		head := uint64(ids[slot]-last) << 1 //nolint:gosec // ascending
		last = ids[slot]
		if facts[slot].State == change.Unknown {
			dst = binary.AppendUvarint(dst, head|1)
			continue
		}
		dst = binary.AppendUvarint(dst, head)
		dst = binary.LittleEndian.AppendUint64(dst, facts[slot].Fingerprint)
	}
	return dst
}

var errFacts = errors.New("the facts of a record are damaged")

// readFacts unpacks into facts, by slot. slots has the slot of each id, -1 for a
// property that is mapped no longer.
func readFacts(facts []change.Fact, packed []byte, slots []int) error {
	id := int64(-1)
	for len(packed) > 0 {
		head, n := binary.Uvarint(packed)
		if n <= 0 || head>>1 == 0 || head>>1 > 1<<31 {
			return errFacts
		}
		packed = packed[n:]
		id += int64(head >> 1)
		fact := change.Fact{State: change.Unknown}
		if head&1 == 0 {
			if len(packed) < 8 {
				return errFacts
			}
			fact = change.Fact{State: change.Known, Fingerprint: binary.LittleEndian.Uint64(packed)}
			packed = packed[8:]
		}
		if id < int64(len(slots)) && slots[id] >= 0 {
			facts[slots[id]] = fact
		}
	}
	return nil
}
