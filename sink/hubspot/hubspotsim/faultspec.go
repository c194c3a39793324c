package hubspotsim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseFaults reads faults as a command line gives them: separated by
// semicolons, each an effect or a status and then key=value pairs.
//
//	10%                            a mix of faults that befall one call in ten
//	503,rate=0.1                   one call in ten gets a 503
//	outage,start=10s,for=30s       no call succeeds for half a minute
//	429,every=1m,for=5s            a 429 storm of five seconds in each minute
//	daily                          the daily limit is used up
//	missing,inputs=3,rate=0.2      one answer in five leaves out three inputs that were not written
//	cut_after,op=update,times=1    the first update is done, and its answer lost
//
// The keys are those of [Fault] in JSON.
func ParseFaults(text string) ([]Fault, error) {
	var out []Fault
	for spec := range strings.SplitSeq(text, ";") {
		if spec = strings.TrimSpace(spec); spec == "" {
			continue
		}
		if percent, ok := strings.CutSuffix(spec, "%"); ok {
			rate, err := strconv.ParseFloat(percent, 64)
			if err != nil || !(rate >= 0 && rate <= 100) {
				return nil, fmt.Errorf("fault %q: a mix is a percentage between 0%% and 100%%", spec)
			}
			out = append(out, Mix(rate/100)...)
			continue
		}
		f, err := parseFault(spec)
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", spec, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func parseFault(spec string) (Fault, error) {
	parts := strings.Split(spec, ",")
	f := Fault{Effect: strings.TrimSpace(parts[0])}
	if code, err := strconv.Atoi(f.Effect); err == nil {
		f.Effect, f.Status = Status, code
	}
	switch f.Effect {
	case "outage":
		f.Effect, f.Status = Status, 503
	case "daily":
		f.Effect, f.Status, f.Policy = Status, 429, "DAILY"
	}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if err := f.set(key, value); err != nil {
			return f, err
		}
	}
	return f, f.Check()
}

// set sets one field by its name in JSON.
func (f *Fault) set(key, value string) (err error) {
	switch key {
	case "op":
		f.Op = value
	case "object":
		f.Object = value
	case "contains":
		f.Contains = value
	case "property":
		f.Property = value
	case "policy":
		f.Policy = value
	case "rate":
		f.Rate, err = strconv.ParseFloat(value, 64)
	case "skip":
		f.Skip, err = strconv.Atoi(value)
	case "times":
		f.Times, err = strconv.Atoi(value)
	case "status":
		f.Status, err = strconv.Atoi(value)
	case "inputs":
		f.Inputs, err = strconv.Atoi(value)
	case "start":
		err = f.Start.UnmarshalText([]byte(value))
	case "for":
		err = f.For.UnmarshalText([]byte(value))
	case "every":
		err = f.Every.UnmarshalText([]byte(value))
	case "delay":
		err = f.Delay.UnmarshalText([]byte(value))
	case "retryAfter":
		err = f.RetryAfter.UnmarshalText([]byte(value))
	case "applied":
		f.Applied, err = flag(value)
	case "hang":
		f.Hang, err = flag(value)
	default:
		return fmt.Errorf("no key %q", key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// flag reads a bool; the bare key means true.
func flag(value string) (bool, error) {
	if value == "" {
		return true, nil
	}
	return strconv.ParseBool(value)
}

// Mix returns faults that together befall a call with the given probability:
// errors, cuts, lost, torn and lying answers, with and without the work done,
// and as many short delays again. Those that oblige a client to wait for
// seconds (429, 423, 477) are left out, and so is late.
func Mix(rate float64) []Fault {
	fs := []Fault{
		{Effect: Status, Status: 500},
		{Effect: Status, Status: 502, Applied: true},
		{Effect: Status, Status: 503},
		{Effect: Status, Status: 504, Applied: true},
		{Effect: Status, Status: 524},
		{Effect: CutBefore},
		{Effect: CutBody},
		{Effect: CutAfter},
		{Effect: Truncate},
		{Effect: Short},
		{Effect: HTML},
		{Effect: Empty},
		{Effect: Missing, Inputs: 2},
		{Effect: Missing, Inputs: 2, Applied: true},
	}
	if rate <= 0 {
		return nil
	}
	each := 1 - math.Pow(1-rate, 1/float64(len(fs)))
	fs = append(fs, Fault{Effect: DelayBefore, Delay: Duration(30e6)}, Fault{Effect: DelayAfter, Delay: Duration(30e6)})
	for i := range fs {
		fs[i].Rate = each
	}
	return fs
}
