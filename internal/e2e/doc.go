// Package e2e tests the built program as its users run it: a real process, a
// real Postgres, and the simulator in place of HubSpot.
package e2e
