package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// MaxSource is the longest expression, in bytes.
const MaxSource = 16 << 10

// Problem is one mistake in an expression.
type Problem struct {
	Line   int // from 1
	Column int // from 1, in characters
	Text   string
}

// Program is a compiled expression.
type Program struct {
	// Type is what the values are, as far as the columns tell.
	Type Type
	// Columns are the columns that are read, sorted.
	Columns []string
	// Canonical is the expression written in one way, whatever its spaces.
	Canonical string

	run  code
	vars int
}

// code computes a node's value; nil is NULL.
type code func(f *Frame) (any, error)

// Columns tells the type of a column.
type Columns interface {
	// Column is the type of the named column, or why there is none: what is
	// wrong and what mends it.
	Column(name string) (Type, error)
}

// Compile compiles an expression over columns. Everything that is wrong with it
// is reported, except that a mistake of syntax hides what comes after it.
func Compile(src string, columns Columns) (*Program, []Problem) {
	if len(src) > MaxSource {
		return nil, []Problem{{1, 1, fmt.Sprintf("the expression is longer than %d bytes; split it over several properties", MaxSource)}}
	}
	if strings.TrimSpace(src) == "" {
		return nil, []Problem{{1, 1, "the expression is empty; write one, over the table's columns"}}
	}
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, []Problem{syntax(src, err)}
	}
	c := &compiler{src: []rune(src), columns: columns, read: map[string]int{}}
	run, t := c.node(tree.Node)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	names := make([]string, len(c.names))
	copy(names, c.names)
	p := &Program{Type: t, Canonical: tree.Node.String(), vars: c.most}
	// Columns are numbered as they are met; the program lists them sorted.
	slices.Sort(names)
	order := make([]int, len(names))
	for i, name := range c.names {
		order[i], _ = slices.BinarySearch(names, name)
	}
	p.Columns = names
	p.run = func(f *Frame) (any, error) {
		f.order = order
		return run(f)
	}
	return p, nil
}

// Frame holds a row while programs run over it. Load gives the value of a
// program's column, by its place in Columns.
type Frame struct {
	Load  func(column int) (any, error)
	order []int
	vars  []any
}

// Eval computes the program's value over the frame's row. nil is NULL. An error
// is an *Error, or what Load returned.
func (p *Program) Eval(f *Frame) (any, error) {
	if cap(f.vars) < p.vars {
		f.vars = make([]any, p.vars)
	}
	f.vars = f.vars[:p.vars]
	return p.run(f)
}

// compiler walks one expression.
type compiler struct {
	src      []rune
	columns  Columns
	names    []string       // columns in the order in which they were met
	read     map[string]int // place in names
	problems []Problem
	scope    []variable
	most     int // variables alive at one time
	depth    int
}

// variable is a let, or the element of a list that a predicate looks at (# and
// #index).
type variable struct {
	name string
	typ  Type
}

func (c *compiler) fail(n ast.Node, format string, args ...any) (code, Type) {
	p := Problem{Line: 1, Column: 1, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		for _, r := range c.src[:min(max(n.Location().From, 0), len(c.src))] {
			p.Column++
			if r == '\n' {
				p.Line, p.Column = p.Line+1, 1
			}
		}
	}
	if !slices.Contains(c.problems, p) {
		c.problems = append(c.problems, p)
	}
	return constant(nil), Type{}
}

func constant(v any) code { return func(*Frame) (any, error) { return v, nil } }

const maxDepth = 500

// node compiles a node.
func (c *compiler) node(n ast.Node) (code, Type) {
	if c.depth++; c.depth > maxDepth {
		return c.fail(n, "the expression is nested too deeply; split it with let")
	}
	defer func() { c.depth-- }()
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(nil), Type{Kind: Null}
	case *ast.BoolNode:
		return constant(n.Value), Type{Kind: Bool}
	case *ast.StringNode:
		return constant(n.Value), Type{Kind: String}
	case *ast.IntegerNode:
		return constant(int64(n.Value)), Type{Kind: Number}
	case *ast.FloatNode:
		return c.float(n)
	case *ast.IdentifierNode:
		return c.name(n, n.Value)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ChainNode:
		return c.node(n.Node)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.BuiltinNode:
		return c.function(n, n.Name, n.Arguments)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.ArrayNode:
		return c.list(n)
	case *ast.MapNode:
		return c.mapping(n)
	case *ast.SequenceNode:
		return c.fail(n, "several expressions in a row; keep the one whose value is wanted, and name parts with let")
	case *ast.BytesNode:
		return c.fail(n, "bytes are not supported; use a text")
	}
	return c.fail(n, "this form is not supported")
}

// float reads the literal's text again: a float64 would round it.
func (c *compiler) float(n *ast.FloatNode) (code, Type) {
	loc := n.Location()
	if loc.From >= 0 && loc.To <= len(c.src) && loc.From < loc.To {
		if v, ok := ParseNumber(strings.ReplaceAll(string(c.src[loc.From:loc.To]), "_", "")); ok {
			return constant(v), Type{Kind: Number}
		}
	}
	var d apd.Decimal
	if _, err := d.SetFloat64(n.Value); err != nil {
		return c.fail(n, "this number is not supported")
	}
	return constant(&d), Type{Kind: Number}
}

// name is a variable or a column.
func (c *compiler) name(n ast.Node, name string) (code, Type) {
	for i := len(c.scope) - 1; i >= 0; i-- {
		if c.scope[i].name == name {
			return c.variable(i)
		}
	}
	if name == "$env" {
		return c.fail(n, `$env takes a column's name as a text, $env["My Column"], so that the columns read are known`)
	}
	return c.column(n, name)
}

