// Package hubspotsim is a HubSpot portal that runs here, behind an
// [http.Handler]: the part of the CRM API that a connector writes through,
// strict where HubSpot is lenient, and able to fail and to lie on request.
//
// It shares no code with any client, so that a misunderstanding cannot sit on
// both sides at once.
//
// # What it guarantees
//
//   - Strict: whatever it accepts, HubSpot's documentation promises to accept.
//     It takes strings only, checks every value against the property's type,
//     and refuses what HubSpot is known or suspected to refuse.
//   - Every write that took effect is one [Entry] of the journal, in the order
//     in which writes took effect, under the same lock as the write.
//   - Where nobody knows how HubSpot behaves, [Quirks] plays either answer.
//   - Faults come from the seed alone: the n-th call meets the same fault in
//     every run. Faults never bypass the journal.
//
// # Goroutines
//
// The package starts none. A delayed or late request keeps its own handler's
// goroutine; [Portal.Close] ends all delays, and requests that still wait to be
// applied late are then dropped.
//
// # Control
//
// Beside the Go methods of [Portal] there is an HTTP interface below /_sim/
// (see control.go for the list). It asks for no token: do not listen
// where strangers can connect.
package hubspotsim
