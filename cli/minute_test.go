package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/pgcrm/pgcrm/admin"
)

func TestStatusLine(t *testing.T) {
	lag := int64(4096)
	for want, snap := range map[string]admin.Snapshot{
		"msg=status state=standby waiting=0 oldest_unsent_ms=0 delivered=7 parked_now=0": {State: admin.Standby},
		"msg=status state=streaming position=0/16B3748 lag_bytes=4096 waiting=3 oldest_unsent_ms=1500 delivered=7 parked_now=5 " +
			"calls_left_10s=90 paused=credentials held=1 backfills=2": {
			State: admin.Streaming, Log: admin.Log{CheckpointLSN: 0x16B3748, LagBytes: &lag},
			Queue: admin.Queue{Records: 3, OldestUnsentSeconds: 1.5}, Parked: map[string]int64{"not_found": 2, "too_long": 3},
			CRM:  admin.CRM{Quota: []admin.Quota{{Window: "10s", Limit: 100, Remaining: 90}}, Paused: []admin.Pause{{Reason: "credentials", Detail: "secret words"}}},
			Held: []admin.Held{{}}, Backfills: make([]admin.Backfill, 2),
		},
	} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		log.LogAttrs(t.Context(), slog.LevelInfo, "status", minuteOf(&snap, map[string]int64{"delivered": 3, "parked": 1}, map[string]int64{"delivered": 10, "parked": 1})...)
		if !strings.HasSuffix(strings.TrimSpace(out.String()), want) {
			t.Errorf("got  %swant %s", out.String(), want)
		}
	}
}
