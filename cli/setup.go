package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// survey is what was found out about the three neighbours before anything was
// changed: the mapping, the database, and the portal.
type survey struct {
	mapping   *mapping.Mapping
	relations []*change.Relation
	server    cdc.Server
	portal    string // id, empty where the token may not ask
	account   hubspot.Account
}

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
	if err := wrong.add(s.lookAtDatabase(ctx, db, file)); err != nil {
		return nil, err
	}
	properties, err := s.lookAtPortal(ctx, crm, file, log)
	if err := wrong.add(err); err != nil {
		return nil, err
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	s.mapping, err = mapping.Compile(file, s.relations, properties)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *survey) lookAtDatabase(ctx context.Context, db cdc.Config, file *mapping.File) error {
	server, err := cdc.Identify(ctx, db)
	if err != nil {
		return err
	}
	s.server = server
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if file == nil {
		return nil
	}
	if s.relations, err = describe(ctx, conn, file); err != nil {
		return err
	}
	return cdc.Preflight(ctx, db, s.relations)
}

func describe(ctx context.Context, conn *pgx.Conn, file *mapping.File) ([]*change.Relation, error) {
	var names []cdc.Name
	for _, t := range file.Tables() {
		names = append(names, cdc.Name{Schema: t.Schema, Table: t.Name})
	}
	return cdc.Describe(ctx, conn, names)
}

// lookAtPortal reads the property definitions of every mapped object. A token
// that may not read the account's details will do: the portal is then not known.
func (s *survey) lookAtPortal(ctx context.Context, crm *hubspot.Client, file *mapping.File, log *slog.Logger) (map[string][]mapping.Property, error) {
	objects := []string{"companies"}
	if file != nil {
		objects = file.Objects()
	}
	properties := map[string][]mapping.Property{}
	for _, object := range objects {
		definitions, err := crm.Properties(ctx, object)
		if err != nil {
			return nil, err
		}
		properties[object] = propertiesOf(definitions)
	}
	account, err := crm.Account(ctx)
	if ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		log.Warn("portal_unknown", "error", err, "note", "the token may not read the account's details, so a token of another portal cannot be told apart")
	} else {
		s.account = account
		s.portal = strconv.FormatInt(account.PortalID, 10)
	}
	return properties, nil
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

// tableNames lists the mapped tables for people.
func tableNames(relations []*change.Relation) string {
	names := make([]string, len(relations))
	for i, r := range relations {
		names[i] = r.String()
	}
	return strings.Join(names, ",")
}

// establish makes what is missing and permitted: the publication, and behind it
// the slot. It returns where a stream starts that has no checkpoint yet, and a
// hash of what the publication publishes.
func establish(ctx context.Context, db cdc.Config, relations []*change.Relation, log *slog.Logger) (start change.LSN, hash string, err error) {
	conn, err := cdc.Connect(ctx, db)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close(ctx)
	created, err := cdc.EnsurePublication(ctx, conn, db.Publication, relations)
	if err != nil {
		return 0, "", err
	}
	if created {
		log.Info("publication_created", "publication", db.Publication)
	}
	if hash, err = cdc.PublicationHash(ctx, conn, db.Publication); err != nil {
		return 0, "", err
	}
	slot, err := cdc.EnsureSlot(ctx, db)
	if err != nil {
		return 0, "", err
	}
	start = slot.ConfirmedFlush
	if slot.Created {
		start = slot.ConsistentPoint
		log.Info("slot_created", "slot", db.Slot, "at", start.String())
	}
	if start == 0 {
		return 0, "", fmt.Errorf("slot %s has no confirmed position yet: its creation did not end; drop it with pg_drop_replication_slot('%s') and start again", db.Slot, db.Slot)
	}
	return start, hash, nil
}

// serverVersion puts server_version_num in words.
func serverVersion(num int) string {
	return fmt.Sprintf("PostgreSQL %d.%d", num/10000, num%10000)
}

func isMissing(err error) bool {
	var missing *cdc.SlotMissingError
	return errors.As(err, &missing)
}

func sourceHashes(m *mapping.Mapping) []string {
	var hashes []string
	for _, src := range m.Sources() {
		hashes = append(hashes, m.SourceHash(src))
	}
	return hashes
}
