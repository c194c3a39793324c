package hubspotsim

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Property is a property definition as the Properties API shows it.
type Property struct {
	Name                 string               `json:"name"`
	Label                string               `json:"label"`
	Type                 string               `json:"type"`
	FieldType            string               `json:"fieldType"`
	GroupName            string               `json:"groupName"`
	Description          string               `json:"description"`
	Options              []Option             `json:"options"`
	DisplayOrder         int                  `json:"displayOrder"`
	Calculated           bool                 `json:"calculated"`
	ExternalOptions      bool                 `json:"externalOptions"`
	HasUniqueValue       bool                 `json:"hasUniqueValue"`
	Hidden               bool                 `json:"hidden"`
	HubSpotDefined       bool                 `json:"hubspotDefined,omitempty"`
	FormField            bool                 `json:"formField"`
	DataSensitivity      string               `json:"dataSensitivity,omitempty"`
	ReferencedObjectType string               `json:"referencedObjectType,omitempty"`
	Archived             bool                 `json:"archived"`
	CreatedAt            string               `json:"createdAt,omitempty"`
	UpdatedAt            string               `json:"updatedAt,omitempty"`
	Modification         ModificationMetadata `json:"modificationMetadata"`

	// ForwardOnly makes an enumeration behave as lifecyclestage does: a value
	// that stands earlier among the options is accepted and not applied.
	ForwardOnly bool `json:"-"`
	// Rules are checks that the portal's administrator added. HubSpot applies
	// them to API writes from version 2026-09 on.
	Rules Rules `json:"-"`
}

// Option is one allowed value of an enumeration or a bool.
type Option struct {
	Label        string `json:"label"`
	Value        string `json:"value"`
	DisplayOrder int    `json:"displayOrder"`
	Hidden       bool   `json:"hidden"`
	Description  string `json:"description,omitempty"`
}

// ModificationMetadata says what of a property may be changed.
type ModificationMetadata struct {
	Archivable         bool `json:"archivable"`
	ReadOnlyDefinition bool `json:"readOnlyDefinition"`
	ReadOnlyValue      bool `json:"readOnlyValue"`
	ReadOnlyOptions    bool `json:"readOnlyOptions,omitempty"`
}

// Rules are an administrator's validation rules. Zero means no rule.
type Rules struct {
	MinLength, MaxLength int
}

// definition is a Property made ready for checking values.
type definition struct {
	Property
	rank    map[string]int // of an option's value: its place
	byValue map[string]*record
	multi   bool
	bornAt  time.Time // not listed before this, see Options.PropertyDelay
}

func define(p Property) *definition {
	if p.Options == nil {
		p.Options = []Option{}
	}
	if p.Type == "bool" && len(p.Options) == 0 {
		p.Options = []Option{{Label: "True", Value: "true"}, {Label: "False", Value: "false", DisplayOrder: 1}}
	}
	d := &definition{Property: p, multi: p.Type == "enumeration" && p.FieldType == "checkbox"}
	d.setOptions(p.Options)
	if p.HasUniqueValue {
		d.byValue = map[string]*record{}
	}
	return d
}

// setOptions replaces the list, as a PATCH does.
func (d *definition) setOptions(options []Option) {
	d.Options = slices.Clone(options)
	order := slices.Clone(options)
	slices.SortStableFunc(order, func(a, b Option) int { return cmp.Compare(a.DisplayOrder, b.DisplayOrder) })
	d.rank = make(map[string]int, len(order))
	for i, o := range order {
		d.rank[o.Value] = i
	}
}

// unborn says whether the property was created too recently to be known.
func (d *definition) unborn(p *Portal) bool {
	return !d.bornAt.IsZero() && p.now().Before(d.bornAt)
}

// The functions below build definitions for tests and demos.

// Text defines a string property.
func Text(name string) Property { return custom(name, "string", "text") }

