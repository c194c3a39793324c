package mapping

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping/expression"
)

// formula is an expression of the mapping and where its columns are.
type formula struct {
	program *expression.Program
	columns []int // by program column: index into plan.columns
}

// formula compiles an expression; nil where it is reported as wrong.
func (p *planCompiler) formula(n *node) *formula {
	program, problems := expression.Compile(n.text, columnsOf{p})
	for _, problem := range problems {
		p.add(p.inside(n, problem.Line, problem.Column), "%s", problem.Text)
	}
	if program == nil {
		return nil
	}
	f := &formula{program: program}
	for _, name := range program.Columns {
		at := p.use(p.rel.Column(name))
		f.columns = append(f.columns, at)
		t := typeOfColumn(&p.plan.columns[at].typ)
		p.note("reads %q %d %v", name, t.class, t.array)
	}
	return f
}

// inside is the place in the file of a place inside a scalar.
func (r *report) inside(n *node, line, column int) pos {
	switch n.style {
	case plain:
		if line == 1 {
			return pos{n.pos.line, n.pos.col + column - 1}
		}
	case quoted:
		if line == 1 {
			return pos{n.pos.line, n.pos.col + column}
		}
	case block:
		at := n.pos.line + line
		if at >= 1 && at <= len(r.lines) && n.pos.line < len(r.lines) {
			first := r.lines[n.pos.line]
			return pos{at, len(first) - len(strings.TrimLeft(first, " ")) + column}
		}
	}
	return n.pos
}

// columnsOf shows an expression the columns of the plan's table.
type columnsOf struct{ *planCompiler }

// Column is the type of a column in expressions.
func (c columnsOf) Column(name string) (expression.Type, error) {
	if word := strings.ToLower(name); (word == "null" || word == "none" || word == "nill") && c.rel.Column(name) < 0 {
		return expression.Type{}, fmt.Errorf("table %s has no column %s; write nil for NULL", c.plan.table, name)
	}
	i, err := c.find(name, "an expression reads the table's columns; put a text in quotes")
	if err != nil {
		return expression.Type{}, err
	}
	t := typeOfColumn(&c.rel.Columns[i].Type)
	if t.class == classMoney {
		return expression.Type{}, fmt.Errorf("column %s is of the type money, whose text depends on the server's lc_monetary; store the amount as numeric", name)
	}
	return t.expressionType(), nil
}

func (c columnType) expressionType() expression.Type {
	kind := map[class]expression.Kind{
		classBool: expression.Bool, classInt: expression.Number, classNumeric: expression.Number, classFloat: expression.Number,
		classDate: expression.Date, classTimestamp: expression.Timestamp, classTimestamptz: expression.Moment,
		classJSON: expression.Any, classHstore: expression.Map,
	}
	k, ok := kind[c.class]
	if !ok {
		k = expression.String
	}
	t := expression.Type{Kind: k, Labels: c.labels}
	if c.array {
		return expression.Type{Kind: expression.List, Elem: &t}
	}
	return t
}

// decoder reads a column's text for an expression.
type decoder func(text []byte) (any, error)

// decoder is the reader of the type's text.
func (c columnType) decoder() decoder {
	scalar := c.scalarDecoder()
	if !c.array {
		return scalar
	}
	return func(text []byte) (any, error) {
		list := []any{}
		var scratch []byte
		var failed error
		whole := eachElementOrNull(text, &scratch, func(element []byte, null bool) bool {
			var v any
			if !null {
				v, failed = scalar(element)
			}
			list = append(list, v)
			return failed == nil
		})
		if failed == nil && !whole {
			failed = &expression.Error{Reason: quote(text) + " is not an array of one dimension"}
		}
		return list, failed
	}
}

func (c columnType) scalarDecoder() decoder {
	times := func(kind expression.Kind) decoder {
		return func(text []byte) (any, error) {
			if t, ok := expression.ParseTime(string(text), kind); ok {
				return t, nil
			}
			return nil, &expression.Error{Reason: quote(text) + " is not a date"}
		}
	}
	switch c.class {
	case classBool:
		return func(text []byte) (any, error) { return string(text) == "t", nil }
	case classInt, classNumeric, classFloat:
		return func(text []byte) (any, error) {
			if n, ok := expression.ParseNumber(string(text)); ok {
				return n, nil
			}
			return nil, &expression.Error{Reason: quote(text) + " is not a number that can be computed with"}
		}
	case classDate:
		return times(expression.Date)
	case classTimestamp:
		return times(expression.Timestamp)
	case classTimestamptz:
		return times(expression.Moment)
	case classJSON:
		return func(text []byte) (any, error) { return expression.ParseJSON(string(text)) }
	case classHstore:
		return decodeHstore
	}
	return func(text []byte) (any, error) {
		if !utf8.Valid(text) {
			return nil, &expression.Error{Reason: "the text is not valid UTF-8"}
		}
		return string(c.plainText(text)), nil
	}
}

// refuseResult says what mends an expression whose value cannot be written as
// the property's type.
func refuseResult(t expression.Type, to propType, zone bool) string {
	const mend = "convert it, or map another property"
	switch {
	case t.Kind == expression.Any || t.Kind == expression.Null:
		return ""
	case t.Kind == expression.List:
		if to == typeString || to == typeOptions {
			return ""
		}
		return "take one element, [0], or join them"
	case t.Kind == expression.Map:
		if to == typeString {
			return ""
		}
		return "name a key"
	case t.Kind == expression.Duration:
		return "write x.Hours(), x.Minutes() or x.Seconds()"
	case to == typeString:
		return ""
	}
	switch to {
	case typeNumber:
		switch t.Kind {
		case expression.Number:
			return ""
		case expression.String:
			return "wrap it in float(...)"
		case expression.Bool:
			return "write condition ? 1 : 0"
		}
	case typeBool:
		if t.Kind == expression.Bool {
			return ""
		}
		return "compare it with something"
	case typeDate, typeDatetime:
		switch t.Kind {
		case expression.Date, expression.Timestamp:
			return ""
		case expression.Moment:
			if to == typeDatetime || zone {
				return ""
			}
			return "which date it is depends on the zone: add tz, as in tz: UTC"
		case expression.String:
			return "wrap it in date(...)"
		}
	case typeOption, typeOptions:
		if t.Kind == expression.String || t.Kind == expression.Number || t.Kind == expression.Bool || t.Kind == expression.Date {
			return ""
		}
		return "make it the text of an option"
	}
	return mend
}

// rejection turns an expression's error into the reason of a letter.
func rejection(err error) *change.Rejection {
	var e *expression.Error
	if errors.As(err, &e) {
		return &change.Rejection{Category: change.InvalidValue, Reason: "the expression has no value: " + e.Reason}
	}
	return &change.Rejection{Category: change.InvalidValue, Reason: err.Error()}
}
