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
	return sameSite(sent, stored) || samePhone(sent, stored)
}

// sameSite compares web addresses: HubSpot keeps the host of a domain alone.
func sameSite(sent, stored string) bool {
	bare := func(s string) string {
		s = strings.ToLower(s)
		_, after, ok := strings.Cut(s, "://")
		if ok {
			s = after
		}
		return strings.TrimSuffix(strings.TrimPrefix(s, "www."), "/")
	}
	a, b := bare(sent), bare(stored)
	if a == b {
		return true
	}
	host, _, _ := strings.Cut(a, "/")
	return host == b && strings.Contains(b, ".")
}

// samePhone compares telephone numbers by their digits, however they are set.
func samePhone(sent, stored string) bool {
	a, okA := dialled(sent)
	b, okB := dialled(stored)
	return okA && okB && (strings.HasSuffix(a, b) || strings.HasSuffix(b, a))
}

// fewestDigits are those of a telephone number that is not just any number.
const fewestDigits = 7

func dialled(s string) (digits string, ok bool) {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			b.WriteRune(c)
		case strings.ContainsRune("+-() /", c):
			// set apart
		default:
			return "", false
		}
	}
	return strings.TrimLeft(b.String(), "0"), b.Len() >= fewestDigits
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
