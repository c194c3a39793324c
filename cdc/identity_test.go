package cdc

import "testing"

// TestGeneratedColumnsInTheIdentity asks the server what it does to the
// application's UPDATE once the table is published, and wants check to foresee
// it.
func TestGeneratedColumnsInTheIdentity(t *testing.T) {
	d := newDatabase(t)
	d.exec(`CREATE TABLE a (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, v text)`, `INSERT INTO a VALUES (1)`)
	for _, identity := range []string{"DEFAULT", "FULL"} {
		d.exec(`ALTER TABLE a REPLICA IDENTITY ` + identity)
		rels := d.describe("a")
		foreseen := isProblem(Preflight(d.ctx, d.cfg, rels, nil), "generated columns")
		if _, err := EnsurePublication(d.ctx, d.conn, d.cfg.Publication, rels, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := d.conn.Exec(d.ctx, `UPDATE a SET v = 'x'`); (err != nil) != foreseen {
			t.Errorf("REPLICA IDENTITY %s: UPDATE says %v, and it was foreseen: %v", identity, err, foreseen)
		}
		if err := DropPublication(d.ctx, d.conn, d.cfg.Publication); err != nil {
			t.Fatal(err)
		}
	}
}
