package hubspot

import (
	"net/http"
	"strings"
)

// Class says what an answer asks of the caller.
type Class uint8

// The classes of answer.
const (
	// OK is a 2xx. It accounts for nothing by itself.
	OK Class = iota
	// Retry is transient: the same call again, later. Callers never see it, but
	// for one input of a batch.
	Retry
	// Renew is a token that is not valid any more: read it again, once.
	Renew
	// Stop is refused credentials or missing scopes.
	Stop
	// Hold is a fault of configuration that every record with the same property,
	// or of the same object, shares.
	Hold
	// Split is a batch that is too large.
	Split
	// Missing is a record that does not exist.
	Missing
	// Park is a fault of one record or value of the batch.
	Park
)

// String names the class.
func (c Class) String() string {
	return [...]string{"ok", "retry", "renew", "stop", "hold", "split", "missing", "park"}[c]
}

// Class sorts the refusal: the one place where statuses, categories and codes
// get their meaning.
func (e *Error) Class() Class {
	switch e.Status {
	case http.StatusUnauthorized:
		return Renew
	case http.StatusForbidden:
		return Stop
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusLocked, http.StatusTooManyRequests, 477:
		return Retry
	case http.StatusRequestEntityTooLarge:
		return Split
	case http.StatusNotFound:
		// Of a single record; for a batch call the path itself is unknown.
		return Missing
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusGone, http.StatusRequestURITooLong:
		return Hold
	}
	if e.Status >= 500 || e.Status >= 300 && e.Status < 400 {
		// A redirect is never HubSpot's: a proxy or a portal page in between,
		// which goes away.
		return Retry
	}
	switch strings.ToUpper(e.Category) {
	case "OBJECT_NOT_FOUND":
		return Missing
	case "RATE_LIMITS", "RATE_LIMIT", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT":
		return Retry
	case "MISSING_SCOPES",
		"BAD_REFRESH_TOKEN", "BAD_CLIENT_ID", "BAD_CLIENT_SECRET", "BAD_HUB": // of the token endpoint
		return Stop
	}
	switch {
	case strings.Contains(e.Message, "maximum number of inputs"):
		return Split
	case strings.Contains(e.Message, "update/upsert by non-unique"),
		strings.Contains(e.Message, "Unable to infer object type"):
		return Hold
	}
	for i := range e.Details {
		if e.Details[i].Shared() {
			return Hold
		}
	}
	return Park
}

// Shared reports whether the fault lies in the property's definition and not in
// a record's value.
func (d *Detail) Shared() bool {
	switch d.Code {
	case "PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE":
		return true
	}
	return false
}

// ambiguous reports whether HubSpot may have done the work that a call with
// this transient status asked for.
func ambiguous(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusLocked, 477, http.StatusTooEarly,
		521, 523, 525, 526: // Cloudflare did not reach the origin
		return false
	}
	return status < 300 || status >= 400 // a 2xx that is no answer, 408, 5xx, 522, 524
}
