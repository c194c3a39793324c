package expression

import (
	"fmt"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// truth evaluates a condition: true, false or nil.
func truth(run code, f *Frame) (any, error) {
	v, err := run(f)
	if err != nil || v == nil {
		return nil, err
	}
	if _, ok := v.(bool); !ok {
		return nil, &Error{"a condition is true or false, not " + Type{Kind: kindOf(v)}.String()}
	}
	return v, nil
}

func (c *compiler) unary(n *ast.UnaryNode) (code, Type) {
	run, t := c.node(n.Node)
	switch n.Operator {
	case "not", "!":
		if t.Kind != Bool && !t.isAny() {
			return c.fail(n, "not takes a condition, not %s; compare it with something", t)
		}
		return func(f *Frame) (any, error) {
			v, err := truth(run, f)
			if err != nil || v == nil {
				return nil, err
			}
			return v == false, nil
		}, Type{Kind: Bool}
	case "-", "+":
		if t.Kind != Number && !t.isAny() {
			return c.fail(n, "%s takes a number, not %s", n.Operator, t)
		}
		minus := n.Operator == "-"
		return func(f *Frame) (any, error) {
			v, err := run(f)
			if err != nil || v == nil {
				return nil, err
			}
			if kindOf(v) != Number {
				return nil, wrongKind("-", v)
			}
			if minus {
				return negate(v), nil
			}
			return v, nil
		}, Type{Kind: Number}
	}
	return c.fail(n, "the operator %s is not supported", n.Operator)
}

func wrongKind(operator string, values ...any) error {
	kinds := make([]string, len(values))
	for i, v := range values {
		kinds[i] = Type{Kind: kindOf(v)}.String()
	}
	return &Error{operator + " does not take " + strings.Join(kinds, " and ")}
}

// combine runs both sides and the operator, with NULL for NULL.
func combine(left, right code, op func(a, b any) (any, error)) code {
	return func(f *Frame) (any, error) {
		a, err := left(f)
		if err != nil {
			return nil, err
		}
		b, err := right(f)
		if err != nil || a == nil || b == nil {
			return nil, err
		}
		return op(a, b)
	}
}

func (c *compiler) binary(n *ast.BinaryNode) (code, Type) {
	left, l := c.node(n.Left)
	right, r := c.node(n.Right)
	switch n.Operator {
	case "&&", "and", "||", "or":
		return c.logic(n, left, right, l, r)
	case "??":
		return func(f *Frame) (any, error) {
			if v, err := left(f); v != nil || err != nil {
				return v, err
			}
			return right(f)
		}, unify(l, r)
	case "==", "!=":
		return c.equality(n, left, right, l, r)
	case "<", "<=", ">", ">=":
		return c.order(n, left, right, l, r)
	case "+", "-", "*", "/", "%", "**", "^":
		return c.arithmetic(n, left, right, l, r)
	case "in":
		return c.in(n, left, right, l, r)
	case "contains", "startsWith", "endsWith":
		return c.texts(n, left, right, l, r)
	case "matches":
		return c.matches(n, left, right, l, r)
	case "..":
		if !numeric(l) || !numeric(r) {
			return c.fail(n, ".. takes whole numbers, not %s and %s", l, r)
		}
		return combine(left, right, sequence), listOf(Type{Kind: Number})
	}
	return c.fail(n, "the operator %s is not supported", n.Operator)
}

func numeric(t Type) bool { return t.Kind == Number || t.isAny() }

func (c *compiler) logic(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	for i, t := range []Type{l, r} {
		if t.Kind != Bool && !t.isAny() {
			side := []ast.Node{n.Left, n.Right}[i]
			return c.fail(side, "%s takes conditions, not %s; compare it with something", n.Operator, t)
		}
	}
	decides := n.Operator == "||" || n.Operator == "or" // the value that decides alone
	return func(f *Frame) (any, error) {
		a, err := truth(left, f)
		if err != nil || a == decides {
			return a, err
		}
		b, err := truth(right, f)
		if err != nil || b == decides {
			return b, err
		}
		if a == nil || b == nil {
			return nil, nil // NULL
		}
		return !decides, nil
	}, Type{Kind: Bool}
}

func (c *compiler) equality(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	same := n.Operator == "=="
	_, nilLeft := n.Left.(*ast.NilNode)
	_, nilRight := n.Right.(*ast.NilNode)
	if nilLeft || nilRight {
		run := left
		if nilLeft {
			run = right
		}
		return func(f *Frame) (any, error) {
			v, err := run(f)
			if err != nil {
				return nil, err
			}
			return (v == nil) == same, nil
		}, Type{Kind: Bool}
	}
	if !mayEqual(l, r) {
		return c.fail(n, "%s and %s are never equal; %s", l, r, mend(l, r))
	}
	c.checkLabel(n.Left, l, n.Right)
	c.checkLabel(n.Right, r, n.Left)
	return combine(left, right, func(a, b any) (any, error) { return equal(a, b) == same, nil }), Type{Kind: Bool}
}

// checkLabel finds an enum compared with a text that it cannot be.
func (c *compiler) checkLabel(side ast.Node, t Type, other ast.Node) {
	text, ok := other.(*ast.StringNode)
	if !ok || t.Labels == nil {
		return
	}
	for _, label := range t.Labels {
		if label == text.Value {
			return
		}
	}
	c.fail(other, "%s is never %q; it is one of %s", side.String(), text.Value, strings.Join(t.Labels, ", "))
}

// mayEqual reports whether values of the types may be equal.
func mayEqual(l, r Type) bool {
	return l.isAny() || r.isAny() || l.Kind == r.Kind || l.isTime() && r.isTime()
}

// mend says how to compare what does not compare.
func mend(l, r Type) string {
	switch {
	case (l.isTime() && r.Kind == String) || (r.isTime() && l.Kind == String):
		return `write date("2026-01-31") for the text`
	case l.Kind == Number && r.Kind == String, l.Kind == String && r.Kind == Number:
		return "wrap the text in float(...), or the number in string(...)"
	case l.Kind == Bool || r.Kind == Bool:
		return "compare a bool with true or false"
	case l.Kind == List || r.Kind == List:
		return "look into a list with in, any(...) or [0]"
	}
	return "convert one with string(...)"
}

// equal compares two values that are not NULL.
func equal(a, b any) bool {
	switch x := a.(type) {
	case bool, string, time.Duration:
		return a == b
	case Time:
		y, ok := b.(Time)
		return ok && x.compare(y) == 0
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i] == nil || y[i] == nil {
				if x[i] != y[i] {
					return false
				}
			} else if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			w, ok := y[k]
			if !ok || (v == nil) != (w == nil) || v != nil && !equal(v, w) {
				return false
			}
		}
		return true
	}
	return kindOf(b) == Number && compareNumbers(a, b) == 0
}

