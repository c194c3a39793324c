// Package change holds the nouns that travel down the road from Postgres to
// the CRM: log positions, relations, row events on the way in, property
// patches on the way out, and what the CRM is known to hold of a record.
//
// It imports the standard library alone, so that every room can speak these
// words without knowing another room.
//
// # Memory
//
// Bytes inside an [Event] or a [Patch] belong to whoever produced it and are
// valid only until its next event or patch is asked for. Who keeps them copies
// them. A [Relation], a [Source] and a [Target] never change once published and
// may be kept and compared by pointer.
package change
