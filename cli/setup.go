package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/internal/failpoint"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// survey is what was found out about the three neighbours before anything was
// changed: the mapping, the database, and the portal.
type survey struct {
	mapping   *mapping.Mapping
	relations []*change.Relation // nil where the database could not be looked at
	server    cdc.Server
	// properties are the definitions by object, nil where the portal would not
	// show them.
	properties map[string][]mapping.Property
	// sensitive are the sensitive kinds of properties that the portal has, by object.
	sensitive map[string][]string
	portal    string // id, empty where the token may not ask
	account   hubspot.Account
}

// impatience bounds the wait for the CRM where something else is wrong already:
// what is known is worth more to the operator than the rest.
const impatience = 10 * time.Second

// look reads the mapping, looks at the database and asks the portal. Everything
// that is wrong with any of them is said at once.
func look(ctx context.Context, cfg *config.Config, db cdc.Config, crm *hubspot.Client, log *slog.Logger) (*survey, error) {
	var (
		s     survey
		wrong problems
	)
	file, err := mapping.Parse(cfg.Mapping.Document.Name, []byte(cfg.Mapping.Document.Text))
	if err := wrong.add(err); err != nil {
		return nil, err
	}
	ofDatabase := s.lookAtDatabase(ctx, db, file)
	if err := new(problems).add(ofDatabase); err != nil {
		return nil, err
	}
	patient, cancel := ctx, func() {}
	if err != nil || ofDatabase != nil || s.compile(file) != nil {
		patient, cancel = context.WithTimeout(ctx, impatience)
	}
	defer cancel()
	ofPortal := s.lookAtPortal(patient, crm, file, !cfg.Mapping.DryRun, log)
	if patient.Err() != nil && ctx.Err() == nil {
		ofPortal = nil // it did not answer, which is no mistake
	}
	ofMapping := s.compile(file)
	for _, err := range []error{ofMapping, ofDatabase, ofPortal} {
		if err := wrong.add(err); err != nil {
			return nil, err
		}
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return &s, nil
}

// compile holds the mapping against what is known.
func (s *survey) compile(file *mapping.File) (err error) {
	if file == nil {
		return nil
	}
	s.mapping, err = mapping.Compile(file, s.relations, s.properties)
	return err
}

// lookAtDatabase describes the mapped tables one by one, so that one that cannot
// be read leaves the others; one that is missing is for the mapping to report.
func (s *survey) lookAtDatabase(ctx context.Context, db cdc.Config, file *mapping.File) error {
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var (
		wrong     problems
		tables    = []*change.Relation{}
		described []*change.Relation
		failed    error
	)
	if file != nil {
		for _, t := range file.Tables() {
			rels, err := describeOne(ctx, conn, file, t)
			switch {
			case err == nil:
				tables, described = append(tables, rels...), append(described, rels...)
			case errors.Is(err, cdc.ErrNoTable):
			default:
				tables = append(tables, &change.Relation{Schema: t.Schema, Name: t.Name})
				failed = errors.Join(failed, wrong.add(err))
			}
		}
	}
	if err := wrong.add(cdc.Preflight(ctx, db, described, columnsOf(file, tables))); err != nil {
		return errors.Join(failed, err)
	}
	if err := wrong.err(); err != nil {
		s.relations = tables
		return err
	}
	if failed != nil {
		return failed
	}
	s.relations = tables
	s.server, err = cdc.Identify(ctx, db)
	return err
}

func describe(ctx context.Context, conn *pgx.Conn, file *mapping.File) ([]*change.Relation, error) {
	var (
		wrong     problems
		relations []*change.Relation
	)
	for _, t := range file.Tables() {
		rels, err := describeOne(ctx, conn, file, t)
		if err := wrong.add(err); err != nil {
			return nil, err
		}
		relations = append(relations, rels...)
	}
	return relations, wrong.err()
}

// describeOne describes a table, and says where the mapping names it if something
// is wrong with it.
func describeOne(ctx context.Context, conn *pgx.Conn, file *mapping.File, t mapping.TableName) ([]*change.Relation, error) {
	rels, err := cdc.Describe(ctx, conn, []cdc.Name{{Schema: t.Schema, Table: t.Name}})
	var wrong interface{ Problems() []string }
	if err == nil || !errors.As(err, &wrong) {
		return rels, err
	}
	placed := &placedError{cause: err}
	for _, line := range wrong.Problems() {
		placed.lines = append(placed.lines, file.Place(t)+": "+line)
	}
	return nil, placed
}

// placedError is what is wrong with something that the mapping names, and where.
type placedError struct {
	lines []string
	cause error
}

func (e *placedError) Error() string      { return strings.Join(e.lines, "; ") }
func (e *placedError) Problems() []string { return e.lines }
func (e *placedError) Unwrap() error      { return e.cause }

// lookAtPortal reads the property definitions of every mapped object, and sees
// whether the token may write them. A token that may not read the account's
// details will do: the portal is then not known.
func (s *survey) lookAtPortal(ctx context.Context, crm *hubspot.Client, file *mapping.File, write bool, log *slog.Logger) error {
	objects := []string{"companies"}
	if file != nil {
		objects = file.Objects()
	}
	var wrong problems
	s.properties, s.sensitive = map[string][]mapping.Property{}, map[string][]string{}
	for _, object := range objects {
		definitions, err := crm.Properties(ctx, object)
		var setup *hubspot.SetupError
		switch {
		case errors.As(err, &setup) && setup.UnknownObject && file != nil:
			continue // the mapping says so, and where
		case err == nil && write:
			err = crm.CheckWrite(ctx, object)
		}
		if other := wrong.add(err); other != nil {
			s.properties = nil
			return other
		}
		s.properties[object], s.sensitive[object] = propertiesOf(definitions), hubspot.Sensitivities(definitions)
		if definitions == nil {
			s.properties = nil
			break
		}
	}
	if err := wrong.err(); err != nil {
		return err
	}
	account, err := crm.Account(ctx)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		log.Warn("portal_unknown", "error", err, "note", "the token may not read the account's details, so a token of another portal cannot be told apart")
		return nil
	}
	s.account = account
	s.portal = strconv.FormatInt(account.PortalID, 10)
	return nil
}

