package hubspotsim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestRefusals sends, for each documented refusal, a batch of a good input and
// a bad one: nothing may be written, and the answer is the documented one.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", maxCharacters+1)
	tests := map[string]struct {
		input   string // the bad one; {1} and {2} stand for record ids
		version string // v3 if empty
		status  int    // 400 if 0
		message string
		code    string // in errors
	}{
		"unknown property":      {`{"id":"{2}","properties":{"nope":"x"}}`, "", 0, `Property \"nope\" does not exist`, "PROPERTY_DOESNT_EXIST"},
		"calculated":            {`{"id":"{2}","properties":{"hs_object_id":"1"}}`, "", 0, "is a calculated property; its value cannot be set", "READ_ONLY_VALUE"},
		"read only":             {`{"id":"{2}","properties":{"createdate":"1"}}`, "", 0, "is a read only property; its value cannot be set", "READ_ONLY_VALUE"},
		"option":                {`{"id":"{2}","properties":{"industry":"Software"}}`, "", 0, "was not one of the allowed options: [label", "INVALID_OPTION"},
		"option by label":       {`{"id":"{2}","properties":{"lifecyclestage":"Lead"}}`, "", 0, "Lead was not one of", "INVALID_OPTION"},
		"one option of many":    {`{"id":"{2}","properties":{"features":"sso;nope"}}`, "", 0, "nope was not one of", "INVALID_OPTION"},
		"owner":                 {`{"id":"{2}","properties":{"hubspot_owner_id":"me@example.com"}}`, "", 0, "was not one of", "INVALID_OPTION"},
		"exponent":              {`{"id":"{2}","properties":{"annualrevenue":"1.42e-14"}}`, "", 0, "1.42e-14 was not a valid number.", "INVALID_INTEGER"},
		"separator":             {`{"id":"{2}","properties":{"annualrevenue":"1,000"}}`, "", 0, "was not a valid number", "INVALID_INTEGER"},
		"not a number":          {`{"id":"{2}","properties":{"annualrevenue":"NaN"}}`, "", 0, "was not a valid number", "INVALID_INTEGER"},
		"bare point":            {`{"id":"{2}","properties":{"annualrevenue":"1."}}`, "", 0, "was not a valid number", "INVALID_INTEGER"},
		"space before a number": {`{"id":"{2}","properties":{"annualrevenue":" 1"}}`, "", 0, "was not a valid number", "INVALID_INTEGER"},
		"bool t":                {`{"id":"{2}","properties":{"active":"t"}}`, "", 0, "t was not one of", "INVALID_OPTION"},
		"date with time":        {`{"id":"{2}","properties":{"renewal":"1606768561954"}}`, "", 0, "1606768561954 is at 20:36:1.954 UTC, not midnight!", "INVALID_DATE"},
		"date as ISO time":      {`{"id":"{2}","properties":{"renewal":"1990-01-01T00:00:00Z"}}`, "2026-03", 0, "was not a valid long", "INVALID_LONG"},
		"no such day":           {`{"id":"{2}","properties":{"renewal":"2026-02-29"}}`, "2026-09", 0, "was not a valid long", "INVALID_LONG"},
		"microseconds":          {`{"id":"{2}","properties":{"seen_at":"2019-05-13T12:05:53.602759Z"}}`, "", 0, "2019-05-13T12:05:53.602759Z was not a valid long.", "INVALID_LONG"},
		"moment without zone":   {`{"id":"{2}","properties":{"seen_at":"2019-05-13T12:05:53"}}`, "", 0, "was not a valid long", "INVALID_LONG"},
		"postgres moment":       {`{"id":"{2}","properties":{"seen_at":"2019-05-13 12:05:53+00"}}`, "", 0, "was not a valid long", "INVALID_LONG"},
		"infinity":              {`{"id":"{2}","properties":{"seen_at":"infinity"}}`, "", 0, "was not a valid long", "INVALID_LONG"},
		"too long":              {`{"id":"{2}","properties":{"name":"` + long + `"}}`, "", 0, "too long", "INVALID_STRING_LENGTH"},
		"unique value taken":    {`{"id":"{2}","properties":{"account_id":"a1"}}`, "", 0, "already has that value", "CONFLICTING_UNIQUE_VALUE"},
		"same id":               {`{"id":"{1}","properties":{"name":"x"}}`, "", 0, "Duplicate IDs found in batch input: [{1}]. IDs must be unique", ""},
		"same record":           {`{"id":"a1","idProperty":"account_id","properties":{"name":"x"}}`, "", 0, "Duplicate IDs found in batch input: [a1]", ""},
		"no properties":         {`{"id":"{2}","properties":{}}`, "", 0, "No properties found to update, please provide at least one.", ""},
		"no properties at all":  {`{"id":"{2}"}`, "", 0, "No properties found to update", ""},
		"non-unique idProperty": {`{"id":"x.example","idProperty":"domain","properties":{"name":"x"}}`, "", 0, "Unable to perform update/upsert by non-unique 0-2 property domain", ""},
		"record id as property": {`{"id":"{2}","idProperty":"hs_object_id","properties":{"name":"x"}}`, "", 0, "by non-unique 0-2 property hs_object_id in portal ID 21939747", ""},
		"unknown idProperty":    {`{"id":"{2}","idProperty":"nope","properties":{"name":"x"}}`, "", 0, "by non-unique 0-2 property nope", ""},
		"no id":                 {`{"properties":{"name":"x"}}`, "", 0, "Invalid input JSON on line 1", ""},
		"number as value":       {`{"id":"{2}","properties":{"annualrevenue":1}}`, "", 0, "Cannot deserialize value of type `String`", ""},
		"bool as value":         {`{"id":"{2}","properties":{"active":true}}`, "", 0, "Cannot deserialize value of type `String`", ""},
		"number as id":          {`{"id":512,"properties":{"name":"x"}}`, "", 0, "Cannot deserialize value of type `String`", ""},
		"list for properties":   {`{"id":"{2}","properties":["x"]}`, "", 0, "from Array value (token `JsonToken.START_ARRAY`)", ""},
		"list for an input":     {`[]`, "", 0, "`SimplePublicObjectBatchInput` from Array value", ""},
		"misspelt idProperty":   {`{"id":"a2","idproperty":"account_id","properties":{"name":"x"}}`, "", 0, "Unrecognized field", ""},
		"property twice":        {`{"id":"{2}","properties":{"name":"x","name":"y"}}`, "", 0, "Duplicate field", ""},
		"trace id twice":        {`{"id":"{2}","objectWriteTraceId":"t","properties":{"name":"x"}},{"id":"7","objectWriteTraceId":"t","properties":{"name":"x"}}`, "", 0, "not unique within the batch", ""},
		"text after the body":   {`{"id":"{2}","properties":{"name":"x"}}]}{`, "", 0, "the end of the document", ""},
		"broken JSON":           {`{"id":"{2}",}`, "", 0, "a name in double quotes", ""},
		"invalid UTF-8":         {"{\"id\":\"{2}\",\"properties\":{\"name\":\"\xff\"}}", "", 0, "Invalid UTF-8", ""},
		"lone surrogate":        {`{"id":"{2}","properties":{"name":"\ud800"}}`, "", 0, "Unrecognized escape", ""},
		"control character":     {"{\"id\":\"{2}\",\"properties\":{\"name\":\"a\nb\"}}", "", 0, "Illegal unquoted character (code 10)", ""},
		"unknown version":       {`{"id":"{2}","properties":{"name":"x"}}`, "2025-03", 404, "resource not found", ""},
		"one good, one unknown": {`{"id":"{2}","properties":{"account_id":"","nope":""}}`, "", 0, "does not exist", "PROPERTY_DOESNT_EXIST"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			ids := c.seed(map[string]string{"account_id": "a1", "name": "One"}, map[string]string{"account_id": "a2", "name": "Two"})
			fill := strings.NewReplacer("{1}", ids[0], "{2}", ids[1]).Replace
			path := "/crm/v3/objects/companies/batch/update"
			if test.version != "" {
				path = "/crm/objects/" + test.version + "/companies/batch/update"
			}
			r := c.post(path, fill(`{"inputs":[{"id":"{1}","properties":{"name":"Changed"}},`+test.input+`]}`))
			want := test.status
			if want == 0 {
				want = 400
			}
			if message := fill(test.message); r.status != want || !strings.Contains(r.body.Message, message) {
				t.Fatalf("got %d %.600s\nwant %d with %q", r.status, r.text, want, message)
			}
			if r.body.CorrelationID == "" || r.header.Get("X-HubSpot-Correlation-Id") != r.body.CorrelationID {
				t.Errorf("correlation id %q", r.body.CorrelationID)
			}
			if test.code != "" && (len(r.body.Errors) == 0 || r.body.Errors[0].Code != test.code || len(r.body.Errors[0].Context["propertyName"]) != 1) {
				t.Errorf("errors %+v, want code %s", r.body.Errors, test.code)
			}
			if got := c.stored(ids[0], "name"); got != "One" {
				t.Errorf("the good input was written: %q", got)
			}
			if j := c.portal.Journal(2); len(j) != 0 {
				t.Errorf("journal %+v", j)
			}
		})
	}
}

