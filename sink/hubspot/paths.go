package hubspot

import (
	"net/url"
	"strings"
	"time"
)

// The version sits in another place in every family of paths, so a switch of
// version is a template and never a replacement of "v3".

func (c *Client) objectPath(object string, rest ...string) string {
	var b strings.Builder
	if c.cfg.APIVersion == "v3" {
		b.WriteString("/crm/v3/objects/")
	} else {
		b.WriteString("/crm/objects/" + c.cfg.APIVersion + "/")
	}
	b.WriteString(url.PathEscape(object))
	for _, part := range rest {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

func (c *Client) propertiesPath(object string) string {
	if c.cfg.APIVersion == "v3" {
		return "/crm/v3/properties/" + url.PathEscape(object)
	}
	return "/crm/properties/" + c.cfg.APIVersion + "/" + url.PathEscape(object)
}

func (c *Client) accountPath() string { return "/account-info/" + c.cfg.APIVersion + "/details" }

// oauthPath never names v1, which is removed in February 2027.
func oauthPath(version string) string {
	if version == "v3" || version == "" {
		version = "2026-03"
	}
	return "/oauth/" + version + "/token"
}

// SupportEnds says when HubSpot stops supporting the version: v3 in September
// 2027, a dated version 18 months after its month. Unsupported means no fixes;
// HubSpot has not said that calls will be refused.
func SupportEnds(version string) time.Time {
	if version == "v3" {
		return time.Date(2027, time.September, 1, 0, 0, 0, 0, time.UTC)
	}
	month, err := time.Parse("2006-01", version)
	if err != nil {
		return time.Time{}
	}
	return month.AddDate(0, 18, 0)
}
