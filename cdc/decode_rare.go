package cdc

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/jackc/pglogrepl"

	"github.com/pgcrm/pgcrm/change"
)

// rare decodes the messages that come once a table, a statement or less, by way
// of pglogrepl.
func (d *decoder) rare(msg []byte) (emit bool, err error) {
	parsed, err := parse(msg)
	if err != nil {
		return false, err
	}
	switch m := parsed.(type) {
	case *pglogrepl.RelationMessage:
		d.relation(m)
		if d.onRelation != nil {
			d.onRelation()
		}
		return false, nil
	case *pglogrepl.TruncateMessage:
		return true, d.truncate(m)
	case *pglogrepl.LogicalDecodingMessage:
		return true, d.mark(m)
	case *pglogrepl.TypeMessage, *pglogrepl.OriginMessage:
		// A Type message names a type for subscribers; the catalog tells more. An
		// Origin message names the node that a change was replicated from; the
		// stream asks for the changes of all of them.
		return false, nil
	default:
		return false, fmt.Errorf("unexpected message %T", m)
	}
}

// parse calls pglogrepl, which indexes past the end of a short message.
func parse(msg []byte) (m pglogrepl.Message, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, errTruncated
		}
	}()
	switch msg[0] {
	case 'T':
		// The count is checked first: pglogrepl allocates by it.
		if len(msg) < 6 || int64(binary.BigEndian.Uint32(msg[1:]))*4 != int64(len(msg)-6) {
			return nil, errTruncated
		}
	case 'R', 'Y', 'O', 'M':
	default:
		return nil, fmt.Errorf("unknown to this version of pgcrm: % x", msg[:min(len(msg), 16)])
	}
	return pglogrepl.Parse(msg)
}

// relation takes in an announcement. The pointer that events carry changes only
// when the table really did.
func (d *decoder) relation(m *pglogrepl.RelationMessage) {
	rel := &change.Relation{
		OID:      m.RelationID,
		Schema:   m.Namespace,
		Name:     m.RelationName,
		Identity: change.ReplicaIdentity(m.ReplicaIdentity),
		Columns:  make([]change.Column, len(m.Columns)),
	}
	if rel.Schema == "" {
		rel.Schema = "pg_catalog" // the protocol's abbreviation
	}
	for i, c := range m.Columns {
		rel.Columns[i] = change.Column{
			Name:       c.Name,
			Type:       change.Type{OID: c.DataType, Modifier: c.TypeModifier},
			InIdentity: c.Flags&1 != 0,
		}
	}
	if known := d.relations[rel.OID]; known != nil && sameRelation(known.Relation, rel) {
		return
	}
	d.last = nil
	d.relations[rel.OID] = &relation{
		Relation: rel,
		before:   make([]change.Value, 0, len(rel.Columns)),
		after:    make([]change.Value, 0, len(rel.Columns)),
	}
}

// sameRelation compares what the stream announces of a table.
func sameRelation(a, b *change.Relation) bool {
	return a.OID == b.OID && a.Schema == b.Schema && a.Name == b.Name && a.Identity == b.Identity &&
		slices.EqualFunc(a.Columns, b.Columns, func(x, y change.Column) bool {
			return x.Name == y.Name && x.InIdentity == y.InIdentity &&
				x.Type.OID == y.Type.OID && x.Type.Modifier == y.Type.Modifier
		})
}

func (d *decoder) truncate(m *pglogrepl.TruncateMessage) error {
	if !d.inTx {
		return fmt.Errorf("outside a transaction")
	}
	truncated := make([]*change.Relation, len(m.RelationIDs))
	for i, oid := range m.RelationIDs {
		rel := d.relations[oid]
		if rel == nil {
			return fmt.Errorf("of relation %d, which was never announced", oid)
		}
		truncated[i] = rel.Relation
	}
	d.ordinal++
	d.event(change.Truncate)
	d.ev.Truncated = truncated
	return nil
}

func (d *decoder) mark(m *pglogrepl.LogicalDecodingMessage) error {
	if m.Transactional {
		if !d.inTx {
			return fmt.Errorf("transactional, outside a transaction")
		}
		d.event(change.Mark)
	} else {
		d.ev = change.Event{Kind: change.Mark, End: change.LSN(m.LSN)}
	}
	d.ev.Prefix, d.ev.Content, d.ev.Transactional = m.Prefix, m.Content, m.Transactional
	return nil
}
