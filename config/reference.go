package config

import (
	"reflect"
	"strings"
)

const referenceHead = `# Configuration

<!-- Written by "go generate ./config" from the struct tags in config/config.go; do not edit. -->

pgcrm is configured by environment variables alone.

- A variable that is set but empty counts as not set.
- Any variable can be given as ` + "`NAME_FILE`" + `, the path of a file that holds the value (one trailing newline is cut);
  both at once is an error. Database URLs and tokens given so are read again for each new connection or request, so that a
  rotated secret needs no restart.
- Durations are written ` + "`500ms`, `20s`, `1h30m` or `30d`" + `; sizes ` + "`64MiB` or `64MB`" + ` (a thousand thousands).
- All problems are reported at once, one line each, with exit code 2. An unknown ` + "`PGCRM_*`" + ` name is warned of.
`

// Reference returns the page docs/configuration.md: every variable with its
// default, what it takes and what it means.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	groups := reflect.ValueOf(&Config{}).Elem()
	for i := range groups.NumField() {
		b.WriteString("\n## " + groups.Type().Field(i).Tag.Get("section") + "\n\n")
		b.WriteString("| variable | default | takes | meaning |\n|---|---|---|---|\n")
		group := groups.Field(i)
		for j := range group.NumField() {
			f := group.Type().Field(j)
			l := leaf{field: f, value: group.Field(j), name: f.Tag.Get("env")}
			b.WriteString("| `" + l.name + "` | " + l.fallback() + " | " + l.takes() + " | " + f.Tag.Get("doc") + " |\n")
		}
	}
	return b.String()
}

// fallback shows the default: a value in code type, a word as it is.
func (l leaf) fallback() string {
	if def := l.field.Tag.Get("default"); def != "" {
		return "`" + def + "`"
	}
	shown := l.field.Tag.Get("shown")
	if strings.HasPrefix(shown, "PGCRM_") {
		return "`" + shown + "`"
	}
	return shown
}

// takes says what values the field takes, where the type has a rule.
func (l leaf) takes() string {
	if l.field.Tag.Get("oneof") != "" || l.field.Type.Kind() == reflect.Bool {
		return "`" + strings.ReplaceAll(l.rule(), " or ", "`, `") + "`"
	}
	return l.rule()
}
