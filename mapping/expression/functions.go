package expression

import (
	"slices"
	"sort"

	"github.com/expr-lang/expr/ast"
)

// function is one that takes values: NULL among them gives NULL.
type function struct {
	takes    []Kind // the kinds of the arguments; Any takes all
	optional int    // how many of them may be left out
	variadic bool   // the last kind may stand any number of times
	gives    func(args []Type) Type
	run      func(args []any) (any, error)
}

func gives(k Kind) func([]Type) Type { return func([]Type) Type { return Type{Kind: k} } }

func same(args []Type) Type { return Type{Kind: args[0].Kind, Elem: args[0].Elem} }

func element(args []Type) Type { return args[0].elem() }

func unsupported(name string) string {
	switch name {
	case "now":
		return "now is not there: an expression has no clock, so that the same row always gives the same value; store the moment in a column"
	case "groupBy", "sortBy", "reduce", "type", "timezone", "toPairs", "fromPairs", "findLastIndex", "splitAfter", "toBase64", "fromBase64", "bitand", "bitor", "bitxor", "bitnand", "bitnot", "bitshl", "bitshr", "bitushr":
		return "the function " + name + " is not supported here"
	}
	return ""
}

// function compiles a call by name.
func (c *compiler) function(n ast.Node, name string, args []ast.Node) (code, Type) {
	if slices.Contains(predicateNames, name) {
		return c.predicate(n, name, args)
	}
	if name == "coalesce" {
		return c.coalesce(n, args)
	}
	fn, ok := functions[name]
	if !ok {
		if why := unsupported(name); why != "" {
			return c.fail(n, "%s", why)
		}
		return c.fail(n, "there is no function %s%s", name, closest(name))
	}
	runs := make([]code, len(args))
	types := make([]Type, len(args))
	for i, a := range args {
		runs[i], types[i] = c.node(a)
	}
	least, most := len(fn.takes)-fn.optional, len(fn.takes)
	if len(args) < least || len(args) > most && !fn.variadic {
		return c.fail(n, "%s takes %s, not %d", name, count(least, most, fn.variadic), len(args))
	}
	for i, t := range types {
		want := fn.takes[min(i, len(fn.takes)-1)]
		if want != Any && t.Kind != want && !t.isAny() {
			return c.fail(args[i], "%s takes %s here, not %s%s", name, Type{Kind: want}, t, wrap(want))
		}
	}
	return func(f *Frame) (any, error) {
		values := make([]any, len(runs))
		for i, run := range runs {
			v, err := run(f)
			if err != nil || v == nil {
				return nil, err
			}
			if want := fn.takes[min(i, len(fn.takes)-1)]; want != Any && kindOf(v) != want {
				return nil, wrongKind(name, v)
			}
			values[i] = v
		}
		return fn.run(values)
	}, fn.gives(types)
}

func wrap(want Kind) string {
	switch want {
	case String:
		return "; wrap it in string(...)"
	case Number:
		return "; wrap it in float(...) or int(...)"
	}
	return ""
}

func count(least, most int, variadic bool) string {
	number := func(n int) string {
		return []string{"no argument", "1 argument", "2 arguments", "3 arguments", "4 arguments"}[min(n, 4)]
	}
	switch {
	case variadic:
		return "at least " + number(least)
	case least < most:
		return number(least)[:1] + " to " + number(most)
	}
	return number(most)
}

// closest suggests a function.
func closest(name string) string {
	names := append([]string{"coalesce"}, predicateNames...)
	for known := range functions {
		names = append(names, known)
	}
	sort.Strings(names)
	alias := map[string]string{"length": "len", "char_length": "len", "substring": "name[0:3]", "substr": "name[0:3]", "concat_ws": "join", "nullif": "x == y ? nil : x", "ifnull": "coalesce", "btrim": "trim", "to_char": "created_at.Format(\"2006-01-02\")", "extract": "created_at.Year()", "position": "indexOf", "cast": "string, int, float or date", "greatest": "max", "least": "min", "regexp_replace": "replace, or matches", "toLower": "lower", "toUpper": "upper"}
	if known := alias[lowerASCII(name)]; known != "" {
		return "; use " + known
	}
	for _, known := range names {
		if lowerASCII(known) == lowerASCII(name) {
			return "; did you mean " + known + "?"
		}
	}
	for _, known := range names {
		if near(name, known) {
			return "; did you mean " + known + "?"
		}
	}
	return "; docs/mapping.md lists them"
}

