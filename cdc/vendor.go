package cdc

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// vendor is who runs the server. What mends a setting depends on it: nowhere but
// on one's own machine does ALTER SYSTEM work.
type vendor string

// The vendors that are told apart.
const (
	ownServer vendor = ""
	rds       vendor = "Amazon RDS"
	aurora    vendor = "Amazon Aurora"
	cloudSQL  vendor = "Google Cloud SQL"
	azure     vendor = "Azure Database for PostgreSQL"
	neon      vendor = "Neon"
	supabase  vendor = "Supabase"
	heroku    vendor = "Heroku Postgres"
)

// vendorOfHost tells it by the host's name, the only sign there is before a
// connection stands.
func vendorOfHost(host string) vendor {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	in := func(domain string) bool { return strings.HasSuffix(host, domain) }
	switch {
	case in(".rds.amazonaws.com") || in(".rds.amazonaws.com.cn"):
		if strings.Contains(host, ".cluster-") {
			return aurora
		}
		return rds
	case in(".compute-1.amazonaws.com") && strings.HasPrefix(host, "ec2-"), in(".herokuapp.com"):
		return heroku
	case in(".postgres.database.azure.com"):
		return azure
	case in(".neon.tech"):
		return neon
	case in(".supabase.co"), in(".supabase.com"):
		return supabase
	}
	return ownServer
}

// vendorOf tells it by what a vendor leaves in every database: roles, settings
// and functions of its own. A host behind a tunnel says nothing.
func vendorOf(ctx context.Context, conn *pgx.Conn) (vendor, error) {
	var isAurora bool
	var roles, prefixes []string
	err := conn.QueryRow(ctx, `
		SELECT to_regproc('pg_catalog.aurora_version') IS NOT NULL OR to_regproc('aurora_version') IS NOT NULL,
			ARRAY(SELECT rolname::text FROM pg_roles
				WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'neon_superuser', 'supabase_admin')),
			ARRAY(SELECT DISTINCT split_part(name, '.', 1) FROM pg_settings WHERE name LIKE '%.%')
				|| ARRAY(SELECT 'heroku' FROM pg_namespace WHERE nspname = 'heroku_ext')`).Scan(&isAurora, &roles, &prefixes)
	if err != nil {
		return ownServer, fmt.Errorf("look who runs the server: %w", err)
	}
	signs := map[string]bool{}
	for _, s := range append(roles, prefixes...) {
		signs[s] = true
	}
	byHost := vendorOfHost(conn.Config().Host)
	switch {
	case signs["heroku"] || byHost == heroku: // which runs on RDS
		return heroku, nil
	case isAurora:
		return aurora, nil
	case signs["rds_superuser"] || signs["rds"]:
		if byHost == aurora {
			return aurora, nil
		}
		return rds, nil
	case signs["cloudsqlsuperuser"] || signs["cloudsql"]:
		return cloudSQL, nil
	case signs["azure_pg_admin"] || signs["azure"]:
		return azure, nil
	case signs["neon_superuser"] || signs["neon"]:
		return neon, nil
	case signs["supabase_admin"]:
		return supabase, nil
	}
	return byHost, nil
}

// replicate says how a role is given the right to replicate. role is quoted
// already.
func (v vendor) replicate(role string) string {
	switch v {
	case rds, aurora:
		return "GRANT rds_replication TO " + role
	case cloudSQL:
		return "ALTER USER " + role + " WITH REPLICATION (as postgres)"
	case azure:
		return "ALTER ROLE " + role + " WITH REPLICATION (as the server's admin)"
	case neon:
		return "make the role in Neon's console, where roles may replicate, or ALTER ROLE " + role + " REPLICATION as one of these"
	case supabase:
		return "ALTER ROLE " + role + " REPLICATION (as postgres)"
	case heroku:
		return "Heroku Postgres lets no role replicate: keep the database where it can be replicated from, or ask Heroku's support"
	}
	return "ALTER ROLE " + role + " REPLICATION"
}

// logical says how wal_level becomes logical.
func (v vendor) logical() string {
	switch v {
	case rds:
		return "set rds.logical_replication = 1 in the instance's parameter group and reboot the instance"
	case aurora:
		return "set rds.logical_replication = 1 in the cluster's parameter group and reboot the writer"
	case cloudSQL:
		return "set the flag cloudsql.logical_decoding = on, beside the flags that are set already; the instance restarts"
	case azure:
		return "set the server parameter wal_level = logical and restart the server"
	case neon:
		return "turn on logical replication in the project's settings (Settings, Logical Replication)"
	case supabase:
		return "it is logical there unless it was overridden: take the override out of the project's Postgres configuration and restart"
	case heroku:
		return v.replicate("")
	}
	return "ALTER SYSTEM SET wal_level = logical and restart the server"
}

// set says how a setting of the server is changed.
func (v vendor) set(name, value string, restart bool) string {
	then := func(restarting string) string {
		if restart {
			return " and " + restarting
		}
		return ""
	}
	switch v {
	case rds:
		return fmt.Sprintf("set %s = %s in the instance's parameter group%s", name, value, then("reboot the instance"))
	case aurora:
		return fmt.Sprintf("set %s = %s in the cluster's parameter group%s", name, value, then("reboot the writer"))
	case cloudSQL:
		return fmt.Sprintf("set the flag %s = %s%s", name, value, then("let the instance restart"))
	case azure:
		return fmt.Sprintf("set the server parameter %s = %s%s", name, value, then("restart the server"))
	case supabase:
		return fmt.Sprintf("supabase --experimental postgres-config update --config %s=%s%s", name, value, then("restart the project's database"))
	case neon, heroku:
		return fmt.Sprintf("ask the support of %s for %s = %s", string(v), name, value)
	}
	if restart {
		return fmt.Sprintf("ALTER SYSTEM SET %s = %s and restart the server", name, setting(value))
	}
	return fmt.Sprintf("ALTER SYSTEM SET %s = %s; SELECT pg_reload_conf()", name, setting(value))
}

// setting writes a value for ALTER SYSTEM: a number as it is, the rest quoted.
// A list of words is one of identifiers and stands as it is too.
func setting(value string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return r < '0' || r > '9' }) && !strings.Contains(value, ", ") {
		return literal(value)
	}
	return value
}

// direct says how to go around the vendor's pooler.
func (v vendor) direct() string {
	switch v {
	case neon:
		return `set PGCRM_DATABASE_URL to the direct host, the one without "-pooler"`
	case supabase:
		return "set PGCRM_DATABASE_URL to db.PROJECT.supabase.co:5432 (IPv6, or with the IPv4 add-on) instead of the pooler"
	case azure:
		return "set PGCRM_DATABASE_URL to port 5432 instead of 6432, where PgBouncer listens"
	case rds, aurora:
		return "set PGCRM_DATABASE_URL to the endpoint of the instance or of the cluster's writer instead of the RDS Proxy's"
	}
	return "set PGCRM_DATABASE_URL to the database's own host and port, often 5432 instead of 6432 or 6543"
}
