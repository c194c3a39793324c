package hubspotsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"sort"
	"strings"
)

// properties answers the Properties API. The portal is locked.
func (c *call) properties(o *objectType) answer {
	switch c.route.op {
	case "properties.list":
		return c.listProperties(o)
	case "properties.get":
		if d := o.defs[c.route.id]; d != nil && !d.unborn(c.portal) && d.Archived == (c.request.URL.Query().Get("archived") == "true") {
			return answer{status: http.StatusOK, body: mustJSON(d.Property)}
		}
		return c.noProperty(c.route.id)
	case "properties.create":
		var p Property
		if err := json.Unmarshal(c.body, &p); err != nil {
			return c.badJSON(c.body, err)
		}
		d, a := c.create(o, p)
		if d != nil {
			a = answer{status: http.StatusCreated, body: mustJSON(d.Property)}
		}
		return a
	case "properties.patch":
		return c.patchProperty(o)
	case "properties.archive":
		if d := o.defs[c.route.id]; d == nil || d.Archived || d.HubSpotDefined {
			return c.noProperty(c.route.id)
		}
		o.defs[c.route.id].Archived = true
		return answer{status: http.StatusNoContent}
	case "properties.groups":
		return answer{status: http.StatusOK, body: mustJSON(map[string]any{"results": []any{
			map[string]any{"name": o.Group, "label": o.Group, "displayOrder": -1, "archived": false},
		}})}
	}
	return c.batchProperties(o)
}

func (c *call) noProperty(name string) answer {
	return c.refuse(http.StatusNotFound, refusal{
		Message: "Property " + name + " does not exist", Category: "OBJECT_NOT_FOUND",
	})
}

