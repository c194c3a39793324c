package cli

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// written is a value of a fixture as it is written: 007 stays 007.
type written struct {
	line  int
	kind  writtenKind
	text  string
	names []string // of a map, in the order of the file
	items []written
}

type writtenKind uint8

const (
	writtenNull writtenKind = iota
	writtenText
	writtenMap
	writtenList
)

// get finds a key of a map.
func (w *written) get(name string) (*written, bool) {
	i := slices.Index(w.names, name)
	if w.kind != writtenMap || i < 0 {
		return nil, false
	}
	return &w.items[i], true
}

// json writes the value as JSON, scalars by what they look like.
func (w *written) json(b *bytes.Buffer) {
	switch w.kind {
	case writtenNull:
		b.WriteString("null")
	case writtenText:
		if plainJSON(w.text) {
			b.WriteString(w.text)
			return
		}
		writeJSONText(b, w.text)
	case writtenMap:
		b.WriteByte('{')
		for i, name := range w.names {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONText(b, name)
			b.WriteByte(':')
			w.items[i].json(b)
		}
		b.WriteByte('}')
	case writtenList:
		b.WriteByte('[')
		for i := range w.items {
			if i > 0 {
				b.WriteByte(',')
			}
			w.items[i].json(b)
		}
		b.WriteByte(']')
	}
}

// readWritten parses YAML or JSON.
func readWritten(name string, src []byte) (*written, error) {
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, &usageError{fmt.Sprintf("%s:%d: %s", name, syntax.GetToken().Position.Line, sayable(syntax.GetMessage()))}
		}
		return nil, &usageError{fmt.Sprintf("%s: not YAML: %s", name, sayable(strings.Join(strings.Fields(err.Error()), " ")))}
	}
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			w, err := writtenOf(doc.Body, 0)
			if err != nil {
				return nil, &usageError{name + ":" + err.Error()}
			}
			return &w, nil
		}
	}
	return nil, &usageError{name + ": no test is written there"}
}

// deepest is how far values may be nested.
const deepest = 50

func writtenOf(n ast.Node, depth int) (written, error) {
	w := written{line: n.GetToken().Position.Line}
	if depth > deepest {
		return w, fmt.Errorf("%d: nested too deeply", w.line)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return writtenPairs(w, n.Values, depth)
	case *ast.MappingValueNode:
		return writtenPairs(w, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		w.kind = writtenList
		for _, item := range n.Values {
			v, err := writtenOf(item, depth+1)
			if err != nil {
				return w, err
			}
			w.items = append(w.items, v)
		}
	case *ast.NullNode:
	case *ast.LiteralNode:
		w.kind, w.text = writtenText, n.Value.Value
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return w, fmt.Errorf("%d: YAML anchors, aliases and tags are not used here; write the value out", w.line)
	case ast.ScalarNode:
		w.kind, w.text = writtenText, n.GetToken().Value
	default:
		return w, fmt.Errorf("%d: this form of YAML is not supported here", w.line)
	}
	return w, nil
}

func writtenPairs(w written, pairs []*ast.MappingValueNode, depth int) (written, error) {
	w.kind = writtenMap
	if len(pairs) > 0 {
		w.line = pairs[0].Key.GetToken().Position.Line
	}
	for _, pair := range pairs {
		v, err := writtenOf(pair.Value, depth+1)
		if err != nil {
			return w, err
		}
		if v.line == 0 || v.kind == writtenNull {
			v.line = pair.Key.GetToken().Position.Line
		}
		w.names = append(w.names, pair.Key.GetToken().Value)
		w.items = append(w.items, v)
	}
	return w, nil
}
