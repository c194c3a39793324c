package sink

import (
	"strconv"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// sameStored reports whether the value that HubSpot gives back is the one that
// was sent, in the way HubSpot writes it: numbers, moments, case and space
// around are normalised, options of a list may come in another order.
func sameStored(sent, stored string) bool {
	if sent == stored {
		return true
	}
	sent, stored = strings.TrimSpace(sent), strings.TrimSpace(stored)
	if strings.EqualFold(sent, stored) || hubspot.SameNumber(sent, stored) {
		return true
	}
	if a, ok := moment(sent); ok {
		if b, ok := moment(stored); ok {
			return a.Equal(b)
		}
	}
	if strings.Contains(sent, ";") || strings.Contains(stored, ";") {
		return sameOptions(sent, stored)
	}
	return false
}

// moment reads the ways in which dates and datetimes are written: as a day, with
// a time, or as milliseconds since 1970.
func moment(s string) (time.Time, bool) {
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(n).UTC(), true
	}
	return time.Time{}, false
}

// sameOptions compares two lists of options. A list that begins with a semicolon
// adds to what is there.
func sameOptions(sent, stored string) bool {
	has := map[string]bool{}
	for option := range strings.SplitSeq(stored, ";") {
		has[strings.TrimSpace(option)] = true
	}
	n := 0
	for option := range strings.SplitSeq(sent, ";") {
		if option = strings.TrimSpace(option); option == "" {
			continue
		}
		if !has[option] {
			return false
		}
		n++
	}
	delete(has, "")
	return n == len(has) || strings.HasPrefix(sent, ";")
}
