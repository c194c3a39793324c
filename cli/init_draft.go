package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// draft is a table's mapping in the making.
type draft struct {
	rel   *change.Relation
	match struct{ property, column, note string }
	lines []draftLine
	// lacking are the properties that the portal would need for the columns that
	// found none.
	lacking []hubspot.NewProperty
}

// draftLine is one property's line. One with a reason stands as a comment.
type draftLine struct {
	property, column string
	// text is what stands behind the property.
	text   string
	reason string
	note   string // a comment on a line that stands
}

// draft pairs a table's columns with properties.
func (c *initCommand) draft(rel *change.Relation) (*draft, error) {
	d := &draft{rel: rel}
	if err := c.draftMatch(d); err != nil {
		return nil, err
	}
	used := map[string]bool{d.match.property: true}
	for i := range rel.Columns {
		column := &rel.Columns[i]
		if column.Name == d.match.column || len(c.columns) > 0 && !slices.Contains(c.columns, column.Name) {
			continue
		}
		line := c.draftColumn(d, column, used)
		if line.reason == "" {
			used[line.property] = true
		}
		d.lines = append(d.lines, line)
	}
	return d, nil
}

// draftMatch finds the property and the column that tell which record a row is.
func (c *initCommand) draftMatch(d *draft) error {
	rel := d.rel
	if c.match != "" {
		property, column, ok := strings.Cut(c.match, "=")
		if !ok || property == "" || rel.Column(column) < 0 {
			return &usageError{fmt.Sprintf("--match is PROPERTY=COLUMN with a column of %s", rel)}
		}
		d.match.property, d.match.column = property, column
	} else {
		c.guessMatch(d)
	}
	switch p := c.property(d.match.property); {
	case c.properties == nil || d.match.property == change.RecordID:
	case p == nil:
		d.match.note = "the portal lacks it; pgcrm init --create-properties --yes creates it, with unique values"
		d.lacking = append(d.lacking, hubspot.NewProperty{
			Name: d.match.property, Label: label(d.match.property), Type: "string", FieldType: "text", Group: groupOf(c.object), Unique: true,
			Description: "Key of " + rel.String() + "; written by pgcrm",
		})
	case !p.HasUniqueValue:
		d.match.note = "its values are not unique, so it cannot be matched by; name another with --match"
	}
	return nil
}

// guessMatch looks for a property with unique values that is called like the
// key, and otherwise makes a name up.
func (c *initCommand) guessMatch(d *draft) {
	rel := d.rel
	key := rel.Columns[rel.PrimaryKey[0]].Name
	names := []string{singular(rel.Name) + "_" + key, key, singular(rel.Name) + "_key", "external_id"}
	d.match.property, d.match.column = propertyName(names[0]), key
	if strings.HasPrefix(normalName(key), normalName(singular(rel.Name))) {
		d.match.property = propertyName(key)
	}
	for _, name := range names {
		for i := range c.properties {
			p := &c.properties[i]
			if p.HasUniqueValue && !p.ReadOnly && !p.Archived && p.Name != change.RecordID && normalName(p.Name) == normalName(name) {
				d.match.property = p.Name
				return
			}
		}
	}
}

// draftColumn finds a property for a column.
func (c *initCommand) draftColumn(d *draft, column *change.Column, used map[string]bool) draftLine {
	line := draftLine{property: propertyName(column.Name), column: column.Name, text: yamlText(column.Name)}
	if column.Generated {
		line.reason = "the log does not carry generated columns; use an expression over the columns that it is made of"
		return line
	}
	if c.properties == nil {
		line.note = "not checked: no token"
		return line
	}
	var reasons []string
	for _, p := range c.candidates(d.rel, column, used) {
		text, note, reason := c.try(d, column, p)
		if reason == "" {
			return draftLine{property: p.Name, column: column.Name, text: text, note: note}
		}
		line.property, line.text = p.Name, text
		reasons = append(reasons, reason)
	}
	if len(reasons) > 0 {
		line.reason = reasons[0]
		return line
	}
	if line.property == d.match.property {
		line.reason = "the property of this name tells which record a row is"
		return line
	}
	line.reason = "the portal has no property of this name"
	if p, ok := c.newProperty(column); ok && !used[p.Name] {
		line.reason += "; --create-properties makes one"
		d.lacking = append(d.lacking, p)
	}
	return line
}

// candidates are the properties that a column may be meant for, best first.
func (c *initCommand) candidates(rel *change.Relation, column *change.Column, used map[string]bool) []*mapping.Property {
	bare := normalName(column.Name)
	names := []string{bare}
	if rest, ok := strings.CutPrefix(bare, normalName(singular(rel.Name))); ok && rest != "" {
		names = append(names, rest)
	}
	names = append(names, synonyms[bare]...)
	var list []*mapping.Property
	for _, name := range names {
		for i := range c.properties {
			p := &c.properties[i]
			if !used[p.Name] && !slices.Contains(list, p) && (normalName(p.Name) == name || normalName(p.Label) == name) {
				list = append(list, p)
			}
		}
	}
	return list
}

