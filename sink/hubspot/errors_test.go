package hubspot

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every body that HubSpot is known to answer with, and what it is taken for.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		class  Class
		want   func(e *Error) // sets what parsing must find
	}{
		{
			name: "too many inputs", status: 400, class: Split,
			body: `{"status":"error","message":"The maximum number of inputs supported in a batch is 100. Please reduce the number of items and try again","correlationId":"c","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category, e.CorrelationID = "VALIDATION_ERROR", "c" },
		},
		{
			name: "duplicate ids", status: 400, class: Park,
			body: `{"status":"error","message":"Duplicate IDs found in batch input: [128]. IDs must be unique","correlationId":"c","context":{"ids":["128"]},"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category, e.CorrelationID, e.IDs = "VALIDATION_ERROR", "c", []string{"128"} },
		},
		{
			name: "id property is not unique", status: 400, class: Hold,
			body: `{"status":"error","message":"Unable to perform update/upsert by non-unique 0-2 property domain","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category = "VALIDATION_ERROR" },
		},
		{
			name: "record id as id property", status: 400, class: Hold,
			body: `{"status":"error","message":"Unable to perform update/upsert by non-unique 0-2 property hs_object_id in portal ID 21939747","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category = "VALIDATION_ERROR" },
		},
		{
			name: "id property of a deal is not unique", status: 400, class: Hold,
			body: `{"status":"error","message":"Unable to perform update/upsert by non-unique 0-3 property dealname","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category = "VALIDATION_ERROR" },
		},
		{
			name: "some ids not found", status: 207, class: Missing,
			body: `{"status":"error","category":"OBJECT_NOT_FOUND","message":"Could not get some COMPANY objects, they may be deleted or not exist. Check that ids are valid.","context":{"ids":["1","2"]}}`,
			want: func(e *Error) { e.Category, e.IDs = "OBJECT_NOT_FOUND", []string{"1", "2"} },
		},
		{
			name: "ids not found, of contacts and with trace ids", status: 207, class: Missing,
			body: `{"status":"error","category":"OBJECT_NOT_FOUND","message":"Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid.","context":{"ids":["unknown888"],"objectWriteTraceId":["t-1"]}}`,
			want: func(e *Error) {
				e.Category, e.IDs, e.TraceIDs = "OBJECT_NOT_FOUND", []string{"unknown888"}, []string{"t-1"}
			},
		},
		{
			name: "single id not found, without category", status: 404, class: Missing,
			body: `{"status":"error","message":"resource not found","correlationId":"c"}`,
			want: func(e *Error) { e.CorrelationID = "c" },
		},
		{
			name: "single id that is no number", status: 404, class: Missing,
			body: `{"status":"error","message":"Object not found.  objectId are usually numeric.","category":"OBJECT_NOT_FOUND","context":{"id":["x"]}}`,
			want: func(e *Error) { e.Category, e.IDs = "OBJECT_NOT_FOUND", []string{"x"} },
		},
		{
			name: "single id that is no number, not in a list", status: 404, class: Missing,
			body: `{"status":"error","message":"Object not found.  objectId are usually numeric.","category":"OBJECT_NOT_FOUND","context":{"id":"x"}}`,
			want: func(e *Error) { e.Category, e.IDs = "OBJECT_NOT_FOUND", []string{"x"} },
		},
		{
			name: "unknown property of one input, told in the message alone", status: 207, class: Hold,
			body: `{"status":"error","category":"VALIDATION_ERROR","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"Property \\\"missing\\\" does not exist\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"missing\",\"localizedErrorMessage\":\"Property \\\"missing\\\" does not exist\",\"portalId\":891936587}]","context":{"objectWriteTraceId":["549b1c2a9351"]}}`,
			want: func(e *Error) {
				e.Category, e.TraceIDs = "VALIDATION_ERROR", []string{"549b1c2a9351"}
				e.Details = []Detail{{Property: "missing", Code: "PROPERTY_DOESNT_EXIST", Message: `Property "missing" does not exist`}}
			},
		},
		{
			name: "unknown properties, more of them in the message", status: 400, class: Hold,
			body: `{"status":"error","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"Property \\\"a\\\" does not exist\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"a\"},{\"isValid\":false,\"message\":\"Property \\\"b\\\" does not exist\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"b\"}]","correlationId":"c","errors":[{"message":"Property \"a\" does not exist","code":"PROPERTY_DOESNT_EXIST","context":{"propertyName":["a"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category, e.CorrelationID = "VALIDATION_ERROR", "c"
				e.Details = []Detail{
					{Property: "a", Code: "PROPERTY_DOESNT_EXIST", Message: `Property "a" does not exist`},
					{Property: "b", Code: "PROPERTY_DOESNT_EXIST", Message: `Property "b" does not exist`},
				}
			},
		},
		{
			name: "bad number with its value", status: 400, class: Park,
			body: `{"status":"error","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"1.42e-14 was not a valid number.\",\"error\":\"INVALID_INTEGER\",\"name\":\"amount\",\"localizedErrorMessage\":\"…\",\"propertyValue\":\"1.42e-14\",\"portalId\":62515}]","errors":[{"message":"1.42e-14 was not a valid number.","code":"INVALID_INTEGER","context":{"propertyName":["amount"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "amount", Value: "1.42e-14", HasValue: true, Code: "INVALID_INTEGER", Message: "1.42e-14 was not a valid number."}}
			},
		},
		{
			name: "bad number of one input, newer wording", status: 207, class: Park,
			body: `{"status":"error","category":"VALIDATION_ERROR","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"Enter a number\",\"error\":\"INVALID_NUMBER\",\"name\":\"seats\"}]","context":{"objectWriteTraceId":["t-1"]}}`,
			want: func(e *Error) {
				e.Category, e.TraceIDs = "VALIDATION_ERROR", []string{"t-1"}
				e.Details = []Detail{{Property: "seats", Code: "INVALID_NUMBER", Message: "Enter a number"}}
			},
		},
		{
			name: "bad number of one input, a sentence alone", status: 207, class: Park,
			body: `{"status":"error","category":"VALIDATION_ERROR","message":"Enter a number","context":{"objectWriteTraceId":["t-1"]}}`,
			want: func(e *Error) { e.Category, e.TraceIDs = "VALIDATION_ERROR", []string{"t-1"} },
		},
		{
			name: "bad boolean, as an option", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"maybe was not one of the allowed options: [label: \"Yes\"\nvalue: \"true\"\n]","code":"INVALID_OPTION","context":{"propertyName":["paid"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{
					Property: "paid", Value: "maybe", HasValue: true, Code: "INVALID_OPTION",
					Message: "maybe was not one of the allowed options: [label: \"Yes\"\nvalue: \"true\"\n]",
				}}
			},
		},
		{
			name: "bad boolean, as such", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"maybe was not a valid boolean.","code":"INVALID_BOOLEAN","context":{"propertyName":["paid"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "paid", Value: "maybe", HasValue: true, Code: "INVALID_BOOLEAN", Message: "maybe was not a valid boolean."}}
			},
		},
		{
			name: "too long, whatever it is called", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"too long","code":"SOME_LENGTH_CODE","context":{"propertyName":["notes"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "notes", Code: "SOME_LENGTH_CODE", Message: "too long"}}
			},
		},
		{
			name: "spaces around a value", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"x","code":"LEADING_TRAILING_WHITESPACE","context":{"propertyName":["plan"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "plan", Code: "LEADING_TRAILING_WHITESPACE", Message: "x"}}
			},
		},
		{
			name: "a rule of the administrator", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"x","code":"MAX_LENGTH","context":{"propertyName":["name"]}},{"message":"y","code":"REGEX","context":{"propertyName":["zip"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "name", Code: "MAX_LENGTH", Message: "x"}, {Property: "zip", Code: "REGEX", Message: "y"}}
			},
		},
		{
			name: "a value that must be unique, by code", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"propertyValue: already has that value","code":"CONFLICTING_UNIQUE_VALUE","context":{"propertyName":["tax_no"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "tax_no", Code: "CONFLICTING_UNIQUE_VALUE", Message: "propertyValue: already has that value"}}
			},
		},
		{
			name: "a value that must be unique, a sentence alone", status: 400, class: Park,
			body: `{"status":"error","message":"propertyValue: already has that value tax-1","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category = "VALIDATION_ERROR" },
		},
		{
			name: "option, the value in the sentence alone", status: 400, class: Park,
			body: `{"status":"error","message":"…","errors":[{"message":"gold was not one of the allowed options: [label: \"Free\"\nvalue: \"FREE\"\n]","code":"INVALID_OPTION","context":{"propertyName":["plan"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{
					Property: "plan", Value: "gold", HasValue: true, Code: "INVALID_OPTION",
					Message: "gold was not one of the allowed options: [label: \"Free\"\nvalue: \"FREE\"\n]",
				}}
			},
		},
		{
			name: "text into a datetime", status: 400, class: Park,
			body: `{"status":"error","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"2019-05-13T12:05:53.602759Z was not a valid long.\",\"error\":\"INVALID_LONG\",\"name\":\"seen\"}]","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{
					Property: "seen", Value: "2019-05-13T12:05:53.602759Z", HasValue: true, Code: "INVALID_LONG",
					Message: "2019-05-13T12:05:53.602759Z was not a valid long.",
				}}
			},
		},
		{
			name: "date that is not midnight", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"1606768561954 is at 20:36:1.954 UTC, not midnight!","code":"INVALID_DATE","context":{"propertyName":["day"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "day", Value: "1606768561954", HasValue: true, Code: "INVALID_DATE", Message: "1606768561954 is at 20:36:1.954 UTC, not midnight!"}}
			},
		},
		{
			name: "bad e-mail", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"Email address x is invalid","code":"INVALID_EMAIL","context":{"propertyName":["email"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "email", Value: "x", HasValue: true, Code: "INVALID_EMAIL", Message: "Email address x is invalid"}}
			},
		},
		{
			name: "read-only", status: 400, class: Hold,
			body: `{"status":"error","errors":[{"message":"\"hs_object_id\" is a calculated property; its value cannot be set.","code":"READ_ONLY_VALUE","context":{"propertyName":["hs_object_id"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "hs_object_id", Code: "READ_ONLY_VALUE", Message: `"hs_object_id" is a calculated property; its value cannot be set.`}}
			},
		},
		{
			name: "read-only, the other wording", status: 400, class: Hold,
			body: `{"status":"error","errors":[{"message":"createdate is a read only property; its value cannot be set.","code":"READ_ONLY_VALUE","context":{"propertyName":["createdate"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "createdate", Code: "READ_ONLY_VALUE", Message: "createdate is a read only property; its value cannot be set."}}
			},
		},
		{
			name: "required at creation", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"x","code":"MISSING_REQUIRED_PROPERTY","context":{"propertyName":["name"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "name", Code: "MISSING_REQUIRED_PROPERTY", Message: "x"}}
			},
		},
		{
			name: "required by the portal", status: 400, class: Park,
			body: `{"status":"error","errors":[{"message":"x","code":"MISSING_CONDITIONAL_REQUIRED_PROPERTY","context":{"propertyName":["owner","region"]}}],"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{
					{Property: "owner", Code: "MISSING_CONDITIONAL_REQUIRED_PROPERTY", Message: "x"},
					{Property: "region", Code: "MISSING_CONDITIONAL_REQUIRED_PROPERTY", Message: "x"},
				}
			},
		},
		{
			name: "no properties", status: 400, class: Park,
			body: `{"status":"error","message":"No properties found to update, please provide at least one.","context":{"properties":["{}"]},"category":"VALIDATION_ERROR"}`,
			want: func(e *Error) { e.Category = "VALIDATION_ERROR" },
		},
		{
			name: "body of another shape, no category", status: 400, class: Park,
			body: "{\"status\":\"error\",\"message\":\"Invalid input JSON on line 3, column 9: Cannot deserialize value of type `X` from Array value\",\"correlationId\":\"c\"}",
			want: func(e *Error) { e.CorrelationID = "c" },
		},
		{
			name: "conflict of a create", status: 409, class: Park,
			body: `{"status":"error","message":"Contact already exists. Existing ID: 123","category":"CONFLICT"}`,
			want: func(e *Error) { e.Category = "CONFLICT" },
		},
		{
			name: "conflict of one input", status: 207, class: Park,
			body: `{"status":"error","category":"CONFLICT","message":"Contact already exists. Existing ID: 17","context":{"objectWriteTraceId":["0"],"existingId":["17"]}}`,
			want: func(e *Error) { e.Category, e.TraceIDs = "CONFLICT", []string{"0"} },
		},
		{name: "conflict of an upsert, for the whole batch", status: 409, class: Park},
		{
			name: "a property of that name", status: 409, class: Park,
			body: `{"status":"error","message":"A property named 'x' already exists.","category":"OBJECT_ALREADY_EXISTS","subCategory":"Properties.PROPERTY_WITH_NAME_EXISTS"}`,
			want: func(e *Error) {
				e.Category, e.SubCategory = "OBJECT_ALREADY_EXISTS", "Properties.PROPERTY_WITH_NAME_EXISTS"
			},
		},
		{
			name: "too many merges", status: 414, class: Hold,
			body: `{"status":"error","message":"Cannot have more than 250 identities on a profile"}`,
			want: func(*Error) {},
		},
		{name: "address too long", status: 414, body: `<html>`, class: Hold},
		{name: "too large", status: 413, body: `<html>`, class: Split},
		{name: "wrong media type", status: 415, body: ``, class: Hold},
		{
			name: "object type", status: 400, class: Hold,
			body: `{"status":"error","message":"Unable to infer object type from: butterflies","correlationId":"c"}`,
			want: func(e *Error) { e.CorrelationID = "c" },
		},
		{
			name: "credentials", status: 401, class: Renew,
			body: `{"status":"error","message":"Authentication credentials not found. This API supports OAuth 2.0 authentication…","correlationId":"c","category":"INVALID_AUTHENTICATION"}`,
			want: func(e *Error) { e.Category, e.CorrelationID = "INVALID_AUTHENTICATION", "c" },
		},
		{
			name: "expired", status: 401, class: Renew,
			body: `{"status":"error","message":"The OAuth token used to make this call expired 75 second(s) ago.","category":"EXPIRED_AUTHENTICATION","context":{"expire time":["2026-01-01T00:00:00Z"]}}`,
			want: func(e *Error) { e.Category = "EXPIRED_AUTHENTICATION" },
		},
		{
			name: "expired in 1970: garbage", status: 401, class: Renew,
			body: `{"status":"error","message":"The OAuth token used to make this call expired 20543 day(s) ago.","category":"EXPIRED_AUTHENTICATION"}`,
			want: func(e *Error) { e.Category = "EXPIRED_AUTHENTICATION" },
		},
		{
			name: "scopes, in errors", status: 403, class: Stop,
			body: `{"status":"error","message":"This app hasn't been granted all required scopes to make this call. …","category":"MISSING_SCOPES","errors":[{"message":"One or more of the following scopes are required.","context":{"requiredGranularScopes":["crm.objects.companies.write"]}}]}`,
			want: func(e *Error) { e.Category, e.Scopes = "MISSING_SCOPES", []string{"crm.objects.companies.write"} },
		},
		{
			name: "scopes, at the top", status: 403, class: Stop,
			body: `{"status":"error","category":"MISSING_SCOPES","context":{"requiredGranularScopes":["crm.objects.companies.write"]}}`,
			want: func(e *Error) { e.Category, e.Scopes = "MISSING_SCOPES", []string{"crm.objects.companies.write"} },
		},
		{
			name: "window", status: 429, class: Retry,
			body: `{"status":"error","message":"You have reached your ten_secondly_rolling limit.","errorType":"RATE_LIMIT","correlationId":"c","policyName":"TEN_SECONDLY_ROLLING","groupName":"publicapi:private_app-api-calls-ten-secondly:1:2"}`,
			want: func(e *Error) { e.Category, e.Policy, e.CorrelationID = "RATE_LIMIT", "TEN_SECONDLY_ROLLING", "c" },
		},
		{
			name: "day", status: 429, class: Retry,
			body: `{"status":"error","message":"You have reached your daily limit.","errorType":"RATE_LIMIT","policyName":"DAILY","requestId":"r"}`,
			want: func(e *Error) { e.Category, e.Policy, e.CorrelationID = "RATE_LIMIT", "DAILY", "r" },
		},
		{
			name: "second", status: 429, class: Retry,
			body: `{"status":"error","message":"You have reached your secondly limit.","category":"RATE_LIMITS"}`,
			want: func(e *Error) { e.Category = "RATE_LIMITS" },
		},
		{
			name: "second, as a policy", status: 429, class: Retry,
			body: `{"status":"error","message":"You have reached your secondly limit.","errorType":"RATE_LIMIT","policyName":"SECONDLY"}`,
			want: func(e *Error) { e.Category, e.Policy = "RATE_LIMIT", "SECONDLY" },
		},
		{name: "too fast for Cloudflare", status: 429, class: Retry, body: `error code: 1015`},
		{
			name: "one input, for a while", status: 207, class: Retry,
			body: `{"status":"error","category":"RATE_LIMITS","context":{"ids":["12"]}}`,
			want: func(e *Error) { e.Category, e.IDs = "RATE_LIMITS", []string{"12"} },
		},
		{name: "timeout", status: 408, class: Retry},
		{name: "locked", status: 423, class: Retry, body: `{"status":"error"}`},
		{name: "migration", status: 477, class: Retry},
		{name: "server", status: 500, class: Retry, body: `<html><body>Internal Server Error</body></html>`},
		{name: "gateway", status: 502, class: Retry, body: `<html>`},
		{name: "unavailable", status: 503, class: Retry},
		{name: "gateway timeout", status: 504, class: Retry},
		{name: "origin down", status: 521, class: Retry, body: `error code: 521`},
		{name: "origin timeout", status: 522, class: Retry},
		{name: "origin unreachable", status: 523, class: Retry},
		{name: "took too long", status: 524, class: Retry},
		{name: "TLS of the origin", status: 525, class: Retry},
		{name: "certificate of the origin", status: 526, class: Retry},
		{name: "redirect", status: 302, class: Retry, body: `<html>`},
		{
			name: "every field of another type", status: 400, class: Park,
			body: `{"status":7,"category":{"a":1},"subCategory":{"b":2},"message":["x"],"context":[1],"errors":{"message":3},"links":[]}`,
			want: func(e *Error) { e.Category, e.SubCategory = `{"a":1}`, `{"b":2}` },
		},
		{name: "cut off", status: 400, body: `{"status":"error","mess`, class: Park},
		{name: "nothing", status: 400, class: Park},
		{
			name: "message array cut off", status: 400, class: Park,
			body: `{"message":"Property values were not valid: [{\"isValid\":false,\"error\":\"INVALID_OPTION\",\"name\":\"a\",\"propertyValue\":\"v\"},{\"isValid\":fal","category":"VALIDATION_ERROR"}`,
			want: func(e *Error) {
				e.Category = "VALIDATION_ERROR"
				e.Details = []Detail{{Property: "a", Value: "v", HasValue: true, Code: "INVALID_OPTION"}}
			},
		},
		{
			name: "refresh token revoked", status: 400, class: Stop,
			body: `{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token","error":"invalid_grant"}`,
			want: func(e *Error) { e.Category = "BAD_REFRESH_TOKEN" },
		},
		{
			name: "no such app", status: 400, class: Stop,
			body: `{"status":"BAD_CLIENT_ID","message":"missing or unknown client id"}`,
			want: func(e *Error) { e.Category = "BAD_CLIENT_ID" },
		},
		{
			name: "secret of another app", status: 400, class: Stop,
			body: `{"status":"BAD_CLIENT_SECRET","message":"missing or invalid client secret"}`,
			want: func(e *Error) { e.Category = "BAD_CLIENT_SECRET" },
		},
		{
			name: "portal that the app cannot use", status: 400, class: Stop,
			body: `{"status":"BAD_HUB","message":"x"}`,
			want: func(e *Error) { e.Category = "BAD_HUB" },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parseError(tt.status, []byte(tt.body), "")
			want := &Error{Status: tt.status}
			if tt.want != nil {
				tt.want(want)
			}
			message := got.Message
			got.Message = ""
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			got.Message = message
			if got.Class() != tt.class {
				t.Errorf("class %v, want %v", got.Class(), tt.class)
			}
			for _, d := range got.Details {
				if d.Value != "" && strings.Contains(got.Error(), d.Value) {
					t.Errorf("the text tells a value: %s", got.Error())
				}
			}
		})
	}
}

func TestMessagesAreCutBetweenRunes(t *testing.T) {
	long := strings.Repeat("ä", MaxMessage)
	got := parseError(400, []byte(`{"message":"`+long+`"}`), "").Message
	if len(got) > MaxMessage+len("…") || !strings.HasPrefix(long, strings.TrimSuffix(got, "…")) {
		t.Errorf("%d bytes: %.20s…", len(got), got)
	}
}

func TestAuthErrorsNameTheSettingAndTheMend(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   []string
	}{
		{401, `{"category":"INVALID_AUTHENTICATION","correlationId":"c-1"}`, []string{"HUBSPOT_ACCESS_TOKEN", "401", "c-1"}},
		{401, `{"category":"EXPIRED_AUTHENTICATION","message":"The OAuth token used to make this call expired 20543 day(s) ago."}`, []string{"HUBSPOT_ACCESS_TOKEN", "whole token"}},
		{403, `{"category":"MISSING_SCOPES","context":{"requiredGranularScopes":["crm.schemas.companies.read","x"]}}`, []string{"HUBSPOT_ACCESS_TOKEN", "crm.schemas.companies.read, x"}},
		{403, `<html>`, []string{"HUBSPOT_ACCESS_TOKEN", "403", "crm.objects.companies.write"}},
	} {
		c := newTestClient(t, fixed(tt.status, tt.body), nil)
		_, err := c.Properties(t.Context(), "companies")
		var problems interface{ Problems() []string }
		if !errors.As(err, &problems) || len(problems.Problems()) != 1 {
			t.Errorf("%d: %v has no problem", tt.status, err)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(problems.Problems()[0], part) {
				t.Errorf("%d: %q lacks %q", tt.status, problems.Problems()[0], part)
			}
		}
	}
}
