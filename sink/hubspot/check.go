package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// SetupError is an answer at start that shows a wrong setting.
type SetupError struct {
	problem string
	refusal *Error
	// UnknownObject is set where the portal has no such object type.
	UnknownObject bool
}

// Error is the problem.
func (e *SetupError) Error() string { return e.problem }

// Problems names the setting and the mend.
func (e *SetupError) Problems() []string { return []string{e.problem} }

// Unwrap gives HubSpot's refusal.
func (e *SetupError) Unwrap() error { return e.refusal }

// setup turns a refusal of a call about an object as such into the setting that
// it shows to be wrong.
func (c *Client) setup(object string, err error) error {
	var refusal *Error
	if !errors.As(err, &refusal) || errors.As(err, new(*AuthError)) {
		return err
	}
	switch {
	case strings.Contains(refusal.Message, "Unable to infer object type"):
		return &SetupError{fmt.Sprintf("mapping: HubSpot does not know the object type %q; mend object (a custom object is named 2-NNN or by its full name)", object), refusal, true}
	case refusal.Status == http.StatusNotFound || refusal.Status == http.StatusMethodNotAllowed || refusal.Status == http.StatusGone:
		return &SetupError{fmt.Sprintf("HUBSPOT_BASE_URL: HubSpot's API is not there (status %d for the definitions of %s); check it, HUBSPOT_API_VERSION %s, and object in the mapping",
			refusal.Status, object, c.cfg.APIVersion), refusal, false}
	}
	return err
}

// CheckWrite finds out whether the token may write the object, by an update
// that can change nothing: of no property, and of an id that no record has. The
// error is *AuthError where scopes are missing.
func (c *Client) CheckWrite(ctx context.Context, object string) error {
	_, err := c.do(ctx, &call{
		endpoint: object + "/batch/update",
		method:   http.MethodPost,
		path:     c.objectPath(object, "batch", "update"),
		body:     []byte(`{"inputs":[{"id":"0","properties":{}}]}`),
	})
	var refusal *Error
	if errors.As(err, new(*AuthError)) || !errors.As(err, &refusal) {
		return err
	}
	if err := c.setup(object, err); errors.As(err, new(*SetupError)) {
		return err
	}
	return nil // refused for its emptiness: the scope is there
}
