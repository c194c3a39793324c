package mapping

import "github.com/pgcrm/pgcrm/change"

// keyFormat writes the match property's values.
type keyFormat struct {
	format   format
	recordID bool // HubSpot's own id: digits
	raw      bool
}

func (k *keyFormat) append(dst, text []byte) ([]byte, *change.Rejection) {
	start := len(dst)
	dst, why := k.format.append(dst, text)
	switch {
	case why != nil:
		return dst, &change.Rejection{Category: change.InvalidKey, Reason: "match: " + why.Reason}
	case len(dst) == start:
		return dst, &change.Rejection{Category: change.InvalidKey, Reason: "the match column is the empty text, which addresses no record"}
	case k.recordID && len(digits(dst[start:])) != len(dst)-start:
		return dst[:start], &change.Rejection{Category: change.InvalidKey, Reason: "match: " + quote(dst[start:]) + " is not a HubSpot record id, which is made of digits"}
	}
	return dst, nil
}

// translate applies the value map. A policy other than park and pass says what
// is to be done instead of writing.
func (p *propPlan) translate(dst, text []byte) ([]byte, otherPolicy, *change.Rejection) {
	if p.format.from.array {
		return p.translateArray(dst, text)
	}
	text = p.format.from.plainText(text)
	if c, ok := p.values[string(text)]; ok {
		return append(dst, c.text...), otherPass, nil
	}
	var why *change.Rejection
	switch {
	case p.onOther == otherPark:
		why = p.notMapped(text)
	case p.onOther == otherPass:
		dst, why = p.format.appendScalarText(dst, text)
	}
	return dst, p.onOther, why
}

// translateArray maps every element.
func (p *propPlan) translateArray(dst, text []byte) ([]byte, otherPolicy, *change.Rejection) {
	instead := otherPass
	dst, why := p.format.join(dst, text, func(dst []byte, start int, element []byte) ([]byte, *change.Rejection) {
		value := element
		if c, ok := p.values[string(element)]; ok {
			value = c.text
		} else {
			switch p.onOther {
			case otherPark:
				return dst, p.notMapped(element)
			case otherPass:
				if p.format.to == typeOptions {
					var why *change.Rejection
					if value, why = p.format.lookup(element); why != nil {
						return dst, why
					}
				}
			default:
				instead = p.onOther
				return dst, nil
			}
		}
		if p.format.to == typeString {
			return appendElement(dst, start, value)
		}
		return tick(dst, start, value)
	})
	return dst, instead, why
}

func (p *propPlan) notMapped(text []byte) *change.Rejection {
	return &change.Rejection{Category: change.InvalidOption, Reason: quote(text) + " is not among the values of the mapping; add it there, or set on_other"}
}

const hexDigits = "0123456789abcdef"

// appendJSON writes text as a JSON string.
func appendJSON(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