// Unique defines a string property that can be an idProperty.
func Unique(name string) Property {
	p := Text(name)
	p.HasUniqueValue = true
	return p
}

// Number defines a number property.
func Number(name string) Property { return custom(name, "number", "number") }

// Bool defines a bool property.
func Bool(name string) Property { return custom(name, "bool", "booleancheckbox") }

// Date defines a date property.
func Date(name string) Property { return custom(name, "date", "date") }

// DateTime defines a datetime property.
func DateTime(name string) Property { return custom(name, "datetime", "date") }

// Enum defines an enumeration that takes one of the values. Labels are the
// values themselves.
func Enum(name string, values ...string) Property {
	p := custom(name, "enumeration", "select")
	for i, v := range values {
		p.Options = append(p.Options, Option{Label: v, Value: v, DisplayOrder: i})
	}
	return p
}

// Checkboxes defines an enumeration that takes any number of the values,
// separated by semicolons.
func Checkboxes(name string, values ...string) Property {
	p := Enum(name, values...)
	p.FieldType = "checkbox"
	return p
}

// ReadOnly defines a property that HubSpot computes.
func ReadOnly(name, typ string) Property {
	p := custom(name, typ, "calculation_equation")
	p.Calculated = true
	p.Modification.ReadOnlyValue = true
	return p
}

func custom(name, typ, fieldType string) Property {
	return Property{
		Name: name, Label: name, Type: typ, FieldType: fieldType,
		Modification: ModificationMetadata{Archivable: true},
	}
}

// problem is one reason against one value.
type problem struct {
	message, code, name string
	value               string
	hasValue            bool
}

type problems []problem

// check judges a value that is not empty. A value may be accepted in another
// form than it was sent in: the third result, from version 2026-09 on.
func (d *definition) check(value []byte, v version) (problem, bool, string) {
	bad := func(code, message string) (problem, bool, string) {
		return problem{message, code, d.Name, string(value), true}, false, ""
	}
	switch d.Type {
	case "number":
		if !plainNumber(value) {
			return bad("INVALID_INTEGER", string(value)+" was not a valid number.")
		}
	case "bool":
		if s := string(value); s != "true" && s != "false" {
			return bad("INVALID_OPTION", d.notAllowed(s))
		}
	case "date":
		ms, ok := dateMillis(value)
		if !ok {
			at, isTime := momentMillis(value)
			if !isTime || !v.normalises() {
				return bad("INVALID_LONG", string(value)+" was not a valid long.")
			}
			ms = at
		}
		if rest := mod(ms, dayMillis); rest != 0 || !ok {
			if !v.normalises() {
				return bad("INVALID_DATE", notMidnight(value, rest))
			}
			return problem{}, true, strconv.FormatInt(ms-rest, 10)
		}
	case "datetime":
		if _, ok := momentMillis(value); !ok {
			return bad("INVALID_LONG", string(value)+" was not a valid long.")
		}
	case "enumeration":
		if bad, ok := d.badOption(value); ok {
			return problem{d.notAllowed(bad), "INVALID_OPTION", d.Name, string(value), true}, false, ""
		}
	default:
		if len(value) > maxCharacters && characters(value) > maxCharacters {
			return bad("INVALID_STRING_LENGTH", "The value is too long: property values are limited to 65536 characters")
		}
		if d.Name == "email" && d.HasUniqueValue && !plausibleEmail(value) {
			return bad("INVALID_EMAIL", "Email address "+string(value)+" is invalid")
		}
	}
	if r := d.Rules; v.enforcesRules() && r != (Rules{}) {
		switch n := characters(value); {
		case n < r.MinLength:
			return bad("MIN_LENGTH", "The value must have at least "+strconv.Itoa(r.MinLength)+" characters")
		case r.MaxLength > 0 && n > r.MaxLength:
			return bad("MAX_LENGTH", "The value must have at most "+strconv.Itoa(r.MaxLength)+" characters")
		}
	}
	return problem{}, true, ""
}