func propertiesOf(definitions []hubspot.Definition) []mapping.Property {
	properties := make([]mapping.Property, len(definitions))
	for i, d := range definitions {
		p := mapping.Property{
			Name: d.Name, Label: d.Label, Type: d.Type, FieldType: d.FieldType,
			ExternalOptions: d.ExternalOptions, HasUniqueValue: d.Unique,
			ReadOnly: d.ReadOnly, Calculated: d.Calculated, Archived: d.Archived,
		}
		for _, o := range d.Options {
			p.Options = append(p.Options, mapping.Option{Value: o.Value, Label: o.Label})
		}
		properties[i] = p
	}
	return properties
}

// listed are the columns that the publication is to list; nil for whole tables.
func listed(db cdc.Config, m *mapping.Mapping) func(cdc.Name) []string {
	if !db.ListColumns {
		return nil
	}
	return func(name cdc.Name) []string {
		return m.Columns(mapping.TableName{Schema: name.Schema, Name: name.Table})
	}
}

// columnsOf tells which columns of a table are read. The portal is not asked, on
// which that does not depend. It is nil where the mapping does not suit the
// tables, which is said elsewhere.
func columnsOf(file *mapping.File, relations []*change.Relation) func(*change.Relation) []string {
	if file == nil {
		return nil
	}
	m, err := mapping.Compile(file, relations, nil)
	if err != nil {
		return nil
	}
	return func(rel *change.Relation) []string {
		return m.Columns(mapping.TableName{Schema: rel.Schema, Name: rel.Name})
	}
}

// tableNames lists the mapped tables for people.
func tableNames(relations []*change.Relation) string {
	names := make([]string, len(relations))
	for i, r := range relations {
		names[i] = r.String()
	}
	return strings.Join(names, ",")
}

