package hubspot

import (
	"encoding/json"
	"errors"
	"fmt"
)

// batchAnswer is what accounting needs of a 2xx body of a batch call.
type batchAnswer struct {
	results []result
	errors  []*Error
}

type result struct {
	id         string
	trace      string
	created    bool
	properties []Property
}

var errShape = errors.New("not a JSON object with results")

// parseBatch reads the 2xx body of a batch call. Results are scanned, which costs
// a fraction of decoding them; errors are rare and decoded whole. A body that is
// cut off, is no JSON or has another shape is an error: it is no answer.
func parseBatch(body []byte) (batchAnswer, error) {
	s := newScanner(body)
	var out batchAnswer
	found := false
	err := s.object(func(key string) error {
		switch key {
		case "results":
			found = true
			return s.array(func() error {
				r, err := s.result()
				out.results = append(out.results, r)
				return err
			})
		case "errors":
			raw, err := s.value()
			if err != nil {
				return err
			}
			found = true
			return out.addErrors(raw)
		case "status", "numErrors":
			found = true
		}
		return s.skip()
	})
	if err != nil {
		return batchAnswer{}, err
	}
	if s.space(); s.i != len(s.b) {
		return batchAnswer{}, errShape
	}
	if !found {
		return batchAnswer{}, errShape
	}
	return out, nil
}

func (a *batchAnswer) addErrors(raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("errors: %w", errShape)
	}
	for _, one := range list {
		var e rawError
		if json.Unmarshal(one, &e) != nil {
			continue // names nothing that could be accounted for
		}
		a.errors = append(a.errors, e.toError(207))
	}
	return nil
}

func (s *scanner) result() (result, error) {
	var r result
	err := s.object(func(key string) (err error) {
		switch key {
		case "id":
			r.id, err = s.text()
		case "objectWriteTraceId":
			r.trace, err = s.text()
		case "new":
			var raw []byte
			raw, err = s.value()
			r.created = string(raw) == "true"
		case "properties":
			if s.peek() != '{' {
				return s.skip()
			}
			r.properties = make([]Property, 0, s.width)
			defer func() { s.width = len(r.properties) }()
			return s.object(func(name string) error {
				if s.peek() == 'n' { // null: never set
					return s.skip()
				}
				value, err := s.text()
				r.properties = append(r.properties, Property{name, value})
				return err
			})
		default:
			return s.skip()
		}
		return err
	})
	return r, err
}
