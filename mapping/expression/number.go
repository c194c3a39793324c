package expression

import (
	"math"
	"math/big"
	"strconv"

	"github.com/cockroachdb/apd/v3"
)

// quotientPlaces is how many places after the point a quotient is given.
const quotientPlaces = 20

// maxDigits bounds the numbers that an expression may make: wide enough for
// whatever Postgres stores.
const maxDigits = 200_000

// exact does arithmetic without rounding.
var exact = apd.Context{Precision: 0, MaxExponent: apd.MaxExponent, MinExponent: apd.MinExponent, Rounding: apd.RoundHalfUp, Traps: apd.DefaultTraps}

// ParseNumber reads a number of Postgres's text format; false for what is no
// number or not a finite one.
func ParseNumber(s string) (any, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, true
	}
	for i := 0; i < len(s); i++ { // no Inf, NaN, hexadecimal, underscore
		c := s[i]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return nil, false
		}
	}
	d, _, err := apd.NewFromString(s)
	if err != nil || d.Form != apd.Finite || d.Exponent > 2000 || d.Exponent < -maxDigits {
		return nil, false
	}
	return d, true
}

func decimal(v any) *apd.Decimal {
	if i, ok := v.(int64); ok {
		return apd.New(i, 0)
	}
	return v.(*apd.Decimal)
}

// toInt is a number as an int, where it is whole and fits.
func toInt(v any) (int, bool) {
	if i, ok := v.(int64); ok {
		return int(i), true
	}
	i, err := decimal(v).Int64()
	return int(i), err == nil
}

// numberText writes a number without exponent.
func numberText(v any) string {
	if i, ok := v.(int64); ok {
		return strconv.FormatInt(i, 10)
	}
	s := decimal(v).Text('f')
	if s == "-0" {
		return "0"
	}
	return s
}

func compareNumbers(a, b any) int {
	x, okX := a.(int64)
	y, okY := b.(int64)
	if okX && okY {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return decimal(a).Cmp(decimal(b))
}

// arithmetic computes a op b.
func arithmetic(op string, a, b any) (any, error) {
	x, okX := a.(int64)
	y, okY := b.(int64)
	if okX && okY {
		if v, ok := whole(op, x, y); ok {
			return v, nil
		}
	}
	p, q := decimal(a), decimal(b)
	var d apd.Decimal
	var err error
	switch op {
	case "+":
		if spread(p, q) > maxDigits {
			return nil, errTooLarge
		}
		_, err = exact.Add(&d, p, q)
	case "-":
		if spread(p, q) > maxDigits {
			return nil, errTooLarge
		}
		_, err = exact.Sub(&d, p, q)
	case "*":
		_, err = exact.Mul(&d, p, q)
	case "/":
		return quotient(p, q)
	case "%":
		if q.IsZero() {
			return nil, errByZero
		}
		return remainder(p, q)
	case "**", "^":
		return power(p, q)
	}
	if err != nil {
		return nil, errTooLarge
	}
	return checked(&d)
}

var (
	errByZero   = &Error{"division by zero"}
	errTooLarge = &Error{"the number becomes too large"}
	errPower    = &Error{"** takes a whole exponent from -1000 to 1000"}
)

func checked(d *apd.Decimal) (any, error) {
	if d.Form != apd.Finite || d.NumDigits()+int64(max(d.Exponent, 0)) > maxDigits || d.Exponent < -maxDigits {
		return nil, errTooLarge
	}
	if d.IsZero() {
		d.Negative = false
	}
	return d, nil
}

// spread is how many digits an exact sum may need.
func spread(p, q *apd.Decimal) int64 {
	return p.NumDigits() + q.NumDigits() + int64(max(p.Exponent, q.Exponent)) - int64(min(p.Exponent, q.Exponent))
}

func whole(op string, x, y int64) (any, bool) {
	switch op {
	case "+":
		if s := x + y; (s > x) == (y > 0) {
			return s, true
		}
	case "-":
		if s := x - y; (s < x) == (y > 0) {
			return s, true
		}
	case "*":
		if x == 0 || y == 0 {
			return int64(0), true
		}
		if p := x * y; p/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64) {
			return p, true
		}
	case "/":
		if y != 0 && y != -1 && x%y == 0 {
			return x / y, true
		}
	case "%":
		if y != 0 && y != -1 {
			return x % y, true
		}
	}
	return nil, false
}

