// Package mapping compiles the mapping file against the tables' columns and the
// CRM's property definitions, and turns row events into patches.
//
// It does no I/O, reads no clock and starts no goroutine: the same row under
// the same mapping always gives the same patches. [Parse] reads the file and
// reports every mistake of form at once; [Compile] holds what it says against
// the catalog and the portal and reports every mistake of substance at once;
// both point at line and column. A [File] and a [Mapping] never change once
// made and may be shared; a [Mapper] belongs to one goroutine.
//
// What cannot be written as a property's type never reaches the CRM: it becomes
// a refused property with a reason, and the rest of the row goes on.
package mapping
