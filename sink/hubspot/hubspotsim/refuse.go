package hubspotsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// answer is a whole response. The body may be a piece of a buffer that is used
// again after it was written.
type answer struct {
	status int
	header http.Header // more than the usual
	body   []byte
	html   bool
}

// refusal is HubSpot's error body. Every field is optional there, and here
// present only where recordings have it.
type refusal struct {
	Status        string              `json:"status"`
	Message       string              `json:"message"`
	CorrelationID string              `json:"correlationId,omitempty"`
	Category      string              `json:"category,omitempty"`
	SubCategory   string              `json:"subCategory,omitempty"`
	ErrorType     string              `json:"errorType,omitempty"`
	PolicyName    string              `json:"policyName,omitempty"`
	GroupName     string              `json:"groupName,omitempty"`
	RequestID     string              `json:"requestId,omitempty"`
	Context       map[string][]string `json:"context,omitempty"`
	Errors        []detail            `json:"errors,omitempty"`
}

// detail is one element of a refusal's errors.
type detail struct {
	Message string              `json:"message"`
	Code    string              `json:"code,omitempty"`
	Context map[string][]string `json:"context,omitempty"`
}

// invalidValue is one element of the JSON array inside of a message.
type invalidValue struct {
	IsValid   bool    `json:"isValid"`
	Message   string  `json:"message"`
	Error     string  `json:"error"`
	Name      string  `json:"name"`
	Localized string  `json:"localizedErrorMessage,omitempty"`
	Value     *string `json:"propertyValue,omitempty"`
	PortalID  int64   `json:"portalId,omitempty"`
}

// warning is an element of a result's warnings, from version 2026-09 on.
type warning struct {
	Category string            `json:"category"`
	Message  string            `json:"message"`
	Context  map[string]string `json:"context"`
}

func (c *call) refuse(status int, r refusal) answer {
	r.Status = "error"
	r.CorrelationID = c.id
	return answer{status: status, body: mustJSON(r)}
}

// invalid is a 400 of category VALIDATION_ERROR.
func (c *call) invalid(context map[string][]string, format string, args ...any) answer {
	return c.refuse(http.StatusBadRequest, refusal{
		Message: fmt.Sprintf(format, args...), Category: "VALIDATION_ERROR", Context: context,
	})
}

// badJSON is the 400 for a body that is not what the endpoint takes. It has no
// category.
func (c *call) badJSON(text []byte, err error) answer {
	pos := 0
	if syntax, ok := err.(*syntaxError); ok { //nolint:errorlint // the scanner never wraps
		pos = syntax.pos
	}
	line, column := place(text, pos)
	return c.refuse(http.StatusBadRequest, refusal{
		Message: fmt.Sprintf("Invalid input JSON on line %d, column %d: %s", line, column, err),
	})
}

func (c *call) notFound() answer {
	return c.refuse(http.StatusNotFound, refusal{Message: "resource not found"})
}

// valuesInvalid describes bad values the way HubSpot does: in a JSON array
// inside of the message, and again, shortened, in errors.
func (c *call) valuesInvalid(ps problems) refusal {
	list := make([]invalidValue, len(ps))
	r := refusal{Category: "VALIDATION_ERROR"}
	seen := map[string]bool{}
	for i, p := range ps {
		list[i] = invalidValue{Message: p.message, Error: p.code, Name: p.name, Localized: p.message, PortalID: c.portal.id}
		if p.hasValue && c.nameValues {
			list[i].Value = &p.value
		}
		if !seen[p.code+p.name] {
			seen[p.code+p.name] = true
			r.Errors = append(r.Errors, detail{p.message, p.code, map[string][]string{"propertyName": {p.name}}})
		}
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(list)
	r.Message = "Property values were not valid: " + strings.TrimSpace(text.String())
	return r
}