// TestAccepted holds what the documentation promises to accept, and how it is
// shown.
func TestAccepted(t *testing.T) {
	tests := []struct{ property, value, stored, shown string }{
		{"name", "", "", ""},
		{"name", strings.Repeat("é", maxCharacters), "", ""},
		{"name", `a "quoted" \ 

 text 😀`, "", ""},
		{"annualrevenue", "-12.50", "", ""},
		{"annualrevenue", "", "", ""},
		{"numberofemployees", "00012345678901234567890", "", ""},
		{"active", "false", "", ""},
		{"renewal", "2026-01-31", "", ""},
		{"renewal", "1769817600000", "", "2026-01-31"},
		{"seen_at", "2026-01-31T10:00:00.123+02:00", "", "2026-01-31T08:00:00.123Z"},
		{"seen_at", "2026-01-31T10:00:00Z", "", ""},
		{"seen_at", "1769817600000", "", "2026-01-31T00:00:00Z"},
		{"features", "api;sso", "", ""},
		{"features", ";audit", "sso;audit", "sso;audit"}, // appends
		{"features", ";sso", "sso", "sso"},
		{"hubspot_owner_id", "123", "", ""},
		{"domain", "Acme.Example", "", "acme.example"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s=%.20s", test.property, test.value), func(t *testing.T) {
			c := newClient(t, Options{})
			id := c.seed(map[string]string{"features": "sso", "name": "before"})[0]
			r := c.update(`{"id":"` + id + `","properties":{"` + test.property + `":` + string(appendString(nil, test.value)) + `}}`)
			if r.status != 200 || len(r.body.Results) != 1 {
				t.Fatalf("%d %.300s", r.status, r.text)
			}
			if test.stored == "" {
				test.stored = test.value
			}
			if test.shown == "" {
				test.shown = test.stored
			}
			if got := c.stored(id, test.property); got != test.stored {
				t.Errorf("stored %q, want %q", got, test.stored)
			}
			if got := *r.body.Results[0].Properties[test.property]; got != test.shown {
				t.Errorf("shown %q, want %q", got, test.shown)
			}
			if *r.body.Results[0].Properties["hs_object_id"] != id || r.body.Results[0].Properties["hs_lastmodifieddate"] == nil {
				t.Errorf("system properties lack in %s", r.text)
			}
		})
	}
}

