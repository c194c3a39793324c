package config

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// leaf is one variable: a field of a group of Config.
type leaf struct {
	field reflect.StructField
	value reflect.Value
	name  string
}

// leaves lists the variables in the order of the fields.
func leaves(cfg *Config) []leaf {
	var all []leaf
	groups := reflect.ValueOf(cfg).Elem()
	for i := range groups.NumField() {
		group := groups.Field(i)
		for j := range group.NumField() {
			f := group.Type().Field(j)
			all = append(all, leaf{field: f, value: group.Field(j), name: f.Tag.Get("env")})
		}
	}
	return all
}

// load sets the field from the environment. Each leaf is processed alone, in a
// struct made for it, because envconfig stops at the first error of a struct.
func (l leaf) load(env *environ, p *problems) {
	lookup := trimmed{env, l.verbatim()}
	value, given := lookup.Lookup(l.name)
	fallback := l.field.Tag.Get("default")
	if !given && fallback == "" || given && l.saysNone(value) {
		return
	}
	tag := fmt.Sprintf(`env:"%s"`, l.name)
	if fallback != "" {
		tag = fmt.Sprintf(`env:"%s,default=%s"`, l.name, fallback)
	}
	target := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: l.field.Name, Type: l.field.Type, Tag: reflect.StructTag(tag),
	}}))
	err := envconfig.ProcessWith(context.Background(), &envconfig.Config{
		Target: target.Interface(), Lookuper: lookup,
	})
	if err == nil {
		l.value.Set(target.Elem().Field(0))
		err = l.check()
	}
	if err != nil {
		l.refuse(value, env, p, err)
		return
	}
	if s, ok := l.value.Addr().Interface().(*Secret); ok {
		s.name, s.file = l.name, env.files[l.name]
	}
}

// verbatim reports a value in which spaces at the ends may matter.
func (l leaf) verbatim() bool {
	switch l.value.Interface().(type) {
	case Secret, Document:
		return true
	}
	return false
}

// saysNone reports that the word "none" was given for a setting whose default
// it is.
func (l leaf) saysNone(value string) bool {
	return l.field.Tag.Get("shown") == "none" && !l.verbatim() && strings.EqualFold(value, "none")
}

// check compares the value with the oneof, min and max tags.
func (l leaf) check() error {
	if words := l.field.Tag.Get("oneof"); words != "" {
		word := strings.ToLower(l.value.String())
		for allowed := range strings.FieldsSeq(words) {
			if word == allowed {
				l.value.SetString(word)
				return nil
			}
		}
		return &fault{"is none of the words it takes", ""}
	}
	n, ok := measure(l.value)
	if !ok {
		return nil
	}
	if least := l.field.Tag.Get("min"); least != "" && n < l.parse(least) {
		return &fault{"is below " + plain(least), ""}
	}
	if most := l.field.Tag.Get("max"); most != "" && n > l.parse(most) {
		return &fault{"is above " + plain(most), ""}
	}
	return nil
}

// measure returns a number to compare with min and max.
func measure(v reflect.Value) (int64, bool) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if d, ok := v.Interface().(Duration); ok {
		return int64(d.Duration), true
	}
	if v.CanInt() {
		return v.Int(), true
	}
	return 0, false
}

// parse reads a bound from a tag, in the notation of the field's type. The
// tags are constants, and a test loads every one of them.
func (l leaf) parse(bound string) int64 {
	var size Bytes
	if size.EnvDecode(bound) == nil {
		return int64(size)
	}
	d, err := time.ParseDuration(bound)
	if err != nil {
		panic("config: bad bound of " + l.name)
	}
	return int64(d)
}

// plain writes a bound as a person would.
func plain(bound string) string {
	if bound == "0s" {
		return "0"
	}
	return bound
}

// refuse words the problem. The text of errors that are not ours is dropped:
// strconv and others quote the value.
func (l leaf) refuse(value string, env *environ, p *problems, err error) {
	f := &fault{}
	if !errors.As(err, &f) {
		f = &fault{what: "is not " + l.kind()}
	}
	what, mend := f.what, f.mend
	if mend == "" {
		mend = "give " + l.rule()
		if def := l.field.Tag.Get("default"); def != "" {
			mend += ", or unset it for " + def
		}
	}
	if quoted(value) {
		mend += "; take off the quotes around it"
	}
	name := l.name
	if _, ok := env.files[name]; ok {
		name += fileSuffix
		what = "the value in the file " + what
	}
	p.add(name, what, mend)
	env.broken[l.name] = true
}

// kind names what a builtin type takes.
func (l leaf) kind() string {
	t := l.field.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	default:
		return "a value it takes"
	}
}

// rule says what the field takes, for messages and the reference.
func (l leaf) rule() string {
	if words := l.field.Tag.Get("oneof"); words != "" {
		return strings.Join(strings.Fields(words), " or ")
	}
	least, most := plain(l.field.Tag.Get("min")), plain(l.field.Tag.Get("max"))
	kind := ""
	switch l.value.Interface().(type) {
	case int, int64, *int64:
		kind = "a whole number"
	case Duration:
		kind = "a duration"
	case Bytes:
		kind = "a size"
	case bool:
		return "true or false"
	}
	switch {
	case least != "" && most != "":
		return kind + " from " + least + " to " + most
	case least != "":
		return kind + " of at least " + least
	}
	return kind
}

// quoted reports quotes around a value, which a shell takes off but docker's
// --env-file and systemd's Environment= in some forms do not.
func quoted(value string) bool {
	value = strings.TrimSpace(value)
	n := len(value)
	return n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'')
}

// trimmed is the environment for one leaf, spaces at the ends taken off. What
// is nothing but spaces counts as empty.
type trimmed struct {
	env      *environ
	verbatim bool
}

// Lookup implements envconfig.Lookuper.
func (t trimmed) Lookup(name string) (string, bool) {
	value, ok := t.env.Lookup(name)
	if t.verbatim {
		return value, ok
	}
	value = strings.TrimSpace(value)
	return value, value != ""
}
