package change

import "strings"

// Relation describes a table: as the catalog has it, or as the stream announced
// it. The stream knows of a column its name, type OID, type modifier and
// whether it belongs to the replica identity; the catalog fills in the rest.
type Relation struct {
	OID      uint32
	Schema   string
	Name     string
	Identity ReplicaIdentity
	Columns  []Column
	// PrimaryKey holds the indexes of the primary key's columns in key order.
	// Empty where the relation came from the stream.
	PrimaryKey []int
}

// Column is one column of a Relation.
type Column struct {
	Name       string
	Type       Type
	InIdentity bool // part of the replica identity
	NotNull    bool // catalog only
	Generated  bool // catalog only; absent from the stream before Postgres 18
}

// Type is a column's type. OID and Modifier are always there; the rest is known
// only from the catalog.
type Type struct {
	OID      uint32
	Modifier int32
	// Schema and Name are pg_type's: "pg_catalog" "int8", "public" "citext".
	Schema string
	Name   string
	// Kind is pg_type.typtype: 'b' base, 'c' composite, 'd' domain, 'e' enum,
	// 'r' range, 'm' multirange. Zero where only the stream is known.
	Kind byte
	// Base is the type under a domain, all domains peeled off; nil otherwise.
	Base *Type
	// Elem is an array's element type; nil otherwise.
	Elem *Type
	// Labels are an enum's values in order.
	Labels []string
}

// ReplicaIdentity is pg_class.relreplident.
type ReplicaIdentity byte

// The replica identities.
const (
	IdentityDefault ReplicaIdentity = 'd'
	IdentityNothing ReplicaIdentity = 'n'
	IdentityFull    ReplicaIdentity = 'f'
	IdentityIndex   ReplicaIdentity = 'i'
)

// String is the table's qualified name as SQL writes it, quoted where it must be.
func (r *Relation) String() string { return QuoteName(r.Schema) + "." + QuoteName(r.Name) }

// Column returns the index of the named column, or -1.
func (r *Relation) Column(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// QuoteName writes an identifier so that Postgres reads it back unchanged:
// plainly where it is lower case, in double quotes otherwise. Keywords are not
// looked up; statements quote always, this is for people.
func QuoteName(s string) string {
	plain := s != ""
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c == '_'
		digit := c >= '0' && c <= '9'
		if !letter && (i == 0 || !digit) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
