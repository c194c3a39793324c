package hubspot

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Error is a refusal by HubSpot: of a whole call, or of one input of a batch.
// Its text is fit for a log; Message and the values in Details may hold row
// values and are not.
type Error struct {
	// Status is the HTTP status of the call; 207 and the like for one input.
	Status      int
	Category    string
	SubCategory string
	// Policy is the policyName of a 429, upper case.
	Policy string
	// Message is HubSpot's own, cut to MaxMessage bytes.
	Message       string
	CorrelationID string
	// Details are the properties at fault, from both places of the body.
	Details []Detail
	// IDs and TraceIDs are what context names: record ids or values of the id
	// property, and objectWriteTraceIds.
	IDs      []string
	TraceIDs []string
	// Scopes are the granted scopes that were missing.
	Scopes []string
}

// MaxMessage bounds the bytes kept of a message of HubSpot: a refused option is
// answered with the list of all options.
const MaxMessage = 600

// Detail is what HubSpot says of one property. Every field may be empty.
type Detail struct {
	Property string
	Value    string
	HasValue bool
	Code     string
	Message  string
}

// Error names status, category and correlation id.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "HubSpot answered %d", e.Status)
	if e.Category != "" {
		b.WriteString(" " + e.Category)
	}
	if e.Policy != "" {
		b.WriteString(" " + e.Policy)
	}
	for i, d := range e.Details {
		if i == 3 {
			b.WriteString(", …")
			break
		}
		fmt.Fprintf(&b, ", %s %s", d.Property, d.Code)
	}
	if len(e.Scopes) > 0 {
		b.WriteString(", missing scopes " + strings.Join(e.Scopes, ", "))
	}
	if e.CorrelationID != "" {
		b.WriteString(" (correlation id " + e.CorrelationID + ")")
	}
	return b.String()
}

// parseError reads an error body. Every field of it is optional, by HubSpot's
// own word; a body that is no JSON at all leaves only the status.
func parseError(status int, body []byte, correlationID string) *Error {
	var raw rawError
	if err := json.Unmarshal(body, &raw); err != nil {
		return &Error{Status: status, CorrelationID: correlationID}
	}
	e := raw.toError(status)
	if e.CorrelationID == "" {
		e.CorrelationID = correlationID
	}
	return e
}

// rawError is the shape of an error body and of one entry of a batch answer's
// errors. What varies between recordings, or between them and the published
// description, is kept raw.
type rawError struct {
	Status        any             `json:"status"`
	Category      looseString     `json:"category"`
	SubCategory   looseString     `json:"subCategory"`
	ErrorType     looseString     `json:"errorType"`
	Policy        looseString     `json:"policyName"`
	Message       looseString     `json:"message"`
	CorrelationID looseString     `json:"correlationId"`
	RequestID     looseString     `json:"requestId"`
	Context       json.RawMessage `json:"context"`
	Errors        json.RawMessage `json:"errors"`
}

func (raw *rawError) toError(status int) *Error {
	e := &Error{
		Status:        status,
		Category:      string(raw.Category),
		SubCategory:   string(raw.SubCategory),
		Policy:        strings.ToUpper(string(raw.Policy)),
		CorrelationID: string(raw.CorrelationID),
	}
	if e.CorrelationID == "" {
		e.CorrelationID = string(raw.RequestID)
	}
	if e.Category == "" {
		e.Category = string(raw.ErrorType)
	}
	if e.Category == "" {
		// The token endpoint has its code in "status": BAD_REFRESH_TOKEN.
		if s, ok := raw.Status.(string); ok && s != "error" {
			e.Category = s
		}
	}
	message := string(raw.Message)
	top := parseContext(raw.Context)
	e.IDs = append(top.strings("ids"), top.strings("id")...)
	e.TraceIDs = top.strings("objectWriteTraceId")
	e.Scopes = top.strings("requiredGranularScopes")

	var listed []rawDetail
	_ = json.Unmarshal(raw.Errors, &listed) // absent, an object or garbage: then there are none
	for i := range listed {
		ctx := parseContext(listed[i].Context)
		e.Scopes = append(e.Scopes, ctx.strings("requiredGranularScopes")...)
		e.Details = append(e.Details, listed[i].details(ctx)...)
	}
	e.Details = mergeDetails(e.Details, messageDetails(message))
	e.Message = truncate(message, MaxMessage)
	return e
}

// errorContext is a map of lists; a single string counts as a list of one.
type errorContext map[string]json.RawMessage

func parseContext(raw json.RawMessage) errorContext {
	var m errorContext
	_ = json.Unmarshal(raw, &m)
	return m
}

func (m errorContext) strings(key string) []string {
	raw, ok := m[key]
	if !ok {
		return nil
	}
	var list []looseString
	if json.Unmarshal(raw, &list) != nil {
		list = make([]looseString, 1)
		if json.Unmarshal(raw, &list[0]) != nil {
			return nil
		}
	}
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s != "" {
			out = append(out, string(s))
		}
	}
	return out
}

// looseString takes a string, or the JSON text of anything else.
type looseString string

func (s *looseString) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*s = ""
		return nil
	}
	var plain string
	if err := json.Unmarshal(b, &plain); err == nil {
		*s = looseString(plain)
		return nil
	}
	*s = looseString(b)
	return nil
}

// truncate cuts s to at most n bytes without splitting a rune.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
