package config

import (
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes, written as 67108864, 64MiB, 64Mi or 64MB (a
// thousand thousands).
type Bytes int64

var sizeForm = regexp.MustCompile(`^([0-9]{1,18}) ?([a-z]*)$`)

var sizeUnits = map[string]int64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}

// EnvDecode reads a size.
func (b *Bytes) EnvDecode(value string) error {
	m := sizeForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(value)))
	if m == nil {
		return &fault{"is not a size", "give bytes or a unit, such as 64MiB"}
	}
	unit, ok := sizeUnits[m[2]]
	if !ok {
		return &fault{"has an unknown unit", "give bytes or a unit, such as 64MiB"}
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return &fault{"is too large", "give bytes or a unit, such as 64MiB"}
	}
	*b = Bytes(n * unit)
	return nil
}

// Rate is a ceiling of calls in a rolling window, written 50/10s. The zero Rate
// is "auto": follow what the API's headers say.
type Rate struct {
	Calls  int
	Window time.Duration
}

// Auto reports that no ceiling was given.
func (r Rate) Auto() bool { return r.Calls == 0 }

// EnvDecode reads "auto", "50/10s" or "5/s".
func (r *Rate) EnvDecode(value string) error {
	value = strings.ToLower(strings.TrimSpace(value))
	if value == "auto" {
		*r = Rate{}
		return nil
	}
	bad := &fault{"is not a rate", "give auto, or calls in a window, such as 50/10s"}
	calls, window, ok := strings.Cut(value, "/")
	if !ok {
		return bad
	}
	if window != "" && (window[0] < '0' || window[0] > '9') {
		window = "1" + window
	}
	n, errN := strconv.Atoi(strings.TrimSpace(calls))
	d, errD := time.ParseDuration(strings.TrimSpace(window))
	if errN != nil || errD != nil {
		return bad
	}
	if n < 1 || n > 1e6 {
		return &fault{"must allow 1 to 1000000 calls", bad.mend}
	}
	if d < 100*time.Millisecond || d > time.Hour {
		return &fault{"must have a window of 100ms to 1h", bad.mend}
	}
	*r = Rate{Calls: n, Window: d}
	return nil
}

// Share is a part of a whole, above 0 and up to 1, written 80% or 0.8.
type Share float64

// EnvDecode reads a percentage or a fraction.
func (s *Share) EnvDecode(value string) error {
	digits, percent := strings.CutSuffix(strings.TrimSpace(value), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f > 0 && f <= 1) { // also refuses NaN
		return &fault{"is not a share above 0% and up to 100%", "give a percentage, such as 80%"}
	}
	*s = Share(f)
	return nil
}

// Duration is a time.Duration that may also be written in days: 30d.
type Duration struct {
	time.Duration
}

// EnvDecode reads 500ms, 1h30m, 30d or 0.
func (d *Duration) EnvDecode(value string) error {
	value = strings.TrimSpace(value)
	if days, ok := strings.CutSuffix(value, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 31)
		if err == nil && n <= math.MaxInt64/uint64(24*time.Hour) {
			d.Duration = time.Duration(n) * 24 * time.Hour
			return nil
		}
	}
	parsed, err := time.ParseDuration(value)
	if err != nil {
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			return &fault{"has no unit", "give a duration with its unit, such as 500ms, 20s or 1h"}
		}
		return &fault{"is not a duration", "give one such as 500ms, 20s, 1h or 30d"}
	}
	d.Duration = parsed
	return nil
}

// LogLevel is the least severe level that is logged.
type LogLevel struct {
	slog.Level
}

// EnvDecode reads debug, info, warn or error.
func (l *LogLevel) EnvDecode(value string) error {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "debug":
		l.Level = slog.LevelDebug
	case "info":
		l.Level = slog.LevelInfo
	case "warn", "warning":
		l.Level = slog.LevelWarn
	case "error":
		l.Level = slog.LevelError
	default:
		return &fault{"is not a log level", "give debug, info, warn or error"}
	}
	return nil
}
