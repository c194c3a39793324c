package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Version is a value that a property has or had, and who gave it.
type Version struct {
	Value string
	// At is when it was set; zero where HubSpot does not say.
	At time.Time
	// Source is HubSpot's word for what set it: CRM_UI, INTEGRATION, API, IMPORT,
	// AUTOMATION_PLATFORM and more. SourceID names the user or the app.
	Source   string
	SourceID string
}

// History reads the versions of properties of a record, the newest first. A
// record that does not exist has none. Refused credentials are returned at once,
// as *AuthError.
func (c *Client) History(ctx context.Context, object, id string, properties []string) (map[string][]Version, error) {
	var got struct {
		Properties map[string][]struct {
			Value     looseString `json:"value"`
			Timestamp string      `json:"timestamp"`
			Source    looseString `json:"sourceType"`
			SourceID  looseString `json:"sourceId"`
			Label     looseString `json:"sourceLabel"`
		} `json:"propertiesWithHistory"`
	}
	_, err := c.do(ctx, &call{
		endpoint: object + "/get",
		method:   http.MethodGet,
		path:     c.objectPath(object, id),
		query:    url.Values{"propertiesWithHistory": {strings.Join(properties, ",")}},
		check:    func(r reply) error { return json.Unmarshal(r.body, &got) },
	})
	var refusal *Error
	switch {
	case errors.As(err, &refusal) && refusal.Class() == Missing:
		return nil, nil
	case err != nil:
		return nil, err
	}
	all := make(map[string][]Version, len(got.Properties))
	for name, versions := range got.Properties {
		list := make([]Version, len(versions))
		for i, v := range versions {
			list[i] = Version{Value: string(v.Value), Source: string(v.Source), SourceID: string(v.SourceID)}
			if list[i].SourceID == "" {
				list[i].SourceID = string(v.Label)
			}
			if at, err := time.Parse(time.RFC3339Nano, v.Timestamp); err == nil {
				list[i].At = at
			}
		}
		all[name] = list
	}
	return all, nil
}
