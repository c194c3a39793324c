package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/mapping"
)

// lockName is the file beside the mapping that holds what database and portal
// looked like when it was last checked against them: with it the mapping compiles
// without a network.
const lockName = "pgcrm.lock"

// lock is the content of the file. It holds no row and no secret.
type lock struct {
	Version    int                         `json:"version"`
	Tables     map[string]lockedTable      `json:"tables"`
	Properties map[string][]lockedProperty `json:"properties"` // by object type
}

type lockedTable struct {
	PrimaryKey []string       `json:"primary_key"`
	Identity   string         `json:"replica_identity"`
	Columns    []lockedColumn `json:"columns"`
}

type lockedColumn struct {
	Name      string     `json:"name"`
	Type      lockedType `json:"type"`
	NotNull   bool       `json:"not_null,omitempty"`
	Generated bool       `json:"generated,omitempty"`
}

type lockedType struct {
	OID      uint32      `json:"oid"`
	Modifier int32       `json:"modifier"`
	Schema   string      `json:"schema"`
	Name     string      `json:"name"`
	Kind     string      `json:"kind"`
	Base     *lockedType `json:"base,omitempty"`
	Elem     *lockedType `json:"elem,omitempty"`
	Labels   []string    `json:"labels,omitempty"`
}

// lockedProperty is one property of an object type.
type lockedProperty struct {
	Name            string         `json:"name"`
	Label           string         `json:"label,omitempty"`
	Type            string         `json:"type"`
	FieldType       string         `json:"field_type,omitempty"`
	Options         []lockedOption `json:"options,omitempty"`
	ExternalOptions bool           `json:"external_options,omitempty"`
	Unique          bool           `json:"unique,omitempty"`
	ReadOnly        bool           `json:"read_only,omitempty"`
	Calculated      bool           `json:"calculated,omitempty"`
	Archived        bool           `json:"archived,omitempty"`
}

type lockedOption struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

const lockVersion = 1

// newLock takes down what database and portal look like.
func newLock(relations []*change.Relation, properties map[string][]mapping.Property) *lock {
	l := &lock{Version: lockVersion, Tables: map[string]lockedTable{}, Properties: map[string][]lockedProperty{}}
	for _, rel := range relations {
		t := lockedTable{PrimaryKey: []string{}, Identity: string(rune(rel.Identity))}
		for _, k := range rel.PrimaryKey {
			t.PrimaryKey = append(t.PrimaryKey, rel.Columns[k].Name)
		}
		for i := range rel.Columns {
			c := &rel.Columns[i]
			t.Columns = append(t.Columns, lockedColumn{Name: c.Name, Type: *lockType(&c.Type), NotNull: c.NotNull, Generated: c.Generated})
		}
		l.Tables[rel.String()] = t
	}
	for object, list := range properties {
		locked := make([]lockedProperty, len(list))
		for i, p := range list {
			locked[i] = lockedProperty{
				Name: p.Name, Label: p.Label, Type: p.Type, FieldType: p.FieldType, ExternalOptions: p.ExternalOptions,
				Unique: p.HasUniqueValue, ReadOnly: p.ReadOnly, Calculated: p.Calculated, Archived: p.Archived,
			}
			for _, o := range p.Options {
				locked[i].Options = append(locked[i].Options, lockedOption{o.Value, o.Label})
			}
		}
		slices.SortFunc(locked, func(a, b lockedProperty) int { return strings.Compare(a.Name, b.Name) })
		l.Properties[object] = locked
	}
	return l
}

func lockType(t *change.Type) *lockedType {
	if t == nil {
		return nil
	}
	return &lockedType{
		OID: t.OID, Modifier: t.Modifier, Schema: t.Schema, Name: t.Name, Kind: string(rune(t.Kind)),
		Base: lockType(t.Base), Elem: lockType(t.Elem), Labels: t.Labels,
	}
}

func (t *lockedType) unlock() *change.Type {
	if t == nil {
		return nil
	}
	u := &change.Type{
		OID: t.OID, Modifier: t.Modifier, Schema: t.Schema, Name: t.Name,
		Base: t.Base.unlock(), Elem: t.Elem.unlock(), Labels: t.Labels,
	}
	if t.Kind != "" {
		u.Kind = t.Kind[0]
	}
	return u
}

