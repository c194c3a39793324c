// Package archtest holds the import arrows between the rooms of this module, as
// ARCHITECTURE.md draws them. It has no code of its own, only a test with the
// table of rooms.
package archtest
