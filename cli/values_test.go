package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// hostile are texts that are at the edge of what some type takes, or beyond it.
var hostile = []string{
	"abc", " a ", "a\tb\n", "\u202egnp", "é", "😀", "<b>&amp;", `"quoted\"`, "null", "-", "0", "-0", "007", "+.5", "5.", ".5", "1e-7", "-1.5e+20", "1e400",
	"9223372036854775807", "12345678901234567890.123456789", "NaN", "Infinity", "0x1f", "1,234", "t", "f", "true", "FALSE", "yes",
	"2026-01-31", "2024-02-29", "2026-02-29", "0001-01-01", "0044-03-15 BC", "9999-12-31", "10000-01-01", "infinity", "-infinity",
	"2026-01-31 12:00:00.123456", "2026-01-31 12:00:00.123456+00", "1883-11-18 12:00:00-04:56:02", "9999-12-31 23:59:59.9999+00", "10000-01-01 00:00:00+00",
	"free", "Free", "pro", "free;pro", ";free", "free;", "free;;pro", "{free,pro}", "{free,NULL,free}", `{"a;b"}`, "{}", `[0:1]={free,pro}`, `{"a": 1e5}`, `["free"]`,
	strings.Repeat("x", 65536), strings.Repeat("x", 65537), strings.Repeat("😀", 32769), strings.Repeat("9", 400),
}

// TestNoValueThatTheMappingMakesIsRefused sends what the mapping makes of hostile
// texts, in columns of all kinds, to properties of all types. What cannot be
// written the mapping must refuse itself.
func TestNoValueThatTheMappingMakesIsRefused(t *testing.T) {
	w := newWorldWith(t, `CREATE EXTENSION IF NOT EXISTS citext;
		CREATE DOMAIN amount AS numeric;
		CREATE TABLE edges (id bigint PRIMARY KEY, c_text text, c_citext citext, c_char char(80), c_bool bool, c_int int, c_big bigint, c_numeric numeric, c_amount amount,
			c_real real, c_double float8, c_money money, c_date date, c_ts timestamp, c_tstz timestamptz, c_json jsonb, c_array text[], c_ints int[], c_uuid uuid, c_range int4range)`, worldMapping)
	properties := map[string]hubspotsim.Property{}
	for _, p := range []hubspotsim.Property{
		hubspotsim.Text("p_string"), hubspotsim.Number("p_number"), hubspotsim.Bool("p_bool"), hubspotsim.Date("p_date"), hubspotsim.DateTime("p_datetime"),
		hubspotsim.Enum("p_enum", "free", "pro"), hubspotsim.Checkboxes("p_boxes", "free", "pro"),
	} {
		properties[p.Name] = p
	}
	list := []hubspotsim.Property{hubspotsim.Unique("edge_id")}
	for _, p := range properties {
		list = append(list, p)
	}
	limits := hubspotsim.Unthrottled()
	portal := hubspotsim.New(hubspotsim.Options{Limits: &limits, Properties: map[string][]hubspotsim.Property{"companies": list}})
	server := httptest.NewServer(portal)
	t.Cleanup(func() { portal.Close(); server.Close() })
	crm, err := hubspot.New(hubspot.Config{
		BaseURL: server.URL, APIVersion: "v3", Token: func(context.Context) (string, error) { return hubspotsim.DefaultToken, nil }, MaxInFlight: 1,
		QuotaShare: 1, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Rand: func() float64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := portal.Seed("companies", map[string]string{"edge_id": "1"}); err != nil {
		t.Fatal(err)
	}
	found, err := crm.Properties(t.Context(), "companies")
	if err != nil {
		t.Fatal(err)
	}
	definitions := map[string][]mapping.Property{"companies": propertiesOf(found)}
	file, err := mapping.Parse("m", []byte("version: 1\ntables: {edges: {match: {edge_id: id}, properties: {p_string: c_text}}}"))
	if err != nil {
		t.Fatal(err)
	}
	relations, err := describe(t.Context(), w.conn, file)
	if err != nil {
		t.Fatal(err)
	}
	rel := relations[0]
	deliverer := sink.NewDeliverer(crm, slog.New(slog.DiscardHandler))
	sent := 0
	for name := range properties {
		for i := range rel.Columns[1:] {
			column := rel.Columns[i+1].Name
			for _, rule := range []string{column, "{column: " + column + ", tz: America/New_York}", `{expr: "` + column + `", tz: UTC}`, `{expr: "string(` + column + `)"}`, "{column: " + column + ", on_overflow: truncate}"} {
				file, err := mapping.Parse("m", fmt.Appendf(nil, "version: 1\ntables: {edges: {match: {edge_id: id}, properties: {%s: %s}}}", name, rule))
				if err != nil {
					continue
				}
				m, err := mapping.Compile(file, relations, definitions)
				if err != nil {
					continue
				}
				sent += sendHostile(t, deliverer, m, rel, i+1, name+": "+rule)
			}
		}
	}
	if sent < 1000 {
		t.Errorf("only %d values were sent", sent)
	}
}

// sendHostile sends what the mapping makes of the texts in one column.
func sendHostile(t *testing.T, deliverer *sink.Deliverer, m *mapping.Mapping, rel *change.Relation, column int, rule string) (sent int) {
	t.Helper()
	mapper := m.Mapper()
	seen := map[string]bool{}
	for _, text := range hostile {
		row := make([]change.Value, len(rel.Columns))
		for i := range row {
			row[i].Kind = change.Null
		}
		row[0] = change.Value{Kind: change.Text, Text: []byte("1")}
		row[column] = change.Value{Kind: change.Text, Text: []byte(text)}
		patches, err := mapper.Map(&change.Event{Kind: change.Insert, Relation: rel, New: row}, nil)
		if err != nil || len(patches) != 1 {
			t.Fatalf("%s: %d patches, %v", rule, len(patches), err)
		}
		for p := range patches[0].Props.All() {
			if p.Kind != change.Set || seen[string(p.Text)] {
				continue
			}
			seen[string(p.Text)] = true
			sent++
			job := sink.Job{Key: "1", Props: change.Props{}.Append(p.Slot, change.Set, slices.Clone(p.Text))}
			verdicts, err := deliverer.Deliver(t.Context(), m.Targets()[0], []sink.Job{job})
			if err != nil {
				t.Fatal(err)
			}
			if v := verdicts[0]; v.Outcome != sink.Delivered || len(v.Refusals)+len(v.NotApplied) > 0 {
				t.Errorf("%s: %.60q was sent as %.60q: %v %+v %+v", rule, text, p.Text, v.Outcome, v.Refusals, v.NotApplied)
			}
		}
	}
	return sent
}
