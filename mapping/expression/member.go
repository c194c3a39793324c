package expression

import (
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
)

// member is a.b, a["b"] or a[0]. Every step is optional: what is not there is
// NULL.
func (c *compiler) member(n *ast.MemberNode) (code, Type) {
	if env, ok := n.Node.(*ast.IdentifierNode); ok && env.Value == "$env" {
		if name, ok := n.Property.(*ast.StringNode); ok {
			return c.column(n.Property, name.Value)
		}
	}
	of, t := c.node(n.Node)
	key, k := c.node(n.Property)
	elem := Type{}
	switch {
	case t.Kind == List:
		if !numeric(k) {
			return c.fail(n.Property, "the place in a list is a number, not %s; write [0] for the first", k)
		}
		elem = t.elem()
	case t.Kind == Map:
		if k.Kind != String && !k.isAny() {
			return c.fail(n.Property, "the key of a map is a text, not %s", k)
		}
	case t.isTime():
		return c.fail(n.Property, "%s has no such part; call one: x.Year(), x.Format(\"2006-01\")", t)
	case !t.isAny():
		return c.fail(n.Property, "%s has no parts%s", t, map[bool]string{true: "; cut a text with [from:to]"}[t.Kind == String])
	}
	return combine(of, key, step), elem
}

// step takes one step into a list or a map.
func step(of, key any) (any, error) {
	switch of := of.(type) {
	case []any:
		i, ok := toIndex(key)
		if !ok {
			return nil, nil // no such place: NULL
		}
		if i < 0 {
			i += len(of)
		}
		if i >= 0 && i < len(of) {
			return of[i], nil
		}
		return nil, nil // past the end: NULL
	case map[string]any:
		if name, ok := key.(string); ok {
			return of[name], nil
		}
	}
	return nil, nil // jsonb that is no object there: NULL
}

// slice is a[from:to], of a list, or of a text by characters.
func (c *compiler) slice(n *ast.SliceNode) (code, Type) {
	of, t := c.node(n.Node)
	if t.Kind != List && t.Kind != String && !t.isAny() {
		return c.fail(n, "[from:to] cuts a text or a list, not %s", t)
	}
	from, to := constant(int64(0)), constant(int64(1<<40-1))
	for _, bound := range []struct {
		node ast.Node
		run  *code
	}{{n.From, &from}, {n.To, &to}} {
		if bound.node == nil {
			continue
		}
		run, k := c.node(bound.node)
		if !numeric(k) {
			return c.fail(bound.node, "[from:to] takes numbers, not %s", k)
		}
		*bound.run = run
	}
	return func(f *Frame) (any, error) {
		var v [3]any
		for i, run := range []code{of, from, to} {
			var err error
			if v[i], err = run(f); err != nil || v[i] == nil {
				return nil, err
			}
		}
		i, ok1 := toIndex(v[1])
		j, ok2 := toIndex(v[2])
		if !ok1 || !ok2 {
			return nil, wrongKind("[from:to]", v[1], v[2])
		}
		switch s := v[0].(type) {
		case string:
			runes := []rune(s)
			i, j = bounds(i, j, len(runes))
			return string(runes[i:j]), nil
		case []any:
			i, j = bounds(i, j, len(s))
			return slices.Clone(s[i:j]), nil
		}
		return nil, wrongKind("[from:to]", v[0])
	}, t
}

// bounds brings from and to into 0 to n; negative ones count from the end.
func bounds(from, to, n int) (int, int) {
	if from < 0 {
		from += n
	}
	if to < 0 {
		to += n
	}
	from = min(max(from, 0), n)
	return from, min(max(to, from), n)
}

// timeMethods are what may be called on a time, with what they give and take.
var timeMethods = map[string]struct {
	result Kind
	args   int
}{
	"Year": {Number, 0}, "Month": {Number, 0}, "Day": {Number, 0}, "Hour": {Number, 0}, "Minute": {Number, 0}, "Second": {Number, 0},
	"Weekday": {Number, 0}, "YearDay": {Number, 0}, "Unix": {Number, 0}, "UnixMilli": {Number, 0},
	"Format": {String, 1}, "In": {Timestamp, 1}, "AddDate": {Any, 3},
}

var durationUnits = map[string]time.Duration{"Hours": time.Hour, "Minutes": time.Minute, "Seconds": time.Second}

// call is a call of a method; of functions only those that the parser does not
// know.
func (c *compiler) call(n *ast.CallNode) (code, Type) {
	callee, ok := n.Callee.(*ast.MemberNode)
	if !ok {
		if name, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.function(n, name.Value, n.Arguments)
		}
		return c.fail(n, "this cannot be called; call functions by name")
	}
	name, _ := callee.Property.(*ast.StringNode)
	of, t := c.node(callee.Node)
	args := make([]code, len(n.Arguments))
	types := make([]Type, len(n.Arguments))
	for i, a := range n.Arguments {
		args[i], types[i] = c.node(a)
	}
	if name == nil {
		return c.fail(n, "this cannot be called; call functions by name")
	}
	if unit, ok := durationUnits[name.Value]; ok && (t.Kind == Duration || t.isAny()) && len(args) == 0 {
		return func(f *Frame) (any, error) {
			v, err := of(f)
			if err != nil || v == nil {
				return nil, err
			}
			d, ok := v.(time.Duration)
			if !ok {
				return nil, wrongKind(name.Value, v)
			}
			return arithmetic("/", int64(d), int64(unit))
		}, Type{Kind: Number}
	}
	method, ok := timeMethods[name.Value]
	switch {
	case !ok || !t.isTime() && !t.isAny():
		return c.fail(callee.Property, "%s has no method %s; dates and timestamps have Year, Month, Day, Hour, Minute, Second, Weekday, YearDay, Unix, Format, In, AddDate", t, name.Value)
	case method.args != len(args):
		return c.fail(n, "%s takes %d arguments, not %d", name.Value, method.args, len(args))
	case name.Value == "In" && t.Kind != Moment && !t.isAny():
		return c.fail(n, "In reads a timestamp with time zone as the clock of a zone shows it; %s has no zone", t)
	}
	want := String
	if name.Value == "AddDate" {
		want = Number
	}
	for i, k := range types {
		if k.Kind != want && !k.isAny() {
			return c.fail(n.Arguments[i], "%s takes %s, not %s", name.Value, Type{Kind: want}, k)
		}
	}
	result := Type{Kind: method.result}
	if name.Value == "AddDate" {
		result = t
	}
	return c.invoke(name.Value, of, args), result
}

func (c *compiler) invoke(name string, of code, args []code) code {
	return func(f *Frame) (any, error) {
		v, err := of(f)
		if err != nil || v == nil {
			return nil, err
		}
		t, ok := v.(Time)
		if !ok {
			return nil, wrongKind(name, v)
		}
		var arg any
		var days []int
		for _, run := range args {
			a, err := run(f)
			if err != nil || a == nil {
				return nil, err
			}
			arg = a
			if name == "AddDate" {
				i, ok := toIndex(a)
				if !ok || i > 1_000_000 || i < -1_000_000 {
					return nil, wrongKind(name, a)
				}
				days = append(days, i)
			} else if _, ok := a.(string); !ok {
				return nil, wrongKind(name, a)
			}
		}
		if days != nil {
			return t.method(name, days)
		}
		return t.method(name, arg)
	}
}
