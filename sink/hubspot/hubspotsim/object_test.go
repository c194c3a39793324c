package hubspotsim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestUpsert(t *testing.T) {
	c := newClient(t, Options{})
	id := c.seed(map[string]string{"account_id": "a1", "name": "One"})[0]
	upsert := func(inputs string) response {
		return c.post("/crm/objects/2026-03/companies/batch/upsert", `{"inputs":[`+inputs+`]}`)
	}
	r := upsert(`{"id":"a1","idProperty":"account_id","properties":{"name":"Uno"}},{"id":"a2","idProperty":"account_id","properties":{"domain":"two.example"}}`)
	if r.status != 200 || len(r.body.Results) != 2 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	for _, res := range r.body.Results {
		if *res.New != (res.ID != id) {
			t.Errorf("new is %v for %s", *res.New, res.ID)
		}
	}
	made, ok := c.portal.Find("companies", "account_id", "a2")
	if !ok || made.Properties["website"] != "two.example" {
		t.Errorf("created %+v %v: the key, and the website that HubSpot fills in", made, ok)
	}
	if r := upsert(`{"id":"a3","idProperty":"account_id","properties":{"city":"Rome"}}`); r.status != 400 || !strings.Contains(r.text, "MISSING_REQUIRED_PROPERTY") {
		t.Errorf("neither name nor domain: %d %s", r.status, r.text)
	}
	if r := upsert(`{"id":"a3","idProperty":"account_id","properties":{"account_id":"a4","name":"x"}}`); r.status != 400 {
		t.Errorf("another key: %d %s", r.status, r.text)
	}
	if r := upsert(`{"id":"a9","idProperty":"account_id","properties":{"name":"x"}},{"id":"a9","idProperty":"account_id","properties":{"name":"y"}}`); !strings.Contains(r.text, "Duplicate IDs") {
		t.Errorf("one new key twice: %d %s", r.status, r.text)
	}
}

func TestConflicts(t *testing.T) {
	props := map[string][]Property{"companies": {Unique("account_id"), Unique("tax_id")}}
	good := `{"id":"a1","idProperty":"account_id","objectWriteTraceId":"t1","properties":{"name":"Good"}}`
	bad := `{"id":"a2","idProperty":"account_id","objectWriteTraceId":"t2","properties":{"name":"Bad","tax_id":"taken"}}`
	tests := map[string]struct {
		op, inputs string
		quirks     Quirks
		status     int
	}{
		"upsert":                   {"upsert", good + "," + bad, Quirks{}, 409},
		"upsert, off":              {"upsert", good + "," + bad, Quirks{ConflictFailsBatch: Off}, 207},
		"create with trace ids":    {"create", `{"objectWriteTraceId":"t1","properties":{"name":"Good"}},{"objectWriteTraceId":"t2","properties":{"name":"Bad","tax_id":"taken"}}`, Quirks{}, 207},
		"create without":           {"create", `{"properties":{"name":"Good"}},{"properties":{"name":"Bad","tax_id":"taken"}}`, Quirks{}, 409},
		"two inputs for one value": {"create", `{"properties":{"name":"Good","tax_id":"n"}},{"properties":{"name":"Bad","tax_id":"n"}}`, Quirks{}, 409},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Quirks: test.quirks, Properties: props})
			c.seed(map[string]string{"account_id": "a1"}, map[string]string{"account_id": "a2"}, map[string]string{"tax_id": "taken"})
			r := c.post("/crm/v3/objects/companies/batch/"+test.op, `{"inputs":[`+test.inputs+`]}`)
			if r.status != test.status {
				t.Fatalf("%d %s", r.status, r.text)
			}
			if test.status == 409 {
				if r.body.Category != "CONFLICT" || len(c.portal.Journal(3)) != 0 {
					t.Errorf("%s", r.text)
				}
				return
			}
			if e := r.body.Errors[0]; e.Category != "CONFLICT" || e.Context["objectWriteTraceId"][0] != "t2" || len(r.body.Results) != 1 {
				t.Errorf("%s", r.text)
			}
		})
	}
}

