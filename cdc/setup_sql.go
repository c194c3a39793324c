package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// SetupSQL returns what a DBA runs so that role can follow the tables: the right
// to replicate and to read, and the publication, as far as they lack. They are
// statements, and comments where this server knows no statement. The role of
// conn needs no right but to look at the catalog. Tables that are missing or are
// none are an error with Problems. columns is as for [EnsurePublication].
func SetupSQL(ctx context.Context, conn *pgx.Conn, cfg Config, tables []Name, role string, columns func(Name) []string) ([]string, error) {
	found, err := findTables(ctx, conn, tables)
	if err != nil {
		return nil, err
	}
	var wrong []string
	var rels []*change.Relation
	for _, name := range tables {
		t, ok := found[name]
		if !ok {
			wrong = append(wrong, noTable(name, conn))
			continue
		}
		t.usage, t.selects = true, true // granted below
		wrong = append(wrong, t.problems(name)...)
		rels = append(rels, &change.Relation{OID: t.oid, Schema: name.Schema, Name: name.Table})
	}
	if err := problemsError(wrong); err != nil {
		return nil, err
	}
	sql, err := rightsSQL(ctx, conn, rels, role)
	if err != nil {
		return nil, err
	}
	publication, err := PublicationSQL(ctx, conn, cfg.Publication, rels, columns)
	if err != nil {
		return nil, err
	}
	return append(sql, terminated(publication)...), nil
}

// rightsSQL grants what the role lacks.
func rightsSQL(ctx context.Context, conn *pgx.Conn, rels []*change.Relation, role string) (sql []string, err error) {
	v, err := vendorOf(ctx, conn)
	if err != nil {
		return nil, err
	}
	var replicates bool
	err = conn.QueryRow(ctx, `SELECT rolsuper OR rolreplication OR EXISTS (
			SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(r.oid, g.oid, 'MEMBER'))
		FROM pg_roles r WHERE rolname = $1`, role).Scan(&replicates)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		sql = append(sql, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '...';", quote(role)))
	case err != nil:
		return nil, fmt.Errorf("look up role %s: %w", quote(role), err)
	}
	exists := err == nil
	if !replicates {
		mend := v.replicate(quote(role))
		if strings.HasPrefix(mend, "GRANT ") || strings.HasPrefix(mend, "ALTER ") {
			statement, as, _ := strings.Cut(mend, " (")
			if as != "" {
				as = " -- " + strings.TrimSuffix(as, ")")
			}
			sql = append(sql, statement+";"+as)
		} else {
			sql = append(sql, "-- the right to replicate: "+mend)
		}
	}
	schemas := map[string]bool{}
	for _, rel := range rels {
		var usage, selects bool
		if exists {
			err := conn.QueryRow(ctx, `SELECT has_schema_privilege($1, relnamespace, 'USAGE'), has_table_privilege($1, oid, 'SELECT') FROM pg_class WHERE oid = $2`,
				role, rel.OID).Scan(&usage, &selects)
			if err != nil {
				return nil, fmt.Errorf("look at the rights of role %s: %w", quote(role), err)
			}
		}
		if !usage && !schemas[rel.Schema] {
			schemas[rel.Schema] = true
			sql = append(sql, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", quote(rel.Schema), quote(role)))
		}
		if !selects {
			sql = append(sql, fmt.Sprintf("GRANT SELECT ON %s TO %s;", quoteTable(rel), quote(role)))
		}
	}
	return sql, nil
}

func terminated(statements []string) []string {
	list := make([]string, len(statements))
	for i, s := range statements {
		list[i] = s + ";"
	}
	return list
}
