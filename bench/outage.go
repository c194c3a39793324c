package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// outage has the CRM refuse everything while rows change, and measures from its
// return on.
func (l *lab) outage(ctx context.Context) ([]measurement, error) {
	m := measurement{Consumer: whole, Rows: l.rows}
	c, err := l.run(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := l.loaded(ctx, c); err != nil {
		return nil, err
	}
	if _, err := fetch(ctx, http.MethodPost, l.crmURL+"/_sim/faults", `{"effect":"status","status":503}`); err != nil {
		return nil, err
	}
	before := cpu(c.pid())
	const each = 20
	tick := time.NewTicker(time.Second * each / 2000)
	defer tick.Stop()
	for done := 0; done < l.rows; done += each {
		<-tick.C
		if err := l.sql(ctx, "UPDATE accounts SET seats = $1 WHERE id = ANY (SELECT (random() * $2)::int FROM generate_series(1, $3))", done, l.before, each); err != nil {
			return nil, errors.Join(err, c.ended())
		}
	}
	if err := l.last(ctx); err != nil {
		return nil, err
	}
	err = l.between(ctx, &m, func() error {
		if _, err := fetch(ctx, http.MethodDelete, l.crmURL+"/_sim/faults", ""); err != nil {
			return err
		}
		began := time.Now()
		if err := l.settled(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU = time.Since(began).Seconds(), (cpu(c.pid()) - before).Seconds()
		return l.inside(ctx, c, &m)
	})
	m.RowsPerSecond = float64(m.Rows) / m.Seconds
	return []measurement{m}, err
}
