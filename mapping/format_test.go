package mapping

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// formatted maps one value of one column through one rule.
func formatted(t *testing.T, property, rule, column, text string) string {
	t.Helper()
	m := compile(t, oneProperty(property, rule))
	rel := accounts()
	values := map[string]string{"id": "7"}
	values[column] = text
	ev := &change.Event{Kind: change.Insert, Relation: rel, New: row(t, rel, values)}
	patches, err := m.Mapper().Map(ev, nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(show(patches[0]), property)
}

func TestFormats(t *testing.T) {
	long := strings.Repeat("é", MaxLength)
	for _, test := range []struct{ property, rule, column, text, want string }{
		// string
		{"name", "account_name", "account_name", " a\tb ", "= a\tb "},
		{"name", "account_name", "account_name", "", "!"},
		{"name", "account_name", "account_name", long, "=" + long},
		{"name", "account_name", "account_name", long + "x", "#too_long"},
		{"name", "{column: account_name, on_overflow: truncate}", "account_name", long + "x", "=" + long},
		{"name", "{column: account_name, on_overflow: truncate}", "account_name", strings.Repeat("😀", 40000), "=" + strings.Repeat("😀", MaxLength/2)},
		{"name", "account_name", "account_name", "a\xff", "#invalid_value"},
		{"name", "active", "active", "t", "=true"},
		{"name", "code", "code", "ab   ", "=ab"},
		{"name", "code", "code", "   ", "!"},
		{"name", "mrr", "mrr", "12.50", "=12.50"},
		{"name", "mrr", "mrr", "NaN", "=NaN"},
		{"name", "signed_on", "signed_on", "2026-01-31", "=2026-01-31"},
		{"name", "renews_at", "renews_at", "2026-01-31 12:00:00+00", "=2026-01-31 12:00:00+00"},
		{"name", "tags", "tags", `{a,"b c",NULL,"d\"e"}`, `=a;b c;d"e`},
		{"name", "tags", "tags", `{"a;b"}`, "#invalid_value"},
		{"name", "tags", "tags", "{}", "!"},
		{"name", "meta", "meta", `{"a": 1}`, `={"a": 1}`},
		{"phone", "notes", "notes", "+1 (555) 0", "=+1 (555) 0"},
		// number
		{"seats", "seats", "seats", "-5", "=-5"},
		{"mrr", "mrr", "mrr", "12345678901234567.890", "=12345678901234567.890"},
		{"mrr", "amount", "amount", "0.10", "=0.10"},
		{"mrr", "score", "score", "1.4210854715202004e-14", "=0.000000000000014210854715202004"},
		{"mrr", "score", "score", "1e+20", "=100000000000000000000"},
		{"mrr", "score", "score", "-1.5e1", "=-15"},
		{"mrr", "score", "score", "1.25e1", "=12.5"},
		{"mrr", "score", "score", "-0", "=0"},
		{"mrr", "score", "score", "NaN", "#invalid_value"},
		{"mrr", "score", "score", "Infinity", "#invalid_value"},
		{"mrr", "mrr", "mrr", "-Infinity", "#invalid_value"},
		{"mrr", "notes", "notes", " 007 ", "=007"},
		{"mrr", "notes", "notes", "+.5", "=0.5"},
		{"mrr", "notes", "notes", "5.", "=5"},
		{"mrr", "notes", "notes", "1,234", "#invalid_value"},
		{"mrr", "notes", "notes", "0x1f", "#invalid_value"},
		{"mrr", "notes", "notes", "1e500", "#invalid_value"},
		{"mrr", "notes", "notes", ".", "#invalid_value"},
		{"mrr", "notes", "notes", "  ", "#invalid_value"},
		{"mrr", "notes", "notes", "", "!"},
		{"mrr", "notes", "notes", strings.Repeat("9", MaxLength+1), "#too_long"},
		// bool
		{"is_active", "active", "active", "t", "=true"},
		{"is_active", "active", "active", "f", "=false"},
		{"is_active", "notes", "notes", "true", "=true"},
		{"is_active", "notes", "notes", "t", "#invalid_value"},
		{"is_active", "notes", "notes", "yes", "#invalid_value"},
		// date
		{"renewal_date", "signed_on", "signed_on", "2026-01-31", "=2026-01-31"},
		{"renewal_date", "signed_on", "signed_on", "0044-03-15 BC", "#invalid_value"},
		{"renewal_date", "signed_on", "signed_on", "infinity", "#invalid_value"},
		{"renewal_date", "signed_on", "signed_on", "10000-01-01", "#invalid_value"},
		{"renewal_date", "signed_on", "signed_on", "9999-12-31", "=9999-12-31"},
		{"renewal_date", "seen_at", "seen_at", "2026-01-31 23:59:59.999", "=2026-01-31"},
		{"renewal_date", "{column: seen_at, tz: Asia/Tokyo}", "seen_at", "2026-01-31 23:59:59.999", "=2026-01-31"},
		{"renewal_date", "{column: renews_at, tz: America/New_York}", "renews_at", "2026-01-31 03:00:00+00", "=2026-01-30"},
		{"renewal_date", "{column: renews_at, tz: Pacific/Kiritimati}", "renews_at", "9999-12-31 23:00:00+00", "#invalid_value"},
		{"renewal_date", "notes", "notes", "2026-02-29", "#invalid_value"},
		{"renewal_date", "notes", "notes", "2024-02-29", "=2024-02-29"},
		{"renewal_date", "notes", "notes", "31.01.2026", "#invalid_value"},
		{"renewal_date", "notes", "notes", "2026-01-31T03:00:00Z", "#invalid_value"},
		{"renewal_date", "{column: notes, tz: UTC}", "notes", "2026-01-31T03:00:00Z", "=2026-01-31"},
		// datetime
		{"renewed_at", "renews_at", "renews_at", "2026-01-31 12:00:00.123987+00", "=2026-01-31T12:00:00.123Z"},
		{"renewed_at", "renews_at", "renews_at", "2026-01-31 12:00:00+05:30", "=2026-01-31T06:30:00.000Z"},
		{"renewed_at", "renews_at", "renews_at", "1883-11-18 12:00:00-04:56:02", "=1883-11-18T16:56:02.000Z"},
		{"renewed_at", "renews_at", "renews_at", "infinity", "#invalid_value"},
		{"renewed_at", "renews_at", "renews_at", "-infinity", "#invalid_value"},
		{"renewed_at", "renews_at", "renews_at", "0001-01-01 00:00:00+01", "#invalid_value"},
		{"renewed_at", "renews_at", "renews_at", "9999-12-31 23:59:59.9999+00", "=9999-12-31T23:59:59.999Z"},
		{"renewed_at", "renews_at", "renews_at", "10000-01-01 00:00:00+00", "#invalid_value"},
		{"renewed_at", "seen_at", "seen_at", "2026-07-01 12:00:00", "=2026-07-01T12:00:00.000Z"},
		{"renewed_at", "{column: seen_at, tz: America/New_York}", "seen_at", "2026-07-01 12:00:00.5", "=2026-07-01T16:00:00.500Z"},
		{"renewed_at", "{column: seen_at, tz: America/New_York}", "seen_at", "2026-03-08 02:30:00", "=2026-03-08T07:30:00.000Z"}, // skipped hour
		{"renewed_at", "{column: seen_at, tz: America/New_York}", "seen_at", "2026-11-01 01:30:00", "=2026-11-01T06:30:00.000Z"}, // doubled hour
		{"renewed_at", "signed_on", "signed_on", "2026-01-31", "=2026-01-31T00:00:00.000Z"},
		{"renewed_at", "notes", "notes", "2026-01-31T12:00:00+01:00", "=2026-01-31T11:00:00.000Z"},
		{"renewed_at", "notes", "notes", "2026-01-31 25:00:00", "#invalid_value"},
		{"renewed_at", "notes", "notes", "1769860800000", "#invalid_value"},
		// enumeration
		{"plan", "plan", "plan", "FREE", "=FREE"},
		{"plan", "plan", "plan", "free", "#invalid_option"},
		{"plan", "plan", "plan", "Free", "#invalid_option"},
		{"plan", "plan", "plan", "", "!"},
		{"plan", "{column: plan, by: label}", "plan", "Free", "=FREE"},
		{"plan", "{column: plan, by: label}", "plan", "FREE", "#invalid_option"},
		{"stage", "{column: stage, by: label}", "stage", "won", "=2"},
		{"is_active", "active", "active", "t", "=true"},
		{"hubspot_owner_id", "seats", "seats", "42", "=42"},
		// several options
		{"tags", "tags", "tags", "{a,b,a}", "=a;b"},
		{"tags", "tags", "tags", "{a,z}", "#invalid_option"},
		{"tags", "tags", "tags", `{"x;y"}`, "#invalid_value"},
		{"tags", "tags", "tags", `{NULL}`, "!"},
		{"tags", "tags", "tags", `{""}`, "#invalid_option"},
		{"tags", "tags", "tags", `[0:1]={a,b}`, "=a;b"},
		{"tags", "tags", "tags", `{{a},{b}}`, "#invalid_value"},
		{"tags", "{column: tags, by: label}", "tags", "{A,C}", "=a;c"},
		{"tags", "notes", "notes", "a;b", "=a;b"},
		{"tags", "notes", "notes", "a;b;", "=a;b"},
		{"tags", "notes", "notes", ";a", "#invalid_value"},
		{"tags", "notes", "notes", "a;;b", "#invalid_option"},
		{"tags", "notes", "notes", "", "!"},
		// value maps
		{"plan", "{column: plan, values: {free: FREE, ent: ENTERPRISE}}", "plan", "ent", "=ENTERPRISE"},
		{"plan", "{column: plan, values: {free: FREE}}", "plan", "FREE", "#invalid_option"},
		{"plan", "{column: plan, values: {free: FREE}, on_other: clear}", "plan", "x", "?"},
		{"plan", "{column: plan, values: {free: FREE}, on_other: keep}", "plan", "x", ""},
		{"plan", "{column: plan, values: {free: FREE}, on_other: pass}", "plan", "ENTERPRISE", "=ENTERPRISE"},
		{"plan", "{column: plan, values: {free: FREE}, on_other: pass}", "plan", "x", "#invalid_option"},
		{"plan", "{column: plan, values: {free: '', ent: ENTERPRISE}}", "plan", "free", "!"},
		{"plan", "{column: plan, values: {'': FREE}}", "plan", "", "=FREE"},
		{"status", "{column: active, values: {true: 007, false: no}}", "active", "t", "=007"},
		{"status", "{column: signed_on, values: {2026-01-31: x}}", "signed_on", "2026-01-31", "=x"},
		{"status", "{column: score, values: {12.5: x}}", "score", "12.5", "=x"},
		{"is_active", "{column: seats, values: {0: false, 1: true}}", "seats", "1", "=true"},
		{"tags", "{column: tags, values: {x: a, y: b}}", "tags", "{x,y}", "=a;b"},
		{"tags", "{column: tags, values: {x: a}}", "tags", "{x,y}", "#invalid_option"},
		{"tags", "{column: tags, values: {x: a}, on_other: pass}", "tags", "{x,b}", "=a;b"},
		{"tags", "{column: tags, values: {x: a}, on_other: keep}", "tags", "{x,b}", ""},
		// constants
		{"status", "{const: 007}", "notes", "", "=007"},
		{"status", "{const: ''}", "notes", "", "!"},
		{"mrr", "{const: 1.50}", "notes", "", "=1.50"},
		{"tags", "{const: a;b}", "notes", "", "=a;b"},
		{"renewed_at", "{const: 2026-01-31T00:00:00Z}", "notes", "", "=2026-01-31T00:00:00.000Z"},
		{"stage", "{const: '2'}", "notes", "", "=2"},
	} {
		if got := formatted(t, test.property, test.rule, test.column, test.text); got != test.want {
			t.Errorf("%s: %s of %s %.60q: got %.80q, want %.80q", test.property, test.rule, test.column, test.text, got, test.want)
		}
	}
}
