// Package admin serves what operators and their tools look at: health,
// readiness, Prometheus metrics, the status as JSON and a status page.
//
// # Guarantees
//
// Every request is a read: GET and HEAD only, and nothing changes by one. The
// package shows what it is given, a [Snapshot] and the counts of a [Recorder];
// neither holds secrets or row values. A scrape costs no I/O of its own, so that
// a CRM or database in trouble never takes the health endpoints along.
//
// The page loads nothing from elsewhere and runs under a content security policy
// without inline code. A server that listens on loopback answers only requests
// addressed to loopback, so that no web page can read it by rebinding a name.
//
// [Server.Serve] blocks until its context ends; net/http starts a goroutine per
// connection, and all of them have ended when Serve returns.
package admin