func TestCreateReadArchive(t *testing.T) {
	c := newClient(t, Options{HistoryDepth: 2})
	r := c.post("/crm/v3/objects/companies/batch/create", `{"inputs":[{"properties":{"name":"One","account_id":"a1"},"associations":[]}]}`)
	if r.status != 201 || len(r.body.Results) != 1 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	id := r.body.Results[0].ID
	for _, name := range []string{"Two", "Three"} {
		c.update(`{"id":"` + id + `","properties":{"name":"` + name + `"}}`)
	}
	r = c.post("/crm/v3/objects/companies/batch/read",
		`{"properties":["name","nope"],"propertiesWithHistory":["name"],"idProperty":"account_id","inputs":[{"id":"a1"},{"id":"a2"}]}`)
	if r.status != 207 || len(r.body.Results) != 1 || *r.body.Results[0].Properties["account_id"] != "a1" || r.body.Errors[0].Context["ids"][0] != "a2" {
		t.Fatalf("%d %s", r.status, r.text)
	}
	var history struct {
		Results []struct {
			PropertiesWithHistory map[string][]struct{ Value, Timestamp, SourceType string }
		}
	}
	if err := json.Unmarshal([]byte(r.text), &history); err != nil {
		t.Fatal(err)
	}
	if got := history.Results[0].PropertiesWithHistory["name"]; len(got) != 2 || got[0].Value != "Three" || got[1].Value != "Two" {
		t.Errorf("history %+v", got)
	}
	if r := c.post("/crm/v3/objects/companies/batch/read", `{"idProperty":"domain","inputs":[{"id":"a1"}]}`); r.status != 400 {
		t.Errorf("read by a property that is not unique: %d", r.status)
	}
	if r := c.post("/crm/v3/objects/companies/batch/read", `{"inputs":[{"id":"a1","idProperty":"account_id"}]}`); r.status != 400 {
		t.Errorf("idProperty inside of a read's input: %d", r.status)
	}

	if r := c.post("/crm/v3/objects/companies/batch/archive", `{"inputs":[{"id":"`+id+`"},{"id":"1"}]}`); r.status != 204 || r.text != "" {
		t.Errorf("archive: %d %s", r.status, r.text)
	}
	if r := c.update(`{"id":"` + id + `","properties":{"name":"x"}}`); r.body.NumErrors != 1 {
		t.Errorf("an archived record was updated: %s", r.text)
	}
	if _, ok := c.portal.Find("companies", "account_id", "a1"); ok {
		t.Error("an archived record keeps its unique value")
	}
	c.portal.SetQuirks(Quirks{ArchiveUnknown: On})
	if r := c.post("/crm/v3/objects/companies/batch/archive", `{"inputs":[{"id":"`+id+`"}]}`); r.status != 207 || r.body.NumErrors != 1 {
		t.Errorf("archive of an archived id: %d %s", r.status, r.text)
	}
}

func TestSingleRecord(t *testing.T) {
	c := newClient(t, Options{})
	id := c.seed(map[string]string{"account_id": "a1", "name": "One"})[0]
	const base = "/crm/objects/2026-09/companies"
	tests := []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"GET", base + "/" + id, "", 200, `"name":"One"`},
		{"GET", base + "/a1?idProperty=account_id&properties=name,city", "", 200, `"city":null`},
		{"GET", base + "/a1?idProperty=name", "", 400, "non-unique"},
		{"GET", base + "/1", "", 404, `"message":"resource not found"`},
		{"GET", base + "/a1", "", 404, "Object not found.  objectId are usually numeric."},
		{"PATCH", base + "/a1?idProperty=account_id", `{"properties":{"name":"Two"}}`, 200, `"name":"Two"`},
		{"PATCH", base + "/" + id, `{"properties":{"nope":"Two"}}`, 400, "PROPERTY_DOESNT_EXIST"},
		{"PATCH", base + "/" + id, `{"properties":{}}`, 400, "No properties found"},
		{"POST", base, `{"properties":{"name":"New","account_id":"a1"}}`, 409, "already exists. Existing ID: " + id},
		{"POST", base, `{"properties":{"name":"New","account_id":"a2"}}`, 201, `"account_id":"a2"`},
		{"PUT", base, `{}`, 405, ""},
		{"DELETE", base + "/" + id, "", 204, ""},
		{"DELETE", base + "/" + id, "", 204, ""},
		{"GET", base + "/" + id, "", 404, ""},
		{"GET", "/crm/v3/objects/butterflies/1", "", 400, "Unable to infer object type from: butterflies"},
		{"GET", "/crm/v3/objects/0-2/" + id + "/more", "", 404, ""},
		{"GET", "/crm/v4/objects/companies/" + id, "", 404, ""},
	}
	for _, test := range tests {
		r := c.do(test.method, test.path, test.body)
		if r.status != test.status || !strings.Contains(r.text, test.contains) {
			t.Errorf("%s %s: %d %s", test.method, test.path, r.status, r.text)
		}
	}
}

