package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// desk is what the commands sit at that look and ask, beside a running instance.
// They take nothing over, and what is to be written to the CRM they ask the
// instance for.
type desk struct {
	cfg *config.Config
	log *slog.Logger
	out *printer
	// notes are for a person who waits, beside what is printed.
	notes *printer
	now   func() time.Time
	db    cdc.Config
	// part is how much of HubSpot's calls it uses; all that it may if zero.
	part float64
}

func newDesk(env Environment, needs ...config.Need) (*desk, error) {
	cfg, warnings, err := config.Load(env.Env, needs...)
	if err != nil {
		return nil, err
	}
	log := newLogger(env.Stderr, cfg.Log)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w)
	}
	return &desk{cfg: cfg, log: log, out: newPrinter(env.Stdout, env.Env), notes: newPrinter(env.Stderr, env.Env), now: time.Now, db: databaseConfig(cfg, log)}, nil
}

// ledger opens the state. The caller closes it.
func (d *desk) ledger(ctx context.Context) (*ledger.Ledger, error) {
	if err := reachState(ctx, d.cfg.Source); err != nil {
		return nil, err
	}
	return ledger.Open(ctx, ledger.Config{URL: d.cfg.Source.StateURL.Value, Schema: d.cfg.Source.Schema, Connections: 2, Logger: d.log})
}

// client makes a client of the CRM. The caller closes its connections.
func (d *desk) client() (*hubspot.Client, error) {
	r := &runner{cfg: d.cfg, log: d.log, part: d.part, recorder: admin.NewRecorder()}
	return r.client()
}

// view is the mapping as it stands, compiled against database and portal, and a
// connection to read rows over.
type view struct {
	survey
	conn *pgx.Conn
	crm  *hubspot.Client
}

// view looks at database and portal. Everything that is wrong with mapping,
// database or portal is said at once.
func (d *desk) view(ctx context.Context) (*view, error) {
	var wrong problems
	v := &view{}
	file, err := mapping.Parse(d.cfg.Mapping.Document.Name, []byte(d.cfg.Mapping.Document.Text))
	if err := wrong.add(err); err != nil {
		return nil, err
	}
	if v.crm, err = d.client(); err != nil {
		return nil, err
	}
	v.conn, err = cdc.Connect(ctx, d.db)
	if err := wrong.add(err); err != nil {
		v.close(ctx)
		return nil, err
	}
	if v.conn != nil && file != nil {
		v.relations, err = describe(ctx, v.conn, file)
		if err := wrong.add(err); err != nil {
			v.close(ctx)
			return nil, err
		}
	}
	if err := wrong.add(v.lookAtPortal(ctx, v.crm, file, false, d.log)); err != nil {
		v.close(ctx)
		return nil, err
	}
	if err := wrong.err(); err != nil {
		v.close(ctx)
		return nil, err
	}
	if v.mapping, err = mapping.Compile(file, v.relations, v.properties); err != nil {
		v.close(ctx)
		return nil, err
	}
	return v, nil
}

func (v *view) close(ctx context.Context) {
	if v.conn != nil {
		_ = v.conn.Close(context.WithoutCancel(ctx)) // nothing was left undone on it
	}
	if v.crm != nil {
		v.crm.CloseIdleConnections()
	}
}

// table finds a mapped table by its name as people write it.
func (v *view) table(name string) (*change.Relation, error) {
	table, err := mapping.ParseTableName(name)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%q is %v", name, err)}
	}
	for _, rel := range v.relations {
		if rel.Schema == table.Schema && rel.Name == table.Name {
			return rel, nil
		}
	}
	return nil, &usageError{fmt.Sprintf("table %s is not in the mapping; mapped are %s", table, strings.ReplaceAll(tableNames(v.relations), ",", ", "))}
}

// chosen finds mapped tables by name; without names it is all of them.
func (v *view) chosen(names []string) ([]*change.Relation, error) {
	if len(names) == 0 {
		return v.relations, nil
	}
	tables := make([]*change.Relation, len(names))
	for i, name := range names {
		rel, err := v.table(name)
		if err != nil {
			return nil, err
		}
		tables[i] = rel
	}
	return tables, nil
}

// sources lists the mappings of a table.
func (v *view) sources(rel *change.Relation) []*change.Source {
	var list []*change.Source
	for _, src := range v.mapping.Sources() {
		if src.Table == rel.String() {
			list = append(list, src)
		}
	}
	return list
}

// instanceRuns reports whether some instance holds the slot. Where that cannot be
// told it says so in words.
func (d *desk) instanceRuns(ctx context.Context) (bool, error) {
	conn, err := cdc.Connect(ctx, d.db)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	slot, ok, err := cdc.SlotInfo(ctx, conn, d.cfg.Source.Slot)
	return ok && slot.ActivePID != 0, err
}

// whoActs says who carries a request out, for the end of a line.
func (d *desk) whoActs(ctx context.Context) string {
	switch runs, err := d.instanceRuns(ctx); {
	case err != nil:
		return "whether an instance runs could not be found out"
	case runs:
		return "the running instance carries it out"
	}
	return "no instance runs now: it is carried out once `pgcrm run` does"
}
