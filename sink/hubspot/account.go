package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Account is what HubSpot tells about the portal.
type Account struct {
	PortalID int64
	// Type is STANDARD, DEVELOPER_TEST, SANDBOX or APP_DEVELOPER.
	Type string
	// TimeZone is an IANA name; its midnight ends the day of the daily limit.
	TimeZone    string
	UIDomain    string
	DataHosting string
}

// accountDetails is the answer.
type accountDetails struct {
	PortalID    int64  `json:"portalId"`
	Type        string `json:"accountType"`
	TimeZone    string `json:"timeZone"`
	OffsetMS    *int64 `json:"utcOffsetMilliseconds"`
	UIDomain    string `json:"uiDomain"`
	DataHosting string `json:"dataHostingLocation"`
}

func accountCall(path string, a *accountDetails) *call {
	return &call{
		endpoint: "account-info/details",
		method:   http.MethodGet,
		path:     path,
		check: func(r reply) error {
			if err := json.Unmarshal(r.body, a); err != nil {
				return err
			}
			if a.PortalID == 0 { // taken as it is, it would be another portal's
				return errors.New("it names no portal")
			}
			return nil
		},
	}
}

// Account reads the portal's details, and takes the portal's midnight from them.
// From then on a token that takes the place of this one must be of the same
// portal. A token may be good for everything else and yet not for this: then the
// error is *AuthError or *Error with status 403 or 404, which a caller may
// tolerate.
func (c *Client) Account(ctx context.Context) (Account, error) {
	var a accountDetails
	if _, err := c.do(ctx, accountCall(c.accountPath(), &a)); err != nil {
		return Account{}, err
	}
	c.portal.Store(a.PortalID)
	loc, err := time.LoadLocation(a.TimeZone)
	switch {
	case err == nil && a.TimeZone != "":
		c.gov.setLocation(loc)
	case a.OffsetMS != nil:
		c.gov.setLocation(time.FixedZone(a.TimeZone, int(*a.OffsetMS/1000)))
	}
	return Account{a.PortalID, a.Type, a.TimeZone, a.UIDomain, a.DataHosting}, nil
}
