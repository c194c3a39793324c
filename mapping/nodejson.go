package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// readJSON parses JSON, which YAML readers take only roughly: tabs shift
// their columns. Numbers keep their text.
func readJSON(src []byte, r *report) *node {
	j := &jsonReader{report: r, src: src, dec: json.NewDecoder(bytes.NewReader(src))}
	j.dec.UseNumber()
	root, err := j.value(0)
	if err == nil {
		at := j.next()
		if _, more := j.dec.Token(); !errors.Is(more, io.EOF) {
			r.add(at, "text after the end of the JSON; remove it")
		}
		return root
	}
	at := j.next()
	if errors.Is(err, errTooDeep) {
		r.add(at, "nested deeper than %d levels; the mapping needs no more than 8", maxDepth)
		return nil
	}
	r.add(at, "JSON: %v; mend the JSON, or write YAML", err)
	return nil
}

var errTooDeep = errors.New("too deep")

type jsonReader struct {
	*report
	src []byte
	dec *json.Decoder
}

func (j *jsonReader) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	n := &node{pos: j.next()}
	tok, err := j.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Delim:
		n.kind = listNode
		if tok == '{' {
			n.kind = mapNode
		}
		for j.dec.More() {
			var key *node
			if n.kind == mapNode {
				if key, err = j.value(depth + 1); err != nil {
					return nil, err
				}
			}
			value, err := j.value(depth + 1)
			if err != nil {
				return nil, err
			}
			if n.kind == mapNode {
				n.pairs = append(n.pairs, pair{key, value})
			} else {
				n.items = append(n.items, value)
			}
		}
		j.duplicates(n)
		_, err = j.dec.Token()
		return n, err
	case nil:
		n.text = "null"
		return n, nil
	case bool:
		n.text = "false"
		if tok {
			n.text = "true"
		}
	case json.Number:
		n.text = tok.String()
	case string:
		n.text, n.style = tok, quoted
		if end := int(j.dec.InputOffset()); bytes.IndexByte(j.src[end-len(tok)-1:end], '\\') >= 0 || j.src[end-len(tok)-2] != '"' {
			n.style = folded // escapes inside: places do not map
		}
	}
	n.kind = scalarNode
	return n, nil
}

// next is the place of the next token.
func (j *jsonReader) next() pos {
	i := int(j.dec.InputOffset())
	for i < len(j.src) && bytes.IndexByte([]byte(" \t\r\n,:"), j.src[i]) >= 0 {
		i++
	}
	return j.at(i)
}

func (j *jsonReader) at(offset int) pos {
	offset = min(max(offset, 0), len(j.src))
	before := j.src[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return pos{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}
