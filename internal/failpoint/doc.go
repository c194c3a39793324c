// Package failpoint gives names to the places between two durable steps, so that
// a test can have the program die, or meet an error, at each of them.
//
// Without the build tag failpoints the functions do nothing and are compiled
// away: a release holds none of it. With the tag the variable FAILPOINT says what
// happens, once in the life of a process:
//
//	FAILPOINT=settle.after:crash     the process is killed, as by kill -9
//	FAILPOINT=settle.after:error     the step meets an error of the network
//	FAILPOINT=settle.after:crash:3   the same at the third passing
package failpoint
