package cdc

import (
	"fmt"
	"math"
	"testing"
)

func TestSnapshotVisible(t *testing.T) {
	const epoch = 3 << 32
	for _, c := range []struct {
		text string
		xid  uint32
		want bool
	}{
		{"10:20:10,14", 9, true},
		{"10:20:10,14", 10, false},
		{"10:20:10,14", 11, true},
		{"10:20:10,14", 14, false},
		{"10:20:10,14", 19, true},
		{"10:20:10,14", 20, false},
		{"10:20:10,14", 21, false},
		{"10:20:10,14", 10 + math.MaxInt32, false},
		{fmt.Sprintf("%d:%d:", epoch+5, epoch+5), 4, true},
		{fmt.Sprintf("%d:%d:", epoch+5, epoch+5), 5, false},
		// The counter has wrapped since: the last of the epoch before.
		{fmt.Sprintf("%d:%d:%d", epoch-2, epoch+5, epoch-2), math.MaxUint32, true},
		{fmt.Sprintf("%d:%d:%d", epoch-2, epoch+5, epoch-2), math.MaxUint32 - 1, false},
		{fmt.Sprintf("%d:%d:%d", epoch-2, epoch-1, epoch-2), 3, false},
	} {
		s, err := ParseSnapshot(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Visible(c.xid); got != c.want {
			t.Errorf("%s: Visible(%d) = %v", c.text, c.xid, got)
		}
	}
}

func TestParseSnapshotRefuses(t *testing.T) {
	for _, text := range []string{"", "1:2", "1:2:3:4", "a:2:", "1:b:", "1:2:c", "1:2:1,", "3:2:"} {
		if s, err := ParseSnapshot(text); err == nil {
			t.Errorf("%q became %+v", text, s)
		}
	}
}
