package mapping

import "encoding/json"

// SchemaID names the JSON Schema of the mapping.
const SchemaID = "https://github.com/pgcrm/pgcrm/mapping.schema.json"

type object = map[string]any

// Schema is the JSON Schema (draft 2020-12) of the mapping file, for editors.
// What only database and portal can tell, it leaves to check.
func Schema() []byte {
	ref := func(name string) object { return object{"$ref": "#/$defs/" + name} }
	enum := func(doc, first string, rest ...string) object {
		return object{"description": doc, "enum": append([]string{first}, rest...), "default": first}
	}
	properties := object{
		"description":          "HubSpot property: a column, or a map with column, expr or const.",
		"type":                 "object",
		"minProperties":        1,
		"additionalProperties": object{"anyOf": []object{ref("scalar"), ref("property")}},
	}
	rule := object{
		"type":                 "object",
		"additionalProperties": false,
		"oneOf":                []object{{"required": []string{"column"}}, {"required": []string{"expr"}}, {"required": []string{"const"}}},
		"properties": object{
			"column":      object{"$ref": "#/$defs/scalar", "description": "The column whose value is sent."},
			"expr":        object{"type": "string", "description": "An expression over the table's columns, in double quotes.", "examples": []string{"lower(trim(website_host))"}},
			"const":       object{"$ref": "#/$defs/scalar", "description": "A value that is sent as written."},
			"values":      object{"type": "object", "minProperties": 1, "additionalProperties": ref("scalar"), "description": "Column values and what is sent for them."},
			"on_other":    enum("A value that is not among values: parked, cleared, left alone, or sent as it is.", "park", "clear", "keep", "pass"),
			"on_null":     enum("SQL NULL: clear what pgcrm has delivered, clear always, or leave alone.", "clear", "overwrite", "keep"),
			"on_overflow": enum("A text longer than 65,536 characters: parked or cut.", "park", "truncate"),
			"tz":          object{"type": "string", "description": "Time zone: whose date is meant, or in which a timestamp without zone was written.", "examples": []string{"America/New_York"}},
			"by":          enum("Whether the column holds the options' values or their labels.", "value", "label"),
			"direction":   enum("allow: clear first, then set in a later call, so that a lifecycle stage can go back.", "forward", "allow"),
		},
	}
	mapping := object{
		"type":                 "object",
		"additionalProperties": false,
		"required":             []string{"match", "properties"},
		"properties": object{
			"object":     object{"type": "string", "default": DefaultObject, "description": "The HubSpot object type."},
			"match":      object{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": ref("scalar"), "description": "HubSpot property with unique values, or hs_object_id, and the column that holds its value."},
			"when":       object{"type": "string", "description": "A condition over the table's columns; other rows are not sent.", "examples": []string{"deleted_at == nil"}},
			"on_missing": enum("The CRM has no such record: park the row, create the record, or skip the row.", "park", "create", "skip"),
			"on_delete": object{
				"description": "The row is deleted or no longer satisfies when.", "default": "ignore",
				"anyOf": []object{{"enum": []string{"ignore", "archive"}}, {
					"type": "object", "additionalProperties": false, "required": []string{"set"},
					"properties": object{"set": object{"type": "object", "minProperties": 1, "additionalProperties": ref("scalar")}},
				}},
			},
			"priority":   object{"type": "integer", "default": 0, "description": "Where two mappings write one property of one object, the higher alone does."},
			"properties": properties,
		},
	}
	schema := object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"$id":                  SchemaID,
		"title":                "pgcrm mapping",
		"type":                 "object",
		"additionalProperties": false,
		"required":             []string{"version", "tables"},
		"properties": object{
			"version": object{"const": 1},
			"tables": object{
				"type": "object", "minProperties": 1, "description": "Table names, as SQL writes them, and what their rows become.",
				"additionalProperties": object{"anyOf": []object{ref("mapping"), {"type": "array", "minItems": 1, "items": ref("mapping")}}},
			},
		},
		"$defs": object{"scalar": object{"type": []string{"string", "number", "boolean"}}, "property": rule, "mapping": mapping},
	}
	out, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return append(out, '\n')
}