func (c *compiler) column(n ast.Node, name string) (code, Type) {
	t, err := c.columns.Column(name)
	if err != nil {
		return c.fail(n, "%v", err)
	}
	at, known := c.read[name]
	if !known {
		at = len(c.names)
		c.names = append(c.names, name)
		c.read[name] = at
	}
	return func(f *Frame) (any, error) { return f.Load(f.order[at]) }, t
}

func (c *compiler) variable(i int) (code, Type) {
	return func(f *Frame) (any, error) { return f.vars[i], nil }, c.scope[i].typ
}

// declare opens a variable and returns its place.
func (c *compiler) declare(name string, t Type) int {
	c.scope = append(c.scope, variable{name, t})
	c.most = max(c.most, len(c.scope))
	return len(c.scope) - 1
}

func (c *compiler) let(n *ast.VariableDeclaratorNode) (code, Type) {
	value, t := c.node(n.Value)
	at := c.declare(n.Name, t)
	body, result := c.node(n.Expr)
	c.scope = c.scope[:at]
	return func(f *Frame) (any, error) {
		v, err := value(f)
		if err != nil {
			return nil, err
		}
		f.vars[at] = v
		return body(f)
	}, result
}

// pointer is # or #index, or the start of .field, in a predicate.
func (c *compiler) pointer(n *ast.PointerNode) (code, Type) {
	for i := len(c.scope) - 1; i >= 0; i-- {
		if c.scope[i].name == "#"+n.Name {
			return c.variable(i)
		}
	}
	return c.fail(n, "#%s is not known here; within any, all, filter and map, # is the element and #index its place", n.Name)
}

func (c *compiler) conditional(n *ast.ConditionalNode) (code, Type) {
	cond, t := c.node(n.Cond)
	yes, yesType := c.node(n.Exp1)
	no, noType := c.node(n.Exp2)
	if t.Kind != Bool && !t.isAny() {
		return c.fail(n.Cond, "the condition of ? is %s; compare it with something", t)
	}
	return func(f *Frame) (any, error) {
		v, err := truth(cond, f)
		if err != nil {
			return nil, err
		}
		if v == true {
			return yes(f)
		}
		return no(f)
	}, unify(yesType, noType)
}

func (c *compiler) list(n *ast.ArrayNode) (code, Type) {
	items := make([]code, len(n.Nodes))
	elem := Type{Kind: Null}
	for i, item := range n.Nodes {
		var t Type
		items[i], t = c.node(item)
		elem = unify(elem, t)
	}
	return func(f *Frame) (any, error) {
		out := make([]any, len(items))
		for i, item := range items {
			v, err := item(f)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}, listOf(elem)
}

func (c *compiler) mapping(n *ast.MapNode) (code, Type) {
	var keys, values []code
	for _, p := range n.Pairs {
		pair, ok := p.(*ast.PairNode)
		if !ok {
			return c.fail(p, "this form is not supported")
		}
		key, t := c.node(pair.Key)
		if t.Kind != String && !t.isAny() {
			c.fail(pair.Key, "the key of a map is a text, not %s", t)
		}
		value, _ := c.node(pair.Value)
		keys, values = append(keys, key), append(values, value)
	}
	return func(f *Frame) (any, error) {
		out := make(map[string]any, len(keys))
		for i := range keys {
			k, err := keys[i](f)
			if err != nil {
				return nil, err
			}
			v, err := values[i](f)
			if err != nil {
				return nil, err
			}
			name, ok := k.(string)
			if !ok {
				return nil, &Error{"the key of a map is a text, not " + Type{Kind: kindOf(k)}.String()}
			}
			out[name] = v
		}
		return out, nil
	}, Type{Kind: Map}
}

// syntax turns the parser's error into a problem with a mend.
func syntax(src string, err error) Problem {
	p := Problem{Line: 1, Column: 1, Text: err.Error()}
	var e *file.Error
	if errors.As(err, &e) {
		p.Line, p.Column, p.Text = max(1, e.Line), e.Column+1, e.Message
	}
	p.Column = min(p.Column, utf8.RuneCountInString(src)+1)
	p.Text = "syntax: " + p.Text + "; " + hint(src, p.Text)
	return p
}

// hint guesses at habits from SQL.
func hint(src, message string) string {
	upper := " " + strings.ToUpper(strings.Join(strings.Fields(src), " ")) + " "
	switch {
	case strings.Contains(message, `Operator("=")`):
		return "compare with =="
	case strings.Contains(message, `Operator("<")`) && strings.Contains(src, "<>"), strings.Contains(message, `Operator(">")`) && strings.Contains(src, "<>"):
		return "write != for SQL's <>"
	case strings.Contains(upper, " IS NOT NULL "):
		return "write x != nil for x IS NOT NULL"
	case strings.Contains(upper, " IS NULL "):
		return "write x == nil for x IS NULL"
	case strings.Contains(upper, " CASE "):
		return "write condition ? value : other for CASE"
	case strings.Contains(upper, " LIKE "):
		return "write contains, startsWith, endsWith or matches for LIKE"
	case strings.Contains(src, "::"):
		return "write string(x), int(x), float(x) or date(x) for a cast"
	case strings.Contains(upper, " AND "), strings.Contains(upper, " OR "), strings.Contains(upper, " NOT "):
		return "write and, or, not in lower case"
	case strings.Contains(message, "unexpected token EOF"), strings.Contains(message, "unexpected end"):
		return "something is missing at the end"
	}
	return "see docs/mapping.md for the language"
}
