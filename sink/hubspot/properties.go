package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// Definition describes a property of an object as the portal has it.
type Definition struct {
	Name      string
	Label     string
	Type      string // bool, date, datetime, enumeration, number, phone_number, string, json, object_coordinates
	FieldType string
	Options   []Option
	// ExternalOptions is set where the options live elsewhere (owners): an empty
	// list then allows anything.
	ExternalOptions bool
	Unique          bool // hasUniqueValue: may be an id property
	Calculated      bool
	ReadOnly        bool // modificationMetadata.readOnlyValue
	HubSpotDefined  bool
	Archived        bool
	// Sensitivity is the kind of property that it was listed with: empty, or one of
	// the kinds of sensitive ones.
	Sensitivity string
}

// sensitivities are the kinds of properties that are listed only when asked for.
var sensitivities = []string{"sensitive", "highly_sensitive"}

// Option is a value of an enumeration.
type Option struct {
	Label  string `json:"label"`
	Value  string `json:"value"`
	Hidden bool   `json:"hidden"`
}

// Properties reads the definitions of all properties of the object, sensitive
// ones too where the token may see them. Refused credentials and missing scopes
// are returned at once, as *AuthError; an object or path that is not there, as
// *SetupError.
func (c *Client) Properties(ctx context.Context, object string) ([]Definition, error) {
	all, err := c.properties(ctx, object, "")
	if err != nil {
		return nil, c.setup(object, err)
	}
	// By default only those that are not sensitive are listed. Most tokens and
	// portals know no others, and say so in various ways.
	seen := make(map[string]bool, len(all))
	for i := range all {
		seen[all[i].Name] = true
	}
	for _, level := range sensitivities {
		more, err := c.properties(ctx, object, level)
		if ctx.Err() != nil {
			return nil, err
		}
		for i := range more {
			if !seen[more[i].Name] {
				seen[more[i].Name] = true
				all = append(all, more[i])
			}
		}
	}
	return all, nil
}

// PropertiesAgain reads the definitions of an object that Properties has read
// before, in as few calls as will do: of the sensitive kinds only those that are
// named. What Properties would do without is an error here, lest a property look
// deleted that cannot be seen just now.
func (c *Client) PropertiesAgain(ctx context.Context, object string, kinds []string) ([]Definition, error) {
	var all []Definition
	for _, kind := range append([]string{""}, kinds...) {
		some, err := c.properties(ctx, object, kind)
		if err != nil {
			return nil, c.setup(object, err)
		}
		for i := range some {
			if !slices.ContainsFunc(all, func(d Definition) bool { return d.Name == some[i].Name }) {
				all = append(all, some[i])
			}
		}
	}
	return all, nil
}

// Sensitivities lists the sensitive kinds among the definitions.
func Sensitivities(definitions []Definition) []string {
	return slices.DeleteFunc(slices.Clone(sensitivities), func(kind string) bool {
		return !slices.ContainsFunc(definitions, func(d Definition) bool { return d.Sensitivity == kind })
	})
}

func (c *Client) properties(ctx context.Context, object, sensitivity string) ([]Definition, error) {
	var list struct {
		Results *[]struct {
			Name            string   `json:"name"`
			Label           string   `json:"label"`
			Type            string   `json:"type"`
			FieldType       string   `json:"fieldType"`
			Options         []Option `json:"options"`
			ExternalOptions bool     `json:"externalOptions"`
			Unique          bool     `json:"hasUniqueValue"`
			Calculated      bool     `json:"calculated"`
			HubSpotDefined  bool     `json:"hubspotDefined"`
			Archived        bool     `json:"archived"`
			Modification    struct {
				ReadOnlyValue bool `json:"readOnlyValue"`
			} `json:"modificationMetadata"`
		} `json:"results"`
	}
	var query url.Values
	if sensitivity != "" {
		query = url.Values{"dataSensitivity": {sensitivity}}
	}
	_, err := c.do(ctx, &call{
		endpoint: "properties/" + object,
		method:   http.MethodGet,
		path:     c.propertiesPath(object),
		query:    query,
		check: func(r reply) error {
			if err := json.Unmarshal(r.body, &list); err != nil {
				return err
			}
			if list.Results == nil {
				return errShape
			}
			// Every object has properties of HubSpot's own. Of the sensitive kinds
			// there may be none.
			if sensitivity == "" && len(*list.Results) == 0 {
				return errors.New("it lists no property at all")
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	out := make([]Definition, 0, len(*list.Results))
	for _, d := range *list.Results {
		out = append(out, Definition{
			Name: d.Name, Label: d.Label, Type: d.Type, FieldType: d.FieldType,
			Options: d.Options, ExternalOptions: d.ExternalOptions, Unique: d.Unique,
			Calculated: d.Calculated, ReadOnly: d.Modification.ReadOnlyValue,
			HubSpotDefined: d.HubSpotDefined, Archived: d.Archived, Sensitivity: sensitivity,
		})
	}
	return out, nil
}
