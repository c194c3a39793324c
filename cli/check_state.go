package cli

import (
	"context"
	"errors"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/migrations"
)

// state looks whether the state can be kept, and whether it is this set-up's.
func (c *checker) state(ctx context.Context) {
	if !c.hasDatabase() {
		return
	}
	schema := change.QuoteName(c.cfg.Source.Schema)
	conn, err := connectState(ctx, c.cfg.Source)
	if err != nil {
		if c.cfg.Source.StateURL != c.cfg.Source.URL { // else the source's connection says so
			c.refused("state", err)
		}
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var version int
	var standby, exists, usable, mayCreateIn, mayCreate, migrated bool
	var user, database string
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_user::text, current_database()::text,
		n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false), coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
		has_database_privilege(current_database(), 'CREATE'),
		EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'owner')
		FROM (SELECT $1::name AS want) w LEFT JOIN pg_namespace n ON n.nspname = w.want`, c.cfg.Source.Schema).
		Scan(&version, &standby, &user, &database, &exists, &usable, &mayCreateIn, &mayCreate, &migrated)
	role := change.QuoteName(user)
	switch {
	case err != nil:
		c.refused("state", err)
	case version < migrations.MinServer:
		c.wrong("state", "name a newer server in PGCRM_STATE_DATABASE_URL", "the state database runs Postgres %d, pgcrm needs 14 or later", version/10000)
	case standby:
		c.wrong("state", "name its primary in PGCRM_STATE_DATABASE_URL", "the state database is a standby")
	case !exists && mayCreate:
		c.good("state", "schema %s can be created in database %s", schema, change.QuoteName(database))
	case !exists:
		c.wrong("state", "CREATE SCHEMA "+schema+" AUTHORIZATION "+role, "user %s may not create the state schema %s", role, schema)
	case !usable:
		c.wrong("state", "GRANT USAGE, CREATE ON SCHEMA "+schema+" TO "+role+", or what pgcrm migrate --sql prints", "user %s may not use the state schema %s", role, schema)
	case !migrated && !mayCreateIn:
		c.wrong("state", "GRANT CREATE ON SCHEMA "+schema+" TO "+role+", or what pgcrm migrate --sql prints", "user %s may not create tables in the state schema %s", role, schema)
	case !migrated:
		c.good("state", "schema %s is empty and can be filled", schema)
	default:
		c.owner(ctx)
	}
}

// owner asks whether the state that exists fits server, slot and portal.
func (c *checker) owner(ctx context.Context) {
	book, err := ledger.Open(ctx, ledger.Config{URL: c.cfg.Source.StateURL.Value, Schema: c.cfg.Source.Schema, Connections: 1, Logger: c.log})
	if err != nil {
		c.refused("state", err)
		return
	}
	defer book.Close()
	st, known, err := book.Peek(ctx)
	if err != nil {
		c.refused("state", err)
		return
	}
	if !known {
		c.good("state", "schema %s is there, and holds nothing yet", change.QuoteName(c.cfg.Source.Schema))
		return
	}
	db := c.databaseConfig()
	server, err := cdc.Identify(ctx, db)
	if err != nil {
		return // replication says so
	}
	in := ledger.Instance{
		SystemID: server.SystemID, Timeline: server.Timeline, TimelineEnds: server.TimelineEnds, Database: server.Database,
		Slot: db.Slot, Publication: db.Publication, PortalID: c.portalID, FlushedEnd: server.FlushLSN,
	}
	if err := st.Admit(in); err != nil {
		c.refused("state", err)
		return
	}
	slot, exists, err := cdc.SlotInfo(ctx, c.conn, db.Slot)
	var wrong error
	switch {
	case err != nil:
		wrong = err
	case !exists:
		wrong = &cdc.SlotMissingError{Slot: db.Slot}
	case slot.Active:
		// The instance at work moves both while they are looked at.
	case slot.ConfirmedFlush > st.Checkpoint:
		wrong = &cdc.PositionError{Slot: db.Slot, Start: st.Checkpoint, Confirmed: slot.ConfirmedFlush, Flushed: server.FlushLSN}
	}
	if wrong != nil && !errors.Is(wrong, context.Canceled) {
		c.refused("state", wrong)
		return
	}
	c.good("state", "accounted for up to %s, saved at %s", st.Checkpoint, st.SavedAt.UTC().Format("2006-01-02 15:04:05 MST"))
}
