// Package migrations creates and upgrades the state schema: the tables in which
// package ledger remembers.
//
// The files are plain SQL with unqualified names, run with the schema as the
// whole search path, each in one transaction together with its line in the
// table "migration". They go forward only, and each keeps the previous version
// of the binary working: columns and tables are added, never taken away or given
// another meaning. A schema that a newer binary has upgraded is left alone.
//
// Any number of instances may call [Apply] at once. Where a DBA has run what
// [SQL] prints, Apply finds nothing to do and needs no right to create anything.
package migrations
