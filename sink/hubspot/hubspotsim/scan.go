package hubspotsim

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON text strictly: RFC 8259, valid UTF-8, no lone surrogates.
// Strings without escapes alias the text; others live in the arena.
type scanner struct {
	text  []byte
	pos   int
	arena []byte
}

// maxDepth bounds the nesting that skip follows.
const maxDepth = 64

// syntaxError is a place in the text and what is wrong there.
type syntaxError struct {
	pos  int
	what string
}

func (e *syntaxError) Error() string { return e.what }

func (s *scanner) fail(format string, args ...any) error {
	return &syntaxError{s.pos, fmt.Sprintf(format, args...)}
}

// place turns an offset into HubSpot's line and column, both from 1.
func place(text []byte, pos int) (line, column int) {
	line, column = 1, 1
	for _, c := range text[:min(pos, len(text))] {
		if c == '\n' {
			line, column = line+1, 1
		} else {
			column++
		}
	}
	return line, column
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.unexpected(string(c))
	}
	s.pos++
	return nil
}

func (s *scanner) unexpected(want string) error {
	if s.pos >= len(s.text) {
		return s.fail("Unexpected end-of-input: expected %s", want)
	}
	return s.fail("Unexpected character %q: expected %s", s.text[s.pos], want)
}

// end makes sure that nothing but white space is left.
func (s *scanner) end() error {
	if s.peek() != 0 || s.pos < len(s.text) {
		return s.unexpected("the end of the document")
	}
	return nil
}

// object calls member for each key, with the scanner at its value.
func (s *scanner) object(member func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.unexpected("a name in double quotes")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		return s.expect('}')
	}
}

// array calls element with the scanner at each element.
func (s *scanner) array(element func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		return s.expect(']')
	}
}

// str reads a string; the scanner stands at its opening quote.
func (s *scanner) str() ([]byte, error) {
	start := s.pos + 1
	ascii := true
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.pos = i + 1
			if !ascii && !utf8.Valid(s.text[start:i]) {
				s.pos = start
				return nil, s.fail("Invalid UTF-8 in a string")
			}
			return s.text[start:i:i], nil
		case c == '\\':
			return s.escaped(start, i)
		case c < 0x20:
			s.pos = i
			return nil, s.fail("Illegal unquoted character (code %d) in a string", c)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.pos = len(s.text)
	return nil, s.fail("Unexpected end-of-input in a string")
}

// escaped goes on with a string whose first backslash is at i.
func (s *scanner) escaped(start, i int) ([]byte, error) {
	from := len(s.arena)
	s.arena = append(s.arena, s.text[start:i]...)
	for i < len(s.text) {
		c := s.text[i]
		switch {
		case c == '"':
			s.pos = i + 1
			out := s.arena[from:len(s.arena):len(s.arena)]
			if !utf8.Valid(out) {
				s.pos = start
				return nil, s.fail("Invalid UTF-8 in a string")
			}
			return out, nil
		case c < 0x20:
			s.pos = i
			return nil, s.fail("Illegal unquoted character (code %d) in a string", c)
		case c != '\\':
			s.arena = append(s.arena, c)
			i++
		default:
			n, ok := s.escape(s.text[i:])
			if !ok {
				s.pos = i
				return nil, s.fail("Unrecognized escape sequence in a string")
			}
			i += n
		}
	}
	s.pos = len(s.text)
	return nil, s.fail("Unexpected end-of-input in a string")
}

// escape appends what the escape at the start of t stands for, and returns its
// length.
func (s *scanner) escape(t []byte) (int, bool) {
	if len(t) < 2 {
		return 0, false
	}
	if t[1] != 'u' {
		const names, values = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
		i := strings.IndexByte(names, t[1])
		if i < 0 {
			return 0, false
		}
		s.arena = append(s.arena, values[i])
		return 2, true
	}
	r, ok := hex4(t[2:])
	if !ok {
		return 0, false
	}
	n := 6
	if utf16.IsSurrogate(r) {
		if len(t) < 12 || t[6] != '\\' || t[7] != 'u' {
			return 0, false
		}
		low, ok := hex4(t[8:])
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, false
		}
		n = 12
	}
	s.arena = utf8.AppendRune(s.arena, r)
	return n, true
}

func hex4(t []byte) (rune, bool) {
	if len(t) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range t[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// skip passes over one value of any kind.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fail("Document nesting depth exceeds the maximum allowed (%d)", maxDepth)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(func([]byte) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case s.word("true"), s.word("false"), s.word("null"):
		return nil
	}
	return s.unexpected("a value")
}

// word consumes a literal if it comes next.
func (s *scanner) word(w string) bool {
	s.peek()
	end := s.pos + len(w)
	if end > len(s.text) || string(s.text[s.pos:end]) != w {
		return false
	}
	s.pos = end
	return true
}

func (s *scanner) number() error {
	digits := func() bool {
		from := s.pos
		for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
			s.pos++
		}
		return s.pos > from
	}
	one := func(set string) bool {
		if s.pos < len(s.text) {
			for _, c := range []byte(set) {
				if s.text[s.pos] == c {
					s.pos++
					return true
				}
			}
		}
		return false
	}
	one("-")
	if !one("0") && !digits() {
		return s.unexpected("a digit")
	}
	if one(".") && !digits() {
		return s.unexpected("a digit")
	}
	if one("eE") {
		one("+-")
		if !digits() {
			return s.unexpected("a digit")
		}
	}
	return nil
}

// token names what comes next in the words of HubSpot's error messages.
func (s *scanner) token() string {
	switch s.peek() {
	case '{':
		return "Object value (token `JsonToken.START_OBJECT`)"
	case '[':
		return "Array value (token `JsonToken.START_ARRAY`)"
	case '"':
		return "String value (token `JsonToken.VALUE_STRING`)"
	case 't', 'f':
		return "Boolean value (token `JsonToken.VALUE_TRUE`)"
	case 'n':
		return "Null value (token `JsonToken.VALUE_NULL`)"
	case 0:
		return "End of input"
	}
	return "Number value (token `JsonToken.VALUE_NUMBER_INT`)"
}
