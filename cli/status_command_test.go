package cli

import (
	"net"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/admin"
)

func TestStatusWithoutAnInstance(t *testing.T) {
	w := newWorld(t)
	snap := read[admin.Snapshot](w, "status")
	if snap.State != admin.Stopped || snap.Slot.Status != "missing" || !strings.Contains(snap.Slot.Detail, "pgcrm migrate") || snap.Log.CheckpointLSN != 0 {
		t.Errorf("before the first run: %+v", snap)
	}
	stop := w.start()
	// PGCRM_LISTEN is off: the instance is seen by its slot alone.
	snap = read[admin.Snapshot](w, "status")
	if snap.State != admin.Streaming || snap.Slot.ActivePID == nil || !strings.Contains(snap.Detail, "PGCRM_LISTEN is off") {
		t.Errorf("beside one: %+v", snap)
	}
	stop()
	w.exec(`INSERT INTO ` + w.name + `.backfill (table_name, object, match, reason, rows, estimate) VALUES ('public.accounts', 'companies', 'account_id', 'asked', 3, 12)`)
	w.exec(`UPDATE accounts SET seats = 1`)
	snap = read[admin.Snapshot](w, "status")
	if snap.State != admin.Stopped || snap.Slot.Status != "reserved" || snap.Slot.ActivePID != nil || snap.Slot.ConfirmedGapBytes == nil || *snap.Slot.ConfirmedGapBytes <= 0 ||
		*snap.Slot.RetainedWALBytes < *snap.Slot.ConfirmedGapBytes || *snap.Log.LagBytes <= 0 || snap.Log.CheckpointLSN == 0 ||
		len(snap.Backfills) != 1 || snap.Backfills[0].Estimate != 12 || snap.Slot.SpilledBytes == nil {
		t.Errorf("after one: %+v", snap)
	}
	out := w.ok("status")
	for _, want := range []string{
		"state        stopped, last seen 2", "slot         " + w.name + ": reserved, good", "restart gap  ", "kept on the server's disk, without a limit",
		"confirmed    ", "checkpoint   ", "parked       2 not_found; see pgcrm dlq list", "backfill     2 of public.accounts: 3 of about 12 rows, waits for pgcrm run",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.name)
	if out := w.ok("status"); !strings.Contains(out, "missing, replication slot "+w.name+" does not exist") || !strings.Contains(out, "pgcrm migrate --recreate-slot") {
		t.Error(out)
	}
}

// freeAddress is one that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStatusOfARunningInstance(t *testing.T) {
	w := newWorld(t)
	w.env["PGCRM_LISTEN"] = freeAddress(t)
	w.start()
	snap := read[admin.Snapshot](w, "status")
	if !snap.State.Ready() || snap.Started.IsZero() || snap.CRM.Portal == "" || snap.Records["delivered"] == 0 {
		t.Errorf("%+v", snap)
	}
	if out := w.ok("status"); !strings.Contains(out, "queue        0 records") || !strings.Contains(out, "10 delivered, 2 parked since the start") || !strings.Contains(out, "accepts; ") {
		t.Error(out)
	}
	// Another set-up's instance at the same address is not this one's.
	other := newWorld(t)
	other.env["PGCRM_LISTEN"] = w.env["PGCRM_LISTEN"]
	if snap := read[admin.Snapshot](other, "status"); snap.State != admin.Stopped || !strings.Contains(snap.Detail, "is another one (slot "+w.name+")") {
		t.Errorf("%+v", snap)
	}
}