// synonyms are what HubSpot calls some things that databases call otherwise.
var synonyms = map[string][]string{
	"companyname": {"name"}, "title": {"name"}, "displayname": {"name"}, "websitehost": {"domain"}, "host": {"domain"}, "hostname": {"domain"},
	"websitedomain": {"domain"}, "companydomain": {"domain"}, "url": {"website"}, "homepage": {"website"}, "phonenumber": {"phone"}, "telephone": {"phone"},
	"postalcode": {"zip"}, "zipcode": {"zip"}, "street": {"address"}, "streetaddress": {"address"}, "region": {"state"}, "province": {"state"},
	"employees": {"numberofemployees"}, "employeecount": {"numberofemployees"}, "headcount": {"numberofemployees"}, "revenue": {"annualrevenue"},
	"notes": {"description"}, "lifecycle": {"lifecyclestage"}, "stage": {"lifecyclestage"}, "emailaddress": {"email"}, "givenname": {"firstname"}, "familyname": {"lastname"},
}

// try finds a form in which the column fits the property, by compiling it.
func (c *initCommand) try(d *draft, column *change.Column, p *mapping.Property) (text, note, reason string) {
	plain := yamlText(column.Name)
	forms := []string{plain}
	if values, complete := optionMap(&column.Type, p); values != "" {
		forms = []string{fmt.Sprintf("{column: %s, values: {%s}}", plain, values)}
		if !complete {
			note = "values that are not listed are parked"
		}
	}
	forms = append(forms, fmt.Sprintf("{column: %s, tz: UTC}", plain))
	for i, form := range forms {
		why := c.compiles(d, p, form)
		if why == "" {
			return form, note, ""
		}
		if i == 0 {
			reason = why
		}
	}
	return forms[0], "", reason
}

// compiles says why a property cannot be written so, or nothing.
func (c *initCommand) compiles(d *draft, p *mapping.Property, form string) string {
	const line = 6 // of the property below
	text := fmt.Sprintf("version: 1\ntables:\n  %s:\n    match: {pgcrm_trial_key: %s}\n    properties:\n      %s: %s\n",
		yamlText(d.rel.String()), yamlText(d.rel.Columns[d.rel.PrimaryKey[0]].Name), yamlText(p.Name), form)
	properties := append(slices.Clone(c.properties), mapping.Property{Name: "pgcrm_trial_key", Type: "string", FieldType: "text", HasUniqueValue: true})
	file, err := mapping.Parse("trial", []byte(text))
	if err == nil {
		_, err = mapping.Compile(file, []*change.Relation{d.rel}, map[string][]mapping.Property{mapping.DefaultObject: properties})
	}
	var wrong *mapping.Error
	if !errors.As(err, &wrong) {
		return ""
	}
	for _, problem := range wrong.List {
		if problem.Line == line {
			return problem.Text
		}
	}
	return ""
}

// optionMap maps an enum's labels to a property's options by what they are
// called; empty where that is not needed or none fits. complete tells that every
// label has found one.
func optionMap(t *change.Type, p *mapping.Property) (values string, complete bool) {
	if p.Type != "enumeration" || len(t.Labels) == 0 {
		return "", true
	}
	var pairs []string
	same := true
	complete = true
	for _, label := range t.Labels {
		i := slices.IndexFunc(p.Options, func(o mapping.Option) bool { return o.Value == label })
		if i < 0 {
			i = slices.IndexFunc(p.Options, func(o mapping.Option) bool {
				return normalName(o.Value) == normalName(label) || normalName(o.Label) == normalName(label)
			})
		}
		if i < 0 {
			complete = false
			continue
		}
		same = same && p.Options[i].Value == label
		pairs = append(pairs, yamlText(label)+": "+yamlText(p.Options[i].Value))
	}
	if same && complete {
		return "", true
	}
	return strings.Join(pairs, ", "), complete
}

// newProperty defines a property for a column that found none; false where none
// would suit.
func (c *initCommand) newProperty(column *change.Column) (hubspot.NewProperty, bool) {
	p := hubspot.NewProperty{
		Name: propertyName(column.Name), Label: label(column.Name), Group: groupOf(c.object),
		Description: "Column " + column.Name + "; written by pgcrm",
	}
	t := &column.Type
	if t.Base != nil {
		t = t.Base
	}
	switch t.Name {
	case "int2", "int4", "int8", "numeric", "float4", "float8":
		p.Type, p.FieldType = "number", "number"
	case "bool":
		p.Type, p.FieldType = "bool", "booleancheckbox"
		p.Options = []hubspot.Option{{Label: "Yes", Value: "true"}, {Label: "No", Value: "false"}}
	case "date":
		p.Type, p.FieldType = "date", "date"
	case "timestamp", "timestamptz":
		p.Type, p.FieldType = "datetime", "date"
	case "text", "varchar", "bpchar", "citext", "uuid", "name":
		p.Type, p.FieldType = "string", "text"
	default:
		if len(t.Labels) == 0 {
			return p, false
		}
		p.Type, p.FieldType = "enumeration", "select"
		for _, l := range t.Labels {
			p.Options = append(p.Options, hubspot.Option{Label: label(l), Value: l})
		}
	}
	return p, true
}
