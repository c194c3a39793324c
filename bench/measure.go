package main

import (
	"context"
	"fmt"
	"time"
)

// atMost bounds a repetition.
const atMost = 30 * time.Minute

func measure(ctx context.Context, o options, w workload) (*result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, atMost, fmt.Errorf("not done within %s", atMost))
	defer cancel()
	w = w.scaled(o.scale)
	l, err := newLab(ctx, o, w)
	if err != nil {
		return nil, err
	}
	defer l.close()
	r := &result{Workload: w.letter, Title: w.title, Scale: o.scale, Rows: w.rows, At: time.Now().UTC().Truncate(time.Second)}
	if r.Versions, err = l.versions(ctx); err != nil {
		return nil, err
	}
	switch w.letter {
	case "d":
		r.Consumers, err = l.trickle(ctx)
	case "e":
		r.Consumers, err = l.firstLoad(ctx)
	case "g":
		r.Consumers, err = l.outage(ctx)
	default:
		r.Consumers, err = l.backlog(ctx)
	}
	return r, err
}

// inside adds what pgcrm says of itself.
func (l *lab) inside(ctx context.Context, c *child, m *measurement) error {
	m.PeakRSS = peakRSS(c.pid())
	said, err := l.metric(ctx, "go_memstats_mallocs_total", "go_memstats_alloc_bytes_total")
	m.Allocs, m.AllocB = int64(said["go_memstats_mallocs_total"]), int64(said["go_memstats_alloc_bytes_total"])
	return err
}

// between counts the calls and the records of what happens meanwhile.
func (l *lab) between(ctx context.Context, m *measurement, do func() error) error {
	before, err := l.crmCounts(ctx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := l.crmCounts(ctx)
	m.Calls, m.Records = after.writes()-before.writes(), after.Written-before.Written
	return err
}

// whole is pgcrm from its start to the moment that the last change is delivered,
// settled and confirmed.
func (l *lab) whole(ctx context.Context) (m measurement, err error) {
	return m, l.between(ctx, &m, func() error {
		c, err := l.run(ctx)
		if err != nil {
			return err
		}
		defer c.stop()
		sender := l.watchSender(ctx, "pgcrm")
		if err := l.settled(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU, m.ServerCPU = time.Since(c.began).Seconds(), cpu(c.pid()).Seconds(), sender()
		return l.inside(ctx, c, &m)
	})
}
