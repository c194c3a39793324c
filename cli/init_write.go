package cli

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/pgcrm/pgcrm/mapping"
)

// write writes the drafts as a mapping.
func (c *initCommand) write(drafts []*draft) string {
	var b strings.Builder
	b.WriteString("# Which rows become which HubSpot records. pgcrm check holds it against database and portal,\n" +
		"# pgcrm plan shows what would be sent, and docs/mapping.md says all that can stand here.\n" +
		"version: 1\ntables:\n")
	for _, d := range drafts {
		fmt.Fprintf(&b, "  %s:\n", yamlText(d.rel.String()))
		if c.object != mapping.DefaultObject {
			fmt.Fprintf(&b, "    object: %s\n", yamlText(c.object))
		}
		match := fmt.Sprintf("    match: {%s: %s}", yamlText(d.match.property), yamlText(d.match.column))
		if d.match.note != "" {
			match += "   # " + d.match.note
		}
		b.WriteString(match + "\n")
		b.WriteString("    on_missing: park        # no such record in the CRM: park, create or skip\n")
		b.WriteString("    on_delete: ignore       # a deleted row: ignore, archive or {set: {PROPERTY: VALUE}}\n")
		b.WriteString("    properties:\n")
		stands := 0
		for _, l := range d.lines {
			line := fmt.Sprintf("%s: %s", yamlText(l.property), l.text)
			switch {
			case l.reason != "":
				fmt.Fprintf(&b, "      # %s   # %s\n", line, sayable(l.reason))
			case l.note != "":
				fmt.Fprintf(&b, "      %s   # %s\n", line, sayable(l.note))
				stands++
			default:
				fmt.Fprintf(&b, "      %s\n", line)
				stands++
			}
		}
		if stands == 0 {
			fmt.Fprintf(&b, "      # no column fits a property of the portal yet; name one as PROPERTY: COLUMN\n")
		}
	}
	return b.String()
}

var plainYAML = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// yamlWords mean something else than themselves in some YAML.
var yamlWords = map[string]bool{"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "null": true, "y": true, "n": true}

// yamlText writes a text as a YAML scalar.
func yamlText(s string) string {
	if plainYAML.MatchString(s) && !yamlWords[strings.ToLower(s)] {
		return s
	}
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return fmt.Sprintf("%q", s)
}

// normalName is a name without case and without what sets its words apart.
func normalName(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// propertyName makes a name that HubSpot takes: lower case letters, digits and
// underscores, beginning with a letter.
func propertyName(s string) string {
	name := strings.Map(func(r rune) rune {
		r = unicode.ToLower(r)
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
	if name == "" || name[0] < 'a' {
		name = "p_" + strings.TrimLeft(name, "_")
	}
	return name
}

// label is a name for people: "Seats used" for seats_used.
func label(name string) string {
	words := strings.ToLower(strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || unicode.IsSpace(r) }), " "))
	if words == "" {
		return name
	}
	r := []rune(words)
	return string(unicode.ToUpper(r[0])) + string(r[1:])
}

// singular is the name of one row of a table, for English names.
func singular(table string) string {
	switch {
	case strings.HasSuffix(table, "ies"):
		return strings.TrimSuffix(table, "ies") + "y"
	case strings.HasSuffix(table, "sses"), strings.HasSuffix(table, "xes"), strings.HasSuffix(table, "ches"):
		return strings.TrimSuffix(table, "es")
	case strings.HasSuffix(table, "s") && !strings.HasSuffix(table, "ss"):
		return strings.TrimSuffix(table, "s")
	}
	return table
}

// groupOf is the group that an object's own properties are in.
func groupOf(object string) string {
	groups := map[string]string{
		"companies": "companyinformation", "contacts": "contactinformation", "deals": "dealinformation", "tickets": "ticketinformation",
		"products": "productinformation",
	}
	if g, ok := groups[object]; ok {
		return g
	}
	return object + "_information"
}
