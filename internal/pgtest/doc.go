// Package pgtest runs throwaway Postgres servers with wal_level=logical, for
// tests and for the demo.
//
// A [Server] is a real server, made from the binaries installed on the machine
// (see [FindBinaries]), listening on a port of 127.0.0.1 and nowhere else. It
// asks every role for a password; that of the superuser is random. Its data is
// not durable: fsync is off.
//
// # What is left behind
//
// Nothing. [Server.Close] stops the server and removes its directory. A process
// that dies without calling Close, even by SIGKILL, is outlived by a small shell
// (the watchdog) that sees its pipe to the process close, and then does the
// same. Servers and watchdogs run in sessions of their own, so that a Ctrl-C
// typed at the terminal reaches the program alone, which decides when its
// database stops.
//
// # Users
//
// The server's programs refuse to run as root. When root calls, they run as the
// operating system's user "postgres", or else "nobody", who then owns the data.
// That user must be able to enter the directory that holds it, and the
// directories that hold the binaries.
//
// # Goroutines
//
// The package starts none. All methods may be called from several goroutines.
package pgtest
