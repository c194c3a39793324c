package cdc

import (
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// TestOriginsAreSkipped has a sync mark what it applies, as a subscription does.
func TestOriginsAreSkipped(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
	d.publish("t")
	d.cfg.SkipOrigins = true
	if d.version() < originsSince {
		_, err := Open(d.ctx, d.cfg, 0)
		if !isProblem(err, "PGCRM_ORIGIN=none") {
			t.Errorf("%v", err)
		}
		if err := Preflight(d.ctx, d.cfg, d.describe("t"), nil); !isProblem(err, "move to Postgres 16 or later") {
			t.Errorf("%v", err)
		}
		return
	}
	sync := d.connect()
	origin := d.cfg.Slot + "_crm"
	for _, sql := range []string{
		`SELECT pg_replication_origin_create('` + origin + `')`, `SELECT pg_replication_origin_session_setup('` + origin + `')`,
		`INSERT INTO t VALUES (1, 'from the CRM')`,
	} {
		if _, err := sync.Exec(d.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		// Its session lets go of the origin first.
		if _, err := sync.Exec(d.ctx, `SELECT pg_replication_origin_session_reset()`); err != nil {
			t.Error(err)
		}
		d.exec(`SELECT pg_replication_origin_drop('` + origin + `')`)
	}()
	d.exec(`INSERT INTO t VALUES (2, 'from the application')`)
	if _, err := EmitMark(d.ctx, d.conn, "pgcrm", []byte("end")); err != nil {
		t.Fatal(err)
	}
	s := d.open(0)
	var seen []string
	for {
		ev, err := s.Next(d.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == change.Insert {
			seen = append(seen, string(ev.New[0].Text))
		}
		if ev.Kind == change.Mark {
			break
		}
	}
	if len(seen) != 1 || seen[0] != "2" {
		t.Errorf("rows %q were streamed", seen)
	}
}
