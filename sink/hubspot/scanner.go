package hubspot

import (
	"encoding/json"
	"errors"
)

// scanner walks over a JSON text. It takes what encoding/json takes, as long as
// the parts that are skipped are well formed enough to be skipped.
//
// The strings that it gives share one copy of the text: who keeps one for long
// clones it.
type scanner struct {
	b     []byte
	whole string
	i     int
	depth int
	// width is the number of properties of the last result: the next has as many.
	width int
}

func newScanner(b []byte) *scanner { return &scanner{b: b, whole: string(b)} }

var (
	errCut     = errors.New("JSON cut off")
	errSyntax  = errors.New("not JSON")
	errNesting = errors.New("JSON nested too deep")
)

const maxDepth = 100

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek gives the first byte of the next token, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) expect(c byte) error {
	switch s.peek() {
	case c:
		s.i++
		return nil
	case 0:
		return errCut
	default:
		return errSyntax
	}
}

// list walks over an object or array; next must consume one member.
func (s *scanner) list(open, end byte, next func() error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.depth++; s.depth > maxDepth {
		return errNesting
	}
	defer func() { s.depth-- }()
	if s.peek() == end {
		s.i++
		return nil
	}
	for {
		if err := next(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case end:
			s.i++
			return nil
		case 0:
			return errCut
		default:
			return errSyntax
		}
	}
}

// object walks over an object; member must consume the value of its key.
func (s *scanner) object(member func(key string) error) error {
	return s.list('{', '}', func() error {
		if s.peek() != '"' {
			return s.expect('"')
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(key)
	})
}

func (s *scanner) array(element func() error) error { return s.list('[', ']', element) }

// text consumes a string and gives its value; of any other scalar it gives the
// text as it stands, of null none.
func (s *scanner) text() (string, error) {
	raw, err := s.value()
	if err != nil {
		return "", err
	}
	word := s.whole[s.i-len(raw) : s.i]
	if raw[0] != '"' {
		if word == "null" {
			return "", nil
		}
		return word, nil
	}
	inner := word[1 : len(word)-1]
	for i := range len(inner) {
		c := inner[i]
		if c == '\\' || c >= 0x80 || c < ' ' {
			var value string
			if err := json.Unmarshal(raw, &value); err != nil {
				return "", errSyntax
			}
			return value, nil
		}
	}
	return inner, nil
}

func (s *scanner) skip() error {
	_, err := s.value()
	return err
}

// value consumes one value and gives its text.
func (s *scanner) value() ([]byte, error) {
	c := s.peek()
	start := s.i
	var err error
	switch c {
	case '"':
		err = s.quoted()
	case '{':
		err = s.object(func(string) error { return s.skip() })
	case '[':
		err = s.array(s.skip)
	case 0:
		err = errCut
	default:
		err = s.literal()
	}
	return s.b[start:s.i], err
}

func (s *scanner) quoted() error {
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return nil
		}
	}
	s.i = len(s.b)
	return errCut
}

// literal consumes a number, true, false or null.
func (s *scanner) literal() error {
	start := s.i
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r', ',', ']', '}', ':', '"', '{', '[':
			goto end
		}
		s.i++
	}
end:
	word := s.b[start:s.i]
	if len(word) == 0 || !json.Valid(word) {
		return errSyntax
	}
	return nil
}
