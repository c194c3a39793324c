package cli

import (
	"fmt"
	"strconv"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// simulatorProperties are custom properties that a portal used with pgcrm
// would have, beside HubSpot's own.
func simulatorProperties() map[string][]hubspotsim.Property {
	return map[string][]hubspotsim.Property{
		"companies": {
			hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "FREE", "TEAM", "ENTERPRISE"), hubspotsim.Number("seats"),
			hubspotsim.Bool("active_customer"), hubspotsim.Text("account_notes"), hubspotsim.Text("source_system"),
			hubspotsim.Number("mrr"), hubspotsim.Enum("subscription_status", "trialing", "active", "past_due", "cancelled"),
			hubspotsim.Date("renewal_date"), hubspotsim.DateTime("last_seen_at"),
		},
		"contacts": {hubspotsim.Unique("user_id"), hubspotsim.Text("full_name"), hubspotsim.Text("user_role")},
		"deals":    {hubspotsim.Unique("subscription_id")},
	}
}

// simulatorCompanies makes records that look like somebody's customers.
func simulatorCompanies(n int) []map[string]string {
	first := []string{"Blue", "North", "Bright", "Iron", "Silver", "Green", "Rapid", "Open", "Quiet", "Solid", "Clear", "Golden"}
	second := []string{"Harbor", "Field", "Stone", "River", "Cloud", "Bridge", "Forge", "Leaf", "Wave", "Peak", "Lane"}
	kind := []string{"Labs", "Systems", "Logistics", "Foods", "Analytics", "Energy", "Studio"}
	cities := [][2]string{{"Berlin", "Germany"}, {"Lyon", "France"}, {"Austin", "United States"}, {"Porto", "Portugal"}, {"Osaka", "Japan"}}
	out := make([]map[string]string, n)
	for i := range out {
		a, b, k, city := first[i%len(first)], second[i%len(second)], kind[i%len(kind)], cities[i%len(cities)]
		out[i] = map[string]string{
			"account_id": strconv.Itoa(i + 1), "name": fmt.Sprintf("%s %s %s", a, b, k),
			"domain": fmt.Sprintf("account%d.example", i+1), "city": city[0], "country": city[1],
		}
	}
	return out
}
