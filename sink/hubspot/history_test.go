package hubspot_test

import (
	"testing"

	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

func TestHistory(t *testing.T) {
	portal := hubspotsim.New(hubspotsim.Options{HistoryDepth: 5})
	c := connect(t, portal, nil)
	ids, err := portal.Seed("companies", map[string]string{"name": "First"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.BatchUpdate(t.Context(), "companies", []hubspot.Input{{ID: ids[0], Properties: []hubspot.Property{{Name: "name", Value: "Second"}}}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.History(t.Context(), "companies", ids[0], []string{"name", "city"})
	if err != nil {
		t.Fatal(err)
	}
	names := all["name"]
	if len(names) != 2 || names[0].Value != "Second" || names[1].Value != "First" || names[0].Source == "" || names[0].At.IsZero() || len(all["city"]) != 0 {
		t.Errorf("got %+v", all)
	}
	if none, err := c.History(t.Context(), "companies", "404404", []string{"name"}); err != nil || len(none) != 0 {
		t.Errorf("of a record that does not exist: %v, %v", none, err)
	}
}