// relations gives the tables back as the catalog described them.
func (l *lock) relations() ([]*change.Relation, error) {
	var list []*change.Relation
	for name, t := range l.Tables {
		table, err := mapping.ParseTableName(name)
		if err != nil {
			return nil, fmt.Errorf("table %q is %w", name, err)
		}
		rel := &change.Relation{Schema: table.Schema, Name: table.Name, Identity: change.IdentityDefault}
		if t.Identity != "" {
			rel.Identity = change.ReplicaIdentity(t.Identity[0])
		}
		for _, c := range t.Columns {
			rel.Columns = append(rel.Columns, change.Column{
				Name: c.Name, Type: *c.Type.unlock(), NotNull: c.NotNull, Generated: c.Generated,
				InIdentity: slices.Contains(t.PrimaryKey, c.Name),
			})
		}
		for _, name := range t.PrimaryKey {
			i := rel.Column(name)
			if i < 0 {
				return nil, fmt.Errorf("table %s has no column %s", rel, name)
			}
			rel.PrimaryKey = append(rel.PrimaryKey, i)
		}
		list = append(list, rel)
	}
	slices.SortFunc(list, func(a, b *change.Relation) int { return strings.Compare(a.String(), b.String()) })
	return list, nil
}

// properties gives the property definitions back.
func (l *lock) properties() map[string][]mapping.Property {
	all := map[string][]mapping.Property{}
	for object, list := range l.Properties {
		properties := make([]mapping.Property, len(list))
		for i, p := range list {
			properties[i] = mapping.Property{
				Name: p.Name, Label: p.Label, Type: p.Type, FieldType: p.FieldType, ExternalOptions: p.ExternalOptions,
				HasUniqueValue: p.Unique, ReadOnly: p.ReadOnly, Calculated: p.Calculated, Archived: p.Archived,
			}
			for _, o := range p.Options {
				properties[i].Options = append(properties[i].Options, mapping.Option{Value: o.Value, Label: o.Label})
			}
		}
		all[object] = properties
	}
	return all
}

// lockPath is where the lock of a mapping lies.
func lockPath(doc config.Document) string { return filepath.Join(doc.Dir(), lockName) }

// write writes the file, and reports whether anything in it has changed.
func (l *lock) write(path string) (changed bool, err error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(l); err != nil {
		return false, err
	}
	was, err := os.ReadFile(path) //nolint:gosec // beside the mapping
	if err == nil && bytes.Equal(was, b.Bytes()) {
		return false, nil
	}
	// Renamed into place, so that nobody reads half of it.
	next := path + ".new"
	if err := os.WriteFile(next, b.Bytes(), 0o644); err != nil { //nolint:gosec // it belongs into version control, for all to read
		return false, &usageError{fmt.Sprintf("%s cannot be written: %v", path, cause(err))}
	}
	return true, os.Rename(next, path)
}

// readLock reads the file. What is wrong with it is a problem with its mend.
func readLock(path string) (*lock, error) {
	const mend = "write it with pgcrm check --update-lock, where database and portal can be reached"
	text, err := os.ReadFile(path) //nolint:gosec // beside the mapping
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &usageError{fmt.Sprintf("%s is not there; %s", path, mend)}
	case err != nil:
		return nil, &usageError{fmt.Sprintf("%s cannot be read: %v", path, cause(err))}
	}
	var l lock
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, &usageError{fmt.Sprintf("%s is damaged (%v); %s", path, err, mend)}
	}
	if l.Version != lockVersion {
		return nil, &usageError{fmt.Sprintf("%s is of version %d, this pgcrm reads %d; %s", path, l.Version, lockVersion, mend)}
	}
	return &l, nil
}

// cause is the reason within a file error, without the path.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// compileOffline compiles the mapping against the lock beside it. All that is
// wrong is said at once.
func compileOffline(doc config.Document) (*mapping.Mapping, []*change.Relation, error) {
	var wrong problems
	file, err := mapping.Parse(doc.Name, []byte(doc.Text))
	if err := wrong.add(err); err != nil {
		return nil, nil, err
	}
	path := lockPath(doc)
	l, err := readLock(path)
	if err := wrong.add(err); err != nil {
		return nil, nil, err
	}
	if err := wrong.err(); err != nil {
		return nil, nil, err
	}
	relations, err := l.relations()
	if err != nil {
		return nil, nil, &usageError{fmt.Sprintf("%s is damaged: %v; write it with pgcrm check --update-lock", path, err)}
	}
	for _, table := range file.Tables() {
		if _, ok := l.Tables[table.String()]; !ok {
			wrong.lines = append(wrong.lines, fmt.Sprintf("%s does not know table %s; run pgcrm check --update-lock", path, table))
		}
	}
	for _, object := range file.Objects() {
		if _, ok := l.Properties[object]; !ok {
			wrong.lines = append(wrong.lines, fmt.Sprintf("%s does not know the properties of %s; run pgcrm check --update-lock", path, object))
		}
	}
	if err := wrong.err(); err != nil {
		return nil, nil, err
	}
	m, err := mapping.Compile(file, relations, l.properties())
	return m, relations, err
}
