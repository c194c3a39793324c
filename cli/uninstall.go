package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/migrations"
)

// uninstallCommand is what the flags of `pgcrm uninstall` say.
type uninstallCommand struct {
	*desk
	yes, force bool
	in         io.Reader
}

func newUninstallCommand(env Environment) *cobra.Command {
	u := &uninstallCommand{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove slot, publication and state from the database",
		Long: `Removes what pgcrm has made: the slot, so that the server keeps no log for it; the
publication, if it is pgcrm's own; and the schema with all that pgcrm remembers.
The application's tables, the roles and the CRM stay as they are.

While an instance reads the slot it refuses; --force ends that instance's session.`,
		Example: `  pgcrm uninstall
  pgcrm uninstall --yes`,
		Args: noArguments,
	}
	cmd.Flags().BoolVar(&u.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&u.force, "force", false, "take the slot away from an instance that reads it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if u.desk, err = newDesk(env, config.NeedDatabase); err != nil {
			return err
		}
		u.in = cmd.InOrStdin()
		return u.run(cmd.Context())
	}
	return cmd
}

// belongings is what there is to remove.
type belongings struct {
	slot        *cdc.Slot
	publication bool
	foreign     bool // a publication of the name is there and not pgcrm's own
	schema      bool
	letters     int64 // parked records, which are forgotten with the schema
}

func (b *belongings) none() bool { return b.slot == nil && !b.publication && !b.schema }

func (u *uninstallCommand) run(ctx context.Context) error {
	conn, err := cdc.Connect(ctx, u.db)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	state, err := connectState(ctx, u.cfg.Source)
	if err != nil {
		return err
	}
	defer state.Close(context.WithoutCancel(ctx))
	found, err := u.look(ctx, conn, state)
	if err != nil {
		return err
	}
	u.list(found)
	if found.none() {
		return nil
	}
	if !u.yes {
		if err := u.ask(); err != nil {
			return err
		}
	}
	// First what costs the server most.
	if found.slot != nil {
		if err := u.dropSlot(ctx, conn); err != nil {
			return err
		}
		u.out.println("slot removed")
	}
	if found.publication {
		if err := owned(cdc.DropPublication(ctx, conn, u.db.Publication), "DROP PUBLICATION "+pgx.Identifier{u.db.Publication}.Sanitize()); err != nil {
			return err
		}
		u.out.println("publication removed")
	}
	if found.schema {
		return u.dropSchema(ctx, state)
	}
	return nil
}

