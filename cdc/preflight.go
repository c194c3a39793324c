package cdc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Finding is one thing that was looked at before the stream starts.
type Finding struct {
	// Name says what was looked at.
	Name string
	// OK is whether it suits.
	OK bool
	// Detail says what was found, and, where it does not suit, what mends it.
	Detail string
}

// Preflight looks at all that streaming the tables needs and returns what has to
// be mended as [*Problems], or nil. It changes nothing. rels come from
// [Describe], which has reported missing tables and grants.
func Preflight(ctx context.Context, cfg Config, rels []*change.Relation) error {
	findings, err := Check(ctx, cfg, rels)
	if err != nil {
		return err
	}
	var list []string
	for _, f := range findings {
		if !f.OK {
			list = append(list, f.Detail)
		}
	}
	return problemsError(list)
}

// Check is [Preflight] that tells of what suits too. Its error says that looking
// itself failed: the database cannot be reached, or not replicated from.
func Check(ctx context.Context, cfg Config, rels []*change.Relation) ([]Finding, error) {
	if err := cfg.problems(); err != nil {
		return nil, err
	}
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	server, err := Identify(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &checks{conn: conn, cfg: cfg, rels: rels, server: server}
	for _, check := range []func(context.Context) error{c.serverSuits, c.slotSuits, c.publicationSuits, c.tablesSuit} {
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	return c.findings, nil
}

type checks struct {
	conn     *pgx.Conn
	cfg      Config
	rels     []*change.Relation
	server   Server
	findings []Finding
}

func (c *checks) good(name, format string, args ...any) {
	c.findings = append(c.findings, Finding{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

func (c *checks) bad(name, format string, args ...any) {
	c.findings = append(c.findings, Finding{Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (c *checks) serverSuits(ctx context.Context) error {
	c.good("server version", "Postgres %d.%d", c.server.Version/10000, c.server.Version%10000)
	c.good("replication connection", "user %s can replicate", change.QuoteName(c.server.User))
	if c.server.InRecovery {
		c.bad("primary", "the server is a standby: set PGCRM_DATABASE_URL to the primary")
	} else {
		c.good("primary", "the server is a primary")
	}
	// From 19 on the level may be raised on demand: then the effective one counts.
	var level string
	err := c.conn.QueryRow(ctx, `SELECT coalesce(current_setting('effective_wal_level', true), current_setting('wal_level'))`).Scan(&level)
	if err != nil {
		return fmt.Errorf("ask for wal_level: %w", err)
	}
	if level == "logical" {
		c.good("wal_level", "logical")
	} else {
		c.bad("wal_level", "wal_level is %s: ALTER SYSTEM SET wal_level = logical and restart the server "+
			"(RDS and Aurora: rds.logical_replication = 1; Cloud SQL: cloudsql.logical_decoding = on)", level)
	}
	return nil
}

func (c *checks) slotSuits(ctx context.Context) error {
	const name = "replication slot"
	slot, ok, err := SlotInfo(ctx, c.conn, c.cfg.Slot)
	if err != nil {
		return err
	}
	if ok {
		if err := slot.usable(c.server.Database); err != nil {
			c.bad(name, "%s", err)
		} else if slot.WALStatus == "unreserved" {
			c.bad(name, "replication slot %s is %s: let pgcrm catch up, or raise max_slot_wal_keep_size", slot.Name, slot.Health())
		} else {
			c.good(name, "%s exists: %s, %d bytes behind", slot.Name, slot.Health(), slot.LagBytes())
		}
		return nil
	}
	var used, limit, senders, maxSenders int
	err = c.conn.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int,
			(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'), current_setting('max_wal_senders')::int`).
		Scan(&used, &limit, &senders, &maxSenders)
	if err != nil {
		return fmt.Errorf("count the replication slots: %w", err)
	}
	if used >= limit {
		c.bad(name, "all %d replication slots are taken: raise max_replication_slots and restart the server, "+
			"or drop one that nobody reads (SELECT * FROM pg_replication_slots WHERE NOT active)", limit)
	} else {
		c.good(name, "%s can be created, %d of %d slots are taken", c.cfg.Slot, used, limit)
	}
	if senders >= maxSenders {
		c.bad("wal senders", "all %d WAL senders are taken: raise max_wal_senders and restart the server", maxSenders)
	} else {
		c.good("wal senders", "%d of %d are taken", senders, maxSenders)
	}
	return nil
}

func (c *checks) publicationSuits(ctx context.Context) error {
	const name = "publication"
	plan, err := planPublication(ctx, c.conn, c.cfg.Publication, c.rels)
	if err != nil {
		return err
	}
	for _, p := range plan.problems {
		c.bad(name, "%s", p)
	}
	switch {
	case len(plan.problems) > 0:
	case plan.create:
		c.good(name, "%s can be created", quote(c.cfg.Publication))
	case len(plan.statements) > 0:
		c.good(name, "%s can be extended", quote(c.cfg.Publication))
	default:
		c.good(name, "%s publishes the mapped tables", quote(c.cfg.Publication))
	}
	return nil
}

func (c *checks) tablesSuit(ctx context.Context) error {
	facts, err := readTableFacts(ctx, c.conn, c.rels)
	if err != nil {
		return err
	}
	for _, rel := range c.rels {
		fact, ok := facts.byOID[rel.OID]
		if !ok {
			c.bad("table", "table %s is gone: check its name in the mapping", rel)
			continue
		}
		for _, t := range fact.unidentified {
			c.bad("replica identity", "table %s has no replica identity: once published, the application's own UPDATE and DELETE would fail; "+
				"ALTER TABLE %s ADD PRIMARY KEY (...), or ALTER TABLE %s REPLICA IDENTITY FULL", t, t, t)
		}
		if fact.children {
			c.bad("table", "table %s has tables that inherit from it (INHERITS), whose rows it shows as its own while the log keeps them apart: "+
				"map the tables beneath it, or partition it", rel)
		}
		if len(fact.unidentified) == 0 && !fact.children {
			c.good("table", "%s can be followed", rel)
		}
	}
	return nil
}
