package hubspot

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// The properties at fault are told twice: in errors[], with code and name, and
// as a JSON array inside the message, which sometimes has more entries and the
// value. Both are read, and each may fail without harm.

// rawDetail is an entry of errors[] or of the array in the message.
type rawDetail struct {
	Message       looseString     `json:"message"`
	Code          looseString     `json:"code"`
	Error         looseString     `json:"error"`
	Name          looseString     `json:"name"`
	PropertyValue *looseString    `json:"propertyValue"`
	IsValid       *bool           `json:"isValid"`
	In            looseString     `json:"in"`
	Context       json.RawMessage `json:"context"`
}

func (r *rawDetail) details(ctx errorContext) []Detail {
	code := string(r.Code)
	if code == "" {
		code = string(r.Error)
	}
	d := Detail{Property: string(r.Name), Code: code, Message: string(r.Message)}
	switch values := ctx.strings("propertyValue"); {
	case r.PropertyValue != nil:
		d.Value, d.HasValue = string(*r.PropertyValue), true
	case len(values) == 1:
		d.Value, d.HasValue = values[0], true
	default:
		d.Value, d.HasValue = valueInMessage(d.Message)
	}
	d.Message = truncate(d.Message, MaxMessage)
	names := ctx.strings("propertyName")
	if d.Property != "" || len(names) == 0 {
		if d.Property == "" && d.Code == "" {
			return nil // a sentence about scopes or the like, not about a property
		}
		return []Detail{d}
	}
	out := make([]Detail, len(names))
	for i, name := range names {
		out[i] = d
		out[i].Property = name
	}
	return out
}

// messagePrefix introduces the array of faults inside a message.
const messagePrefix = "Property values were not valid:"

func messageDetails(message string) []Detail {
	_, rest, ok := strings.Cut(message, messagePrefix)
	if !ok {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(rest)))
	if token, err := dec.Token(); err != nil || token != json.Delim('[') {
		return nil
	}
	var out []Detail
	for dec.More() {
		var r rawDetail
		if dec.Decode(&r) != nil {
			break // cut off: what came before it still counts
		}
		if r.IsValid != nil && *r.IsValid {
			continue
		}
		out = append(out, r.details(nil)...)
	}
	return out
}

// mergeDetails joins the two lists: an entry of listed that the message also
// has, by property and code, takes over what the message knows more.
func mergeDetails(listed, inMessage []Detail) []Detail {
	if len(inMessage) == 0 {
		return listed
	}
	out := inMessage
	for _, d := range listed {
		known := false
		for _, m := range inMessage {
			if m.Property == d.Property && (m.Code == d.Code || m.Code == "" || d.Code == "") &&
				(!d.HasValue || !m.HasValue || d.Value == m.Value) {
				known = true
				break
			}
		}
		if !known {
			out = append(out, d)
		}
	}
	return out
}

// The values that recorded messages begin or end with.
var valuePatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?s)^(.*) was not a valid (?:number|long|integer|date|boolean)\.?$`),
	regexp.MustCompile(`(?s)^(.*) was not one of the allowed options`),
	regexp.MustCompile(`(?s)^Email address (.*) is invalid\.?$`),
	regexp.MustCompile(`(?s)^(.*) is at \d.* UTC, not midnight!?$`),
}

func valueInMessage(message string) (string, bool) {
	for _, p := range valuePatterns {
		if m := p.FindStringSubmatch(message); m != nil {
			return m[1], true
		}
	}
	return "", false
}
