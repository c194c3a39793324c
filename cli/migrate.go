package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/migrations"
)

// migrateCommand is what the flags of `pgcrm migrate` say.
type migrateCommand struct {
	*desk
	sql      bool
	role     string
	recreate bool
	force    bool
	adopt    bool
	format   *outputFormat
}

func newMigrateCommand(env Environment) *cobra.Command {
	m := &migrateCommand{}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or upgrade the state schema, the publication and the slot, and stop",
		Long: `Does what "pgcrm run" does at its start and stops. What exists and suits is used,
whoever owns it. From Postgres 17 on the slot is one that survives a failover.

--sql prints instead what a DBA has to run where pgcrm's role may not: the right to
replicate and to read, the state schema with its grants, and the publication.

--recreate-slot is the way back after the slot was lost, dropped or made anew, and
after a restore. The changes since its last position cannot be read any more, so
it files a load of every mapped table: rows that changed meanwhile are owed by the
loads, in the same transaction in which the new slot's position becomes the
checkpoint. "pgcrm run" carries them out. Where the last instance did not stop
cleanly, what the CRM holds is not taken for granted, and all rows are sent. Then
rows that were delivered and are gone are treated as deleted, as on_delete says;
but not where a table is empty, as TRUNCATE leaves it. PGCRM_ON_SLOT_LOSS=resync
has "pgcrm run" do all this by itself.`,
		Example: `  pgcrm migrate
  pgcrm migrate --sql | psql -X -v ON_ERROR_STOP=1 "$ADMIN_URL"
  pgcrm migrate --recreate-slot && pgcrm run`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.BoolVar(&m.sql, "sql", false, "print the statements for a DBA and change nothing")
	f.StringVar(&m.role, "role", "", "with --sql: the role that pgcrm connects as; default is the user of the connection")
	f.BoolVar(&m.recreate, "recreate-slot", false, "make a lost slot anew, and have every mapped row sent again")
	f.BoolVar(&m.force, "force", false, "with --recreate-slot: though the slot seems sound")
	f.BoolVar(&m.adopt, "adopt", false, "with --recreate-slot: take the state over to this server though it is another one (after pg_upgrade, or a dump and restore)")
	m.format = addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case m.role != "" && !m.sql:
			return &usageError{"--role is for --sql"}
		case m.sql && m.recreate:
			return &usageError{"--sql and --recreate-slot exclude one another"}
		case m.adopt && !m.recreate:
			return &usageError{"--adopt is for --recreate-slot"}
		case m.force && !m.recreate:
			return &usageError{"--force is for --recreate-slot"}
		}
		var err error
		if m.desk, err = newDesk(env, config.NeedDatabase, config.NeedMapping); err != nil {
			return err
		}
		return m.run(cmd.Context())
	}
	return cmd
}

// migrated is what `pgcrm migrate -o json` prints.
type migrated struct {
	Schema      string `json:"schema"`
	Publication string `json:"publication"`
	// PublicationCreated and SlotCreated are set where they were not there.
	PublicationCreated bool   `json:"publication_created"`
	Slot               string `json:"slot"`
	SlotCreated        bool   `json:"slot_created"`
	// SlotLSN is where the slot begins, or what it has confirmed.
	SlotLSN  string `json:"slot_lsn"`
	Failover bool   `json:"failover"`
	// Loads are the tables that are sent again because the slot was made anew.
	Loads []string `json:"loads"`
	// Gone are the tables of which delivered rows are looked for that are gone.
	Gone []string `json:"gone"`
	// Distrusted counts the records of which the CRM's values are not taken for
	// granted any more.
	Distrusted int64 `json:"distrusted"`
}

func (m *migrateCommand) run(ctx context.Context) error {
	file, err := mapping.Parse(m.cfg.Mapping.Document.Name, []byte(m.cfg.Mapping.Document.Text))
	if err != nil {
		return err
	}
	conn, err := cdc.Connect(ctx, m.db)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var names []cdc.Name
	for _, t := range file.Tables() {
		names = append(names, cdc.Name{Schema: t.Schema, Table: t.Name})
	}
	if m.sql {
		return m.printSQL(ctx, conn, file, names)
	}
	relations, err := describe(ctx, conn, file)
	if err != nil {
		return err
	}
	url, err := m.cfg.Source.StateURL.Value(ctx)
	if err != nil {
		return err
	}
	if err := reachState(ctx, m.cfg.Source); err != nil {
		return err
	}
	if err := migrations.Apply(ctx, url, m.cfg.Source.Schema, m.log); err != nil {
		return err
	}
	book, err := m.ledger(ctx)
	if err != nil {
		return err
	}
	defer book.Close()
	done := migrated{Schema: m.cfg.Source.Schema, Publication: m.db.Publication, Slot: m.db.Slot, Loads: []string{}, Gone: []string{}}
	if m.recreate {
		err = m.recreateSlot(ctx, conn, book, file, relations, &done)
	} else {
		err = m.setUp(ctx, conn, book, file, relations, &done)
	}
	if err != nil {
		return err
	}
	return m.report(done)
}