func TestListPages(t *testing.T) {
	c := newClient(t, Options{})
	values := make([]map[string]string, 25)
	for i := range values {
		values[i] = map[string]string{"name": fmt.Sprint("c", i)}
	}
	ids := c.seed(values...)
	ids = append(c.seed(map[string]string{"hs_object_id": "17"}), ids...) // out of order
	if err := c.portal.Archive("companies", ids[3]); err != nil {
		t.Fatal(err)
	}
	ids = slices.Delete(ids, 3, 4)
	var got []string
	after := ""
	for page := 0; page < 10; page++ {
		r := c.do("GET", "/crm/v3/objects/companies?limit=10&properties=name"+after, "")
		var body struct {
			Results []struct{ ID string }
			Paging  struct{ Next struct{ After, Link string } }
		}
		if err := json.Unmarshal([]byte(r.text), &body); err != nil {
			t.Fatal(err, r.text)
		}
		for _, res := range body.Results {
			got = append(got, res.ID)
		}
		if body.Paging.Next.After == "" {
			break
		}
		after = "&after=" + body.Paging.Next.After
	}
	if !slices.Equal(got, ids) {
		t.Errorf("got %v, want %v", got, ids)
	}
	for _, limit := range []string{"0", "101", "x"} {
		if r := c.do("GET", "/crm/v3/objects/companies?limit="+limit, ""); r.status != 400 {
			t.Errorf("limit %s: %d", limit, r.status)
		}
	}
}

func TestMergedRecords(t *testing.T) {
	for _, play := range []Play{Off, On} {
		t.Run(string(play), func(t *testing.T) {
			c := newClient(t, Options{Quirks: Quirks{MergedWrites: play}})
			ids := c.seed(map[string]string{"account_id": "a1", "name": "One"}, map[string]string{"account_id": "a2", "city": "Rome"}, map[string]string{})
			r := c.post("/crm/v3/objects/companies/merge", `{"primaryObjectId":"`+ids[0]+`","objectIdToMerge":"`+ids[1]+`"}`)
			var merged struct{ ID string }
			if err := json.Unmarshal([]byte(r.text), &merged); err != nil || r.status != 200 {
				t.Fatalf("%d %s", r.status, r.text)
			}
			if slices.Contains(ids, merged.ID) {
				t.Errorf("the survivor kept id %s", merged.ID)
			}
			rec, _ := c.portal.Record("companies", ids[1])
			if rec.ID != merged.ID || rec.Properties["city"] != "Rome" || rec.Properties["account_id"] != "a1" || rec.Properties["hs_merged_object_ids"] != ids[0]+";"+ids[1] {
				t.Errorf("survivor %+v", rec)
			}
			if _, ok := c.portal.Find("companies", "account_id", "a2"); ok {
				t.Error("the loser's key still leads somewhere")
			}
			if r := c.do("GET", "/crm/v3/objects/companies/"+ids[1], ""); !strings.Contains(r.text, `"id":"`+merged.ID+`"`) {
				t.Errorf("GET by an old id: %s", r.text)
			}
			r = c.update(`{"id":"` + ids[1] + `","objectWriteTraceId":"t1","properties":{"name":"Late"}},{"id":"` + ids[2] + `","objectWriteTraceId":"t2","properties":{"name":"Other"}}`)
			if r.status != 200 || len(r.body.Results) != 1 || r.body.Results[0].ID != ids[2] || r.body.NumErrors != 0 {
				t.Errorf("update by an old id: %d %s", r.status, r.text)
			}
			want := map[Play]string{Off: "One", On: "Late"}[play]
			if got := c.stored(merged.ID, "name"); got != want {
				t.Errorf("survivor's name %q, want %q", got, want)
			}
			if r := c.update(`{"id":"` + ids[0] + `","properties":{"name":"x"}},{"id":"` + ids[1] + `","properties":{"name":"y"}}`); !strings.Contains(r.text, "Duplicate IDs") {
				t.Errorf("two old ids of one record: %s", r.text)
			}
		})
	}
}

