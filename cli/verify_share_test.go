package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

// verify stops when it has used its share of what the day has left, and the
// running instance, which works with the same token, goes on.
func TestVerifyLeavesCallsToTheRunningInstance(t *testing.T) {
	const rows = 3000 // 30 calls to read them, and as many to list the records
	w := newWorldWith(t, fmt.Sprintf(`CREATE TABLE accounts (id bigint PRIMARY KEY, name text, host text, plan text, seats int);
		INSERT INTO accounts SELECT i, 'Company ' || i, NULL, 'free', i FROM generate_series(1, %d) i`, rows), worldMapping)
	var companies []map[string]string
	for i := 11; i <= rows; i++ {
		companies = append(companies, map[string]string{"account_id": fmt.Sprint(i)})
	}
	if _, err := w.portal.Seed("companies", companies...); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.settles()

	const left = 200
	limits := hubspotsim.Limits{Window: 10 * time.Second, Daily: 10_000}
	w.portal.Spend(limits.Daily - w.portal.Stats().DailyUsed - left)
	w.portal.SetLimits(limits)
	w.env["PGCRM_QUOTA_SHARE"] = "100%"
	o := w.run("verify", "--all", "--share", "10%")
	if o.code != exitFailed || !strings.Contains(o.stderr, "used up until") || !strings.Contains(o.stderr, "--share") {
		t.Errorf("got %+v", o)
	}
	if used := limits.Daily - left - w.portal.Stats().DailyUsed; -used > left/10+5 {
		t.Errorf("%d calls were used", -used)
	}
	w.exec("UPDATE accounts SET name = 'Streams' WHERE id = 5")
	w.eventually(func() string {
		if got := w.company(5)["name"]; got != "Streams" {
			return "the name of 5 is " + got
		}
		return ""
	})
	if code, v, _ := w.verify("--all", "--share", "1"); code != exitDone || v.Tables[0].Same != rows {
		t.Errorf("with all that is left: exit code %d, %+v", code, v.Tables[0])
	}
	for _, bad := range []string{"0", "101%", "half", ""} {
		w.refused("--share", "verify", "--share", bad)
	}
}
