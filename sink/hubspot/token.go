package hubspot

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// tokenHolder keeps the token that works and asks for another one once HubSpot
// refuses it. Only one caller asks at a time.
type tokenHolder struct {
	source func(context.Context) (string, error)
	lock   chan struct{} // a mutex that a context can give up on
	value  string
	// admit decides about a token that takes the place of another one.
	admit func(ctx context.Context, token string) error
}

func newTokenHolder(source func(context.Context) (string, error)) tokenHolder {
	return tokenHolder{source: source, lock: make(chan struct{}, 1)}
}

// get returns a token other than refused, if there is one: the token kept, or
// else what the source says now. It may be refused again where the source has
// none newer.
func (h *tokenHolder) get(ctx context.Context, refused string) (string, error) {
	select {
	case h.lock <- struct{}{}:
		defer func() { <-h.lock }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if h.value != "" && h.value != refused {
		return h.value, nil
	}
	value, err := h.source(ctx)
	if err != nil {
		return "", &tokenError{err}
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return "", &tokenError{&TokenRefused{Reason: "is empty"}}
	}
	for _, r := range value {
		if r <= ' ' || r > '~' {
			return "", &tokenError{&TokenRefused{Reason: "holds a character that no token has"}}
		}
	}
	if h.value != "" && value != h.value {
		if err := h.admit(ctx, value); err != nil {
			return "", &tokenError{err}
		}
	}
	h.value = value
	return value, nil
}

// admit refuses a token of another portal than the one that Account has told of
// before: it would write one customer's records into another's CRM. A token that
// may not ask which portal it is of will do, as at start.
func (c *Client) admit(ctx context.Context, token string) error {
	pinned := c.portal.Load()
	if pinned == 0 {
		return nil
	}
	wait, done := c.waiting(ctx)
	defer done()
	var a accountDetails
	r, err := c.metered(ctx, wait, accountCall(c.accountPath(), &a), token, &reply{})
	switch {
	case err != nil:
		return temporary{fmt.Errorf("which portal the new token is of: %w", err)}
	case r.status >= 200 && r.status < 300 && a.PortalID != pinned:
		return &TokenRefused{Reason: fmt.Sprintf("the new token is of portal %d, and what runs here belongs to portal %d; give a token of that one", a.PortalID, pinned)}
	case r.status >= 300:
		refusal := parseError(r.status, r.body, r.correlationID)
		if refusal.Class() == Retry {
			c.waitFor(r, refusal)
			return temporary{fmt.Errorf("which portal the new token is of: %w", refusal)}
		}
	}
	return nil
}

// tokenError is a token that could not be had.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "no token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// TokenRefused is what a token source returns where trying again by itself
// cannot help: someone has to change a setting.
type TokenRefused struct {
	// Setting is the one at fault; empty for the setting of the token itself.
	Setting string
	// Reason follows the setting's name in a message. It holds no secret.
	Reason string
}

// Error gives setting and reason.
func (e *TokenRefused) Error() string { return strings.TrimSpace(e.Setting + " " + e.Reason) }

// AuthError is returned at start where HubSpot refuses the credentials; later
// they close the gate instead.
type AuthError struct {
	// Setting is the one that holds the credentials.
	Setting string
	// Refusal is HubSpot's answer; nil where no token could be had at all.
	Refusal *Error
	cause   error
}

// Error is the problem in one line.
func (e *AuthError) Error() string { return e.Problems()[0] }

// Unwrap gives the refusal.
func (e *AuthError) Unwrap() error {
	if e.Refusal != nil {
		return e.Refusal
	}
	return e.cause
}

// Problems names the setting and the mend.
func (e *AuthError) Problems() []string {
	var refused *TokenRefused
	switch {
	case errors.As(e.cause, &refused) && refused.Setting != "":
		return []string{refused.Setting + ": " + refused.Reason}
	case errors.As(e.cause, &refused):
		return []string{e.Setting + ": " + refused.Reason}
	case e.Refusal == nil:
		return []string{fmt.Sprintf("%s: %v", e.Setting, e.cause)}
	case len(e.Refusal.Scopes) > 0:
		return []string{fmt.Sprintf("%s: the token lacks scopes; grant it %s in HubSpot%s",
			e.Setting, strings.Join(e.Refusal.Scopes, ", "), e.correlation())}
	case e.Refusal.Status == 403:
		return []string{fmt.Sprintf("%s: HubSpot forbids this token the call (403); grant it read and write scopes of the mapped objects, such as crm.objects.companies.read and crm.objects.companies.write%s",
			e.Setting, e.correlation())}
	case e.Refusal.Category == "EXPIRED_AUTHENTICATION" && strings.Contains(e.Refusal.Message, "day(s) ago"):
		return []string{fmt.Sprintf("%s: HubSpot does not know this token (it says expired); set the whole token, pat-…, as the portal shows it%s",
			e.Setting, e.correlation())}
	default:
		return []string{fmt.Sprintf("%s: HubSpot refused the token (401); set one that is valid: a service key (Development > Keys > Service keys) or a private app's token%s",
			e.Setting, e.correlation())}
	}
}

func (e *AuthError) correlation() string {
	if e.Refusal == nil || e.Refusal.CorrelationID == "" {
		return ""
	}
	return " (correlation id " + e.Refusal.CorrelationID + ")"
}
