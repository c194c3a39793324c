package mapping

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth is deeper than the grammar goes, and keeps hostile input off the stack.
const maxDepth = 20

type nodeKind uint8

const (
	emptyNode  nodeKind = iota // nothing, null or ~
	scalarNode                 // text
	mapNode
	listNode
	badNode // reported already
)

// node is the file's syntax with what the grammar does not use taken away.
// Scalars keep the text as written: 007 stays 007.
type node struct {
	kind  nodeKind
	pos   pos
	text  string
	style style
	pairs []pair
	items []*node
}

type pair struct{ key, value *node }

// style is how a scalar was written, which decides how a place inside it maps
// to a place in the file.
type style uint8

const (
	plain  style = iota
	quoted       // by one quote on each side
	block        // |, text starts on the next line
	folded       // > or a plain or quoted text over several lines: no place inside can be told
)

func (n *node) describe() string {
	switch n.kind {
	case emptyNode:
		return "nothing"
	case scalarNode:
		return fmt.Sprintf("%q", n.text)
	case mapNode:
		return "a map"
	default:
		return "a list"
	}
}

// readYAML parses YAML. Nil is returned where nothing can be made of it.
func readYAML(src []byte, r *report) *node {
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil
	}
	var root *node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if doc.Body.Type() == ast.DirectiveType {
			r.add(place(doc.Body.GetToken()), "YAML directives are not used here; remove this line and the --- after it")
			continue
		}
		if root != nil {
			r.add(place(firstToken(doc.Body)), "a second YAML document starts here and would be ignored; put everything into one document, without ---")
			return root
		}
		root = (&yamlReader{r}).node(doc.Body, 0)
	}
	if root == nil && len(r.list) == 0 {
		r.add(pos{1, 1}, "the mapping is empty; it starts with version: 1 and tables:")
	}
	return root
}

type yamlReader struct{ *report }

func (y *yamlReader) node(n ast.Node, depth int) *node {
	if depth > maxDepth {
		y.add(place(firstToken(n)), "nested deeper than %d levels; the mapping needs no more than 8", maxDepth)
		return &node{kind: badNode, pos: place(firstToken(n))}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return y.mapping(n, n.Values, depth)
	case *ast.MappingValueNode:
		return y.mapping(n, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		list := &node{kind: listNode, pos: place(n.GetToken())}
		for _, item := range n.Values {
			list.items = append(list.items, y.node(item, depth+1))
		}
		return list
	case *ast.NullNode:
		return &node{kind: emptyNode, pos: place(n.GetToken()), text: n.GetToken().Value}
	case *ast.LiteralNode:
		// The library gives literals no column: the indicator's place stands in.
		lit := &node{kind: scalarNode, pos: place(n.GetToken()), text: n.Value.Value, style: block}
		if n.GetToken().Type == token.FoldedType {
			lit.style = folded
		}
		return lit
	case *ast.TagNode:
		y.add(place(n.GetToken()), "%q is a YAML tag, which the mapping does not use; put a value that starts with ! in double quotes", n.GetToken().Value)
	case *ast.AliasNode:
		y.add(place(n.GetToken()), "YAML aliases are not supported; write the value out, in double quotes if it starts with *")
	case *ast.AnchorNode:
		y.add(place(n.GetToken()), "YAML anchors are not supported; write the value out, in double quotes if it starts with &")
	case ast.ScalarNode:
		return y.scalar(n.GetToken())
	default:
		if n != nil {
			y.add(place(n.GetToken()), "this form of YAML is not supported here; write key: value")
		}
	}
	y.cut = true
	return &node{kind: badNode, pos: place(firstToken(n))}
}

func (y *yamlReader) scalar(t *token.Token) *node {
	n := &node{kind: scalarNode, pos: place(t), text: t.Value}
	switch {
	case t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType:
		n.style = quoted
		if strings.ContainsAny(strings.Trim(t.Origin, "\n"), "\n") || strings.Contains(t.Origin, `\`) || strings.Contains(n.text, "'") && t.Type == token.SingleQuoteType {
			n.style = folded
		}
	case strings.Contains(strings.TrimSpace(t.Origin), "\n"):
		n.style = folded
	}
	return n
}

func (y *yamlReader) mapping(n ast.Node, values []*ast.MappingValueNode, depth int) *node {
	m := &node{kind: mapNode, pos: place(firstToken(n))}
	for _, v := range values {
		switch v.Key.(type) {
		case *ast.MergeKeyNode:
			y.add(place(v.Key.GetToken()), "YAML merge keys are not supported; write the keys out")
			y.cut = true
			continue
		case *ast.MappingKeyNode, *ast.TagNode, *ast.AnchorNode, *ast.AliasNode:
			y.add(place(v.Key.GetToken()), "this form of key is not supported; write key: value, with the key in double quotes if need be")
			continue
		}
		key := y.scalar(v.Key.GetToken())
		value := y.node(v.Value, depth+1)
		m.pairs = append(m.pairs, pair{key, value})
	}
	y.duplicates(m)
	return m
}

// duplicates reports keys that stand twice in a map, true and "true" included,
// and keeps the first of each.
func (r *report) duplicates(m *node) {
	seen := make(map[string]pos, len(m.pairs))
	kept := m.pairs[:0]
	for _, p := range m.pairs {
		if first, dup := seen[p.key.text]; dup {
			r.add(p.key.pos, "the key %s stands here for the second time, first on line %d; keep one of them", p.key.text, first.line)
			continue
		}
		seen[p.key.text] = p.key.pos
		kept = append(kept, p)
	}
	m.pairs = kept
}

// syntax reports the one error with which the YAML library gave up.
func (r *report) syntax(err error) {
	at, message := pos{1, 1}, err.Error()
	if e, ok := err.(interface {
		GetMessage() string
		GetToken() *token.Token
	}); ok {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil {
			at = place(t)
		}
	}
	message, _, _ = strings.Cut(message, "\n")
	mend := "check the indentation and quotes of this line"
	if at.line >= 1 && at.line <= len(r.lines) {
		line := r.lines[at.line-1]
		switch {
		case strings.Contains(line, "expr:"):
			mend = `put the expression in double quotes, expr: "..."`
		case strings.Contains(line, "when:"):
			mend = `put the condition in double quotes, when: "..."`
		case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
			mend = "indent with spaces, not tabs"
		}
	}
	r.add(at, "YAML: %s; %s", message, mend)
}

func place(t *token.Token) pos {
	if t == nil || t.Position == nil {
		return pos{1, 1}
	}
	return pos{t.Position.Line, max(1, t.Position.Column)}
}

// firstToken is where a reader sees the node start: a block map starts with its
// first key, not with the colon after it.
func firstToken(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if n.GetToken().Type != token.MappingStartType && len(n.Values) > 0 {
			return firstToken(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	case nil:
		return nil
	}
	return n.GetToken()
}
