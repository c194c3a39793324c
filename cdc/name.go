package cdc

import "github.com/pgcrm/pgcrm/change"

// Name is a table's name, its parts unquoted.
type Name struct{ Schema, Table string }

// String writes the name as SQL does, quoted where it must be.
func (n Name) String() string { return change.QuoteName(n.Schema) + "." + change.QuoteName(n.Table) }
