package expression

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"
)

// ParseJSON reads a jsonb value; its numbers stay exact.
func ParseJSON(s string) (any, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(s)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, &Error{"not JSON: " + err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{"not JSON: text after its end"}
	}
	return own(v)
}

// own replaces the decoder's numbers by ours.
func own(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		n, ok := ParseNumber(v.String())
		if !ok {
			return nil, errTooLarge
		}
		return n, nil
	case []any:
		for i := range v {
			var err error
			if v[i], err = own(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			var err error
			if v[k], err = own(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// Text is a value as a string property would get it: what string(...) gives.
// Lists and maps are JSON.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	case string:
		return v
	case Time:
		return v.String()
	case time.Duration:
		return v.String()
	case []any, map[string]any:
		return string(appendJSON(nil, v))
	}
	return numberText(v)
}

func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, item)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, k), ':')
			dst = appendJSON(dst, v[k])
		}
		return append(dst, '}')
	case string, Time, time.Duration:
		return appendQuoted(dst, Text(v))
	}
	return append(dst, Text(v)...)
}

func appendQuoted(dst []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