// quotient is p/q to 20 places, half rounded away from zero, without trailing
// zeros.
func quotient(p, q *apd.Decimal) (any, error) {
	if q.IsZero() {
		return nil, errByZero
	}
	// p/q = (pc * 10^shift / qc) * 10^-20 with integers.
	shift := int64(p.Exponent) - int64(q.Exponent) + quotientPlaces
	if max(shift, -shift) > maxDigits {
		return nil, errTooLarge
	}
	num, den := p.Coeff.MathBigInt(), q.Coeff.MathBigInt()
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(max(shift, -shift)), nil)
	if shift >= 0 {
		num = new(big.Int).Mul(num, scale)
	} else {
		den = new(big.Int).Mul(den, scale)
	}
	num = new(big.Int).Add(new(big.Int).Lsh(num, 1), den) // half up: (2n + d) / 2d
	num.Quo(num, new(big.Int).Lsh(den, 1))
	d := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(num), -quotientPlaces)
	d.Negative = p.Negative != q.Negative
	return checked(reduce(d))
}

// reduce drops trailing zeros behind the point.
func reduce(d *apd.Decimal) *apd.Decimal {
	if d.IsZero() {
		return apd.New(0, 0)
	}
	d.Reduce(d)
	if d.Exponent > 0 { // 1E+2 is 100 again
		up := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Exponent)), nil)
		d.Coeff.SetMathBigInt(up.Mul(up, d.Coeff.MathBigInt()))
		d.Exponent = 0
	}
	return d
}

// remainder has the sign of p, as in SQL.
func remainder(p, q *apd.Decimal) (any, error) {
	if spread(p, q) > maxDigits {
		return nil, errTooLarge
	}
	e := min(p.Exponent, q.Exponent)
	num, den := scaled(p, e), scaled(q, e)
	d := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(num.Rem(num, den)), e)
	d.Negative = p.Negative
	return checked(d)
}

// scaled is the coefficient of d at a smaller exponent.
func scaled(d *apd.Decimal, exponent int32) *big.Int {
	up := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Exponent)-int64(exponent)), nil)
	return up.Mul(up, d.Coeff.MathBigInt())
}

func power(p, q *apd.Decimal) (any, error) {
	n, err := q.Int64()
	if err != nil || n > 1000 || n < -1000 {
		return nil, errPower
	}
	var result any = int64(1)
	for range max(n, -n) {
		var err error
		if result, err = arithmetic("*", result, p); err != nil {
			return nil, err
		}
	}
	if n < 0 {
		return arithmetic("/", int64(1), result)
	}
	return result, nil
}

// round rounds to places behind the point, by mode: floor, ceil, trunc, or half
// away from zero.
func round(v any, places int, mode string) (any, error) {
	if _, ok := v.(int64); ok && places >= 0 {
		return v, nil
	}
	d := decimal(v)
	if int64(d.Exponent) >= -int64(places) && places >= 0 {
		return v, nil
	}
	drop := int64(-places) - int64(d.Exponent) // digits to drop
	if drop <= 0 {
		return v, nil
	}
	if drop > maxDigits {
		return nil, errTooLarge
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(drop), nil)
	kept, rest := new(big.Int).QuoRem(d.Coeff.MathBigInt(), unit, new(big.Int))
	up := false
	switch mode {
	case "floor":
		up = d.Negative && rest.Sign() != 0
	case "ceil":
		up = !d.Negative && rest.Sign() != 0
	case "round":
		up = rest.Lsh(rest, 1).Cmp(unit) >= 0
	}
	if up {
		kept.Add(kept, big.NewInt(1))
	}
	if places < 0 {
		kept.Mul(kept, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-places)), nil))
		places = 0
	}
	out := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(kept), int32(-places))
	out.Negative = d.Negative && kept.Sign() != 0
	return checked(out)
}

func negate(v any) any {
	if i, ok := v.(int64); ok && i != math.MinInt64 {
		return -i
	}
	d := new(apd.Decimal).Set(decimal(v))
	if !d.IsZero() {
		d.Negative = !d.Negative
	}
	return d
}
