package hubspotsim

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxCharacters is the longest text, counted in UTF-16 units: the stricter
// reading of HubSpot's "65,536 characters".
const maxCharacters = 65536

const dayMillis = 24 * 60 * 60 * 1000

func characters(value []byte) int {
	n := 0
	for _, r := range string(value) {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// plainNumber takes digits, at most one decimal point with digits on both
// sides, and a minus. No exponent, no plus, no separators.
func plainNumber(value []byte) bool {
	value = bytes.TrimPrefix(value, []byte("-"))
	whole, fraction, point := bytes.Cut(value, []byte("."))
	return digitsOnly(whole) && (!point || digitsOnly(fraction))
}

func digitsOnly(value []byte) bool {
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(value) > 0
}

// dateMillis reads YYYY-MM-DD or epoch milliseconds.
func dateMillis(value []byte) (int64, bool) {
	if len(value) == 10 && value[4] == '-' && value[7] == '-' {
		t, err := time.Parse(time.DateOnly, string(value))
		return t.UnixMilli(), err == nil && t.Year() > 0
	}
	return epochMillis(value)
}

func epochMillis(value []byte) (int64, bool) {
	if !digitsOnly(bytes.TrimPrefix(value, []byte("-"))) {
		return 0, false
	}
	ms, err := strconv.ParseInt(string(value), 10, 64)
	// What lies outside of the years 1 to 9999 is a mistaken unit.
	return ms, err == nil && ms >= -62135596800000 && ms <= 253402300799999
}

// momentMillis reads ISO 8601 with seconds, at most milliseconds and an offset
// or Z, or epoch milliseconds.
func momentMillis(value []byte) (int64, bool) {
	if ms, ok := epochMillis(value); ok {
		return ms, true
	}
	s := string(value)
	if _, fraction, found := strings.Cut(s, "."); found {
		if end := strings.IndexAny(fraction, "Zz+-"); end < 1 || end > 3 {
			return 0, false
		}
	}
	if strings.ContainsAny(s, "tz,") {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UnixMilli(), err == nil && t.Year() > 0
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

func notMidnight(value []byte, rest int64) string {
	return fmt.Sprintf("%s is at %d:%d:%d.%d UTC, not midnight!", value,
		rest/3600000, rest/60000%60, rest/1000%60, rest%1000)
}

func plausibleEmail(value []byte) bool {
	at := bytes.IndexByte(value, '@')
	return at > 0 && at == bytes.LastIndexByte(value, '@') &&
		bytes.IndexByte(value[at+1:], '.') > 0 && !bytes.ContainsAny(value, " \t\r\n,;<>") && value[len(value)-1] != '.'
}

// badOption returns the first part of the value that is no option.
func (d *definition) badOption(value []byte) (string, bool) {
	if !d.multi {
		return d.unknownOption(string(value))
	}
	for part := range bytes.SplitSeq(bytes.TrimPrefix(value, []byte(";")), []byte(";")) {
		if bad, ok := d.unknownOption(string(part)); ok {
			return bad, true
		}
	}
	return "", false
}

func (d *definition) unknownOption(value string) (string, bool) {
	if d.ExternalOptions {
		return value, !digitsOnly([]byte(value))
	}
	_, ok := d.rank[value]
	return value, !ok
}

func (d *definition) notAllowed(value string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s was not one of the allowed options: [", value)
	for i, o := range d.Options {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "label: %q\nvalue: %q\ndisplay_order: %d\nhidden: %t\nread_only: false\n",
			o.Label, o.Value, o.DisplayOrder, o.Hidden)
	}
	b.WriteString("]")
	return b.String()
}

// appendOptions adds what ";b;c" names to a semicolon list.
func appendOptions(old string, add []byte) string {
	out := old
	for part := range strings.SplitSeq(string(add[1:]), ";") {
		if !strings.Contains(";"+out+";", ";"+part+";") {
			if out != "" {
				out += ";"
			}
			out += part
		}
	}
	return out
}

// shown is the form in which HubSpot answers with a stored value: dates by
// day, moments in UTC with Z, e-mail addresses and domains in lower case.
func (d *definition) shown(value string) string {
	switch d.Type {
	case "date":
		if len(value) == 10 && value[4] == '-' || value == "" {
			return value
		}
		if ms, ok := dateMillis([]byte(value)); ok {
			return time.UnixMilli(ms).UTC().Format(time.DateOnly)
		}
	case "datetime":
		if ms, ok := momentMillis([]byte(value)); ok {
			return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z")
		}
	case "string":
		if (d.Name == "domain" || d.Name == "email") && d.HubSpotDefined {
			return strings.ToLower(value)
		}
	}
	return value
}

// fold is what a unique value is compared by when the portal ignores case and
// outer white space.
func fold(value string) string { return strings.ToLower(strings.TrimSpace(value)) }

func validText(value string) bool {
	return utf8.ValidString(value) && characters([]byte(value)) <= maxCharacters
}
