package expression

import "time"

// Kind is what a value is.
type Kind uint8

// The kinds. A value of any kind may be NULL.
const (
	Any       Kind = iota // found out when a row is seen: jsonb
	Null                  // nil alone
	Bool                  // bool
	Number                // int64 or *apd.Decimal
	String                // string
	Date                  // Time
	Timestamp             // Time without a zone
	Moment                // Time with a zone
	Duration              // time.Duration
	List                  // []any
	Map                   // map[string]any
)

// Type is a kind and, for a list, what its elements are.
type Type struct {
	Kind Kind
	Elem *Type // of a List; nil: Any
	// Labels are all values that a text can have, for an enum. Nil: any text.
	Labels []string
}

// String names the type for people.
func (t Type) String() string {
	switch t.Kind {
	case Null:
		return "nil"
	case Bool:
		return "a bool"
	case Number:
		return "a number"
	case String:
		return "a text"
	case Date:
		return "a date"
	case Timestamp:
		return "a timestamp"
	case Moment:
		return "a timestamp with time zone"
	case Duration:
		return "a duration"
	case List:
		return "a list"
	case Map:
		return "a map"
	}
	return "a value of any type"
}

func (t Type) isTime() bool { return t.Kind == Date || t.Kind == Timestamp || t.Kind == Moment }

// isAny reports whether the type says nothing before a row is seen.
func (t Type) isAny() bool { return t.Kind == Any || t.Kind == Null }

func (t Type) elem() Type {
	if t.Kind == List && t.Elem != nil {
		return *t.Elem
	}
	return Type{}
}

func listOf(t Type) Type { return Type{Kind: List, Elem: &t} }

// unify is the type of a value that is of one of the two.
func unify(a, b Type) Type {
	switch {
	case a.Kind == Null:
		return b
	case b.Kind == Null:
		return a
	case a.Kind != b.Kind:
		return Type{}
	case a.Kind == List:
		return listOf(unify(a.elem(), b.elem()))
	}
	return Type{Kind: a.Kind}
}

// kindOf is the kind of a value.
func kindOf(v any) Kind {
	switch v := v.(type) {
	case nil:
		return Null
	case bool:
		return Bool
	case string:
		return String
	case Time:
		return v.Kind
	case time.Duration:
		return Duration
	case []any:
		return List
	case map[string]any:
		return Map
	}
	return Number
}

// Error is why an expression has no value for a row.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }
