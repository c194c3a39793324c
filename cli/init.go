package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// initCommand is what the flags of `pgcrm init` say, and what it works with.
type initCommand struct {
	*desk
	env     Environment
	tables  tableList
	columns []string
	object  string
	match   string
	file    string
	create  bool
	yes     bool

	conn *pgx.Conn
	crm  *hubspot.Client // nil without a token
	// properties are those of the object; nil without a token.
	properties []mapping.Property
}

func newInitCommand(env Environment) *cobra.Command {
	c := &initCommand{env: env}
	cmd := &cobra.Command{
		Use:   "init --table TABLE",
		Short: "Write a starter mapping from the database's columns and the portal's properties",
		Long: `Writes a mapping of the tables that are named: columns are paired with the portal's
properties by name, tried out against their types and options, and those that do
not fit stand in it as comments with the reason. An existing file is never
overwritten. Without a token the properties cannot be looked at, and columns are
paired with properties of the same name.

With --create-properties it shows the properties that the portal lacks for the
columns, the match property with unique values among them; with --yes as well it
creates them first. Nothing else is ever changed in the portal.`,
		Example: `  pgcrm init --table accounts
  pgcrm init --table accounts --match account_id=id --file crm/pgcrm.yaml
  pgcrm init --table accounts --columns id,plan,seats --create-properties
  pgcrm init --table accounts --columns id,plan,seats --create-properties --yes`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.Var(&c.tables, "table", "a table to map, [SCHEMA.]NAME; may be repeated")
	f.StringSliceVar(&c.columns, "columns", nil, "only these columns; all otherwise")
	f.StringVar(&c.object, "object", mapping.DefaultObject, "the HubSpot object type")
	f.StringVar(&c.match, "match", "", "PROPERTY=COLUMN that tells which record a row is; guessed otherwise")
	f.StringVar(&c.file, "file", "", "where to write; - prints it (default: PGCRM_MAPPING_FILE, or pgcrm.yaml)")
	f.BoolVar(&c.create, "create-properties", false, "show the properties that the portal lacks")
	f.BoolVar(&c.yes, "yes", false, "with --create-properties, create them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) }
	return cmd
}

// load reads the configuration without the mapping, which is yet to be written.
func (c *initCommand) load() error {
	env := c.env
	env.Env = nil
	for _, pair := range c.env.Env {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case name == "PGCRM_MAPPING_FILE" && c.file == "":
			c.file = value
		case name != "PGCRM_MAPPING" && name != "PGCRM_MAPPING_FILE":
			env.Env = append(env.Env, pair)
		}
	}
	if c.file == "" {
		c.file = config.DefaultMappingFile
	}
	needs := []config.Need{config.NeedDatabase}
	if c.create {
		needs = append(needs, config.NeedCRM)
	}
	var err error
	c.desk, err = newDesk(env, needs...)
	return err
}

func (c *initCommand) run(ctx context.Context) error {
	switch {
	case len(c.tables) == 0:
		return &usageError{"name a table: pgcrm init --table accounts"}
	case c.yes && !c.create:
		return &usageError{"--yes belongs to --create-properties"}
	case len(c.tables) > 1 && (c.match != "" || len(c.columns) > 0):
		return &usageError{"--match and --columns are about one table; run init for each, with a --file of its own"}
	}
	if err := c.load(); err != nil {
		return err
	}
	exists := false
	if c.file != "-" {
		_, err := os.Stat(c.file)
		exists = err == nil
	}
	if exists && !c.create {
		return &usageError{fmt.Sprintf("%s exists and is never overwritten; name another with --file, or print it with --file -", c.file)}
	}
	relations, err := c.look(ctx)
	if err != nil {
		return err
	}
	defer c.close(ctx)
	drafts := make([]*draft, len(relations))
	for i, rel := range relations {
		if drafts[i], err = c.draft(rel); err != nil {
			return err
		}
	}
	if c.create {
		made, err := c.createProperties(ctx, drafts)
		if err != nil || !made {
			return err
		}
		for i, rel := range relations {
			if drafts[i], err = c.draft(rel); err != nil {
				return err
			}
		}
	}
	text := c.write(drafts)
	switch {
	case c.file == "-":
		c.out.printf("%s", text)
		return nil
	case exists:
		c.out.printf("%s exists and is left as it is\n", c.file)
		return nil
	}
	if err := c.save(text); err != nil {
		return err
	}
	c.out.printf("wrote %s; look through it, then run pgcrm check and pgcrm plan\n", c.file)
	return nil
}

// save writes the file unless there is one.
func (c *initCommand) save(text string) error {
	f, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // for all to read: it holds no secret
	if errors.Is(err, fs.ErrExist) {
		return &usageError{fmt.Sprintf("%s exists and is never overwritten", c.file)}
	}
	if err != nil {
		return &usageError{fmt.Sprintf("%s cannot be written: %v; name another with --file", c.file, cause(err))}
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// look describes the tables, and reads the portal's properties where it may.
func (c *initCommand) look(ctx context.Context) (relations []*change.Relation, err error) {
	var wrong problems
	var names []cdc.Name
	for _, t := range c.tables {
		table, err := mapping.ParseTableName(t)
		if err != nil {
			wrong.lines = append(wrong.lines, fmt.Sprintf("--table: %q is %v", t, err))
			continue
		}
		names = append(names, cdc.Name{Schema: table.Schema, Table: table.Name})
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.close(ctx)
		}
	}()
	if c.conn, err = cdc.Connect(ctx, c.db); err != nil {
		return nil, err
	}
	if relations, err = cdc.Describe(ctx, c.conn, names); err != nil {
		return nil, err
	}
	for _, rel := range relations {
		for _, column := range c.columns {
			if rel.Column(column) < 0 {
				wrong.lines = append(wrong.lines, fmt.Sprintf("--columns: table %s has no column %s", rel, column))
			}
		}
		if len(rel.PrimaryKey) == 0 {
			wrong.lines = append(wrong.lines, fmt.Sprintf("table %s has no primary key, so its rows cannot be told apart; add one: ALTER TABLE %s ADD PRIMARY KEY (...)", rel, rel))
		}
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	if !c.cfg.CRM.Token.IsSet() && !c.cfg.CRM.OAuth() {
		return relations, nil
	}
	if c.crm, err = c.client(); err != nil {
		return nil, err
	}
	return relations, c.readProperties(ctx)
}

func (c *initCommand) readProperties(ctx context.Context) error {
	definitions, err := c.crm.Properties(ctx, c.object)
	if err != nil {
		return err
	}
	c.properties = propertiesOf(definitions)
	return nil
}

func (c *initCommand) close(ctx context.Context) {
	if c.conn != nil {
		_ = c.conn.Close(context.WithoutCancel(ctx)) // nothing was left undone on it
	}
	if c.crm != nil {
		c.crm.CloseIdleConnections()
	}
}

// createProperties shows what the portal lacks and, if it was told to, creates
// it. made is false where it only showed.
func (c *initCommand) createProperties(ctx context.Context, drafts []*draft) (made bool, err error) {
	var lacking []hubspot.NewProperty
	for _, d := range drafts {
		for _, p := range d.lacking {
			if !slices.ContainsFunc(lacking, func(other hubspot.NewProperty) bool { return other.Name == p.Name }) {
				lacking = append(lacking, p)
			}
		}
	}
	if len(lacking) == 0 {
		c.out.println("the portal lacks no property")
		return true, nil
	}
	t := newTable("PROPERTY", "LABEL", "TYPE", "FIELD", "GROUP", "UNIQUE", "OPTIONS")
	for _, p := range lacking {
		unique := ""
		if p.Unique {
			unique = "yes"
		}
		var options []string
		for _, o := range p.Options {
			options = append(options, o.Value)
		}
		t.add(p.Name, p.Label, p.Type, p.FieldType, p.Group, unique, strings.Join(options, ", "))
	}
	t.print(c.out, "")
	if !c.yes {
		c.out.printf("these %s properties would be created; --yes creates them, --columns leaves some out\n", c.object)
		return false, nil
	}
	for _, p := range lacking {
		if _, err := c.crm.CreateProperty(ctx, c.object, p); err != nil {
			return false, fmt.Errorf("create property %s: %w", p.Name, err)
		}
	}
	c.out.printf("created %s\n", plural(int64(len(lacking)), "property", "properties"))
	return true, c.awaitProperties(ctx, lacking)
}

// newPropertyPatience is how long new properties may stay unknown.
const newPropertyPatience = 30 * time.Second

// awaitProperties waits until the portal shows the new properties.
func (c *initCommand) awaitProperties(ctx context.Context, lacking []hubspot.NewProperty) error {
	ctx, cancel := context.WithTimeout(ctx, newPropertyPatience)
	defer cancel()
	for {
		if err := c.readProperties(ctx); err != nil {
			return err
		}
		missing := slices.ContainsFunc(lacking, func(p hubspot.NewProperty) bool { return c.property(p.Name) == nil })
		if !missing {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("HubSpot does not show the new properties yet; run it again")
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// property finds a property by its name.
func (c *initCommand) property(name string) *mapping.Property {
	for i := range c.properties {
		if c.properties[i].Name == name {
			return &c.properties[i]
		}
	}
	return nil
}
