package change

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log: the count of bytes before it.
type LSN uint64

// ParseLSN reads the two hexadecimal halves that Postgres prints, "16/B374D848".
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if ok {
		h, errHi := strconv.ParseUint(hi, 16, 32)
		l, errLo := strconv.ParseUint(lo, 16, 32)
		if errHi == nil && errLo == nil {
			return LSN(h<<32 | l), nil
		}
	}
	return 0, fmt.Errorf("%q is not a log position such as 16/B374D848", s)
}

// String writes the LSN as Postgres does.
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) //nolint:gosec // the two halves are what is wanted
}

// Position is the place of one change in the order of all changes: where the
// commit record of its transaction starts, and the change's ordinal within the
// transaction, counted from 1 over Insert, Update, Delete and Truncate messages
// before any mapping looks at them, so that a second reading gives the same
// numbers. A backfilled row takes the position of its chunk's high mark and its
// own number in the chunk.
type Position struct {
	LSN     LSN
	Ordinal uint32
}

// Compare orders positions as their changes were committed.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.LSN, q.LSN), cmp.Compare(p.Ordinal, q.Ordinal))
}

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// String writes the position as LSN#ordinal.
func (p Position) String() string {
	return p.LSN.String() + "#" + strconv.FormatUint(uint64(p.Ordinal), 10)
}
