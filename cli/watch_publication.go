package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/mapping"
	"github.com/pgcrm/pgcrm/pipeline"
)

// Reasons of loads: tables that were not published for a while, and partitions
// whose rows the stream never had.
const (
	publishedAnew     = "published_anew"
	partitionAttached = "partition_attached"
)

// tableAnnounced has the publication looked at soon: the stream has announced a
// table, which it does after each change of it. It does not block.
func (s *status) tableAnnounced() {
	select {
	case s.announced <- struct{}{}:
	default:
	}
}

// publication sees to it that every mapped table is published, and returns what
// it cannot mend. The instance that works does so; one that stands by does not.
func (s *status) publication(ctx context.Context) (seen cdc.Watched, err error) {
	switch s.p.Status().Phase.Name {
	case pipeline.Streaming, pipeline.Loading:
	default:
		return seen, nil
	}
	if seen, err = s.watched(ctx); err != nil {
		return seen, err
	}
	for _, sql := range seen.Released {
		s.r.log.Warn("publication_released", "sql", sql, "reason", "without a replica identity the application's own UPDATE and DELETE fail while the table is published")
	}
	for _, sql := range seen.Restored {
		s.r.log.Warn("publication_restored", "sql", sql)
	}
	for name, token := range seen.Tables {
		filed, err := s.book.Published(ctx, name.String(), string(s.published[name]), string(token), func(before string) []ledger.Backfill {
			return s.loadsOf(name, token, cdc.Membership(before))
		})
		switch {
		case err != nil:
			return seen, err
		case len(filed) == 0:
		case filed[0].Where != "":
			s.r.log.Info("partitions_attached", "table", name.String(), "rows", filed[0].Where, "note", "the rows that they have are read and sent")
		default:
			s.r.log.Warn("table_published_anew", "table", name.String(), "note", publishedAnewNote(filed))
		}
	}
	return seen, nil
}

// rememberPublication notes how the tables are published before anything of them
// is read.
func (s *status) rememberPublication(ctx context.Context) error {
	seen, err := s.watched(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = seen.Tables
	return err
}

func (s *status) watched(ctx context.Context) (seen cdc.Watched, err error) {
	var tables []cdc.Name
	for _, t := range s.found.mapping.Tables() {
		tables = append(tables, cdc.Name{Schema: t.Schema, Table: t.Name})
	}
	err = s.src.with(ctx, func(conn *pgx.Conn) (err error) {
		seen, err = cdc.WatchPublication(ctx, conn, s.src.cfg, tables, func(name cdc.Name) []string {
			return s.found.mapping.Columns(mapping.TableName{Schema: name.Schema, Name: name.Table})
		})
		return err
	})
	return seen, err
}

// publishedAnewNote says what is done about changes that may be missing.
func publishedAnewNote(filed []ledger.Backfill) string {
	note := "it was made anew, was not in the publication for a while, or a column that is read was made anew, retyped or rewritten, or a label of its enum renamed; its rows are read again and sent where they differ"
	if slices.ContainsFunc(filed, func(b ledger.Backfill) bool { return b.Reason == pipeline.GoneRows }) {
		return note + ", and rows that were deleted meanwhile are treated as on_delete says"
	}
	return note + "; records of rows that went meanwhile are left as they are: pgcrm verify --all lists them"
}

// loadsOf has the rows of a table sent again, to every object that it is mapped
// to; those of partitions that were attached, where that is all. Rows whose
// deletion may be missing are looked for where the mapping has something done
// about it.
func (s *status) loadsOf(name cdc.Name, now, before cdc.Membership) (loads []ledger.Backfill) {
	where, reason := "", publishedAnew
	since := now.Since(before)
	if !since.Rows {
		if len(since.Attached) == 0 {
			return nil
		}
		where, reason = "tableoid IN ("+strings.Join(since.Attached, ", ")+")", partitionAttached
	}
	var gone []ledger.Backfill
	for _, src := range s.found.mapping.Sources() {
		if src.Table != (&change.Relation{Schema: name.Schema, Name: name.Table}).String() {
			continue
		}
		loads = append(loads, ledger.Backfill{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match, Reason: reason, Where: where})
		if since.Deletes && src.OnDelete != change.Ignore {
			gone = append(gone, pipeline.GoneLoad(src))
		}
	}
	return append(loads, gone...)
}

// absentColumns keeps which tables lack columns that are read, and says it once.
// The pipeline learns of it only when a row changes.
func (s *status) absentColumns(absent map[cdc.Name]string) {
	for name, why := range absent {
		if s.absent[name] != why {
			s.r.log.Error("column_missing", "table", name.String(), "problem", why, "note", "nothing is cleared; the mapping waits")
		}
	}
	for name := range s.absent {
		if absent[name] == "" {
			s.r.log.Info("columns_are_back", "table", name.String())
		}
	}
	s.absent = absent
}

// publicationProblems keeps what was found, and says it once.
func (s *status) publicationProblems(problems []string) {
	for _, p := range problems {
		if !slices.Contains(s.problems, p) {
			s.r.log.Error("publication_problem", "problem", p)
		}
	}
	if len(problems) == 0 && len(s.problems) > 0 {
		s.r.log.Info("publication_mended")
	}
	s.problems = problems
}
