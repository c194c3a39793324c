package hubspot

import (
	"strconv"
	"unicode/utf8"
)

// Request bodies are appended, not marshalled: no maps, no reflection.

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are no UTF-8 become
// U+FFFD, as encoding/json does it.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			i++
			start = i
			continue
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendInput appends one input of a batch. An empty id is left out.
func appendInput(b []byte, in *Input, trace string) []byte {
	b = append(b, '{')
	if in.ID != "" {
		b = append(b, `"id":`...)
		b = appendString(b, in.ID)
		b = append(b, ',')
	}
	if in.IDProperty != "" {
		b = append(b, `"idProperty":`...)
		b = appendString(b, in.IDProperty)
		b = append(b, ',')
	}
	b = append(b, `"properties":{`...)
	for i := range in.Properties {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, in.Properties[i].Name)
		b = append(b, ':')
		b = appendString(b, in.Properties[i].Value)
	}
	b = append(b, `},"objectWriteTraceId":`...)
	b = appendString(b, trace)
	return append(b, '}')
}

// traceID is unique within a batch, and told apart from those of other batches
// by the number.
func traceID(batch uint64, i int) string {
	b := make([]byte, 0, 20)
	b = strconv.AppendUint(b, batch, 36)
	b = append(b, '-')
	return string(strconv.AppendInt(b, int64(i), 10))
}
