package mapping

import "github.com/pgcrm/pgcrm/mapping/expression"

// decodeHstore reads "key"=>"value", "other"=>NULL.
func decodeHstore(text []byte) (any, error) {
	out := map[string]any{}
	bad := &expression.Error{Reason: quote(text) + " is not an hstore"}
	s := text
	quotedText := func() (string, bool) {
		if len(s) == 0 || s[0] != '"' {
			return "", false
		}
		var buf []byte
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '"':
				s = s[i+1:]
				return string(buf), true
			case '\\':
				if i++; i == len(s) {
					return "", false
				}
			}
			buf = append(buf, s[i])
		}
		return "", false
	}
	for len(s) > 0 {
		key, ok := quotedText()
		if !ok || len(s) < 2 || s[0] != '=' || s[1] != '>' {
			return nil, bad
		}
		s = s[2:]
		if len(s) >= 4 && string(s[:4]) == "NULL" {
			out[key], s = nil, s[4:]
		} else if out[key], ok = quotedText(); !ok {
			return nil, bad
		}
		if len(s) == 0 {
			break
		}
		if len(s) < 2 || s[0] != ',' || s[1] != ' ' {
			return nil, bad
		}
		s = s[2:]
	}
	return out, nil
}
