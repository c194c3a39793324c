// Package admin serves what operators and their tools look at: health,
// readiness, Prometheus metrics, the status as JSON and a status page.
//
// # Guarantees
//
// GET and HEAD change nothing. What a person asks for is a POST that carries the
// token, which no other page can send. The package shows what it is given, a
// [Snapshot], the counts of a [Recorder], [Deliveries] and parked records; values
// of rows leave it only where [Options].ShowValues says so, and no secret does.
// A scrape costs no I/O of its own, so that a CRM or database in trouble never
// takes the health endpoints along. Memory is bounded, however long it runs and
// however many look: the history keeps a day.
//
// The page loads nothing from elsewhere and runs under a content security policy
// without inline code. A server that listens on loopback answers only requests
// addressed to loopback, so that no web page can read it by rebinding a name.
//
// [Server.Serve] blocks until its context ends; it starts the goroutine that
// samples, and net/http one per connection. All of them have ended when Serve
// returns.
package admin
