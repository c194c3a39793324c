package admin

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a log position, in JSON as Postgres writes it, "16/B374D848", and null
// where it is 0.
type LSN uint64

// String writes the position as Postgres does.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint64(l)&0xffffffff) }

// MarshalJSON writes the position, or null for 0.
func (l LSN) MarshalJSON() ([]byte, error) {
	if l == 0 {
		return []byte("null"), nil
	}
	return []byte(`"` + l.String() + `"`), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *LSN) UnmarshalJSON(text []byte) error {
	s := string(text)
	if s == "null" {
		*l = 0
		return nil
	}
	s, err := strconv.Unquote(s)
	if err != nil {
		return fmt.Errorf("%s is not a log position: %w", text, err)
	}
	hi, lo, _ := strings.Cut(s, "/")
	h, errHi := strconv.ParseUint(hi, 16, 32)
	n, errLo := strconv.ParseUint(lo, 16, 32)
	if errHi != nil || errLo != nil {
		return fmt.Errorf("%q is not a log position such as 16/B374D848", s)
	}
	*l = LSN(h<<32 | n)
	return nil
}
