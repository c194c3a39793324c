// Package sink holds the queue of dirty records and the delivery of their
// newest versions to the CRM with a verdict for each.
//
// # The queue
//
// A [Queue] is a dirty page table. As a buffer pool keeps for each dirty page
// the log position that first dirtied it and checkpoints at their minimum, so
// the queue keeps the records in the order in which they first became dirty:
//
//	first position →
//	┌───────┐   ┌───────┐   ┌───────┐   ┌───────┐
//	│ k7    │──▶│ k2    │──▶│ k9    │──▶│ k2'   │   k2' is the next version of k2,
//	│ taken │   │ taken │   │ ready │   │blocked│   opened while k2 was in flight
//	└───────┘   └───────┘   └───────┘   └───────┘
//	    └─ the safe position is this entry's
//
// It guarantees:
//
//   - An entry keeps its place from its first change until it is removed, which
//     the caller does only after the COMMIT of its settle was confirmed. So
//     [Queue.Safe] never passes a change that is not settled.
//   - One version of a record is out at a time. A newer change merges into a
//     version that still waits, and opens the next version otherwise.
//   - A version is taken only if its newest position is below the bound that is
//     on disk, and none is taken before the gate is opened.
//   - Memory grows with distinct records, not with changes.
//
// A Queue starts no goroutine. Its methods may be called from any; [Queue.Take]
// from one at a time.
package sink