// near reports whether one edit separates the two names.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || len(a) < 3 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	}
	return a[i:] == b[i+1:]
}

// coalesce is the first value that is not NULL.
func (c *compiler) coalesce(n ast.Node, args []ast.Node) (code, Type) {
	if len(args) == 0 {
		return c.fail(n, "coalesce takes at least 1 argument")
	}
	runs := make([]code, len(args))
	result := Type{Kind: Null}
	for i, a := range args {
		var t Type
		runs[i], t = c.node(a)
		result = unify(result, t)
	}
	return func(f *Frame) (any, error) {
		for _, run := range runs {
			if v, err := run(f); v != nil || err != nil {
				return v, err
			}
		}
		return nil, nil // NULL
	}, result
}

var predicateNames = []string{"all", "any", "none", "one", "filter", "map", "find", "findIndex", "findLast", "count", "sum"}

// predicate is a function that looks at every element of a list. A condition
// that is NULL for an element is false.
func (c *compiler) predicate(n ast.Node, name string, args []ast.Node) (code, Type) {
	if len(args) == 0 || len(args) > 2 {
		return c.fail(n, "%s takes a list and what to do with each element", name)
	}
	list, t := c.node(args[0])
	if t.Kind != List && !t.isAny() {
		return c.fail(args[0], "%s looks at the elements of a list, not at %s", name, t)
	}
	elem := t.elem()
	body, result := code(nil), elem
	at := c.declare("#", elem)
	c.declare("#index", Type{Kind: Number})
	if len(args) == 2 {
		if p, ok := args[1].(*ast.PredicateNode); ok {
			body, result = c.node(p.Node)
		}
	} else {
		body, _ = c.variable(at)
	}
	c.scope = c.scope[:at]
	switch {
	case body == nil:
		return c.fail(n, "%s takes a list and what to do with each element", name)
	case name == "sum":
		if !numeric(result) {
			return c.fail(n, "sum adds numbers, not %s", result)
		}
	case name != "map" && result.Kind != Bool && !result.isAny():
		return c.fail(args[len(args)-1], "%s takes a condition for each element, # == \"x\", not %s", name, result)
	}
	p := &predicate{name: name, list: list, body: body, at: at}
	switch name {
	case "filter":
		return p.run, listOf(elem)
	case "map":
		return p.run, listOf(result)
	case "find", "findLast":
		return p.run, elem
	case "count", "sum", "findIndex":
		return p.run, Type{Kind: Number}
	}
	return p.run, Type{Kind: Bool}
}

type predicate struct {
	name       string
	list, body code
	at         int // the variables # and #index
}

func (p *predicate) run(f *Frame) (any, error) {
	v, err := p.list(f)
	if err != nil || v == nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, wrongKind(p.name, v)
	}
	var total any = int64(0)
	var out []any
	hits, last := 0, -1
	for i, element := range list {
		f.vars[p.at], f.vars[p.at+1] = element, int64(i)
		v, err := p.body(f)
		if err != nil {
			return nil, err
		}
		switch p.name {
		case "map":
			out = append(out, v)
			continue
		case "sum":
			if v == nil {
				continue
			}
			if kindOf(v) != Number {
				return nil, wrongKind("sum", v)
			}
			if total, err = arithmetic("+", total, v); err != nil {
				return nil, err
			}
			continue
		}
		if _, ok := v.(bool); !ok && v != nil {
			return nil, wrongKind(p.name, v)
		}
		if v != true {
			continue
		}
		hits, last = hits+1, i
		if p.name == "filter" {
			out = append(out, element)
		}
		if p.name == "any" || p.name == "find" || p.name == "findIndex" {
			break
		}
	}
	return p.result(list, out, total, hits, last)
}

func (p *predicate) result(list, out []any, total any, hits, last int) (any, error) {
	switch p.name {
	case "map", "filter":
		if out == nil {
			out = []any{}
		}
		return out, nil
	case "sum":
		return total, nil
	case "any":
		return hits > 0, nil
	case "all":
		return hits == len(list), nil
	case "none":
		return hits == 0, nil
	case "one":
		return hits == 1, nil
	case "count":
		return int64(hits), nil
	}
	switch {
	case last < 0:
		return nil, nil // nothing found: NULL
	case p.name == "findIndex":
		return int64(last), nil
	}
	return list[last], nil
}