// look finds what is there, and refuses what is another's or in use.
func (u *uninstallCommand) look(ctx context.Context, conn, state *pgx.Conn) (found belongings, err error) {
	slot, ok, err := cdc.SlotInfo(ctx, conn, u.db.Slot)
	if err != nil {
		return found, err
	}
	if ok {
		found.slot = &slot
		switch {
		case slot.Database != conn.Config().Database || slot.Plugin != "pgoutput":
			return found, &wrongError{lines: []string{fmt.Sprintf("PGCRM_SLOT: replication slot %s (%s, database %s) is not pgcrm's; choose another name", slot.Name, slot.Plugin, slot.Database)}}
		case slot.Active && !u.force:
			return found, &wrongError{lines: []string{fmt.Sprintf("an instance runs: process %d reads slot %s; stop it first, or say --force", slot.ActivePID, slot.Name)}}
		}
	}
	p, ok, err := cdc.DescribePublication(ctx, conn, u.db.Publication)
	if err != nil {
		return found, err
	}
	found.publication, found.foreign = ok && p.Ours, ok && !p.Ours
	err = state.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'owner')`, u.cfg.Source.Schema).Scan(&found.schema)
	if err != nil {
		return found, fmt.Errorf("look for the state schema: %w", err)
	}
	if found.schema {
		err := state.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{u.cfg.Source.Schema, "letter"}.Sanitize()).Scan(&found.letters)
		var pg *pgconn.PgError
		if err != nil && !errors.As(err, &pg) {
			return found, err
		}
	}
	return found, nil
}

func (u *uninstallCommand) list(found belongings) {
	if found.slot != nil {
		held := ""
		if found.slot.Active {
			held = fmt.Sprintf(", which process %d reads", found.slot.ActivePID)
		}
		u.out.printf("slot         %s%s\n", found.slot.Name, held)
	}
	if found.publication {
		u.out.printf("publication  %s\n", change.QuoteName(u.db.Publication))
	}
	if found.schema {
		parked := ""
		if found.letters > 0 {
			parked = fmt.Sprintf(", with %d parked records", found.letters)
		}
		u.out.printf("schema       %s%s\n", change.QuoteName(u.cfg.Source.Schema), parked)
	}
	if found.none() {
		u.out.println("nothing of pgcrm is here under these names")
	}
	if found.foreign {
		u.out.printf("publication %s is not pgcrm's own and stays; its owner may run DROP PUBLICATION %s\n",
			change.QuoteName(u.db.Publication), pgx.Identifier{u.db.Publication}.Sanitize())
	}
}

// ask wants "yes" in words: there is no way back.
func (u *uninstallCommand) ask() error {
	u.out.printf("Remove this? What pgcrm remembers cannot be brought back. Type yes: ")
	answer, err := bufio.NewReader(u.in).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	u.out.println()
	if err != nil {
		return &usageError{"nothing was removed: nobody answered; say --yes"}
	}
	return &usageError{"nothing was removed"}
}

// dropSlot removes the slot. With --force it ends whoever has it: an instance
// that comes back finds none and stops.
func (u *uninstallCommand) dropSlot(ctx context.Context, conn *pgx.Conn) error {
	for {
		err := cdc.DropSlot(ctx, conn, u.db.Slot)
		var active *cdc.SlotActiveError
		if !errors.As(err, &active) || !u.force {
			return owned(err, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", u.db.Slot))
		}
		if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend($1)", active.PID); err != nil {
			return owned(fmt.Errorf("end process %d, which reads the slot: %w", active.PID, err), fmt.Sprintf("SELECT pg_terminate_backend(%d)", active.PID))
		}
		if !wait(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// dropSchema removes pgcrm's own tables, and the schema if nothing else is in
// it. Nothing is removed that depends on them or stands beside them.
func (u *uninstallCommand) dropSchema(ctx context.Context, state *pgx.Conn) error {
	sql, err := migrations.SQL(u.cfg.Source.Schema)
	if err != nil {
		return err
	}
	var tables []string
	for _, m := range createTable.FindAllStringSubmatch(sql, -1) {
		tables = append(tables, pgx.Identifier{u.cfg.Source.Schema, m[1]}.Sanitize())
	}
	schema := pgx.Identifier{u.cfg.Source.Schema}.Sanitize()
	if _, err := state.Exec(ctx, "DROP TABLE IF EXISTS "+strings.Join(tables, ", ")); err != nil {
		return owned(fmt.Errorf("remove the state: %w", err), "DROP TABLE "+strings.Join(tables, ", "))
	}
	_, err = state.Exec(ctx, "DROP SCHEMA "+schema)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && (pg.Code == "2BP01" || pg.Code == "42501"): // others' things are in it, or it is another's
		u.out.printf("state removed; schema %s stays (%s)\n", schema, pg.Message)
		return nil
	case err != nil:
		return fmt.Errorf("remove the state schema: %w", err)
	}
	u.out.println("schema removed")
	return nil
}

// owned says who has to run the statement where the role may not, and what is in
// the way where something is.
func owned(err error, sql string) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "42501":
		return &wrongError{lines: []string{fmt.Sprintf("%s; as its owner run: %s", pg.Message, sql)}}
	case "2BP01":
		return &wrongError{lines: []string{fmt.Sprintf("%s (%s); remove that first", pg.Message, strings.Join(strings.Fields(pg.Detail), " "))}}
	}
	return err
}
