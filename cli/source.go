package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/pipeline"
)

// markPrefix is the prefix of pgcrm's logical messages.
const markPrefix = "pgcrm"

// source lends package cdc to the pipeline. Its ordinary connection is made when
// it is needed and made anew when it broke.
type source struct {
	cfg cdc.Config

	mu   sync.Mutex
	conn *pgx.Conn
}

func newSource(cfg cdc.Config) *source { return &source{cfg: cfg} }

// with lends the connection to one caller at a time.
func (s *source) with(ctx context.Context, use func(*pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.IsClosed() {
		conn, err := cdc.Connect(ctx, s.cfg)
		if err != nil {
			return err
		}
		s.conn = conn
	}
	return use(s.conn)
}

// Close closes the ordinary connection.
func (s *source) Close(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close(ctx) // nothing was left undone on it
	}
}

// Identify implements pipeline.Source.
func (s *source) Identify(ctx context.Context) (pipeline.Server, error) {
	server, err := cdc.Identify(ctx, s.cfg)
	if err != nil {
		return pipeline.Server{}, err
	}
	if err := server.Primary(); err != nil {
		return pipeline.Server{}, err
	}
	slot, err := s.slot(ctx)
	if err != nil {
		return pipeline.Server{}, err
	}
	return pipeline.Server{
		SystemID:     server.SystemID,
		Timeline:     server.Timeline,
		TimelineEnds: server.TimelineEnds,
		Database:     server.Database,
		FlushedEnd:   server.FlushLSN,
		Confirmed:    slot.ConfirmedFlush,
	}, nil
}

func (s *source) slot(ctx context.Context) (slot cdc.Slot, err error) {
	err = s.with(ctx, func(conn *pgx.Conn) error {
		found, ok, err := cdc.SlotInfo(ctx, conn, s.cfg.Slot)
		if err == nil && !ok {
			err = &cdc.SlotMissingError{Slot: s.cfg.Slot}
		}
		slot = found
		return err
	})
	return slot, err
}

// Open implements pipeline.Source.
func (s *source) Open(ctx context.Context, start change.LSN) (pipeline.Stream, error) {
	stream, err := cdc.Open(ctx, s.cfg, start)
	var active *cdc.SlotActiveError
	if errors.As(err, &active) {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrStandby, err)
	}
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Mark implements pipeline.Source.
func (s *source) Mark(ctx context.Context, content string) error {
	return s.with(ctx, func(conn *pgx.Conn) error {
		_, err := cdc.EmitMark(ctx, conn, markPrefix, []byte(content))
		return err
	})
}

// Describe implements pipeline.Source.
func (s *source) Describe(ctx context.Context, table *change.Relation) (now *change.Relation, err error) {
	err = s.with(ctx, func(conn *pgx.Conn) error {
		rels, err := cdc.Describe(ctx, conn, []cdc.Name{{Schema: table.Schema, Table: table.Name}})
		if err == nil {
			now = rels[0]
		}
		return err
	})
	return now, err
}

// Chunk implements pipeline.Source.
func (s *source) Chunk(ctx context.Context, r pipeline.Range) (pipeline.Chunk, error) {
	var c pipeline.Chunk
	err := s.with(ctx, func(conn *pgx.Conn) error {
		read := cdc.ReadChunk
		if r.Keys != nil {
			read = func(ctx context.Context, conn *pgx.Conn, table *change.Relation, _ cdc.Range) (cdc.Chunk, error) {
				return cdc.ReadRows(ctx, conn, table, r.Keys, r.Bytes)
			}
		}
		chunk, err := read(ctx, conn, r.Table, cdc.Range{After: r.After, UpTo: r.UpTo, Limit: r.Limit, Bytes: r.Bytes, Where: r.Where})
		c = pipeline.Chunk{Rows: chunk.Rows, Last: chunk.Last, Snapshot: seen{chunk.Snapshot}, Done: chunk.Done, Cut: chunk.Cut}
		return err
	})
	return c, err
}

// Estimate implements pipeline.Source.
func (s *source) Estimate(ctx context.Context, table *change.Relation) (n int64, err error) {
	err = s.with(ctx, func(conn *pgx.Conn) error {
		n, err = cdc.CountEstimate(ctx, conn, table)
		return err
	})
	return n, err
}

// Snapshot implements pipeline.Source.
func (s *source) Snapshot(ctx context.Context) (pipeline.Snapshot, error) {
	var snapshot cdc.Snapshot
	err := s.with(ctx, func(conn *pgx.Conn) (err error) {
		snapshot, err = cdc.CurrentSnapshot(ctx, conn)
		return err
	})
	return seen{snapshot}, err
}

// seen is a snapshot as the pipeline asks it.
type seen struct{ cdc.Snapshot }

func (s seen) EndedBefore(later pipeline.Snapshot) bool {
	l, ok := later.(seen)
	return ok && s.Snapshot.EndedBefore(l.Snapshot)
}

// Transient implements pipeline.Source.
func (s *source) Transient(err error) bool { return cdc.Transient(err) }
