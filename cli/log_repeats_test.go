package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestRefusalsAreSummarised(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRepeats(slog.NewTextHandler(&out, nil), func() time.Time { return now })
	log := slog.New(r)
	for i := range 1000 {
		log.Warn("refused", "endpoint", "companies/batch/update", "attempt", i)
		log.Warn("refused", "endpoint", "contacts/batch/update", "attempt", i)
		log.Info("told", "n", i)
		now = now.Add(30 * time.Millisecond) // half a minute in all
	}
	lines := func() (warned, told int) {
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "level=WARN") {
				warned++
			} else {
				told++
			}
		}
		return warned, told
	}
	if warned, told := lines(); warned != 2 || told != 1000 {
		t.Fatalf("%d warnings and %d other lines", warned, told)
	}
	r.flush(t.Context())
	if warned, _ := lines(); warned != 2 {
		t.Errorf("%d warnings, before the minute is over", warned)
	}
	now = now.Add(time.Minute)
	out.Reset()
	r.flush(t.Context())
	for _, endpoint := range []string{"companies", "contacts"} {
		if want := fmt.Sprintf("msg=refused endpoint=%s/batch/update attempt=999 repeated=999\n", endpoint); strings.Count(out.String(), want) != 1 {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	now = now.Add(time.Minute)
	r.flush(t.Context())
	if len(r.seen.all) > 0 {
		t.Error("it remembers for ever")
	}
	out.Reset()
	log.Warn("refused", "endpoint", "contacts/batch/update")
	if strings.Contains(out.String(), "repeated") || out.Len() == 0 {
		t.Errorf("later, as new: %q", out.String())
	}
}

func TestRepeatsComeWithTheNext(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	log := slog.New(newRepeats(slog.NewTextHandler(&out, nil), func() time.Time { return now })).With("a", 1)
	log.Error("again")
	log.Error("again")
	now = now.Add(repeatEvery)
	log.Error("again")
	if n := strings.Count(out.String(), "\n"); n != 2 || !strings.HasSuffix(out.String(), "msg=again a=1 repeated=1\n") {
		t.Errorf("got\n%s", out.String())
	}
}
