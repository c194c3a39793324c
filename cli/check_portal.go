package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// supportNotice is how long before the end of an API version it is told of.
const supportNotice = 180 * 24 * time.Hour

// askPortal asks for what run will ask for, with the token that run would use.
func (c *checker) askPortal(ctx context.Context, crm *hubspot.Client) {
	objects := []string{"companies"}
	if c.file != nil {
		objects = c.file.Objects()
	}
	properties, all := map[string][]mapping.Property{}, true
	for _, object := range objects {
		definitions, err := crm.Properties(ctx, object)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			all = false
			c.refused(scopeOrToken(err), err)
			var auth *hubspot.AuthError
			if errors.As(err, &auth) && scopeOrToken(err) == "token" {
				return // every other call would say the same
			}
			continue
		}
		properties[object] = propertiesOf(definitions)
		c.good("scope", "the properties of %s can be read: %d", object, len(definitions))
		c.askObject(ctx, crm, object)
	}
	if all {
		c.properties = properties
	}
	c.askAccount(ctx, crm)
}

// askObject reads no record and changes none.
func (c *checker) askObject(ctx context.Context, crm *hubspot.Client, object string) {
	_, err := crm.BatchRead(ctx, object, "", []string{"0"}, []string{"hs_object_id"})
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && scopeOrToken(err) == "scope":
		c.refused("scope", err)
	case err != nil && !errors.As(err, new(*hubspot.Error)):
		c.refused("portal", err)
	default: // a refusal of the id is an answer too
		c.good("scope", "%s can be read", object)
	}
	err = crm.CheckWrite(ctx, object)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		c.refused(scopeOrToken(err), err)
	default:
		c.good("scope", "%s can be written", object)
	}
}

func (c *checker) askAccount(ctx context.Context, crm *hubspot.Client) {
	account, err := crm.Account(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		c.note("portal", "nothing needs it; a token that may read the account's details would be told from one of another portal",
			"the token may not read the account's details")
	default:
		c.portalID = strconv.FormatInt(account.PortalID, 10)
		c.good("portal", "%s (%s), time zone %s", c.portalID, account.Type, account.TimeZone)
	}
	if q := crm.Quota(); q.DailyKnown {
		c.good("quota", "%d of %d calls are left today", q.DailyRemaining, q.DailyLimit)
	}
	if end, soon := supportEndsSoon(c.cfg.CRM.APIVersion, time.Now()); soon {
		c.note("api_version", "set HUBSPOT_API_VERSION to a newer one", "HubSpot's support of version %s ends on %s",
			c.cfg.CRM.APIVersion, end.Format(time.DateOnly))
	}
}

// supportEndsSoon tells when HubSpot stops supporting the version, and whether it
// is time to say so.
func supportEndsSoon(version string, now time.Time) (end time.Time, soon bool) {
	end = hubspot.SupportEnds(version)
	return end, !end.IsZero() && end.Sub(now) < supportNotice
}

// scopeOrToken names a refusal of credentials: for what they do not allow, or as
// such.
func scopeOrToken(err error) string {
	var refusal *hubspot.Error
	switch {
	case errors.As(err, &refusal) && (len(refusal.Scopes) > 0 || strings.Contains(refusal.Category, "SCOPE")):
		return "scope"
	case errors.As(err, new(*hubspot.AuthError)):
		return "token"
	}
	return "portal"
}