func TestNullIsIgnoredAndEmptyClears(t *testing.T) {
	c := newClient(t, Options{})
	id := c.seed(map[string]string{"name": "One", "city": "Rome"})[0]
	r := c.update(`{"id":"` + id + `","properties":{"name":null,"city":""}}`)
	if r.status != 200 || c.stored(id, "name") != "One" || c.stored(id, "city") != "" {
		t.Fatalf("%s", r.text)
	}
	r = c.do("GET", "/crm/v3/objects/companies/"+id+"?properties=city,phone", "")
	if got := r.body; !strings.Contains(r.text, `"city":""`) || !strings.Contains(r.text, `"phone":null`) {
		t.Errorf("cleared and never set look alike: %s %v", r.text, got)
	}
	e := c.portal.Journal(1)[0]
	if !slices.Equal(e.Ignored, []string{"name"}) || len(e.Properties) != 1 {
		t.Errorf("journal %+v", e)
	}
}

func TestSizes(t *testing.T) {
	c := newClient(t, Options{})
	inputs := make([]string, 101)
	for i := range inputs {
		inputs[i] = fmt.Sprintf(`{"id":"%d","properties":{"name":"x"}}`, i+1)
	}
	r := c.update(strings.Join(inputs, ","))
	if r.status != 400 || !strings.Contains(r.body.Message, "maximum number of inputs supported in a batch is 100") {
		t.Errorf("101 inputs: %d %.200s", r.status, r.text)
	}
	if r := c.update(strings.Join(inputs[:100], ",")); r.status != 207 || r.body.NumErrors != 1 || len(r.body.Errors[0].Context["ids"]) != 100 {
		t.Errorf("100 unknown ids: %d %.200s", r.status, r.text)
	}
	for _, body := range []string{`{}`, `{"records":[{"id":"1"}]}`, `{"inputs":[]}`, `{"inputs":null}`} {
		r := c.post("/crm/v3/objects/companies/batch/update", body)
		if r.status != 200 || !strings.Contains(r.text, `"results":[]`) || r.body.NumErrors != 0 {
			t.Errorf("%s: %d %s", body, r.status, r.text)
		}
	}
}

