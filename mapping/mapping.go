package mapping

import (
	"slices"
	"sync/atomic"

	"github.com/pgcrm/pgcrm/change"
)

// Mapping is a mapping file compiled against tables and properties.
type Mapping struct {
	targets  []*change.Target
	sources  []*change.Source
	warnings []Problem
	hash     string

	file      *File
	relations map[TableName]*change.Relation // as compiled
	// now are the plans for what is known of the properties; see Redefine.
	now atomic.Pointer[plans]
}

// plans are what rows are mapped by.
type plans struct {
	byTable  map[TableName][]*plan
	bySource []*plan

	properties  map[string][]Property // that they are for
	definitions string                // of the properties that are written, for comparing
}

// plan is one mapping of one table, ready to run.
type plan struct {
	source  *change.Source
	table   TableName
	columns []planColumn
	match   int // index into columns
	key     keyFormat
	primary []int // indexes into columns, in key order
	props   []propPlan
	when    *formula // nil: every row
	hash    string   // of what decides the properties
	policy  string   // what decides the rest
	wrong   []string // problems, from which it is of no use
	// waits says why the plan is held, which is for properties that were otherwise;
	// empty where it is not.
	waits string
}

// planColumn is a column that the plan reads.
type planColumn struct {
	name   string
	typ    change.Type
	decode decoder // for expressions
}

// propPlan is one property, ready to run. Plans are in order of slot.
type propPlan struct {
	slot     int
	constant *constant           // a const
	formula  *formula            // an expr
	column   int                 // else an index into plan.columns
	raw      bool                // the column's text is the value, as far as it fits
	format   format              // how the value is written
	values   map[string]constant // value map, by the text that a string property would get
	onOther  otherPolicy
	onNull   nullPolicy
}

// constant is a value that the file gives, formatted when compiled. An empty
// one clears.
type constant struct{ text []byte }

// Targets lists the sets of records that are written, by Index.
func (m *Mapping) Targets() []*change.Target { return slices.Clone(m.targets) }

// Sources lists the mappings of tables, by Index.
func (m *Mapping) Sources() []*change.Source { return slices.Clone(m.sources) }

// Tables lists the mapped tables, sorted.
func (m *Mapping) Tables() []TableName {
	byTable := m.now.Load().byTable
	tables := make([]TableName, 0, len(byTable))
	for t := range byTable {
		tables = append(tables, t)
	}
	slices.SortFunc(tables, compareTables)
	return tables
}

// Columns lists the columns of the table that a mapping reads, the primary
// key's among them, sorted. What a publication of columns must list.
func (m *Mapping) Columns(table TableName) []string {
	var names []string
	for _, p := range m.now.Load().byTable[table] {
		for _, c := range p.columns {
			names = append(names, c.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// MatchColumn is the column that the mapping of a table takes the match value from.
func (m *Mapping) MatchColumn(s *change.Source) string {
	p := m.now.Load().bySource[s.Index]
	return p.columns[p.match].name
}

// Warnings lists what is legal and probably not meant, in the order of the file.
func (m *Mapping) Warnings() []Problem { return slices.Clone(m.warnings) }

// Hash changes whenever the same row might give other patches: with the file's
// meaning, the columns' types and the properties' types. The order of the file,
// comments, and options that come and go leave it alone.
func (m *Mapping) Hash() string { return m.hash }

// SourceHash is the Hash of one mapping of one table, for deciding whether the
// table must be sent again. While the mapping waits it stays as it was.
func (m *Mapping) SourceHash(s *change.Source) string { return m.now.Load().bySource[s.Index].hash }
