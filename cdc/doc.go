// Package cdc is the Postgres side: the replication stream, the slot and the
// publication it needs, the catalog, and chunks of tables for the backfill.
//
// # Guarantees
//
//   - Events come in commit order, whole transactions only, each change with
//     the same [change.Position] however often the log is read again.
//   - Values are Postgres's text under pinned session settings, alike in the
//     stream and in chunks, whatever the role, the database or the server sets.
//   - The slot is never told a position beyond what [Stream.Confirm] was given,
//     nor beyond what the server has announced, nor one that goes back.
//   - What cannot be understood stops the stream with an error that names it.
//     Nothing is skipped in silence.
//   - Nothing is guessed. A slot that is lost, missing, held by another, ahead
//     of the stored position or behind it is an error of its own type.
//
// # Goroutines
//
// The package starts none that outlives a call. A [Stream] belongs to one
// goroutine, which alone reads and writes the replication connection; only
// [Stream.Confirm] and [Stream.RequestProgress] may be called from others. While
// that goroutine is not in [Stream.Next] it must call [Stream.KeepAlive], or the
// server drops the connection after wal_sender_timeout.
//
// # Errors
//
// [Transient] tells what waiting mends from what it does not. Errors that say
// the set-up is wrong implement interface{ Problems() []string }: one line each,
// with the statement or the setting that mends it, never a secret.
package cdc
