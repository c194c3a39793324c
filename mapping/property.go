package mapping

// Property is a CRM property's definition, as far as the mapping needs it.
type Property struct {
	Name      string
	Label     string
	Type      string // bool, date, datetime, enumeration, number, phone_number, string
	FieldType string // checkbox makes an enumeration take several values
	Options   []Option
	// ExternalOptions is set where the options live elsewhere (owners): an
	// empty list then allows anything.
	ExternalOptions bool
	HasUniqueValue  bool
	ReadOnly        bool
	Calculated      bool
	Archived        bool
}

// Option is one value of an enumeration.
type Option struct{ Value, Label string }

// propType is how a property's values are written.
type propType uint8

const (
	typeString propType = iota
	typeNumber
	typeBool
	typeDate
	typeDatetime
	typeOption  // enumeration with one value
	typeOptions // enumeration with several
)

var propTypeNames = [...]string{"string", "number", "bool", "date", "datetime", "enumeration", "multi-checkbox"}

func (t propType) String() string { return propTypeNames[t] }

// typeOf reads a definition's type; false where values of it cannot be written.
func typeOf(p *Property) (propType, bool) {
	switch p.Type {
	case "string", "phone_number":
		return typeString, true
	case "number":
		return typeNumber, true
	case "bool":
		return typeBool, true
	case "date":
		return typeDate, true
	case "datetime":
		return typeDatetime, true
	case "enumeration":
		if p.FieldType == "checkbox" {
			return typeOptions, true
		}
		return typeOption, true
	}
	return 0, false
}

func article(t propType) string {
	if t == typeOption {
		return "an " + t.String()
	}
	return "a " + t.String()
}
