package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// OAuth is a token source that exchanges a refresh token for access tokens,
// which live for half an hour. A refresh token that HubSpot rotates is kept in
// memory alone, never stored.
type OAuth struct {
	// BaseURL and APIVersion are those of Config.
	BaseURL    string
	APIVersion string
	ClientID   string
	// ClientSecret and RefreshToken give the secrets' present values.
	ClientSecret func() (string, error)
	RefreshToken func() (string, error)
	// Transport replaces the HTTP transport; nil makes one.
	Transport http.RoundTripper

	given, rotated string
}

// temporary is a failure that goes away by itself.
type temporary struct{ error }

func (temporary) Temporary() bool { return true }

// Token asks for a new access token. The error is *TokenRefused where a setting
// must change, and has Temporary where the next attempt may succeed. It is not
// safe for concurrent use; the client never overlaps calls.
func (o *OAuth) Token(ctx context.Context) (string, error) {
	base := o.BaseURL
	if base == "" {
		base = DefaultBaseURL
	}
	u, err := parseBaseURL(base)
	if err != nil {
		return "", &TokenRefused{Setting: "HUBSPOT_BASE_URL", Reason: err.Error()}
	}
	secret, err := o.ClientSecret()
	if err != nil {
		return "", &TokenRefused{Setting: "HUBSPOT_CLIENT_SECRET", Reason: "cannot be read"}
	}
	refresh, err := o.refreshToken()
	if err != nil {
		return "", &TokenRefused{Setting: "HUBSPOT_REFRESH_TOKEN", Reason: "cannot be read"}
	}
	if o.Transport == nil {
		o.Transport = newTransport(1, u.Scheme == "http")
	}
	form := url.Values{
		"grant_type": {"refresh_token"}, "client_id": {o.ClientID},
		"client_secret": {secret}, "refresh_token": {refresh},
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String()+oauthPath(o.APIVersion), strings.NewReader(form.Encode()))
	if err != nil {
		return "", errors.New("the token request could not be built")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := o.Transport.RoundTrip(req)
	if err != nil {
		return "", temporary{fmt.Errorf("token endpoint: %w", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", temporary{fmt.Errorf("token endpoint: %w", err)}
	}
	if resp.StatusCode != http.StatusOK {
		return "", refusedRefresh(resp.StatusCode, body)
	}
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	err = json.Unmarshal(body, &answer)
	if err == nil && answer.Access == "" {
		err = errors.New("it holds no token")
	}
	if err != nil {
		return "", temporary{fmt.Errorf("token endpoint: %w", &malformed{resp.StatusCode, body, err})}
	}
	if answer.Refresh != "" {
		o.rotated = answer.Refresh
	}
	return answer.Access, nil
}

// refreshToken gives the one that HubSpot rotated to, until the setting changes.
func (o *OAuth) refreshToken() (string, error) {
	given, err := o.RefreshToken()
	if err != nil {
		return "", err
	}
	if given != o.given {
		o.given, o.rotated = given, given
	}
	return o.rotated, nil
}

// refusedRefresh says which setting a refusal of the token endpoint is about.
// Its body may repeat what was sent, so none of it is passed on but the code.
func refusedRefresh(status int, body []byte) error {
	e := parseError(status, body, "")
	switch {
	case e.Class() == Retry:
		return temporary{fmt.Errorf("token endpoint: status %d", status)}
	case e.Category == "BAD_CLIENT_ID":
		return &TokenRefused{Setting: "HUBSPOT_CLIENT_ID", Reason: "HubSpot does not know this app (BAD_CLIENT_ID)"}
	case e.Category == "BAD_CLIENT_SECRET":
		return &TokenRefused{Setting: "HUBSPOT_CLIENT_SECRET", Reason: "does not belong to HUBSPOT_CLIENT_ID (BAD_CLIENT_SECRET)"}
	case e.Category == "BAD_HUB":
		return &TokenRefused{Setting: "HUBSPOT_REFRESH_TOKEN", Reason: "belongs to a portal that this app cannot use (BAD_HUB)"}
	default:
		return &TokenRefused{Setting: "HUBSPOT_REFRESH_TOKEN", Reason: fmt.Sprintf("was revoked or is wrong (status %d); install the app in the portal again and set the new refresh token", status)}
	}
}
