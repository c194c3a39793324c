package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// accepts is as much of a JSON Schema validator as the schema needs.
func accepts(root, schema map[string]any, v any) error {
	if ref, ok := schema["$ref"].(string); ok {
		def := root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if err := accepts(root, def, v); err != nil {
			return err
		}
	}
	if c, ok := schema["const"]; ok && fmt.Sprint(c) != fmt.Sprint(v) {
		return fmt.Errorf("%v is not %v", v, c)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%v is not among %v", v, enum)
	}
	if t, ok := schema["type"]; ok {
		types, ok := t.([]any)
		if !ok {
			types = []any{t}
		}
		if !slices.ContainsFunc(types, func(t any) bool { return isType(t.(string), v) }) {
			return fmt.Errorf("%v is not of type %v", v, types)
		}
	}
	for _, rule := range []string{"anyOf", "oneOf"} {
		alternatives, ok := schema[rule].([]any)
		if !ok {
			continue
		}
		fit := 0
		for _, a := range alternatives {
			if accepts(root, a.(map[string]any), v) == nil {
				fit++
			}
		}
		if fit == 0 || rule == "oneOf" && fit > 1 {
			return fmt.Errorf("%v fits %d of %s", v, fit, rule)
		}
	}
	if list, ok := v.([]any); ok && schema["items"] != nil {
		for _, item := range list {
			if err := accepts(root, schema["items"].(map[string]any), item); err != nil {
				return err
			}
		}
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if most, ok := schema["maxProperties"].(float64); ok && len(object) > int(most) {
		return fmt.Errorf("more than %v keys", most)
	}
	if least, ok := schema["minProperties"].(float64); ok && len(object) < int(least) {
		return fmt.Errorf("fewer than %v keys", least)
	}
	for _, key := range asList(schema["required"]) {
		if _, ok := object[key.(string)]; !ok {
			return fmt.Errorf("%v is missing", key)
		}
	}
	known, _ := schema["properties"].(map[string]any)
	for key, value := range object {
		sub, ok := known[key].(map[string]any)
		if !ok {
			switch more := schema["additionalProperties"].(type) {
			case bool:
				return fmt.Errorf("unknown key %s", key)
			case map[string]any:
				sub = more
			default:
				continue
			}
		}
		if err := accepts(root, sub, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func isType(t string, v any) bool {
	kind := reflect.ValueOf(v).Kind()
	switch t {
	case "object":
		return kind == reflect.Map
	case "array":
		return kind == reflect.Slice
	case "string":
		return kind == reflect.String
	case "boolean":
		return kind == reflect.Bool
	case "integer":
		return kind == reflect.Int64 || kind == reflect.Uint64
	}
	return kind == reflect.Float64 || kind == reflect.Int64 || kind == reflect.Uint64
}

func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

func checkSchema(t *testing.T, src string) error {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(src), &v); err != nil {
		t.Fatal(err)
	}
	root := schemaOf(t)
	return accepts(root, root, v)
}

func TestSchemaAgreesWithTheParser(t *testing.T) {
	for src, good := range map[string]bool{
		oneProperty("a", "b"): true,
		oneProperty("a", "{column: b, values: {1: 2, x: true}, on_other: pass, on_null: keep, on_overflow: truncate, tz: UTC, by: label, direction: allow}"): true,
		oneProperty("a", `{expr: "b"}`):                                        true,
		oneProperty("a", "{const: 7}"):                                         true,
		oneProperty("a", "{const: 7, column: b}"):                              false,
		oneProperty("a", "{}"):                                                 false,
		oneProperty("a", "[b]"):                                                false,
		oneProperty("a", "{column: b, on_nul: x}"):                             false,
		oneProperty("a", "{column: b, by: name}"):                              false,
		"version: 2\ntables: {a: {match: {a: b}, properties: {a: b}}}\n":       false,
		"version: 1\ntables: {a: {match: {a: b, c: d}, properties: {a: b}}}\n": false,
		"version: 1\ntables: {a: [{match: {a: b}, properties: {a: b}, priority: 1, on_delete: {set: {a: b}}, object: x, when: \"c\", on_missing: skip}]}\n": true,
		"version: 1\ntables: {a: {match: {a: b}, properties: {a: b}, on_delete: drop}}\n":                                                                   false,
	} {
		parsed := problems(t, src) == nil
		if err := checkSchema(t, src); (err == nil) != good || parsed != good {
			t.Errorf("%s: schema says %v, parser %v, want %v", src, err, parsed, good)
		}
	}
}

// TestSchemaKnowsTheParsersKeys compares the keys, which the parser lists when it
// meets one that is like none of them.
func TestSchemaKnowsTheParsersKeys(t *testing.T) {
	root := schemaOf(t)
	defs := root["$defs"].(map[string]any)
	for where, test := range map[string]struct {
		src  string
		keys any
	}{
		"top":      {"qqqqqqqqqq: 1\n", root["properties"]},
		"mapping":  {"version: 1\ntables: {a: {qqqqqqqqqq: 1}}\n", defs["mapping"].(map[string]any)["properties"]},
		"property": {oneProperty("a", "{qqqqqqqqqq: 1}"), defs["property"].(map[string]any)["properties"]},
	} {
		want := "known here: " + strings.Join(slices.Sorted(maps.Keys(test.keys.(map[string]any))), ", ")
		if all := strings.Join(problems(t, test.src), "\n"); !strings.Contains(all, want) {
			t.Errorf("%s: the schema has %q, the parser says\n%s", where, want, all)
		}
	}
}
