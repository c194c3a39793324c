package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// trickle measures how long a change is on its way while little happens, and what
// pgcrm costs while nothing does.
func (l *lab) trickle(ctx context.Context) ([]measurement, error) {
	bare := measurement{Consumer: pglogreplBy, Rows: l.rows}
	if err := l.sql(ctx, "SELECT pg_create_logical_replication_slot('bare', 'pgoutput')"); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c, err := launch(ctx, nil, self, bareCommand, l.url(), "bare", publication, "FFFFFFFF/FFFFFFFF", "true")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		if err := c.ended(); err != nil {
			return false, err
		}
		return l.is(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = 'bare'")
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	sent, err := commits(ctx, l.conn, l.workload, 1_000_000)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // the last ones arrive
	bare.Seconds, bare.CPU, bare.PeakRSS = time.Since(began).Seconds(), cpu(c.pid()).Seconds(), peakRSS(c.pid())
	received := map[string]time.Time{}
	for line := range strings.Lines(c.out.String()) {
		var seats string
		var at int64
		if _, err := fmt.Sscan(line, &seats, &at); err == nil {
			received[seats] = time.Unix(0, at)
		}
	}
	bare.Latency = percentiles(delays(sent, received))
	c.stop()
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		return l.is(ctx, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'bare'")
	})
	if err != nil {
		return nil, err
	}
	if err := l.sql(ctx, "SELECT pg_drop_replication_slot('bare')"); err != nil {
		return nil, err
	}
	pgcrm, idle, err := l.trickleWhole(ctx)
	all := []measurement{bare, pgcrm, idle}
	for i := range all[:2] {
		all[i].RowsPerSecond = float64(all[i].Rows) / all[i].Seconds
	}
	return all, err
}

func (l *lab) trickleWhole(ctx context.Context) (m, idle measurement, err error) {
	m, idle = measurement{Consumer: whole, Rows: l.rows}, measurement{Consumer: "pgcrm idle"}
	c, err := l.run(ctx)
	if err != nil {
		return m, idle, err
	}
	defer c.stop()
	if err := l.loaded(ctx, c); err != nil {
		return m, idle, err
	}
	err = l.between(ctx, &m, func() error {
		began, before := time.Now(), cpu(c.pid())
		sent, err := commits(ctx, l.conn, l.workload, 2_000_000)
		if err != nil {
			return err
		}
		if err := l.last(ctx); err != nil {
			return err
		}
		if err := l.settled(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU = time.Since(began).Seconds(), (cpu(c.pid()) - before).Seconds()
		received, err := l.journal(ctx)
		if err != nil {
			return err
		}
		m.Latency = percentiles(delays(sent, received))
		return l.inside(ctx, c, &m)
	})
	if err != nil {
		return m, idle, err
	}
	time.Sleep(5 * time.Second)
	before := cpu(c.pid())
	time.Sleep(20 * time.Second)
	idle.Seconds, idle.CPU, idle.PeakRSS = 20, (cpu(c.pid()) - before).Seconds(), residentNow(c.pid())
	return m, idle, nil
}

// journal tells when the request that first carried a value had arrived whole.
func (l *lab) journal(ctx context.Context) (map[string]time.Time, error) {
	body, err := fetch(ctx, http.MethodGet, l.crmURL+"/_sim/journal?since=0", "")
	if err != nil {
		return nil, err
	}
	var entries []struct {
		Received   time.Time
		Properties map[string]string
	}
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, err
	}
	received := map[string]time.Time{}
	for _, e := range entries {
		seats := e.Properties["seats"]
		if _, known := received[seats]; !known {
			received[seats] = e.Received
		}
	}
	return received, nil
}

func delays(sent, received map[string]time.Time) []time.Duration {
	var all []time.Duration
	for what, at := range sent {
		if there, ok := received[what]; ok {
			all = append(all, there.Sub(at))
		}
	}
	return all
}
