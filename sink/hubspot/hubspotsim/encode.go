package hubspotsim

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			continue
		}
		if c >= utf8.RuneSelf {
			continue // stored text is valid UTF-8
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		from = i + 1
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// stamp writes moments as HubSpot does, and remembers the last one: the
// records of a batch tend to share theirs.
type stamp struct {
	ms   int64
	text []byte
}

func (s *stamp) append(dst []byte, ms int64) []byte {
	if s.text == nil || s.ms != ms {
		s.ms = ms
		s.text = time.UnixMilli(ms).UTC().AppendFormat(s.text[:0], isoMillis)
	}
	return append(dst, s.text...)
}

const isoMillis = "2006-01-02T15:04:05.000Z"

// mustJSON encodes what cannot fail: the simulator's own structs and maps.
func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of this package that JSON cannot write is a bug
	}
	return text
}

// appendRecord appends one element of "results".
func (c *call) appendRecord(dst []byte, r *record, show func(dst []byte) []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = strconv.AppendInt(dst, r.id, 10)
	dst = append(dst, `","properties":{`...)
	dst = show(dst)
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, `"createdate":"`...)
	dst = c.created.append(dst, r.created)
	dst = append(dst, `","hs_lastmodifieddate":"`...)
	dst = c.updated.append(dst, r.updated)
	dst = append(dst, `","hs_object_id":"`...)
	dst = strconv.AppendInt(dst, r.id, 10)
	dst = append(dst, `"},"createdAt":"`...)
	dst = c.created.append(dst, r.created)
	dst = append(dst, `","updatedAt":"`...)
	dst = c.updated.append(dst, r.updated)
	if r.archived != 0 {
		dst = append(dst, `","archived":true,"archivedAt":"`...)
		dst = c.updated.append(dst, r.archived)
		return append(dst, '"')
	}
	return append(dst, `","archived":false`...)
}

// appendProperty appends "name":"value", with a comma where one is needed.
func (c *call) appendProperty(dst []byte, d *definition, value string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = appendString(dst, d.Name)
	dst = append(dst, ':')
	if c.normalise {
		value = d.shown(value)
	}
	return appendString(dst, value)
}

// system says whether appendRecord writes the property by itself.
func system(name string) bool {
	return name == "createdate" || name == "hs_lastmodifieddate" || name == "hs_object_id"
}
