package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// NewProperty is the definition of a property to be made.
type NewProperty struct {
	Name        string
	Label       string
	Type        string
	FieldType   string
	Group       string
	Description string
	Options     []Option
	// Unique lets records be addressed by the property. HubSpot takes it when the
	// property is made and never later, for at most ten properties of an object.
	Unique bool
}

// CreateProperty makes a property of the object. created is false where one of
// the name exists already, archived ones apart, which HubSpot brings back. A new
// property may stay unknown to other calls for most of a second. Errors are those
// of Properties.
func (c *Client) CreateProperty(ctx context.Context, object string, p NewProperty) (created bool, err error) {
	type option struct {
		Label  string `json:"label"`
		Value  string `json:"value"`
		Order  int    `json:"displayOrder"`
		Hidden bool   `json:"hidden"`
	}
	options := make([]option, len(p.Options))
	for i, o := range p.Options {
		options[i] = option{o.Label, o.Value, i, o.Hidden}
	}
	body, err := json.Marshal(struct {
		Name        string   `json:"name"`
		Label       string   `json:"label"`
		Type        string   `json:"type"`
		FieldType   string   `json:"fieldType"`
		Group       string   `json:"groupName"`
		Description string   `json:"description,omitempty"`
		Options     []option `json:"options,omitempty"`
		Unique      bool     `json:"hasUniqueValue,omitempty"`
	}{p.Name, p.Label, p.Type, p.FieldType, p.Group, p.Description, options, p.Unique})
	if err != nil {
		return false, err
	}
	_, err = c.do(ctx, &call{
		endpoint: "properties/" + object,
		method:   http.MethodPost,
		path:     c.propertiesPath(object),
		body:     body,
	})
	var refusal *Error
	if errors.As(err, &refusal) && refusal.Status == http.StatusConflict {
		return false, nil
	}
	if err != nil {
		return false, c.setup(object, err)
	}
	return true, nil
}
