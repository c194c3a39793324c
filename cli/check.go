package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/mapping"
)

func newCheckCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Test everything that run needs, and say what mends it",
		Long: `Looks at the configuration, the mapping, the database and the portal, and changes
none of them. Each finding is one line: what suits, what is worth knowing (!), and
what must be mended before "pgcrm run" starts (✗), with the SQL, the setting or
the scope that mends it. The exit code is 2 if something must be mended.

With --update-lock it writes pgcrm.lock beside the mapping: what the tables and
the properties look like. With --offline it checks the mapping against that file
alone, without a network or a secret, as suits CI; pgcrm test uses it too.`,
		Example: `  pgcrm check
  pgcrm check -o json | jq '.[] | select(.ok | not)'
  pgcrm check --update-lock
  pgcrm check --offline`,
		Args: noArguments,
	}
	var offline, updateLock bool
	cmd.Flags().BoolVar(&offline, "offline", false, "check the mapping alone, against pgcrm.lock")
	cmd.Flags().BoolVar(&updateLock, "update-lock", false, "write pgcrm.lock, what tables and properties look like now")
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if offline && updateLock {
			return &usageError{"--update-lock asks database and portal, so --offline contradicts it; keep one"}
		}
		c := &checker{log: newLogger(env.Stderr, config.Log{Level: config.LogLevel{Level: slog.LevelError + 1}}), updateLock: updateLock}
		if offline {
			c.offline(env.Env)
		} else if err := c.run(cmd.Context(), env.Env); err != nil {
			return err
		}
		return c.report(newPrinter(env.Stdout, env.Env), format.json())
	}
	return cmd
}