func (c *compiler) order(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	ordered := func(t Type) bool {
		return t.isAny() || t.Kind == Number || t.Kind == String || t.Kind == Duration || t.isTime()
	}
	if !ordered(l) || !ordered(r) || !mayEqual(l, r) {
		return c.fail(n, "%s does not compare %s and %s; %s", n.Operator, l, r, mend(l, r))
	}
	op := n.Operator
	return combine(left, right, func(a, b any) (any, error) {
		sign, err := compare(op, a, b)
		if err != nil {
			return nil, err
		}
		switch op {
		case "<":
			return sign < 0, nil
		case "<=":
			return sign <= 0, nil
		case ">":
			return sign > 0, nil
		}
		return sign >= 0, nil
	}), Type{Kind: Bool}
}

// compare orders two values that are not NULL.
func compare(op string, a, b any) (int, error) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), nil
		}
	case Time:
		if y, ok := b.(Time); ok {
			return x.compare(y), nil
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return int(min(1, max(-1, x-y))), nil
		}
	default:
		if kindOf(a) == Number && kindOf(b) == Number {
			return compareNumbers(a, b), nil
		}
	}
	return 0, wrongKind(op, a, b)
}

func (c *compiler) arithmetic(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	op := n.Operator
	result := Type{}
	switch {
	case l.isAny() || r.isAny():
		if known := unify(Type{Kind: Null}, l); op != "+" && op != "-" && !numeric(known) || op != "+" && op != "-" && !numeric(r) {
			return c.fail(n, "%s takes numbers, not %s and %s", op, l, r)
		}
		if op != "+" && op != "-" {
			result = Type{Kind: Number}
		}
	case l.Kind == Number && r.Kind == Number:
		result = Type{Kind: Number}
	case op == "+" && l.Kind == String && r.Kind == String:
		result = Type{Kind: String}
	case op == "+" && l.isTime() && r.Kind == Duration, op == "+" && l.Kind == Duration && r.isTime(), op == "-" && l.isTime() && r.Kind == Duration:
		result = unify(l, r)
		for _, t := range []Type{l, r} {
			if t.isTime() {
				result = Type{Kind: t.Kind}
			}
		}
		if result.Kind == Date {
			result.Kind = Timestamp
		}
	case op == "-" && l.isTime() && r.isTime(), (op == "+" || op == "-") && l.Kind == Duration && r.Kind == Duration:
		result = Type{Kind: Duration}
	case op == "+" && (l.Kind == String || r.Kind == String):
		return c.fail(n, "+ joins texts, not %s and %s; wrap the other in string(...)", l, r)
	default:
		return c.fail(n, "%s takes numbers, not %s and %s", op, l, r)
	}
	return combine(left, right, func(a, b any) (any, error) { return calculate(op, a, b) }), result
}

// maxText bounds the texts that an expression may make: what a property takes,
// several times over.
const maxText = 1 << 20

// calculate computes a op b for values that are not NULL.
func calculate(op string, a, b any) (any, error) {
	x, y := kindOf(a), kindOf(b)
	switch {
	case x == Number && y == Number:
		return arithmetic(op, a, b)
	case op == "+" && x == String && y == String:
		if s := a.(string) + b.(string); len(s) <= maxText {
			return s, nil
		}
		return nil, errLongText
	case op == "+" && x == Duration:
		a, b, y = b, a, x
	}
	if y == Duration && (op == "+" || op == "-") {
		d := b.(time.Duration)
		if op == "-" {
			d = -d
		}
		switch v := a.(type) {
		case Time:
			return v.add(d), nil
		case time.Duration:
			return v + d, nil
		}
	}
	if t, ok := a.(Time); ok && op == "-" {
		if u, ok := b.(Time); ok && t.Infinite == 0 && u.Infinite == 0 {
			return t.T.Sub(u.T), nil
		}
	}
	return nil, wrongKind(op, a, b)
}

var errLongText = &Error{"the text becomes too long"}

// maxElements bounds the lists that an expression may make.
const maxElements = 100_000

func sequence(a, b any) (any, error) {
	from, ok1 := toIndex(a)
	to, ok2 := toIndex(b)
	if !ok1 || !ok2 {
		return nil, wrongKind("..", a, b)
	}
	if to-from >= maxElements {
		return nil, &Error{fmt.Sprintf("a list longer than %d", maxElements)}
	}
	var out []any
	for i := from; i <= to; i++ {
		out = append(out, int64(i))
	}
	return out, nil
}

// toIndex is a value as a whole number of moderate size.
func toIndex(v any) (int, bool) {
	if kindOf(v) != Number {
		return 0, false
	}
	i, ok := toInt(v)
	return i, ok && i < 1<<40 && i > -1<<40
}