// TestAllProblemsAreNamed: the message carries every bad value, errors fewer.
func TestAllProblemsAreNamed(t *testing.T) {
	c := newClient(t, Options{})
	ids := c.seed(map[string]string{}, map[string]string{})
	r := c.update(`{"id":"` + ids[0] + `","properties":{"nope":"1","annualrevenue":"x"}},{"id":"` + ids[1] + `","properties":{"nope":"1","annualrevenue":"y"}}`)
	if got := strings.Count(r.body.Message, `"isValid":false`); got != 4 || len(r.body.Errors) != 2 {
		t.Errorf("%d problems in the message, %d errors: %s", got, len(r.body.Errors), r.text)
	}
	if !strings.Contains(r.body.Message, `"propertyValue":"y","portalId":21939747`) {
		t.Errorf("message %s", r.body.Message)
	}
}

func TestErrorsPerInput(t *testing.T) {
	batch := func(traced bool) string {
		trace := func(s string) string {
			if !traced {
				return ""
			}
			return `,"objectWriteTraceId":"` + s + `"`
		}
		return `{"id":"a1","idProperty":"account_id"` + trace("t1") + `,"properties":{"account_id":"a1","name":"Good"}},` +
			`{"id":"a2","idProperty":"account_id"` + trace("t2") + `,"properties":{"account_id":"a2","name":"Bad","annualrevenue":"x"}}`
	}
	tests := map[string]struct {
		op     string
		quirks Quirks
		traced bool
		whole  bool
	}{
		"upsert with trace ids":          {"upsert", Quirks{}, true, false},
		"upsert without":                 {"upsert", Quirks{}, false, true},
		"update with trace ids":          {"update", Quirks{}, true, true},
		"update with trace ids, quirk":   {"update", Quirks{UpdateErrorsPerInput: On}, true, false},
		"update without trace id, quirk": {"update", Quirks{UpdateErrorsPerInput: On}, false, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Quirks: test.quirks})
			ids := c.seed(map[string]string{"account_id": "a1"}, map[string]string{"account_id": "a2"})
			r := c.post("/crm/v3/objects/companies/batch/"+test.op, `{"inputs":[`+batch(test.traced)+`]}`)
			if test.whole {
				if r.status != 400 || c.stored(ids[0], "name") != "" {
					t.Fatalf("%d %s", r.status, r.text)
				}
				return
			}
			if r.status != 207 || r.body.NumErrors != 1 || len(r.body.Results) != 1 || c.stored(ids[0], "name") != "Good" {
				t.Fatalf("%d %s", r.status, r.text)
			}
			e := r.body.Errors[0]
			if e.Category != "VALIDATION_ERROR" || !slices.Equal(e.Context["objectWriteTraceId"], []string{"t2"}) || !strings.Contains(e.Message, "INVALID_INTEGER") {
				t.Errorf("%+v", e)
			}
			if c.stored(ids[1], "name") == "Bad" {
				t.Error("the bad input was written")
			}
		})
	}
}

