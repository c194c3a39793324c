package cdc

import (
	"testing"

	"github.com/pgcrm/pgcrm/change"
)

// BenchmarkBacklog reads rows of about 240 bytes that were written before, 100 in
// a transaction: ns/op is per row, the server's decoding included.
func BenchmarkBacklog(b *testing.B) {
	d := newDatabase(b)
	d.exec(`CREATE TABLE accounts (id bigint PRIMARY KEY, name text, domain text, plan text, seats int, mrr numeric(12,2), active bool,
		signed_up_at timestamptz, meta jsonb, updated_at timestamptz)`)
	d.publish("accounts")
	d.exec(`CREATE PROCEDURE fill(n int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 0 .. n / 100 LOOP
				INSERT INTO accounts SELECT i * 100 + g, 'Company ' || g, 'company' || g || '.example.com', 'enterprise', g, g * 1.25, true, now(),
					jsonb_build_object('industry', 'software', 'region', 'eu-central-1', 'note', repeat('x', 20)), now()
				FROM generate_series(0, 99) g;
				COMMIT;
			END LOOP;
		END $$`)
	if _, err := d.conn.Exec(d.ctx, "CALL fill($1)", b.N); err != nil {
		b.Fatal(err)
	}
	s := d.open(0)
	b.ReportAllocs()
	b.ResetTimer()
	for rows := 0; rows < b.N; {
		ev, err := s.Next(d.ctx)
		if err != nil {
			b.Fatal(err)
		}
		if ev.Kind == change.Insert {
			rows++
		}
	}
}

// BenchmarkDecode decodes one inserted row of ten columns.
func BenchmarkDecode(b *testing.B) {
	rel := message{'R'}.u32(7).str("public").str("accounts").u8('d').u16(10)
	row := message{'I'}.u32(7).u8('N').u16(10)
	for range 10 {
		rel = rel.u8(0).str("c").u32(25).u32(0xffffffff)
		row = row.text("twenty four bytes of it.")
	}
	d := newDecoder()
	mustDecode(b, d, rel, begin(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.decode(row); err != nil {
			b.Fatal(err)
		}
	}
}
