package mapping

import (
	"strings"

	"github.com/pgcrm/pgcrm/change"
)

// class groups the Postgres types whose text is read alike.
type class uint8

const (
	classOther   class = iota // ranges, composites, geometry, network, ...: text that only a string can take
	classText                 // text, varchar, citext, name, uuid, enums
	classPadded               // char(n): the trailing blanks are not part of the value
	classBool                 // t and f
	classInt                  // int2, int4, int8, oid
	classNumeric              // numeric
	classFloat                // float4, float8: exponents
	classMoney                // depends on lc_monetary
	classDate
	classTimestamp
	classTimestamptz
	classJSON
	classHstore
)

// columnType is a column's type as the mapping sees it: domains peeled off.
type columnType struct {
	class  class
	array  bool     // elements of class
	labels []string // of an enum, as far as known when compiled
	name   string   // for people
}

var builtin = map[uint32]struct {
	class class
	array uint32
	name  string
}{
	16:   {classBool, 1000, "boolean"},
	17:   {classOther, 1001, "bytea"},
	18:   {classText, 1002, `"char"`},
	19:   {classText, 1003, "name"},
	20:   {classInt, 1016, "bigint"},
	21:   {classInt, 1005, "smallint"},
	23:   {classInt, 1007, "integer"},
	25:   {classText, 1009, "text"},
	26:   {classInt, 1028, "oid"},
	114:  {classJSON, 199, "json"},
	700:  {classFloat, 1021, "real"},
	701:  {classFloat, 1022, "double precision"},
	790:  {classMoney, 791, "money"},
	1042: {classPadded, 1014, "character"},
	1043: {classText, 1015, "character varying"},
	1082: {classDate, 1182, "date"},
	1083: {classOther, 1183, "time"},
	1114: {classTimestamp, 1115, "timestamp"},
	1184: {classTimestamptz, 1185, "timestamp with time zone"},
	1186: {classOther, 1187, "interval"},
	1266: {classOther, 1270, "time with time zone"},
	1700: {classNumeric, 1231, "numeric"},
	2950: {classText, 2951, "uuid"},
	3802: {classJSON, 3807, "jsonb"},
}

// typeOfColumn reads a type as the catalog or the stream describes it. Of the
// stream's types only the built-in ones are known.
func typeOfColumn(t *change.Type) columnType {
	for t.Base != nil {
		t = t.Base
	}
	if b, ok := builtin[t.OID]; ok {
		return columnType{class: b.class, name: b.name}
	}
	if t.Elem != nil {
		elem := typeOfColumn(t.Elem)
		if !elem.array {
			return columnType{class: elem.class, array: true, labels: elem.labels, name: elem.name + "[]"}
		}
	}
	for _, b := range builtin {
		if b.array == t.OID {
			return columnType{class: b.class, array: true, name: b.name + "[]"}
		}
	}
	name := change.QuoteName(t.Name)
	switch {
	case t.Kind == 'e':
		return columnType{class: classText, labels: t.Labels, name: name}
	case t.Name == "citext":
		return columnType{class: classText, name: name}
	case t.Name == "hstore":
		return columnType{class: classHstore, name: name}
	}
	return columnType{class: classOther, name: name}
}

// sameType reports whether a column of the stream is still of the type that the
// mapping was compiled for. A varchar that became a text is; an own type that
// was made anew is not, since only the catalog can tell what it is now.
func sameType(compiled, now *change.Type) bool {
	if compiled.OID == now.OID {
		return true
	}
	c, n := typeOfColumn(compiled), typeOfColumn(now)
	return c.class == n.class && c.array == n.array && c.class != classOther
}

// refuse says why values of the column's type cannot become the property's
// type, or nothing. The text ends in what mends it.
func (c columnType) refuse(to propType, zone bool) string {
	if c.array {
		if to == typeString || to == typeOptions {
			return ""
		}
		return "is an array, and the property takes one value; use an expression such as tags[0]"
	}
	if to == typeString {
		return ""
	}
	takes := map[class]string{
		classText:        "number bool date datetime enumeration multi-checkbox",
		classPadded:      "number bool date datetime enumeration multi-checkbox",
		classBool:        "bool enumeration multi-checkbox",
		classInt:         "number enumeration multi-checkbox",
		classNumeric:     "number enumeration multi-checkbox",
		classFloat:       "number enumeration multi-checkbox",
		classDate:        "date datetime enumeration multi-checkbox",
		classTimestamp:   "date datetime",
		classTimestamptz: "date datetime",
	}[c.class]
	for _, t := range strings.Fields(takes) {
		if t != to.String() {
			continue
		}
		if c.class == classTimestamptz && to == typeDate && !zone {
			return "is a moment, and the property a date, which depends on where one is; add tz, the zone whose date is meant: tz: UTC"
		}
		return ""
	}
	mend := "map another column, use an expression, or a property of another type"
	switch {
	case c.class == classMoney:
		mend = "money's text depends on the server's lc_monetary; store the amount as numeric, or map it to a string property"
	case c.class == classBool && to == typeNumber:
		mend = `use an expression: {expr: "COLUMN ? 1 : 0"}`
	case c.class == classInt && to == typeBool:
		mend = `use an expression: {expr: "COLUMN == 1"}`
	case c.class == classJSON || c.class == classHstore:
		mend = `name the key in an expression: {expr: "COLUMN.key"}`
	}
	return "cannot become " + article(to) + "; " + mend
}
