package expression

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

func lowerASCII(s string) string { return strings.ToLower(s) }

// functions are those that only see values.
var functions = map[string]function{
	"lower":       {takes: []Kind{String}, gives: gives(String), run: text(strings.ToLower)},
	"upper":       {takes: []Kind{String}, gives: gives(String), run: text(strings.ToUpper)},
	"trim":        {takes: []Kind{String, String}, optional: 1, gives: gives(String), run: trim},
	"trimPrefix":  {takes: []Kind{String, String}, gives: gives(String), run: text2(strings.TrimPrefix)},
	"trimSuffix":  {takes: []Kind{String, String}, gives: gives(String), run: text2(strings.TrimSuffix)},
	"hasPrefix":   {takes: []Kind{String, String}, gives: gives(Bool), run: test2(strings.HasPrefix)},
	"hasSuffix":   {takes: []Kind{String, String}, gives: gives(Bool), run: test2(strings.HasSuffix)},
	"indexOf":     {takes: []Kind{String, String}, gives: gives(Number), run: place(strings.Index)},
	"lastIndexOf": {takes: []Kind{String, String}, gives: gives(Number), run: place(strings.LastIndex)},
	"replace":     {takes: []Kind{String, String, String}, gives: gives(String), run: replace},
	"repeat":      {takes: []Kind{String, Number}, gives: gives(String), run: repeat},
	"split":       {takes: []Kind{String, String}, gives: func([]Type) Type { return listOf(Type{Kind: String}) }, run: split},
	"join":        {takes: []Kind{List, String}, optional: 1, gives: gives(String), run: join},
	"len":         {takes: []Kind{Any}, gives: gives(Number), run: length},
	"string":      {takes: []Kind{Any}, gives: gives(String), run: func(a []any) (any, error) { return Text(a[0]), nil }},
	"int":         {takes: []Kind{Any}, gives: gives(Number), run: toWhole},
	"float":       {takes: []Kind{Any}, gives: gives(Number), run: toNumber},
	"abs":         {takes: []Kind{Number}, gives: gives(Number), run: absolute},
	"round":       {takes: []Kind{Number, Number}, optional: 1, gives: gives(Number), run: rounding("round")},
	"floor":       {takes: []Kind{Number}, gives: gives(Number), run: rounding("floor")},
	"ceil":        {takes: []Kind{Number}, gives: gives(Number), run: rounding("ceil")},
	"max":         {takes: []Kind{Any}, variadic: true, gives: extremeType, run: extreme("max", 1)},
	"min":         {takes: []Kind{Any}, variadic: true, gives: extremeType, run: extreme("min", -1)},
	"mean":        {takes: []Kind{List}, gives: gives(Number), run: mean},
	"median":      {takes: []Kind{List}, gives: gives(Number), run: median},
	"first":       {takes: []Kind{List}, gives: element, run: func(a []any) (any, error) { return step(a[0], int64(0)) }},
	"last":        {takes: []Kind{List}, gives: element, run: func(a []any) (any, error) { return step(a[0], int64(-1)) }},
	"get":         {takes: []Kind{Any, Any}, gives: element, run: func(a []any) (any, error) { return step(a[0], a[1]) }},
	"take":        {takes: []Kind{List, Number}, gives: same, run: take},
	"reverse":     {takes: []Kind{List}, gives: same, run: func(a []any) (any, error) { l := clone(a[0]); slices.Reverse(l); return l, nil }},
	"sort":        {takes: []Kind{List}, gives: same, run: sorted},
	"uniq":        {takes: []Kind{List}, gives: same, run: uniq},
	"concat":      {takes: []Kind{List}, variadic: true, gives: same, run: concat},
	"flatten":     {takes: []Kind{List}, gives: func(a []Type) Type { return listOf(Type{}) }, run: flatten},
	"keys":        {takes: []Kind{Map}, gives: func([]Type) Type { return listOf(Type{Kind: String}) }, run: keys},
	"values":      {takes: []Kind{Map}, gives: func([]Type) Type { return listOf(Type{}) }, run: values},
	"toJSON":      {takes: []Kind{Any}, gives: gives(String), run: func(a []any) (any, error) { return string(appendJSON(nil, a[0])), nil }},
	"fromJSON":    {takes: []Kind{String}, gives: gives(Any), run: func(a []any) (any, error) { return ParseJSON(a[0].(string)) }},
	"date":        {takes: []Kind{String, String}, optional: 1, gives: gives(Any), run: toDate},
	"duration":    {takes: []Kind{String}, gives: gives(Duration), run: toDuration},
}