func TestNotFoundEntries(t *testing.T) {
	const batch = `{"id":"1","objectWriteTraceId":"t1","properties":{"name":"x"}},{"id":"2","objectWriteTraceId":"t2","properties":{"name":"x"}}`
	c := newClient(t, Options{})
	if r := c.update(batch); r.body.NumErrors != 1 || len(r.body.Errors[0].Context["ids"]) != 2 {
		t.Errorf("one entry: %s", r.text)
	}
	c.portal.SetQuirks(Quirks{NotFoundPerTrace: On})
	r := c.update(batch)
	if r.body.NumErrors != 2 || len(r.body.Errors[0].Context["ids"]) != 1 || len(r.body.Errors[1].Context["objectWriteTraceId"]) != 1 {
		t.Errorf("an entry per trace id: %s", r.text)
	}
}

func TestLifecycleGoesForwardOnly(t *testing.T) {
	c := newClient(t, Options{})
	id := c.seed(map[string]string{"lifecyclestage": "customer"})[0]
	set := func(stage string) string {
		r := c.update(`{"id":"` + id + `","properties":{"lifecyclestage":"` + stage + `"}}`)
		if r.status != 200 {
			t.Fatalf("%s", r.text)
		}
		return *r.body.Results[0].Properties["lifecyclestage"]
	}
	for _, step := range []struct{ send, want string }{{"lead", "customer"}, {"evangelist", "evangelist"}, {"", ""}, {"lead", "lead"}} {
		if got := set(step.send); got != step.want {
			t.Errorf("after %q: %q, want %q", step.send, got, step.want)
		}
	}
	if e := c.portal.Journal(1)[0]; !slices.Equal(e.Ignored, []string{"lifecyclestage"}) || len(e.Properties) != 0 {
		t.Errorf("journal %+v", e)
	}
}

// TestTextInPlaceOfAnID: no error, and nothing done.
func TestTextInPlaceOfAnID(t *testing.T) {
	c := newClient(t, Options{})
	c.seed(map[string]string{"account_id": "a1"})
	r := c.update(`{"id":"a1","properties":{"name":"x"}}`)
	if r.status != 200 || len(r.body.Results) != 0 || r.body.NumErrors != 0 || len(c.portal.Journal(1)) != 0 {
		t.Errorf("%d %s", r.status, r.text)
	}
}

func TestDatesAreNormalisedFrom202609(t *testing.T) {
	c := newClient(t, Options{})
	id := c.seed(map[string]string{})[0]
	r := c.post("/crm/objects/2026-09/companies/batch/update", `{"inputs":[{"id":"`+id+`","properties":{"renewal":"1990-01-01T05:00:00Z"}}]}`)
	if r.status != 200 || len(r.body.Results) != 1 || len(r.body.Results[0].Warnings) != 1 || *r.body.Results[0].Properties["renewal"] != "1990-01-01" {
		t.Errorf("%d %s", r.status, r.text)
	}
}

func TestResultsAreShuffled(t *testing.T) {
	c := newClient(t, Options{Seed: 3})
	values := make([]map[string]string, 20)
	ids := c.seed(values...)
	inputs := make([]string, len(ids))
	for i, id := range ids {
		inputs[i] = `{"id":"` + id + `","properties":{"name":"x"}}`
	}
	r := c.update(strings.Join(inputs, ","))
	got := make([]string, 0, len(ids))
	for _, res := range r.body.Results {
		got = append(got, res.ID)
	}
	if slices.Equal(got, ids) {
		t.Error("results came in the order of the inputs")
	}
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		t.Errorf("results %v", got)
	}
}
