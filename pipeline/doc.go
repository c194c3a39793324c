// Package pipeline carries changes down the road from the stream to the ledger.
//
//	            reader                     dispatcher          workers
//	stream ──▶ decode, map, queue ──▶ queue ──▶ take ──▶ look up, compare, deliver
//	   ▲                                                          │ outcomes
//	   │ confirm                                                  ▼
//	   └───────────────────────────────────────── settler ──▶ ledger
//
// Every goroutine of the data path starts in [Pipeline.session]:
//
//   - the reader alone touches the stream and adds to the queue,
//   - the dispatcher alone takes from the queue and starts one worker a batch,
//   - a worker owns its batch until it hands over the outcomes,
//   - the settler alone writes checkpoint, bound and deliveries to the ledger,
//     removes entries from the queue, and confirms positions to the stream,
//   - the loader reads chunks of rows for backfills and lets the reader put
//     them into the queue at their high mark,
//   - the holder, where changes may have to wait for a person, reads what that
//     one has decided and wakes the reader.
//
// It guarantees:
//
//   - Save, then confirm: a position is confirmed to the stream only after the
//     COMMIT that stored it as the checkpoint.
//   - Redo before send: after a start or a reconnect nothing is sent before the
//     stream has passed whatever may have been sent before.
//   - A version is sent only below the send-ahead bound that is on disk.
//   - Nothing is sent without recent word from the ledger, nor while an instance
//     before this one may still send: see lease.
//   - Whatever ends a session (a lost connection, a fenced ledger, a full stop)
//     ends it whole; the next one starts from what the ledger says, exactly as
//     after kill -9.
package pipeline
