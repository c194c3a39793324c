// Package ledger is what pgcrm remembers, in a schema of a Postgres database:
// how far the log is accounted for, what the CRM is known to hold of each
// record, which changes were refused, and which loads of existing rows are under
// way.
//
// It guarantees:
//
//   - [Ledger.Settle] is one transaction. Deliveries, letters, the progress of
//     backfills, the bound and the checkpoint are all in it or none is. A settle
//     whose COMMIT got no answer may simply be done again.
//   - Every write of a running instance is fenced: [Ledger.Begin] raises the
//     epoch, and from then on an older instance's write changes nothing and
//     fails with [ErrFenced].
//   - Checkpoint, bound and accounted positions only ever rise.
//   - It holds no value of any row but keys, and the reasons of letters: values
//     are remembered as fingerprints under a random key of this ledger.
//   - One setup, one ledger: another server, database, slot or portal under the
//     same schema is refused.
//
// The connections are a small pool of its own, which also keeps the only
// goroutine that outlives a call, until [Ledger.Close]. All methods may be called
// by several goroutines at once; settles take turns.
//
// Every call ends within Config.Timeout. Nothing is tried again in here: see
// [Transient].
package ledger