func text(f func(string) string) func([]any) (any, error) {
	return func(a []any) (any, error) { return f(a[0].(string)), nil }
}

func text2(f func(a, b string) string) func([]any) (any, error) {
	return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
}

func test2(f func(a, b string) bool) func([]any) (any, error) {
	return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
}

// place counts in characters, as len and slices do.
func place(f func(a, b string) int) func([]any) (any, error) {
	return func(a []any) (any, error) {
		s := a[0].(string)
		i := f(s, a[1].(string))
		if i > 0 {
			i = utf8.RuneCountInString(s[:i])
		}
		return int64(i), nil
	}
}

func trim(a []any) (any, error) {
	s := a[0].(string)
	if len(a) == 2 {
		return strings.Trim(s, a[1].(string)), nil
	}
	return strings.TrimSpace(s), nil
}

func replace(a []any) (any, error) {
	s, old, by := a[0].(string), a[1].(string), a[2].(string)
	if len(s)+strings.Count(s, old)*max(0, len(by)-len(old)) > maxText {
		return nil, errLongText
	}
	return strings.ReplaceAll(s, old, by), nil
}

func repeat(a []any) (any, error) {
	s := a[0].(string)
	n, ok := toIndex(a[1])
	if !ok || n < 0 {
		return nil, &Error{"repeat takes a whole number of times"}
	}
	if n > 0 && len(s) > maxText/n {
		return nil, errLongText
	}
	return strings.Repeat(s, n), nil
}

