package mapping

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// typ is a catalog type by its SQL name.
func typ(name string) change.Type {
	if elem, ok := strings.CutSuffix(name, "[]"); ok {
		e := typ(elem)
		for _, b := range builtin {
			if b.name == e.Name || b.name == elem {
				return change.Type{OID: b.array, Schema: "pg_catalog", Name: "_" + e.Name, Kind: 'b', Elem: &e}
			}
		}
		return change.Type{OID: e.OID + 1, Schema: e.Schema, Name: "_" + e.Name, Kind: 'b', Elem: &e}
	}
	if base, ok := strings.CutPrefix(name, "domain over "); ok {
		b := typ(base)
		return change.Type{OID: 70000, Schema: "public", Name: "dom", Kind: 'd', Base: &b}
	}
	for oid, b := range builtin {
		if b.name == name {
			return change.Type{OID: oid, Modifier: -1, Schema: "pg_catalog", Name: name, Kind: 'b'}
		}
	}
	switch name {
	case "stage":
		return change.Type{OID: 60000, Schema: "public", Name: "stage", Kind: 'e', Labels: []string{"lead", "won", "lost"}}
	case "citext", "hstore":
		return change.Type{OID: 60010, Schema: "public", Name: name, Kind: 'b'}
	}
	kind := byte('b')
	switch {
	case strings.HasSuffix(name, "multirange"):
		kind = 'm'
	case strings.HasSuffix(name, "range"):
		kind = 'r'
	case name == "composite":
		kind = 'c'
	}
	return change.Type{OID: 60020, Schema: "pg_catalog", Name: name, Kind: kind}
}

// table builds a relation from "name type" pairs; the first column is the key.
func table(name string, columns ...string) *change.Relation {
	rel := &change.Relation{OID: 1, Schema: "public", Name: name, Identity: change.IdentityDefault, PrimaryKey: []int{0}}
	for i, c := range columns {
		column, t, _ := strings.Cut(c, " ")
		rel.Columns = append(rel.Columns, change.Column{Name: column, Type: typ(t), InIdentity: i == 0})
	}
	return rel
}

func accounts() *change.Relation {
	return table("accounts", "id bigint", "account_name text", "website_host text", "plan text", "renews_at timestamp with time zone",
		"mrr_cents bigint", "notes text", "stage stage", "lifecycle text", "deleted_at timestamp with time zone", "active boolean",
		"seats integer", "mrr numeric", "score double precision", "signed_on date", "seen_at timestamp", "tags text[]", "meta jsonb",
		"code character", "price money", "hubspot_id bigint", "email citext", "amount domain over numeric")
}

func options(values ...string) []Option {
	list := make([]Option, len(values))
	for i, v := range values {
		value, label, ok := strings.Cut(v, "=")
		if !ok {
			label = value
		}
		list[i] = Option{value, label}
	}
	return list
}

func companies() map[string][]Property {
	return map[string][]Property{"companies": {
		{Name: "account_id", Type: "string", FieldType: "text", HasUniqueValue: true},
		{Name: "account_no", Type: "number", FieldType: "number", HasUniqueValue: true},
		{Name: "name", Type: "string", FieldType: "text"},
		{Name: "domain", Type: "string", FieldType: "text"},
		{Name: "plan", Type: "enumeration", FieldType: "select", Options: options("FREE=Free", "ENTERPRISE=Enterprise")},
		{Name: "source", Type: "string", FieldType: "text"},
		{Name: "renewal_date", Type: "date", FieldType: "date"},
		{Name: "renewed_at", Type: "datetime", FieldType: "date"},
		{Name: "mrr", Type: "number", FieldType: "number"},
		{Name: "seats", Type: "number", FieldType: "number"},
		{Name: "notes", Type: "string", FieldType: "textarea"},
		{Name: "stage", Type: "enumeration", FieldType: "select", Options: options("1=lead", "2=won", "3=lost")},
		{Name: "lifecyclestage", Type: "enumeration", FieldType: "select", Options: options("lead", "customer")},
		{Name: "is_active", Type: "bool", FieldType: "booleancheckbox", Options: options("true=Yes", "false=No")},
		{Name: "tags", Type: "enumeration", FieldType: "checkbox", Options: options("a=A", "b=B", "c=C", "x;y")},
		{Name: "hubspot_owner_id", Type: "enumeration", FieldType: "select", ExternalOptions: true},
		{Name: "phone", Type: "phone_number", FieldType: "phonenumber"},
		{Name: "status", Type: "string", FieldType: "text"},
		{Name: "createdate", Type: "datetime", FieldType: "date", ReadOnly: true},
		{Name: "num_contacts", Type: "number", Calculated: true},
		{Name: "old_thing", Type: "string", Archived: true},
		{Name: "place", Type: "object_coordinates"},
	}}
}

// compile compiles src against accounts() and companies(), or fails the test.
func compile(t testing.TB, src string) *Mapping {
	t.Helper()
	f, err := Parse("pgcrm.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(f, []*change.Relation{accounts()}, companies())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// oneProperty is a mapping of accounts with one property.
func oneProperty(property, rule string) string {
	return "version: 1\ntables:\n  public.accounts:\n    match: {account_id: id}\n    properties:\n      " + property + ": " + rule + "\n"
}

const (
	null      = "\x00null"
	unchanged = "\x00unchanged"
)

// row builds a tuple of rel; columns that are not named are NULL, or unchanged
// with "*" given so.
func row(t testing.TB, rel *change.Relation, values map[string]string) []change.Value {
	t.Helper()
	out := make([]change.Value, len(rel.Columns))
	for i := range out {
		out[i] = value(null)
		if all, ok := values["*"]; ok {
			out[i] = value(all)
		}
	}
	for name, v := range values {
		if name == "*" {
			continue
		}
		i := rel.Column(name)
		if i < 0 {
			t.Fatalf("no column %s", name)
		}
		out[i] = value(v)
	}
	return out
}

func value(s string) change.Value {
	switch s {
	case null:
		return change.Value{Kind: change.Null}
	case unchanged:
		return change.Value{}
	}
	return change.Value{Kind: change.Text, Text: []byte(s)}
}

// show writes a patch's properties for comparison: name=text, name! for a
// clear, name? for a clear if delivered, name#category for a refusal.
func show(p change.Patch) string {
	var parts []string
	for prop := range p.Props.All() {
		name := p.Source.Target.Properties[prop.Slot]
		switch prop.Kind {
		case change.Set:
			parts = append(parts, name+"="+string(prop.Text))
		case change.Clear:
			parts = append(parts, name+"!")
		case change.ClearIfDelivered:
			parts = append(parts, name+"?")
		case change.Refused:
			parts = append(parts, name+"#"+prop.Rejection().Category)
		}
	}
	return strings.Join(parts, " ")
}

func replaceOnce(s, old, by string) string { return strings.Replace(s, old, by, 1) }
