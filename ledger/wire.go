package ledger

import (
	"encoding/binary"
	"strconv"
	"time"
)

// The OIDs of the array element types in use.
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidTimestamptz = 1184
	oidLSN         = 3220
)

// array builds the binary form of a one-dimensional Postgres array, element by
// element, in a buffer that is used again. Handing pgx slices instead would
// cost an allocation per element.
type array struct {
	oid uint32
	n   int32
	buf []byte
}

const arrayHeader = 20 // dimensions, whether there are NULLs, element OID, length, lower bound

func (a *array) reset(oid uint32) {
	a.oid, a.n = oid, 0
	a.buf = append(a.buf[:0], make([]byte, arrayHeader)...)
}

// bytes finishes the header. An empty array has no dimensions.
func (a *array) bytes() []byte {
	b := binary.BigEndian
	b.PutUint32(a.buf[4:], 0)
	b.PutUint32(a.buf[8:], a.oid)
	if a.n == 0 {
		b.PutUint32(a.buf, 0)
		return a.buf[:12]
	}
	b.PutUint32(a.buf, 1)
	b.PutUint32(a.buf[12:], uint32(a.n)) //nolint:gosec // a count
	b.PutUint32(a.buf[16:], 1)
	return a.buf
}

// texts is an array of texts.
func texts(list []string) []byte {
	var a array
	a.reset(oidText)
	for _, s := range list {
		a.addString(s)
	}
	return a.bytes()
}

func (a *array) length(n int) {
	a.n++
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(n)) //nolint:gosec // below 1 GiB
}

func (a *array) addInt2(v int16) {
	a.length(2)
	a.buf = binary.BigEndian.AppendUint16(a.buf, uint16(v)) //nolint:gosec // the bits
}

func (a *array) addInt4(v int32) {
	a.length(4)
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(v)) //nolint:gosec // the bits
}

func (a *array) addUint64(v uint64) {
	a.length(8)
	a.buf = binary.BigEndian.AppendUint64(a.buf, v)
}

func (a *array) addBool(v bool) {
	a.length(1)
	if v {
		a.buf = append(a.buf, 1)
		return
	}
	a.buf = append(a.buf, 0)
}

func (a *array) addString(s string) {
	a.length(len(s))
	a.buf = append(a.buf, s...)
}

// addTime adds a timestamptz, -infinity for the zero time.
func (a *array) addTime(t time.Time) {
	if t.IsZero() {
		a.addUint64(1 << 63)
		return
	}
	a.addUint64(uint64(t.UnixMicro() - microsTo2000)) //nolint:gosec // the bits
}

// addInts adds a set of integers as the text of an array, since an array of
// arrays must be rectangular.
func (a *array) addInts(set []int32) {
	a.length(0)
	start := len(a.buf)
	a.buf = append(a.buf, '{')
	for i, v := range set {
		if i > 0 {
			a.buf = append(a.buf, ',')
		}
		a.buf = strconv.AppendInt(a.buf, int64(v), 10)
	}
	a.buf = append(a.buf, '}')
	binary.BigEndian.PutUint32(a.buf[start-4:], uint32(len(a.buf)-start)) //nolint:gosec // short
}

// begin and end enclose an element that is appended to buf directly.
func (a *array) begin() int { a.length(0); return len(a.buf) }

func (a *array) end(start int) {
	binary.BigEndian.PutUint32(a.buf[start-4:], uint32(len(a.buf)-start)) //nolint:gosec // below 1 GiB
}

// microsTo2000 is Postgres's epoch after Unix's.
const microsTo2000 = 946_684_800_000_000

// Single parameters in binary form.

func wireInt8(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) } //nolint:gosec // the bits
func wireInt4(v int) []byte   { return binary.BigEndian.AppendUint32(nil, uint32(v)) } //nolint:gosec // the bits
func wireLSN(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
func wireInt2(v int16) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) } //nolint:gosec // the bits
func wireBool(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}
