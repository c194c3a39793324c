package mapping

import (
	"bytes"
	"time"
)

// stamp is a date, or a date and time, as Postgres's ISO style or ISO 8601
// write it. The fraction is cut to milliseconds: the CRM refuses more.
type stamp struct {
	year, month, day     int
	hour, minute, second int
	milli                int
	clock                bool // a time of day stands there
	zoned                bool // an offset stands there
	offset               int  // seconds east of UTC
}

// parseStamp reads YYYY-MM-DD, with or without HH:MM[:SS[.ffffff]] and an offset.
// Years before 1 and after 9999, infinity and anything else give false.
func parseStamp(s []byte) (t stamp, ok bool) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return t, false
	}
	year, ok1 := number(s[0:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:10])
	if !ok1 || !ok2 || !ok3 || year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return t, false
	}
	t.year, t.month, t.day = year, month, day
	s = s[10:]
	if len(s) == 0 {
		return t, true
	}
	if len(s) < 6 || s[0] != ' ' && s[0] != 'T' && s[0] != 't' || s[3] != ':' {
		return t, false
	}
	t.clock = true
	if t.hour, ok1 = number(s[1:3]); !ok1 || t.hour > 23 {
		return t, false
	}
	if t.minute, ok1 = number(s[4:6]); !ok1 || t.minute > 59 {
		return t, false
	}
	s = s[6:]
	if len(s) >= 3 && s[0] == ':' {
		if t.second, ok1 = number(s[1:3]); !ok1 || t.second > 59 {
			return t, false
		}
		s = s[3:]
		if len(s) > 1 && s[0] == '.' {
			fraction := digits(s[1:])
			if len(fraction) == 0 {
				return t, false
			}
			for i := range 3 {
				t.milli *= 10
				if i < len(fraction) {
					t.milli += int(fraction[i] - '0')
				}
			}
			s = s[1+len(fraction):]
		}
	}
	return t, t.parseOffset(s)
}

func (t *stamp) parseOffset(s []byte) bool {
	if len(s) == 0 {
		return true
	}
	t.zoned = true
	if bytes.EqualFold(s, []byte("z")) {
		return true
	}
	sign := 1
	switch s[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return false
	}
	s = s[1:]
	for _, unit := range []int{3600, 60, 1} {
		if len(s) == 0 && unit < 3600 {
			break
		}
		if unit < 3600 && s[0] == ':' {
			s = s[1:]
		}
		if len(s) < 2 {
			return false
		}
		n, ok := number(s[:2])
		if !ok || n > 59 {
			return false
		}
		t.offset += n * unit
		s = s[2:]
	}
	t.offset *= sign
	return len(s) == 0
}

// unix is the moment in seconds, with the clock read at the given offset.
func (t *stamp) unix(offset int) int64 {
	return time.Date(t.year, time.Month(t.month), t.day, t.hour, t.minute, t.second, 0, time.UTC).Unix() - int64(offset)
}

// moment is the stamp's moment in seconds since 1970: by its own offset, else
// as a clock in the zone would show it.
func (t *stamp) moment(zone *time.Location) int64 {
	if t.zoned {
		return t.unix(t.offset)
	}
	if zone == nil {
		return t.unix(0)
	}
	// As Postgres does: an hour that happens twice is the second one, an hour
	// that is skipped is counted on with the offset before the gap.
	wall := t.unix(0)
	before, after := offsetAt(zone, wall-86400), offsetAt(zone, wall+86400)
	if offsetAt(zone, wall-int64(after)) == after {
		return wall - int64(after)
	}
	return wall - int64(before)
}

func offsetAt(zone *time.Location, unix int64) int {
	_, offset := time.Unix(unix, 0).In(zone).Zone()
	return offset
}

// in moves the stamp to where the moment is read: a clock in the zone. False
// where the year leaves 1 to 9999.
func (t *stamp) in(zone *time.Location, unix int64) bool {
	at := time.Unix(unix, 0).In(zone)
	year, month, day := at.Date()
	t.year, t.month, t.day = year, int(month), day
	t.hour, t.minute, t.second = at.Clock()
	return year >= 1 && year <= 9999
}

// appendDate writes YYYY-MM-DD.
func (t *stamp) appendDate(dst []byte) []byte {
	dst = appendPadded(dst, t.year, 4)
	dst = appendPadded(append(dst, '-'), t.month, 2)
	return appendPadded(append(dst, '-'), t.day, 2)
}

// appendDatetime writes ISO 8601 in UTC with milliseconds. The stamp must be in
// UTC.
func (t *stamp) appendDatetime(dst []byte) []byte {
	dst = append(t.appendDate(dst), 'T')
	dst = appendPadded(dst, t.hour, 2)
	dst = appendPadded(append(dst, ':'), t.minute, 2)
	dst = appendPadded(append(dst, ':'), t.second, 2)
	dst = appendPadded(append(dst, '.'), t.milli, 3)
	return append(dst, 'Z')
}

func appendPadded(dst []byte, n, width int) []byte {
	for div := pow10(width - 1); div > 0; div /= 10 {
		dst = append(dst, byte('0'+n/div%10))
	}
	return dst
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

func number(s []byte) (int, bool) {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
