package mapping

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgcrm/pgcrm/change"
)

// MaxLength is the longest text that a CRM property takes, in characters. Which
// unit HubSpot counts is not documented, so UTF-16 code units are: never fewer
// than any other reading.
const MaxLength = 65536

// format writes values of one type of column as one type of property. It has
// its own buffers: one goroutine at a time.
type format struct {
	from     columnType
	to       propType
	zone     *time.Location
	truncate bool
	// options maps what a column may hold, an option's value or its label, to
	// the value that is sent. Nil allows anything: the options live elsewhere.
	options  map[string][]byte
	byLabel  bool
	property string

	unescaped []byte
}

// append writes the value behind dst. Nothing written means that the value is
// the empty text, which clears.
func (f *format) append(dst, text []byte) ([]byte, *change.Rejection) {
	if f.from.array {
		return f.appendArray(dst, text)
	}
	return f.appendScalar(dst, text)
}

var trueText, falseText = []byte("true"), []byte("false")

// plainText is what a string property gets of a scalar: Postgres's own text,
// but for booleans, which are written out, and char(n), whose padding goes.
func (c columnType) plainText(text []byte) []byte {
	switch c.class {
	case classBool:
		if string(text) == "t" {
			return trueText
		}
		return falseText
	case classPadded:
		return bytes.TrimRight(text, " ")
	}
	return text
}

func (f *format) appendScalar(dst, text []byte) ([]byte, *change.Rejection) {
	return f.appendScalarText(dst, f.from.plainText(text))
}

// appendScalarText writes a scalar that plainText has seen.
func (f *format) appendScalarText(dst, text []byte) ([]byte, *change.Rejection) {
	if len(text) == 0 {
		return dst, nil
	}
	switch f.to {
	case typeString:
		return f.appendText(dst, text)
	case typeOption:
		return f.appendOption(dst, text)
	case typeOptions:
		return f.appendOptions(dst, text)
	}
	text = bytes.TrimSpace(text)
	switch f.to {
	case typeNumber:
		if out, ok := appendNumber(dst, text); ok {
			return f.checkLength(out, len(dst))
		}
		return dst, invalid(text, "is not a number that the CRM takes: digits and one point, and finite")
	case typeBool:
		if s := string(text); s == "true" || s == "false" {
			return append(dst, s...), nil
		}
		return dst, invalid(text, "is neither true nor false")
	case typeDate:
		return f.appendDate(dst, text)
	default:
		return f.appendDatetime(dst, text)
	}
}

func (f *format) appendText(dst, text []byte) ([]byte, *change.Rejection) {
	if !utf8.Valid(text) {
		return dst, notUTF8()
	}
	start := len(dst)
	dst = append(dst, text...)
	return f.checkLength(dst, start)
}

// checkLength refuses or cuts what was written from start on.
func (f *format) checkLength(out []byte, start int) ([]byte, *change.Rejection) {
	if len(out)-start <= MaxLength {
		return out, nil
	}
	fits, all := fitting(out[start:])
	switch {
	case all:
		return out, nil
	case f.truncate:
		return out[:start+fits], nil
	}
	return out[:start], &change.Rejection{Category: change.TooLong, Reason: "longer than 65,536 characters; set on_overflow: truncate to cut it"}
}

// fitting is how many bytes of valid UTF-8 stay within MaxLength.
func fitting(text []byte) (n int, all bool) {
	units := 0
	for n < len(text) {
		r, size := utf8.DecodeRune(text[n:])
		units++
		if r > 0xFFFF {
			units++
		}
		if units > MaxLength {
			return n, false
		}
		n += size
	}
	return n, true
}

func (f *format) appendDate(dst, text []byte) ([]byte, *change.Rejection) {
	t, ok := parseStamp(text)
	if !ok {
		return dst, invalid(text, "is not a date from year 1 to 9999, YYYY-MM-DD")
	}
	if t.zoned {
		if f.zone == nil {
			return dst, invalid(text, "is a moment, and which date it is depends on the zone; set tz")
		}
		if !t.in(f.zone, t.moment(nil)) {
			return dst, invalid(text, "is not a date from year 1 to 9999 in that zone")
		}
	}
	return t.appendDate(dst), nil
}

func (f *format) appendDatetime(dst, text []byte) ([]byte, *change.Rejection) {
	t, ok := parseStamp(text)
	if !ok {
		return dst, invalid(text, "is not a moment from year 1 to 9999, such as 2026-01-31 12:00:00+00")
	}
	utc := t.zoned && t.offset == 0 || !t.zoned && f.zone == nil
	if !utc && !t.in(time.UTC, t.moment(f.zone)) {
		return dst, invalid(text, "is not a moment from year 1 to 9999 in UTC")
	}
	return t.appendDatetime(dst), nil
}

