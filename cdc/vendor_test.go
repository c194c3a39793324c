package cdc

import (
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/internal/pgtest"
)

func TestVendorOfHost(t *testing.T) {
	for host, want := range map[string]vendor{
		"db.internal": ownServer,
		"localhost":   ownServer,
		"app.c9akciq32.eu-west-1.rds.amazonaws.com":         rds,
		"app.cluster-c9akciq32.eu-west-1.rds.amazonaws.com": aurora,
		"app.c9akciq32.rds.cn-north-1.rds.amazonaws.com.cn": rds,
		"App.Postgres.Database.Azure.Com.":                  azure,
		"ep-cool-1.eu-central-1.aws.neon.tech":              neon,
		"db.abcdefgh.supabase.co":                           supabase,
		"aws-0-eu-west-1.pooler.supabase.com":               supabase,
		"ec2-3-81-1-2.compute-1.amazonaws.com":              heroku,
		"10.0.0.3":                                          ownServer,
	} {
		if got := vendorOfHost(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

// TestVendorsMends gives a server what vendors leave in theirs, one after the
// other, and looks for the vendor's own way to mend wal_level.
func TestVendorsMends(t *testing.T) {
	server := pgtest.New(t, "wal_level", "replica")
	d := databaseOn(t, server)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
	for _, c := range []struct {
		vendor     vendor
		make, undo string
		wal, slots string
	}{
		{rds, `CREATE ROLE rds_superuser`, `DROP ROLE rds_superuser`, "set rds.logical_replication = 1 in the instance's parameter group", "parameter group"},
		{
			aurora, `CREATE FUNCTION aurora_version() RETURNS text LANGUAGE sql AS 'SELECT ''16.1'''`, `DROP FUNCTION aurora_version`,
			"cluster's parameter group and reboot the writer", "cluster's parameter group",
		},
		{cloudSQL, `CREATE ROLE cloudsqlsuperuser`, `DROP ROLE cloudsqlsuperuser`, "cloudsql.logical_decoding = on", "set the flag"},
		{azure, `CREATE ROLE azure_pg_admin`, `DROP ROLE azure_pg_admin`, "server parameter wal_level = logical", "server parameter"},
		{neon, `CREATE ROLE neon_superuser`, `DROP ROLE neon_superuser`, "Logical Replication", "support of Neon"},
		{supabase, `CREATE ROLE supabase_admin`, `DROP ROLE supabase_admin`, "project's Postgres configuration", "supabase --experimental"},
		{heroku, `CREATE SCHEMA heroku_ext`, `DROP SCHEMA heroku_ext`, "Heroku's support", "support of Heroku"},
	} {
		d.exec(c.make)
		list := d.check(nil, "t")
		d.exec(c.undo)
		expect(t, list, "connection", Good, "("+string(c.vendor)+")")
		expect(t, list, "wal_level", Bad, c.wal)
		expect(t, list, "max_slot_wal_keep_size", Note, c.slots)
	}
	for _, v := range []vendor{rds, aurora, cloudSQL, azure, neon, supabase, heroku} {
		for _, mend := range []string{v.logical(), v.replicate("r"), v.set("max_wal_senders", "9", true), v.direct()} {
			if strings.Contains(mend, "ALTER SYSTEM") {
				t.Errorf("%s does not allow ALTER SYSTEM: %s", v, mend)
			}
		}
	}
}
