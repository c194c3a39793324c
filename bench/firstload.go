package main

import (
	"context"
	"io"
	"time"
)

// firstLoad sends a table that exists; COPY shows how fast it can be read at all.
func (l *lab) firstLoad(ctx context.Context) ([]measurement, error) {
	reading := measurement{Consumer: copyOut, Rows: l.rows}
	began := time.Now()
	if _, err := l.conn.PgConn().CopyTo(ctx, io.Discard, "COPY accounts TO STDOUT"); err != nil {
		return nil, err
	}
	reading.Seconds = time.Since(began).Seconds()
	m := measurement{Consumer: whole, Rows: l.rows}
	err := l.between(ctx, &m, func() error {
		c, err := l.run(ctx)
		if err != nil {
			return err
		}
		defer c.stop()
		if err := l.loaded(ctx, c); err != nil {
			return err
		}
		m.Seconds, m.CPU = time.Since(c.began).Seconds(), cpu(c.pid()).Seconds()
		return l.inside(ctx, c, &m)
	})
	reading.RowsPerSecond = float64(l.rows) / reading.Seconds
	m.RowsPerSecond = float64(l.rows) / m.Seconds
	return []measurement{reading, m}, err
}