// setUp makes what is missing, as run does.
func (m *migrateCommand) setUp(ctx context.Context, conn *pgx.Conn, book *ledger.Ledger, file *mapping.File, relations []*change.Relation, done *migrated) error {
	columns, err := m.columns(file, relations)
	if err != nil {
		return err
	}
	server, err := cdc.Identify(ctx, m.db)
	if err != nil {
		return err
	}
	known, err := recognise(ctx, book, m.instance(server))
	if err != nil {
		return err
	}
	if known {
		if _, ok, err := cdc.SlotInfo(ctx, conn, m.db.Slot); err != nil {
			return err
		} else if !ok {
			return &cdc.SlotMissingError{Slot: m.db.Slot}
		}
	}
	if done.PublicationCreated, err = cdc.EnsurePublication(ctx, conn, m.db.Publication, relations, columns); err != nil {
		return err
	}
	slot, err := cdc.EnsureSlot(ctx, m.db)
	if err != nil {
		return err
	}
	done.ofSlot(slot)
	if slot.Active {
		return nil
	}
	changed, err := cdc.EnsureFailover(ctx, m.db)
	done.Failover = done.Failover || changed
	return err
}

func (done *migrated) ofSlot(slot cdc.Slot) {
	done.SlotCreated, done.SlotLSN, done.Failover = slot.Created, slot.ConfirmedFlush.String(), slot.Failover
	if slot.Created {
		done.SlotLSN = slot.ConsistentPoint.String()
	}
}

// instance is this set-up on the server, but for what only run knows.
func (m *migrateCommand) instance(server cdc.Server) ledger.Instance {
	return ledger.Instance{
		SystemID: server.SystemID, Timeline: server.Timeline, TimelineEnds: server.TimelineEnds, Database: server.Database,
		Slot: m.db.Slot, Publication: m.db.Publication, FlushedEnd: server.FlushLSN,
	}
}

func (m *migrateCommand) report(done migrated) error {
	if m.format.json() {
		return m.out.json(done)
	}
	made := map[bool]string{true: "created", false: "is there"}
	m.out.printf("schema       %s is up to date\n", done.Schema)
	m.out.printf("publication  %s %s\n", done.Publication, made[done.PublicationCreated])
	kind := ""
	if done.Failover {
		kind = ", a failover slot"
	}
	m.out.printf("slot         %s %s, at %s%s\n", done.Slot, made[done.SlotCreated], done.SlotLSN, kind)
	if done.Distrusted > 0 {
		m.out.printf("ledger       what the CRM holds of %d records is not taken for granted: the last instance did not stop cleanly\n", done.Distrusted)
	}
	for _, table := range done.Loads {
		m.out.printf("load         every row of %s is sent again by pgcrm run\n", table)
	}
	for _, table := range done.Gone {
		m.out.printf("gone         rows of %s that were delivered and are gone are then treated as deleted, as on_delete says\n", table)
	}
	return nil
}

// columns are the columns that the publication is to list; nil for whole tables.
func (m *migrateCommand) columns(file *mapping.File, relations []*change.Relation) (func(cdc.Name) []string, error) {
	if !m.db.ListColumns {
		return nil, nil
	}
	compiled, err := mapping.Compile(file, relations, nil)
	if err != nil {
		return nil, err
	}
	return listed(m.db, compiled), nil
}

// printSQL prints what a DBA has to run, in an order that works.
func (m *migrateCommand) printSQL(ctx context.Context, conn *pgx.Conn, file *mapping.File, names []cdc.Name) error {
	role := m.role
	if role == "" {
		role = conn.Config().User
	}
	// What a table looks like anybody may know, rights to it or not.
	relations, err := cdc.DescribeUnread(ctx, conn, names)
	if err != nil {
		return err
	}
	columns, err := m.columns(file, relations)
	if err != nil {
		return err
	}
	statements, err := cdc.SetupSQL(ctx, conn, m.db, names, role, columns)
	if err != nil {
		return err
	}
	schema, err := m.schemaSQL(ctx, role)
	if err != nil {
		return err
	}
	m.out.printf("-- For pgcrm, which connects to database %s as %s. The slot it makes itself.\n", change.QuoteName(conn.Config().Database), change.QuoteName(role))
	for _, s := range statements {
		m.out.println(s)
	}
	if m.cfg.Source.StateURL != m.cfg.Source.URL {
		m.out.println("\n-- In the state database (PGCRM_STATE_DATABASE_URL):")
	}
	m.out.printf("\n%s", schema)
	return nil
}

// schemaSQL makes the state schema where it is missing, and grants its use.
func (m *migrateCommand) schemaSQL(ctx context.Context, role string) (string, error) {
	conn, err := connectState(ctx, m.cfg.Source)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var filled bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'owner')`,
		m.cfg.Source.Schema).Scan(&filled)
	if err != nil {
		return "", fmt.Errorf("look at the state schema: %w", err)
	}
	grants := migrations.Grants(m.cfg.Source.Schema, role)
	if filled {
		return grants, nil
	}
	sql, err := migrations.SQL(m.cfg.Source.Schema)
	return sql + grants, err
}

// errSound keeps --recreate-slot from giving up a position that can be read on
// from.
var errSound = &wrongError{lines: []string{"the slot can be read on from the stored position: there is nothing to recreate, run pgcrm run; or say --force"}}
