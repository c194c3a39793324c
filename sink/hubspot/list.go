package hubspot

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Page is a part of an object's records.
type Page struct {
	Records []Found
	// After continues behind this page; empty on the last one.
	After string
}

// List reads a page of up to 100 of the object's records that are not archived,
// from the one that after names; empty for the first. It reads the records as
// they are, where a search would lag behind and is limited by itself.
func (c *Client) List(ctx context.Context, object, after string, properties []string) (Page, error) {
	query := url.Values{"limit": {"100"}, "archived": {"false"}}
	if len(properties) > 0 {
		query.Set("properties", strings.Join(properties, ","))
	}
	if after != "" {
		query.Set("after", after)
	}
	var page Page
	_, err := c.do(ctx, &call{
		endpoint: object + "/list",
		method:   http.MethodGet,
		path:     c.objectPath(object),
		query:    query,
		gate:     object,
		check: func(r reply) (err error) {
			page, err = parsePage(r.body)
			return err
		},
	})
	return page, err
}

func parsePage(body []byte) (Page, error) {
	s := newScanner(body)
	var page Page
	found := false
	err := s.object(func(key string) error {
		switch key {
		case "results":
			found = true
			return s.array(func() error {
				r, err := s.result()
				page.Records = append(page.Records, Found{State: Written, ID: r.id, Properties: r.properties})
				return err
			})
		case "paging":
			if s.peek() != '{' {
				return s.skip()
			}
			return s.object(func(key string) error {
				if key != "next" || s.peek() != '{' {
					return s.skip()
				}
				return s.object(func(key string) (err error) {
					if key != "after" {
						return s.skip()
					}
					page.After, err = s.text()
					return err
				})
			})
		}
		return s.skip()
	})
	if err == nil && !found {
		err = errShape
	}
	return page, err
}
