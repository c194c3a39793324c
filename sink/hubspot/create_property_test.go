package hubspot_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

func TestCreateProperty(t *testing.T) {
	for _, version := range []string{"v3", "2026-03"} {
		portal := hubspotsim.New(hubspotsim.Options{PropertyDelay: time.Millisecond})
		c := connect(t, portal, func(cfg *hubspot.Config) { cfg.APIVersion = version })
		key := hubspot.NewProperty{Name: "pg_key", Label: "Key", Type: "string", FieldType: "text", Group: "companyinformation", Unique: true}
		created, err := c.CreateProperty(t.Context(), "companies", key)
		if err != nil || !created {
			t.Fatal(version, created, err)
		}
		if created, err := c.CreateProperty(t.Context(), "companies", key); err != nil || created {
			t.Errorf("%s: once more: %v, %v", version, created, err)
		}
		tier := hubspot.NewProperty{
			Name: "tier", Label: "Tier", Type: "enumeration", FieldType: "select", Group: "companyinformation",
			Options: []hubspot.Option{{Label: "Gold", Value: "gold"}, {Label: "Silver", Value: "silver"}},
		}
		if _, err := c.CreateProperty(t.Context(), "companies", tier); err != nil {
			t.Fatal(version, err)
		}
		deadline := time.Now().Add(10 * time.Second)
		for found := 0; found < 2; {
			found = 0
			definitions, err := c.Properties(t.Context(), "companies")
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%s: %d of two properties are there: %v", version, found, err)
			}
			for _, d := range definitions {
				if d.Name == "pg_key" && d.Unique || d.Name == "tier" && len(d.Options) == 2 {
					found++
				}
			}
		}
		var refusal *hubspot.Error
		if _, err := c.CreateProperty(t.Context(), "companies", hubspot.NewProperty{Name: "Bad Name"}); !errors.As(err, &refusal) || refusal.Status != 400 {
			t.Errorf("%s: a name with a blank: %v", version, err)
		}
	}
}
