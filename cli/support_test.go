package cli

import (
	"testing"
	"time"
)

// The end of HubSpot's support is told of half a year before, and for ever after.
func TestSupportEndsSoon(t *testing.T) {
	for _, tc := range []struct {
		version, now string
		soon         bool
	}{
		{"v3", "2026-11-24", false},
		{"v3", "2027-03-10", true},
		{"2026-03", "2026-11-24", false},
		{"2026-03", "2027-04-01", true},
		{"2026-09", "2027-04-01", false},
		{"2026-03", "2030-01-01", true},
	} {
		now, err := time.Parse(time.DateOnly, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		if end, soon := supportEndsSoon(tc.version, now); soon != tc.soon {
			t.Errorf("%s on %s: ends %s, soon %v", tc.version, tc.now, end.Format(time.DateOnly), soon)
		}
	}
}