// finding is what `pgcrm check -o json` prints of one.
type finding struct {
	Name string `json:"name"`
	// OK is false where run would not start.
	OK     bool   `json:"ok"`
	Status string `json:"status"` // ok, note or wrong
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`

	excerpt []string // the place in the mapping, for a person
}

// checker gathers findings about everything that run needs.
type checker struct {
	cfg      *config.Config
	log      *slog.Logger
	findings []finding
	// updateLock has pgcrm.lock written.
	updateLock bool

	file      *mapping.File
	conn      *pgx.Conn
	relations []*change.Relation
	blanks    []*change.Relation // without columns, for tables that could not be described
	whole     bool               // every mapped table was found
	mapping   *mapping.Mapping

	properties map[string][]mapping.Property // nil where an object's could not be read
	portalID   string                        // empty where it is not known
}

func (c *checker) good(name, format string, args ...any) {
	c.findings = append(c.findings, finding{Name: name, OK: true, Status: "ok", Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) note(name, mend, format string, args ...any) {
	c.findings = append(c.findings, finding{Name: name, OK: true, Status: "note", Detail: fmt.Sprintf(format, args...), Mend: mend})
}

func (c *checker) wrong(name, mend, format string, args ...any) {
	c.findings = append(c.findings, finding{Name: name, Status: "wrong", Detail: fmt.Sprintf(format, args...), Mend: mend})
}

// refused adds what an error says: a line for each of its problems.
func (c *checker) refused(name string, err error) {
	var wrong interface{ Problems() []string }
	if !errors.As(err, &wrong) {
		c.wrong(name, "", "%s", strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	excerpts := excerptsOf(err)
	for _, line := range wrong.Problems() {
		c.findings = append(c.findings, finding{Name: name, Status: "wrong", Detail: line, excerpt: excerpts[line]})
	}
}

// run looks at everything that can be looked at; what is missing of one thing
// does not keep it from the others. Its error says that ctx has ended.
func (c *checker) run(ctx context.Context, environ []string) error {
	if !c.configuration(environ) {
		return nil
	}
	for _, look := range []func(context.Context){c.mappingFile, c.tables, c.portal, c.compile, c.lock, c.database, c.state} {
		look(ctx)
		if ctx.Err() != nil {
			break
		}
	}
	if c.conn != nil {
		_ = c.conn.Close(context.WithoutCancel(ctx)) // it only read
	}
	return context.Cause(ctx)
}

// configuration reports whether there is one to go on with.
func (c *checker) configuration(environ []string) bool {
	cfg, warnings, err := config.Load(environ, config.NeedDatabase, config.NeedCRM, config.NeedMapping)
	for _, w := range warnings {
		c.note("configuration", "", "%s", w)
	}
	if err != nil {
		c.refused("configuration", err)
		// Where something is only missing, the rest can be looked at.
		if cfg, _, err = config.Load(environ); err != nil {
			return false
		}
	} else if len(warnings) == 0 {
		c.good("configuration", "every variable can be read")
	}
	c.cfg = cfg
	return true
}

func (c *checker) mappingFile(context.Context) {
	doc := c.cfg.Mapping.Document
	if doc.Text == "" {
		return // the configuration says so
	}
	file, err := mapping.Parse(doc.Name, []byte(doc.Text))
	if err != nil {
		c.refused("mapping", err)
		return
	}
	c.file = file
}

// tables describes the mapped tables one by one, so that one that is missing
// leaves the others.
func (c *checker) tables(ctx context.Context) {
	if !c.hasDatabase() {
		return
	}
	conn, err := cdc.Connect(ctx, c.databaseConfig())
	if err != nil {
		c.refused("connection", err)
		return
	}
	c.conn, c.whole = conn, c.file != nil
	if c.file == nil {
		return
	}
	for _, t := range c.file.Tables() {
		rels, err := describeOne(ctx, conn, c.file, t)
		if err != nil {
			c.refused("table", err)
			c.whole = false
			c.blanks = append(c.blanks, &change.Relation{Schema: t.Schema, Name: t.Name})
			continue
		}
		c.relations = append(c.relations, rels...)
	}
}

// hasDatabase reports whether the environment says where the database is.
func (c *checker) hasDatabase() bool {
	for _, f := range c.findings {
		if !f.OK && strings.Contains(f.Detail, "nor is DATABASE_URL or PGHOST") {
			return false
		}
	}
	return true
}

func (c *checker) databaseConfig() cdc.Config { return databaseConfig(c.cfg, c.log) }

// portalPatience bounds all calls to the CRM together: the client tries again by
// itself for as long as it takes.
const portalPatience = 45 * time.Second

func (c *checker) portal(ctx context.Context) {
	if !c.cfg.CRM.Token.IsSet() && !c.cfg.CRM.OAuth() {
		return // the configuration says so
	}
	crm, err := (&runner{cfg: c.cfg, log: c.log, recorder: admin.NewRecorder()}).client()
	if err != nil {
		c.refused("token", err)
		return
	}
	defer crm.CloseIdleConnections()
	within, cancel := context.WithTimeout(ctx, portalPatience)
	defer cancel()
	c.askPortal(within, crm)
	if within.Err() != nil && ctx.Err() == nil {
		c.wrong("portal", "check HUBSPOT_BASE_URL, and that a firewall lets this machine out", "%s gives no answer", c.cfg.CRM.BaseURL)
	}
}

// database asks package cdc.
func (c *checker) database(ctx context.Context) {
	if c.conn == nil {
		return
	}
	list, err := cdc.Check(ctx, c.databaseConfig(), c.relations, columnsOf(c.file, c.relations))
	if err != nil {
		c.refused("database", err)
	}
	for _, f := range list {
		switch f.Level {
		case cdc.Good:
			c.good(f.Name, "%s", f.Detail)
		case cdc.Note:
			c.note(f.Name, f.Mend, "%s", f.Detail)
		default:
			c.wrong(f.Name, f.Mend, "%s", f.Detail)
		}
	}
}

// compile puts mapping, tables and properties together. Where not all of them are
// known, it still says what does not suit those that are.
func (c *checker) compile(context.Context) {
	if c.file == nil {
		return
	}
	m, err := mapping.Compile(c.file, slices.Concat(c.relations, c.blanks), c.properties)
	switch {
	case err != nil:
		c.refused("mapping", err)
		return
	case !c.whole || c.properties == nil:
		return
	}
	c.mapping = m
	c.good("mapping", "%s: %s of %s, which suit tables and properties", c.cfg.Mapping.Document.Name,
		plural(int64(len(m.Sources())), "mapping", "mappings"), plural(int64(len(m.Tables())), "table", "tables"))
	for _, w := range m.Warnings() {
		c.note("mapping", "", "%s", w)
	}
}

// report prints the findings. The error counts what must be mended.
func (c *checker) report(out *printer, asJSON bool) error {
	wrong := 0
	for _, f := range c.findings {
		if !f.OK {
			wrong++
		}
	}
	if asJSON {
		if err := out.json(c.findings); err != nil {
			return err
		}
	} else {
		c.print(out)
	}
	if wrong > 0 {
		return &wrongError{lines: []string{fmt.Sprintf("%d of %d findings must be mended before pgcrm run starts", wrong, len(c.findings))}}
	}
	return nil
}

func (c *checker) print(out *printer) {
	width := 0
	for _, f := range c.findings {
		width = max(width, len(f.Name))
	}
	for _, f := range c.findings {
		mark, colour := "✓", green
		switch f.Status {
		case "note":
			mark, colour = "!", yellow
		case "wrong":
			mark, colour = "✗", red
		}
		line := f.Detail
		if f.Mend != "" {
			line += ": " + f.Mend
		}
		out.printf("%s %-*s  %s\n", out.paint(colour, mark), width, f.Name, sayable(line))
		out.excerpt(f.excerpt)
	}
}
