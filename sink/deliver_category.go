package sink

import (
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// The categories of rejection that delivery gives, beside those of package
// change, which it gives where HubSpot says the same.
const (
	CategoryNotFound    = "not_found"   // the CRM has no such record
	CategoryUnaccounted = "unaccounted" // no answer ever said what became of the record
	CategoryConflict    = "conflict"    // another record has the value that must be unique
	CategoryRequired    = "required"    // the portal requires a property that the record lacks
	CategoryTooLarge    = "too_large"   // the request is too large even for one record
	CategoryRefused     = "refused"     // any other refusal; the reason holds HubSpot's own words
)

// categoryOfCode sorts a code that HubSpot gives for a property.
func categoryOfCode(code string) string {
	switch {
	case code == "INVALID_OPTION":
		return change.InvalidOption
	case strings.Contains(code, "REQUIRED"):
		return CategoryRequired
	case !byValue(code):
		return CategoryConflict
	case strings.Contains(code, "LENGTH") || strings.Contains(code, "TOO_LONG"):
		return change.TooLong
	case strings.HasPrefix(code, "INVALID"):
		return change.InvalidValue
	}
	return CategoryRefused
}

// categoryOf sorts the refusal of a record.
func categoryOf(refusal *hubspot.Error) string {
	for i := range refusal.Details {
		if c := categoryOfCode(refusal.Details[i].Code); c != CategoryRefused {
			return c
		}
	}
	if refusal.Status == 409 || strings.EqualFold(refusal.Category, "CONFLICT") || strings.Contains(refusal.Message, "already has that value") {
		return CategoryConflict
	}
	return CategoryRefused
}

// reasonOf gives HubSpot's own words for people: of the property if there are
// any, else of the refusal.
func reasonOf(d *hubspot.Detail, refusal *hubspot.Error) string {
	var code, message string
	switch {
	case d != nil && d.Message != "":
		code, message = d.Code, d.Message
	case refusal == nil:
		return "HubSpot's answers named this record neither among the results nor among the errors"
	default:
		code, message = refusal.Category, refusal.Message
		if d != nil {
			code = d.Code
		}
	}
	switch {
	case message == "" && code == "":
		return refusal.Error()
	case message == "":
		return code
	case code == "":
		return message
	}
	return code + ": " + message
}
