// Package hubspot is the CRM's API as this program needs it: batches of
// updates whose answer accounts for every input, reads, property definitions
// and account details, behind one retry layer, one quota governor and one gate
// that closes when HubSpot refuses the credentials.
//
// # Guarantees
//
//   - A 2xx accounts for nothing by itself. An [Answer] has one [Outcome] for
//     each input, matched by record id, by the value of the id property or by
//     trace id, never by index; what is in neither results nor errors is
//     [Unaccounted].
//   - What is transient is retried here and nowhere else, for as long as the
//     context lives. Callers see a definite answer, a refusal ([*Error]), or the
//     end of their context.
//   - Whether an attempt ended without a definite answer after the request may
//     have reached HubSpot is never forgotten: [Answer.Unanswered].
//   - No call is made beyond the window as HubSpot counts it, as far as this
//     process can know it.
//   - Errors never hold a token, and their text never holds row values; those
//     are in the fields of [Error], for the ledger.
//
// All methods are synchronous and safe for concurrent use; the package starts
// no goroutine of its own.
package hubspot
