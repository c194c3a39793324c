package expression

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// in compiles x in list.
func (c *compiler) in(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	switch {
	case r.Kind == List && !mayEqual(l, r.elem()):
		return c.fail(n, "%s is never in a list of which each is %s; %s", l, r.elem(), mend(l, r.elem()))
	case r.Kind == String:
		return c.fail(n, "in looks into a list; write contains for a text")
	case r.Kind != List && r.Kind != Map && !r.isAny():
		return c.fail(n, `in looks into a list, ["a", "b"], not %s`, r)
	}
	if list, ok := n.Right.(*ast.ArrayNode); ok {
		for _, item := range list.Nodes {
			c.checkLabel(n.Left, l, item)
		}
	}
	return combine(left, right, contains), Type{Kind: Bool}
}

// contains reports whether a is among the elements or the keys of b.
func contains(a, b any) (any, error) {
	switch b := b.(type) {
	case []any:
		for _, v := range b {
			if v != nil && equal(a, v) {
				return true, nil
			}
		}
		return false, nil
	case map[string]any:
		if key, ok := a.(string); ok {
			_, found := b[key]
			return found, nil
		}
	}
	return nil, wrongKind("in", a, b)
}

func (c *compiler) texts(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	for _, t := range []Type{l, r} {
		if t.Kind == List {
			return c.fail(n, "%s looks into a text; write in for a list: \"a\" in tags", n.Operator)
		}
		if t.Kind != String && !t.isAny() {
			return c.fail(n, "%s takes texts, not %s; wrap it in string(...)", n.Operator, t)
		}
	}
	op := map[string]func(s, part string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[n.Operator]
	return combine(left, right, func(a, b any) (any, error) {
		s, ok1 := a.(string)
		part, ok2 := b.(string)
		if !ok1 || !ok2 {
			return nil, wrongKind(n.Operator, a, b)
		}
		return op(s, part), nil
	}), Type{Kind: Bool}
}

func (c *compiler) matches(n *ast.BinaryNode, left, right code, l, r Type) (code, Type) {
	if (l.Kind != String && !l.isAny()) || (r.Kind != String && !r.isAny()) {
		return c.fail(n, "matches takes texts, not %s and %s", l, r)
	}
	pattern, ok := n.Right.(*ast.StringNode)
	if !ok {
		return c.fail(n.Right, "matches takes a pattern written in the expression, between quotes")
	}
	re, err := regexp.Compile(pattern.Value)
	if err != nil {
		return c.fail(n.Right, "the pattern is no regular expression: %s; mend it, in RE2 syntax", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return combine(left, right, func(a, _ any) (any, error) {
		s, ok := a.(string)
		if !ok {
			return nil, wrongKind("matches", a)
		}
		return re.MatchString(s), nil
	}), Type{Kind: Bool}
}
