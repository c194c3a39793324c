package mapping

import (
	"errors"
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// TableName is a table's name as the catalog holds it, without quotes.
type TableName struct{ Schema, Name string }

// String writes the name as SQL does, quoted where it must be.
func (t TableName) String() string {
	return change.QuoteName(t.Schema) + "." + change.QuoteName(t.Name)
}

// ParseTableName reads a table's name as SQL does: schema public where none is
// given, letters folded to lower case outside double quotes.
func ParseTableName(s string) (TableName, error) {
	first, rest, err := readName(s)
	if err != nil {
		return TableName{}, err
	}
	if rest == "" {
		return TableName{"public", first}, nil
	}
	if rest[0] != '.' {
		return TableName{}, errName
	}
	second, rest, err := readName(rest[1:])
	if err != nil {
		return TableName{}, err
	}
	if rest != "" {
		return TableName{}, errName
	}
	return TableName{first, second}, nil
}

var errName = errors.New(`not a table name; write schema.table, and a name with capitals or other characters than letters, digits and _ in double quotes, 'public."My Table"'`)

func readName(s string) (name, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		for i := 1; i < len(s); i++ {
			if s[i] != '"' {
				continue
			}
			if i+1 < len(s) && s[i+1] == '"' {
				i++
				continue
			}
			name = strings.ReplaceAll(s[1:i], `""`, `"`)
			if name == "" {
				return "", "", errName
			}
			return name, s[i+1:], nil
		}
		return "", "", errName
	}
	end := strings.IndexByte(s, '.')
	if end < 0 {
		end = len(s)
	}
	for i, c := range []byte(s[:end]) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
		if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
			return "", "", errName
		}
	}
	if end == 0 {
		return "", "", errName
	}
	return lowerASCII(s[:end]), s[end:], nil
}

// lowerASCII folds as Postgres does with identifiers in UTF-8: ASCII only.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
