package hubspotsim

import (
	"strings"
	"testing"
)

func TestQuirks(t *testing.T) {
	const update = "/crm/v3/objects/companies/batch/update"
	tests := map[string]struct {
		quirks   Quirks
		path     string
		body     string
		status   int
		contains string
		lacks    string
	}{
		"trace ids are not echoed":    {Quirks{}, update, `{"inputs":[{"id":"7","objectWriteTraceId":"t-1","properties":{"name":"x"}}]}`, 200, `"id":"7"`, "t-1"},
		"trace ids are echoed":        {Quirks{EchoTrace: On}, update, `{"inputs":[{"id":"7","objectWriteTraceId":"t-1","properties":{"name":"x"}}]}`, 200, `"objectWriteTraceId":"t-1"`, ""},
		"values as sent":              {Quirks{Normalise: Off}, update, `{"inputs":[{"id":"7","properties":{"renewal":"0"}}]}`, 200, `"renewal":"0"`, ""},
		"bad values are not named":    {Quirks{NameValues: Off}, update, `{"inputs":[{"id":"7","properties":{"annualrevenue":"x"}}]}`, 400, "INVALID_INTEGER", "propertyValue"},
		"unknown fields":              {Quirks{NewFields: On}, update, `{"inputs":[{"id":"7","properties":{"name":"x"}}]}`, 200, `"links":{}`, ""},
		"mixed id properties":         {Quirks{}, update, `{"inputs":[{"id":"7","properties":{"name":"x"}},{"id":"A1","idProperty":"account_id","properties":{"name":"x"}}]}`, 207, "OBJECT_NOT_FOUND", ""},
		"mixed id properties refused": {Quirks{MixedIDProperties: Off}, update, `{"inputs":[{"id":"7","properties":{"name":"x"}},{"id":"a1","idProperty":"account_id","properties":{"name":"x"}}]}`, 400, "must use the same idProperty", ""},
		"case matters":                {Quirks{}, update, `{"inputs":[{"id":"A1","idProperty":"account_id","properties":{"name":"x"}}]}`, 207, "OBJECT_NOT_FOUND", ""},
		"case is folded":              {Quirks{FoldCase: On}, update, `{"inputs":[{"id":" A1","idProperty":"account_id","properties":{"name":"x"}}]}`, 200, `"id":"7"`, ""},
		"folded duplicates":           {Quirks{FoldCase: On}, update, `{"inputs":[{"id":"A1","idProperty":"account_id","properties":{"name":"x"}},{"id":"a1","idProperty":"account_id","properties":{"name":"y"}}]}`, 400, "Duplicate IDs", ""},
		"traces in the lost entry":    {Quirks{}, update, `{"inputs":[{"id":"1","objectWriteTraceId":"t-1","properties":{"name":"x"}}]}`, 207, `"t-1"`, ""},
		"no traces in the lost entry": {Quirks{NotFoundNamesTraces: Off}, update, `{"inputs":[{"id":"1","objectWriteTraceId":"t-1","properties":{"name":"x"}}]}`, 207, `"ids":["1"]`, "t-1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Quirks: test.quirks})
			c.seed(map[string]string{"hs_object_id": "7", "account_id": "a1"})
			r := c.post(test.path, test.body)
			if r.status != test.status || !strings.Contains(r.text, test.contains) || test.lacks != "" && strings.Contains(r.text, test.lacks) {
				t.Errorf("%d %s", r.status, r.text)
			}
		})
	}
}

// TestRules: an administrator's rules bind API writes from 2026-09 on.
func TestRules(t *testing.T) {
	p := Text("code")
	p.Rules = Rules{MinLength: 2, MaxLength: 4}
	c := newClient(t, Options{Properties: map[string][]Property{"companies": {p}}})
	id := c.seed(nil)[0]
	for _, test := range []struct {
		version, value string
		status         int
	}{{"2026-09", "x", 400}, {"2026-09", "xx", 200}, {"2026-09", "xxxxx", 400}, {"2026-09", "", 200}, {"2026-03", "x", 200}} {
		r := c.post("/crm/objects/"+test.version+"/companies/batch/update", `{"inputs":[{"id":"`+id+`","properties":{"code":"`+test.value+`"}}]}`)
		if r.status != test.status {
			t.Errorf("%s %q: %d %s", test.version, test.value, r.status, r.text)
		}
	}
}

func TestKeepPrimaryID(t *testing.T) {
	c := newClient(t, Options{Quirks: Quirks{KeepPrimaryID: On}})
	ids := c.seed(map[string]string{"account_id": "a1"}, map[string]string{"account_id": "a2", "city": "Rome"})
	got, err := c.portal.Merge("companies", ids[0], ids[1])
	if err != nil || got != ids[0] {
		t.Fatalf("%s %v", got, err)
	}
	if rec, _ := c.portal.Record("companies", ids[1]); rec.ID != ids[0] || rec.Properties["city"] != "Rome" || rec.Properties["account_id"] != "a1" {
		t.Errorf("%+v", rec)
	}
	if r := c.update(`{"id":"` + ids[0] + `","properties":{"name":"x"}}`); r.status != 200 || len(r.body.Results) != 1 {
		t.Errorf("%s", r.text)
	}
	if _, err := c.portal.Merge("companies", ids[0], ids[1]); err == nil {
		t.Error("a record was merged with itself")
	}
}