func split(a []any) (any, error) {
	parts := strings.SplitN(a[0].(string), a[1].(string), maxElements)
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

func join(a []any) (any, error) {
	separator := ""
	if len(a) == 2 {
		separator = a[1].(string)
	}
	var parts []string
	size := 0
	for _, v := range a[0].([]any) {
		if v == nil {
			continue
		}
		s := Text(v)
		if size += len(s) + len(separator); size > maxText {
			return nil, errLongText
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, separator), nil
}

func length(a []any) (any, error) {
	switch v := a[0].(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), nil
	case []any:
		return int64(len(v)), nil
	case map[string]any:
		return int64(len(v)), nil
	}
	return nil, wrongKind("len", a[0])
}

func toNumber(a []any) (any, error) {
	switch v := a[0].(type) {
	case string:
		if n, ok := ParseNumber(strings.TrimSpace(v)); ok {
			return n, nil
		}
		return nil, &Error{fmt.Sprintf("%.100q is not a number", v)}
	default:
		if kindOf(v) == Number {
			return v, nil
		}
	}
	return nil, wrongKind("float", a[0])
}

func toWhole(a []any) (any, error) {
	if b, ok := a[0].(bool); ok {
		if b {
			return int64(1), nil
		}
		return int64(0), nil
	}
	n, err := toNumber(a)
	if err != nil {
		return nil, err
	}
	return round(n, 0, "trunc")
}

func absolute(a []any) (any, error) {
	if compareNumbers(a[0], int64(0)) < 0 {
		return negate(a[0]), nil
	}
	return a[0], nil
}

func rounding(mode string) func([]any) (any, error) {
	return func(a []any) (any, error) {
		places := 0
		if len(a) == 2 {
			var ok bool
			if places, ok = toIndex(a[1]); !ok || places > 1000 || places < -1000 {
				return nil, &Error{"round takes -1000 to 1000 places"}
			}
		}
		return round(a[0], places, mode)
	}
}

func extremeType(args []Type) Type {
	result := Type{Kind: Null}
	for _, t := range args {
		if t.Kind == List {
			t = t.elem()
		}
		result = unify(result, t)
	}
	return result
}

// extreme is the largest or smallest of the arguments and of the elements of
// lists among them; NULL elements are left out.
func extreme(name string, sign int) func([]any) (any, error) {
	return func(a []any) (any, error) {
		var best any
		for _, arg := range a {
			list, ok := arg.([]any)
			if !ok {
				list = []any{arg}
			}
			for _, v := range list {
				if v == nil {
					continue
				}
				if best == nil {
					best = v
					continue
				}
				order, err := compare(name, v, best)
				if err != nil {
					return nil, err
				}
				if order*sign > 0 {
					best = v
				}
			}
		}
		return best, nil
	}
}

// numbers are the elements of a list that are not NULL.
func numbers(name string, list any) ([]any, error) {
	var out []any
	for _, v := range list.([]any) {
		if v == nil {
			continue
		}
		if kindOf(v) != Number {
			return nil, wrongKind(name, v)
		}
		out = append(out, v)
	}
	return out, nil
}

func mean(a []any) (any, error) {
	list, err := numbers("mean", a[0])
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var total any = int64(0)
	for _, v := range list {
		if total, err = arithmetic("+", total, v); err != nil {
			return nil, err
		}
	}
	return arithmetic("/", total, int64(len(list)))
}

func median(a []any) (any, error) {
	list, err := numbers("median", a[0])
	if err != nil || len(list) == 0 {
		return nil, err
	}
	slices.SortFunc(list, compareNumbers)
	middle := len(list) / 2
	if len(list)%2 == 1 {
		return list[middle], nil
	}
	return mean([]any{[]any{list[middle-1], list[middle]}})
}

func clone(v any) []any { return slices.Clone(v.([]any)) }

func take(a []any) (any, error) {
	n, ok := toIndex(a[1])
	if !ok || n < 0 {
		return nil, &Error{"take takes a whole number of elements"}
	}
	list := clone(a[0])
	return list[:min(n, len(list))], nil
}

func sorted(a []any) (any, error) {
	list := slices.DeleteFunc(clone(a[0]), func(v any) bool { return v == nil })
	var failed error
	slices.SortStableFunc(list, func(x, y any) int {
		order, err := compare("sort", x, y)
		if err != nil {
			failed = err
		}
		return order
	})
	return list, failed
}

func uniq(a []any) (any, error) {
	var out []any
	for _, v := range a[0].([]any) {
		if len(out) > 1000 {
			return nil, &Error{"uniq takes at most 1,000 different elements"}
		}
		if !slices.ContainsFunc(out, func(w any) bool { return v == nil && w == nil || v != nil && w != nil && equal(v, w) }) {
			out = append(out, v)
		}
	}
	return out, nil
}

func concat(a []any) (any, error) {
	var out []any
	for _, list := range a {
		out = append(out, list.([]any)...)
	}
	if len(out) > maxElements {
		return nil, &Error{"the list becomes too long"}
	}
	return out, nil
}

func flatten(a []any) (any, error) {
	var out []any
	for _, v := range a[0].([]any) {
		if inner, ok := v.([]any); ok {
			flat, _ := flatten([]any{inner})
			out = append(out, flat.([]any)...)
			continue
		}
		out = append(out, v)
	}
	return out, nil
}

func keys(a []any) (any, error) {
	var out []any
	for _, k := range sortedKeys(a[0].(map[string]any)) {
		out = append(out, k)
	}
	return out, nil
}

func values(a []any) (any, error) {
	m := a[0].(map[string]any)
	var out []any
	for _, k := range sortedKeys(m) {
		out = append(out, m[k])
	}
	return out, nil
}

// toDate reads a text: a date, a timestamp or one with a zone, by what stands
// there, or by a layout of Go's.
func toDate(a []any) (any, error) {
	s := strings.TrimSpace(a[0].(string))
	if len(a) == 2 {
		at, err := time.Parse(a[1].(string), s)
		if err != nil {
			return nil, &Error{fmt.Sprintf("%.100q does not have the layout %q", s, a[1])}
		}
		kind := Timestamp
		if at.Equal(at.Truncate(24 * time.Hour)) {
			kind = Date
		}
		return Time{T: at.UTC(), Kind: kind}, nil
	}
	kind := Date
	if len(s) > len("2006-01-02") {
		kind = Timestamp
		if strings.ContainsAny(s[len("2006-01-02"):], "+-Zz") {
			kind = Moment
		}
	}
	t, ok := ParseTime(s, kind)
	if !ok || t.Infinite != 0 {
		return nil, &Error{fmt.Sprintf("%.100q is not a date such as 2026-01-31 or 2026-01-31 12:00:00+01", s)}
	}
	return t, nil
}

func toDuration(a []any) (any, error) {
	d, err := time.ParseDuration(a[0].(string))
	if err != nil {
		return nil, &Error{fmt.Sprintf("%.100q is not a duration such as 720h or 90m", a[0])}
	}
	return d, nil
}
