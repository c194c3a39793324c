// Package config reads the environment once and tells everything that is wrong
// with it at once.
//
// # Guarantees
//
// Every variable may be given as NAME or as NAME_FILE, the path of a file that
// holds the value; both at once is a problem. A variable that is set but empty
// counts as not set. [Load] reports all problems together, one line each, as
// "NAME: what is wrong; what to do". No line, warning or printed Config ever
// holds a value that was given: a secret pasted into the wrong variable stays
// out of the logs too.
//
// A [Secret] that came from a file is read again each time its Value is asked
// for, so that a rotated password or token is taken up without a restart.
//
// The package starts no goroutine and keeps no global state.
package config
