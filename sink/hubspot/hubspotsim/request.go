package hubspotsim

import "fmt"

// batch is a parsed batch request. It is kept and used again: its slices alias
// the body of the request that it was last parsed from.
type batch struct {
	scan   scanner
	inputs []input
	props  []prop
	// wrapped is set where the body had the key "inputs" at all.
	wrapped bool

	// Batch read only: which properties to answer with, and by which property
	// the ids are to be looked up.
	idProperty []byte
	wanted     [][]byte
	history    [][]byte
}

// input is one element of "inputs".
type input struct {
	id, idProperty, trace []byte
	hasID, hasTrace       bool
	hasProps              bool
	props                 []prop // a piece of batch.props
	first, last           int

	rec       *record
	isNew     bool
	silent    bool // absent from results and errors alike
	ghost     bool // written in spite of being silent
	unapplied bool // a fault: not written, and absent from the answer
	refused   bool // a fault: invalid whatever its values
	hidden    bool // a fault: written, and absent from the answer
	missing   bool // no such record
	failed    problems
	warnings  []warning
}

// prop is one member of "properties".
type prop struct {
	name, value []byte
	null        bool
	def         *definition
	keep        bool // accepted, but the stored value stays
}

// good says whether the input is to be written.
func (in *input) good() bool {
	return !in.silent && !in.missing && !in.unapplied && len(in.failed) == 0
}

// maxInputs is HubSpot's limit for every batch verb.
const maxInputs = 100

// parse reads a batch body. The text must stay untouched while b is in use.
func (b *batch) parse(text []byte) error {
	*b = batch{
		scan:   scanner{text: text, arena: b.scan.arena[:0]},
		inputs: b.inputs[:0], props: b.props[:0], wanted: b.wanted[:0], history: b.history[:0],
	}
	s := &b.scan
	if s.peek() != '{' {
		return s.wrongType("BatchInput", "")
	}
	err := s.object(func(key []byte) error {
		switch string(key) {
		case "inputs":
			b.wrapped = true
			if s.word("null") {
				return nil
			}
			return s.list("BatchInput", "inputs", b.input)
		case "idProperty":
			var err error
			b.idProperty, err = s.optional("idProperty")
			return err
		case "properties":
			return s.strings("properties", &b.wanted)
		case "propertiesWithHistory":
			return s.strings("propertiesWithHistory", &b.history)
		}
		return s.skip(0)
	})
	if err != nil {
		return err
	}
	for i := range b.inputs {
		in := &b.inputs[i]
		in.props = b.props[in.first:in.last:in.last]
	}
	return s.end()
}

// input reads one element of "inputs". HubSpot ignores fields that it doesn't
// know; they are refused here, since a misspelt idProperty turns the id into
// another record's.
func (b *batch) input() error {
	s := &b.scan
	if s.peek() != '{' {
		return s.wrongType("SimplePublicObjectBatchInput", "")
	}
	in := input{first: len(b.props)}
	err := s.object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			in.id, err = s.optional("id")
			in.hasID = in.id != nil
		case "idProperty":
			in.idProperty, err = s.optional("idProperty")
		case "objectWriteTraceId":
			in.trace, err = s.optional("objectWriteTraceId")
			in.hasTrace = in.trace != nil
		case "properties":
			in.hasProps = true
			err = b.properties()
		case "associations":
			err = s.skip(0)
		default:
			err = s.fail("Unrecognized field %q", key)
		}
		return err
	})
	in.last = len(b.props)
	b.inputs = append(b.inputs, in)
	return err
}

func (b *batch) properties() error {
	s := &b.scan
	if s.peek() != '{' {
		return s.wrongType("Map<String, String>", "properties")
	}
	return s.object(func(key []byte) error {
		p := prop{name: key, null: s.word("null")}
		if !p.null {
			if s.peek() != '"' {
				return s.wrongType("String", string(key))
			}
			var err error
			if p.value, err = s.str(); err != nil {
				return err
			}
		}
		b.props = append(b.props, p)
		return nil
	})
}

// wrongType is HubSpot's complaint about a value of another JSON type.
func (s *scanner) wrongType(want, field string) error {
	what := fmt.Sprintf("Cannot deserialize value of type `%s` from %s", want, s.token())
	if field != "" {
		what += fmt.Sprintf(" (field %q)", field)
	}
	return &syntaxError{s.pos, what}
}

// optional reads a string, or null as nil.
func (s *scanner) optional(field string) ([]byte, error) {
	if s.word("null") {
		return nil, nil
	}
	if s.peek() != '"' {
		return nil, s.wrongType("String", field)
	}
	text, err := s.str()
	if err == nil && text == nil {
		text = []byte{}
	}
	return text, err
}

func (s *scanner) list(of, field string, element func() error) error {
	if s.peek() != '[' {
		return s.wrongType("List<"+of+">", field)
	}
	return s.array(element)
}

func (s *scanner) strings(field string, into *[][]byte) error {
	if s.word("null") {
		return nil
	}
	return s.list("String", field, func() error {
		if s.peek() != '"' {
			return s.wrongType("String", field)
		}
		text, err := s.str()
		*into = append(*into, text)
		return err
	})
}