func (f *format) appendOption(dst, text []byte) ([]byte, *change.Rejection) {
	if f.options == nil {
		return f.appendText(dst, text)
	}
	if value, ok := f.options[string(text)]; ok {
		return append(dst, value...), nil
	}
	return dst, f.noOption(text)
}

func (f *format) noOption(text []byte) *change.Rejection {
	what := "values"
	if f.byLabel {
		what = "labels"
	}
	return &change.Rejection{Category: change.InvalidOption, Reason: quote(text) + " is not among the option " + what + " of " + f.property}
}

// appendOptions writes a text that may already be a list: a;b.
func (f *format) appendOptions(dst, text []byte) ([]byte, *change.Rejection) {
	if text[0] == ';' {
		return dst, invalid(text, "starts with a semicolon, which would add to the boxes ticked in the CRM instead of replacing them")
	}
	start := len(dst)
	for len(text) > 0 {
		element, rest, more := bytes.Cut(text, []byte(";"))
		value, why := f.lookup(element)
		if why == nil {
			dst, why = tick(dst, start, value)
		}
		if why != nil {
			return dst[:start], why
		}
		if more && len(rest) == 0 {
			break // a;b; is a list of two
		}
		text = rest
	}
	return f.checkLength(dst, start)
}

// lookup is the option that an element of a list stands for.
func (f *format) lookup(element []byte) ([]byte, *change.Rejection) {
	if f.options == nil {
		return element, nil
	}
	value, ok := f.options[string(element)]
	if !ok {
		return nil, f.noOption(element)
	}
	return value, nil
}

// tick adds one box to the list that starts at start, once.
func tick(dst []byte, start int, value []byte) ([]byte, *change.Rejection) {
	switch {
	case len(dst)-start > 4*MaxLength:
		return dst, &change.Rejection{Category: change.TooLong, Reason: "a list longer than 65,536 characters"}
	case len(value) == 0:
		return dst, invalid(value, "is an empty element, and no box has the empty value")
	case bytes.IndexByte(value, ';') >= 0:
		return dst, invalid(value, "holds a semicolon, which separates the elements")
	case !utf8.Valid(value):
		return dst, notUTF8()
	}
	for list := dst[start:]; len(list) > 0; {
		var ticked []byte
		ticked, list, _ = bytes.Cut(list, []byte(";"))
		if bytes.Equal(ticked, value) {
			return dst, nil
		}
	}
	if len(dst) > start {
		dst = append(dst, ';')
	}
	return append(dst, value...), nil
}

// appendArray joins the elements of an array with semicolons, for a checkbox
// property or a string. NULL elements are left out.
func (f *format) appendArray(dst, text []byte) ([]byte, *change.Rejection) {
	return f.join(dst, text, func(dst []byte, start int, element []byte) ([]byte, *change.Rejection) {
		if f.to == typeString {
			return appendElement(dst, start, element)
		}
		value, why := f.lookup(element)
		if why != nil {
			return dst, why
		}
		return tick(dst, start, value)
	})
}

// join appends every element of an array by add, which gets it as a string
// property would.
func (f *format) join(dst, text []byte, add func(dst []byte, start int, element []byte) ([]byte, *change.Rejection)) ([]byte, *change.Rejection) {
	start := len(dst)
	var why *change.Rejection
	whole := eachElement(text, &f.unescaped, func(element []byte) bool {
		dst, why = add(dst, start, f.from.plainText(element))
		return why == nil
	})
	switch {
	case why != nil:
		return dst[:start], why
	case !whole:
		return dst[:start], invalid(text, "is not an array of one dimension")
	case !utf8.Valid(dst[start:]):
		return dst[:start], notUTF8()
	}
	return f.checkLength(dst, start)
}

// appendElement adds an element to a list in a string property.
func appendElement(dst []byte, start int, element []byte) ([]byte, *change.Rejection) {
	if bytes.IndexByte(element, ';') >= 0 {
		return dst, invalid(element, "holds a semicolon, which separates the elements")
	}
	if len(dst) > start {
		dst = append(dst, ';')
	}
	return append(dst, element...), nil
}

func notUTF8() *change.Rejection {
	return &change.Rejection{Category: change.InvalidValue, Reason: "the text is not valid UTF-8"}
}

func invalid(text []byte, why string) *change.Rejection {
	return &change.Rejection{Category: change.InvalidValue, Reason: quote(text) + " " + why}
}

// quote shows a value in a reason, cut to what a person reads.
func quote(text []byte) string {
	const longest = 100
	s := strings.ToValidUTF8(string(text[:min(len(text), longest)]), "\uFFFD")
	if len(text) > longest {
		s += "…"
	}
	return "“" + s + "”"
}