// establish makes what is missing and permitted: the publication, and behind it
// the slot. It completes the instance by a hash of what the publication
// publishes, and by where a stream starts that has no checkpoint yet.
//
// Before it makes anything it refuses a state that belongs to another set-up.
// Where there is a checkpoint the slot must be there: one made anew would leave
// out what came between.
func establish(ctx context.Context, db cdc.Config, book *ledger.Ledger, found *survey, in *ledger.Instance, log *slog.Logger) error {
	known, err := recognise(ctx, book, *in)
	if err != nil {
		return err
	}
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if known {
		slot, ok, err := cdc.SlotInfo(ctx, conn, db.Slot)
		if err != nil || !ok {
			return cmp.Or[error](err, &cdc.SlotMissingError{Slot: db.Slot})
		}
		if err := notAnothers(ctx, book, found.mapping, slot); err != nil {
			return err
		}
	}
	created, err := cdc.EnsurePublication(ctx, conn, db.Publication, found.relations, listed(db, found.mapping))
	if err != nil {
		return err
	}
	if err := failpoint.At("setup.publication"); err != nil {
		return err
	}
	if created {
		log.Info("publication_created", "publication", db.Publication)
	}
	if in.PublicationHash, err = cdc.PublicationHash(ctx, conn, db.Publication); err != nil {
		return err
	}
	slot, err := cdc.EnsureSlot(ctx, db)
	if err != nil {
		return err
	}
	if err := failpoint.At("setup.slot"); err != nil {
		return err
	}
	in.InitialCheckpoint = slot.ConfirmedFlush
	if slot.Created {
		in.InitialCheckpoint = slot.ConsistentPoint
		log.Info("slot_created", "slot", db.Slot, "at", in.InitialCheckpoint.String())
	}
	if in.InitialCheckpoint == 0 {
		return fmt.Errorf("slot %s has no confirmed position yet: its creation did not end; drop it with pg_drop_replication_slot('%s') and start again", db.Slot, db.Slot)
	}
	return nil
}

// recognise reports whether there is a state already, and refuses one that
// belongs to another set-up. Positions and timelines are left to Begin: an
// instance at work moves them on.
func recognise(ctx context.Context, book *ledger.Ledger, in ledger.Instance) (known bool, err error) {
	state, known, err := book.Peek(ctx)
	if err != nil || !known {
		return false, err
	}
	in.Timeline, in.FlushedEnd = state.Instance.Timeline, math.MaxUint64
	return true, state.Admit(in)
}

// notAnothers refuses to stand by for an instance at work that maps none of the
// same tables. Instances of one set-up may differ while a new mapping is rolled
// out; this one would wait for ever, or take over what it knows nothing of.
func notAnothers(ctx context.Context, book *ledger.Ledger, m *mapping.Mapping, slot cdc.Slot) error {
	hashes, err := book.SourceHashes(ctx)
	if err != nil || !slot.Active || len(hashes) == 0 {
		return err
	}
	var theirs []string
	for _, h := range hashes {
		if slices.ContainsFunc(m.Sources(), func(s *change.Source) bool { return s.Table == h.Table }) {
			return nil
		}
		if !slices.Contains(theirs, h.Table) {
			theirs = append(theirs, h.Table)
		}
	}
	return &wrongError{lines: []string{fmt.Sprintf("an instance with another mapping (%s) is at work on slot %s, process %d: give this set-up its own PGCRM_NAME, "+
		"or stop that instance first if this mapping is to replace it", strings.Join(theirs, ", "), slot.Name, slot.ActivePID)}}
}

// serverVersion puts server_version_num in words.
func serverVersion(num int) string {
	return fmt.Sprintf("PostgreSQL %d.%d", num/10000, num%10000)
}

func isMissing(err error) bool {
	var missing *cdc.SlotMissingError
	return errors.As(err, &missing)
}
