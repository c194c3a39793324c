package cli

import (
	"bytes"
	"testing"

	"github.com/pgcrm/pgcrm/ledger"
)

// A record that several rows feed is one record; and what is known to be delivered
// does not count.
func TestALoadComesToRecordsThatWouldChange(t *testing.T) {
	w := newWorldWith(t, worldSchema+`
		CREATE TABLE members (id int PRIMARY KEY, account text, phone text);
		INSERT INTO members SELECT i, (i % 4)::text, i::text FROM generate_series(1, 12) i;`, worldMapping+`
  public.members:
    match: {account_id: account}
    properties: {phone: phone}
`)
	count := func() (records []int64) {
		t.Helper()
		var out bytes.Buffer
		d := backfillOn(t, w, &out).desk
		v, err := d.view(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer v.close(t.Context())
		known, err := d.recall(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		defer known.Close()
		for _, src := range v.mapping.Sources() {
			tally, err := countLoad(d.db, &v.survey, known)(t.Context(), ledger.Backfill{Table: src.Table}, src)
			if err != nil || len(tally.Samples) != int(min(tally.Records, heldSamples)) {
				t.Fatalf("%+v, %v", tally, err)
			}
			records = append(records, tally.Records)
		}
		return records
	}
	if got := count(); got[0] != 12 || got[1] != 4 {
		t.Errorf("%d records, not 12 and 4", got)
	}
	w.exec("DELETE FROM members WHERE id > 4")
	stop := w.start()
	stop()
	w.exec("UPDATE accounts SET name = 'Renamed' WHERE id = 1; UPDATE members SET phone = '555' WHERE id = 1")
	if got := count(); got[0] != 3 || got[1] != 2 { // two accounts and one member have no company
		t.Errorf("%d records, not 3 and 2", got)
	}
}