// listProperties is not paged. Sensitive properties show only when asked for.
func (c *call) listProperties(o *objectType) answer {
	q := c.request.URL.Query()
	sensitivity := q.Get("dataSensitivity")
	if sensitivity == "" {
		sensitivity = "non_sensitive"
	}
	archived := q.Get("archived") == "true"
	list := []Property{}
	for _, d := range o.defs {
		if d.Archived == archived && !d.unborn(c.portal) && (d.DataSensitivity == sensitivity || d.DataSensitivity == "" && sensitivity == "non_sensitive") {
			list = append(list, d.Property)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return answer{status: http.StatusOK, body: mustJSON(map[string]any{"results": list})}
}

// maxUnique is how many unique properties an object may have.
const maxUnique = 10

// create makes a property, or brings an archived one back.
func (c *call) create(o *objectType, p Property) (*definition, answer) {
	if bad := c.malformed(o, &p); bad != "" {
		return nil, c.invalid(nil, "%s", bad)
	}
	now := c.portal.now()
	p.CreatedAt, p.UpdatedAt = now.UTC().Format(isoMillis), now.UTC().Format(isoMillis)
	p.Modification = ModificationMetadata{Archivable: true}
	p.HubSpotDefined, p.Archived, p.Calculated = false, false, false
	if old := o.defs[p.Name]; old != nil {
		if !old.Archived {
			return nil, c.refuse(http.StatusConflict, refusal{
				Message:  "A property named '" + p.Name + "' already exists.",
				Category: "OBJECT_ALREADY_EXISTS", SubCategory: "Properties.PROPERTY_WITH_NAME_EXISTS",
			})
		}
		old.Archived = false
		return old, answer{}
	}
	d := o.add(p)
	if c.portal.newDelay > 0 {
		d.bornAt = now.Add(c.portal.newDelay)
	}
	return d, answer{}
}

func (c *call) malformed(o *objectType, p *Property) string {
	types := []string{"bool", "date", "datetime", "enumeration", "number", "phone_number", "string"}
	fields := []string{
		"booleancheckbox", "calculation_equation", "checkbox", "date", "file", "html", "number", "phonenumber", "radio", "select", "text", "textarea",
	}
	unique := 0
	for _, d := range o.defs {
		if d.HasUniqueValue && !d.Archived {
			unique++
		}
	}
	lower := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' }
	switch {
	case p.Name == "" || strings.TrimFunc(p.Name, lower) != "" || p.Name[0] < 'a':
		return "name: use lower case letters, digits and underscores, beginning with a letter"
	case p.Label == "":
		return "label must not be empty"
	case !slices.Contains(types, p.Type):
		return "type must be one of " + strings.Join(types, ", ")
	case !slices.Contains(fields, p.FieldType):
		return "fieldType must be one of " + strings.Join(fields, ", ")
	case p.GroupName != o.Group:
		return "property group " + p.GroupName + " does not exist"
	case p.Type == "bool" && (len(p.Options) != 2 || !hasOption(p.Options, "true") || !hasOption(p.Options, "false")):
		return "a bool property needs exactly the options true and false"
	case p.Type == "enumeration" && len(p.Options) == 0 && !p.ExternalOptions:
		return "an enumeration property needs options"
	case p.HasUniqueValue && p.Type != "string" && p.Type != "number":
		return "only string and number properties can have unique values"
	case p.HasUniqueValue && unique >= maxUnique:
		return "at most 10 properties of an object can have unique values"
	}
	return ""
}

func hasOption(options []Option, value string) bool {
	return slices.ContainsFunc(options, func(o Option) bool { return o.Value == value })
}

// patchProperty changes what may be changed. HasUniqueValue may not: it is
// accepted and ignored.
func (c *call) patchProperty(o *objectType) answer {
	d := o.defs[c.route.id]
	if d == nil || d.Archived {
		return c.noProperty(c.route.id)
	}
	var patch struct {
		Label, Type, FieldType, Description *string
		Options                             []Option
		Hidden                              *bool
	}
	if err := json.Unmarshal(c.body, &patch); err != nil {
		return c.badJSON(c.body, err)
	}
	if d.Modification.ReadOnlyDefinition && (patch.Type != nil || patch.Label != nil || patch.FieldType != nil) {
		return c.invalid(nil, "The definition of %s is read only", d.Name)
	}
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&d.Label, patch.Label)
	set(&d.Type, patch.Type)
	set(&d.FieldType, patch.FieldType)
	set(&d.Description, patch.Description)
	if patch.Hidden != nil {
		d.Hidden = *patch.Hidden
	}
	if patch.Options != nil {
		d.setOptions(patch.Options)
	}
	d.multi = d.Type == "enumeration" && d.FieldType == "checkbox"
	d.UpdatedAt = c.portal.now().UTC().Format(isoMillis)
	return answer{status: http.StatusOK, body: mustJSON(d.Property)}
}

// batchProperties answers batch read, create and archive of definitions.
func (c *call) batchProperties(o *objectType) answer {
	var req struct{ Inputs []Property }
	if err := json.Unmarshal(c.body, &req); err != nil {
		return c.badJSON(c.body, err)
	}
	if len(req.Inputs) > maxInputs {
		return c.invalid(nil, "The maximum number of inputs supported in a batch is %d. Please reduce the number of items and try again", maxInputs)
	}
	results := []Property{}
	errs := []refusal{}
	status := http.StatusOK
	for _, p := range req.Inputs {
		d := o.live([]byte(p.Name))
		switch c.route.op {
		case "properties.batch.create":
			status = http.StatusCreated
			made, a := c.create(o, p)
			if made == nil {
				var r refusal
				_ = json.Unmarshal(a.body, &r)
				r.CorrelationID = ""
				r.Context = map[string][]string{"name": {p.Name}}
				errs = append(errs, r)
				continue
			}
			results = append(results, made.Property)
		case "properties.batch.archive":
			if d != nil && !d.HubSpotDefined {
				d.Archived = true
			}
		default:
			if d == nil || d.unborn(c.portal) {
				errs = append(errs, refusal{
					Status: "error", Category: "OBJECT_NOT_FOUND", Message: "Could not get some properties", Context: map[string][]string{"name": {p.Name}},
				})
				continue
			}
			results = append(results, d.Property)
		}
	}
	if c.route.op == "properties.batch.archive" {
		return answer{status: http.StatusNoContent}
	}
	out := map[string]any{"status": "COMPLETE", "results": results}
	if len(errs) > 0 {
		status = http.StatusMultiStatus
		out["numErrors"], out["errors"] = len(errs), errs
	}
	return answer{status: status, body: mustJSON(out)}
}
