package mapping

import "bytes"

// maxExponent bounds how long an exponent may make a number.
const maxExponent = 400

// appendNumber writes a number of Postgres's text format as the CRM takes it:
// digits, at most one point, no exponent (1.42e-14 is refused there). It reports
// false where the text is no number or not a finite one.
func appendNumber(dst, s []byte) ([]byte, bool) {
	start := len(dst)
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			dst = append(dst, '-')
		}
		s = s[1:]
	}
	whole := digits(s)
	rest := s[len(whole):]
	var fraction []byte
	if len(rest) > 0 && rest[0] == '.' {
		fraction = digits(rest[1:])
		rest = rest[1+len(fraction):]
	}
	if len(whole)+len(fraction) == 0 {
		return dst[:start], false
	}
	exponent := 0
	if len(rest) > 0 && (rest[0] == 'e' || rest[0] == 'E') {
		var ok bool
		if exponent, ok = parseExponent(rest[1:]); !ok {
			return dst[:start], false
		}
		rest = nil
	}
	if len(rest) > 0 {
		return dst[:start], false
	}
	if exponent == 0 {
		dst = appendParts(dst, whole, fraction)
	} else {
		all := append(append(make([]byte, 0, 32), whole...), fraction...)
		point := len(whole) + exponent
		if point <= 0 {
			all = append(bytes.Repeat([]byte{'0'}, 1-point), all...)
			point = 1
		}
		if point > len(all) {
			all = append(all, bytes.Repeat([]byte{'0'}, point-len(all))...)
		}
		whole, fraction = all[:point], bytes.TrimRight(all[point:], "0")
		if trimmed := bytes.TrimLeft(whole, "0"); len(trimmed) > 0 {
			whole = trimmed
		} else {
			whole = whole[len(whole)-1:]
		}
		dst = appendParts(dst, whole, fraction)
	}
	if string(dst[start:]) == "-0" {
		dst = append(dst[:start], '0')
	}
	return dst, true
}

func appendParts(dst, whole, fraction []byte) []byte {
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if len(fraction) > 0 {
		dst = append(append(dst, '.'), fraction...)
	}
	return dst
}

func digits(s []byte) []byte {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n]
}

func parseExponent(s []byte) (int, bool) {
	sign := 1
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	if len(s) == 0 || len(digits(s)) != len(s) {
		return 0, false
	}
	n := 0
	for _, c := range s {
		if n = n*10 + int(c-'0'); n > maxExponent {
			return 0, false
		}
	}
	return sign * n, true
}