func TestOtherObjects(t *testing.T) {
	c := newClient(t, Options{
		Objects:    []Schema{{Name: "p1_subscriptions", TypeID: "2-77", Singular: "SUBSCRIPTION", Properties: []Property{Unique("sub_id"), Number("mrr")}}},
		Properties: map[string][]Property{},
	})
	for _, object := range []string{"p1_subscriptions", "2-77"} {
		r := c.post("/crm/v3/objects/"+object+"/batch/upsert", `{"inputs":[{"id":"s-`+object+`","idProperty":"sub_id","properties":{"mrr":"12"}}]}`)
		if r.status != 200 {
			t.Errorf("%s: %d %s", object, r.status, r.text)
		}
	}
	if got := c.portal.Count("p1_subscriptions"); got != 2 {
		t.Errorf("%d records", got)
	}
	r := c.post("/crm/v3/objects/contacts/batch/upsert", `{"inputs":[{"id":"A@example.com","idProperty":"email","properties":{"email":"A@example.com","firstname":"A"}}]}`)
	if r.status != 200 || *r.body.Results[0].Properties["email"] != "a@example.com" {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := c.post("/crm/v3/objects/contacts/batch/create", `{"inputs":[{"properties":{"email":"nobody"}}]}`); !strings.Contains(r.text, "INVALID_EMAIL") {
		t.Errorf("%d %s", r.status, r.text)
	}
}

func TestPropertiesAPI(t *testing.T) {
	c := newClient(t, Options{})
	const base = "/crm/properties/2026-03/companies"
	const def = `"label":"L","type":"string","fieldType":"text","groupName":"companyinformation"`
	steps := []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"GET", "/crm/v3/properties/companies/account_id", "", 200, `"hasUniqueValue":true`},
		{"GET", base + "/nope", "", 404, "OBJECT_NOT_FOUND"},
		{"POST", base, `{"name":"plan",` + def + `}`, 201, `"name":"plan"`},
		{"POST", base, `{"name":"plan",` + def + `}`, 409, "Properties.PROPERTY_WITH_NAME_EXISTS"},
		{"POST", base, `{"name":"Plan",` + def + `}`, 400, "lower case"},
		{"POST", base, `{"name":"b","label":"L","type":"bool","fieldType":"booleancheckbox","groupName":"companyinformation"}`, 400, "exactly the options"},
		{"PATCH", base + "/plan", `{"hasUniqueValue":true,"label":"Plan"}`, 200, `"label":"Plan"`},
		{"GET", base + "/plan", "", 200, `"hasUniqueValue":false`},
		{"DELETE", base + "/plan", "", 204, ""},
		{"GET", base + "/plan", "", 404, ""},
		{"GET", base + "/plan?archived=true", "", 200, `"archived":true`},
		{"POST", base, `{"name":"plan",` + def + `}`, 201, `"label":"Plan"`},
		{"PATCH", base + "/hs_object_id", `{"label":"x"}`, 400, "read only"},
		{"POST", base + "/batch/create", `{"inputs":[{"name":"x1",` + def + `},{"name":"plan",` + def + `}]}`, 207, `"numErrors":1`},
		{"POST", base + "/batch/read", `{"inputs":[{"name":"x1"}]}`, 200, `"name":"x1"`},
		{"GET", base + "/groups", "", 200, "companyinformation"},
	}
	for _, s := range steps {
		if r := c.do(s.method, s.path, s.body); r.status != s.status || !strings.Contains(r.text, s.contains) {
			t.Errorf("%s %s %s: %d %s", s.method, s.path, s.body, r.status, r.text)
		}
	}
	secret := Text("ssn")
	secret.DataSensitivity = "sensitive"
	if err := c.portal.Define("companies", secret); err != nil {
		t.Fatal(err)
	}
	if r := c.do("GET", base, ""); strings.Contains(r.text, "ssn") || !strings.Contains(r.text, `"industry"`) {
		t.Errorf("list %.200s", r.text)
	}
	if r := c.do("GET", base+"?dataSensitivity=sensitive", ""); !strings.Contains(r.text, "ssn") {
		t.Errorf("list %.200s", r.text)
	}
}

// TestDefinitionsChange while records exist.
func TestDefinitionsChange(t *testing.T) {
	c := newClient(t, Options{})
	id := c.seed(map[string]string{"account_id": "a1", "city": "Rome"})[0]
	set := func(value string) int {
		return c.update(`{"id":"` + id + `","properties":{"city":"` + value + `"}}`).status
	}
	if err := c.portal.Define("companies", Number("city")); err != nil {
		t.Fatal(err)
	}
	if got := set("Oslo"); got != 400 {
		t.Errorf("text for what became a number: %d", got)
	}
	if err := c.portal.Define("companies", Unique("city")); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.portal.Find("companies", "city", "Rome"); !ok {
		t.Error("what became unique does not find the records that were there")
	}
	if err := c.portal.Undefine("companies", "city"); err != nil {
		t.Fatal(err)
	}
	if got := set("Oslo"); got != 400 {
		t.Errorf("a deleted property: %d", got)
	}
}

func TestAccount(t *testing.T) {
	c := newClient(t, Options{PortalID: 42})
	r := c.do("GET", "/account-info/2026-03/details", "")
	if r.status != 200 || !strings.Contains(r.text, `"portalId":42`) || !strings.Contains(r.text, `"timeZone":"US/Eastern"`) || strings.Contains(r.text, "portalName") {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := c.do("GET", "/account-info/v3/api-usage/daily/private-apps", ""); !strings.Contains(r.text, `"currentUsage":2`) {
		t.Errorf("%s", r.text)
	}
}
