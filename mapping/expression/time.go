package expression

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is a date, a timestamp or a timestamp with time zone. T is in UTC: for
// the first two the clock reads as written.
type Time struct {
	T        time.Time
	Kind     Kind
	Infinite int8 // -1 and 1 for -infinity and infinity
}

// ParseTime reads a value of Postgres's text format, ISO style.
func ParseTime(s string, kind Kind) (Time, bool) {
	t := Time{Kind: kind}
	switch s {
	case "infinity":
		t.Infinite = 1
		return t, true
	case "-infinity":
		t.Infinite = -1
		return t, true
	}
	s, bc := strings.CutSuffix(s, " BC")
	yearText, rest, ok := strings.Cut(s, "-")
	year, err := strconv.Atoi(yearText)
	if !ok || err != nil || len(yearText) < 4 || year < 1 || year > 300_000 {
		return t, false
	}
	// A leap year stands in, so that 29 February is read.
	layout := "2006-01-02"
	switch {
	case len(rest) == len("01-02"):
	case strings.ContainsAny(rest[min(5, len(rest)):], "+-Zz"):
		layout = "2006-01-02 15:04:05" + offsetLayout(rest)
	default:
		layout = "2006-01-02 15:04:05"
	}
	at, err := time.Parse(layout, "2000-"+strings.Replace(rest, "T", " ", 1))
	if err != nil {
		return t, false
	}
	if bc {
		year = 1 - year
	}
	_, offset := at.Zone()
	at = time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	if !strings.HasPrefix(rest, at.Format("01-02")) {
		return t, false // 29 February of another year
	}
	t.T = at.Add(-time.Duration(offset) * time.Second)
	return t, true
}

func offsetLayout(rest string) string {
	tail := rest[max(strings.LastIndexAny(rest, "+-"), 0):]
	switch {
	case strings.HasSuffix(rest, "Z"), strings.HasSuffix(rest, "z"):
		return "Z07:00"
	case len(tail) == len("+07"):
		return "-07"
	case len(tail) == len("+07:00"):
		return "-07:00"
	case len(tail) == len("+0700"):
		return "-0700"
	}
	return "-07:00:00"
}

// String writes the time as Postgres does, in UTC.
func (t Time) String() string {
	switch t.Infinite {
	case 1:
		return "infinity"
	case -1:
		return "-infinity"
	}
	year, era := t.T.Year(), ""
	if year < 1 {
		year, era = 1-year, " BC"
	}
	s := fmt.Sprintf("%04d-%s", year, t.T.Format("01-02"))
	switch t.Kind {
	case Timestamp:
		s += t.T.Format(" 15:04:05.999999")
	case Moment:
		s += t.T.Format(" 15:04:05.999999") + "+00"
	}
	return s + era
}

func (t Time) compare(u Time) int {
	return cmp.Or(cmp.Compare(t.Infinite, u.Infinite), t.T.Compare(u.T))
}

// add moves the time; a date becomes a timestamp.
func (t Time) add(d time.Duration) Time {
	t.T = t.T.Add(d)
	if t.Kind == Date {
		t.Kind = Timestamp
	}
	return t
}

// method is a part of a time, or the time read in another way.
func (t Time) method(name string, arg any) (any, error) {
	if t.Infinite != 0 {
		return nil, nil // NULL
	}
	switch name {
	case "Year":
		return int64(t.T.Year()), nil
	case "Month":
		return int64(t.T.Month()), nil
	case "Day":
		return int64(t.T.Day()), nil
	case "Hour":
		return int64(t.T.Hour()), nil
	case "Minute":
		return int64(t.T.Minute()), nil
	case "Second":
		return int64(t.T.Second()), nil
	case "Weekday":
		return int64(t.T.Weekday()), nil
	case "YearDay":
		return int64(t.T.YearDay()), nil
	case "Unix":
		return t.T.Unix(), nil
	case "UnixMilli":
		return t.T.UnixMilli(), nil
	case "Format":
		return t.T.Format(arg.(string)), nil
	case "AddDate":
		days := arg.([]int)
		t.T = t.T.AddDate(days[0], days[1], days[2])
		return t, nil
	default: // In
		zone, err := time.LoadLocation(arg.(string))
		if err != nil || arg == "Local" || arg == "" {
			return nil, &Error{fmt.Sprintf("%q is not a time zone", arg)}
		}
		at := t.T.In(zone)
		at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
		return Time{T: at, Kind: Timestamp}, nil
	}
}
