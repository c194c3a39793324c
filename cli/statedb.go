package cli

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/config"
)

// connectState opens a connection to the state database. Its errors say what
// mends them.
func connectState(ctx context.Context, source config.Source) (*pgx.Conn, error) {
	url, err := source.StateURL.Value(ctx)
	if err != nil {
		return nil, err
	}
	pc, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, &wrongError{lines: []string{stateSetting(source) + ": not a connection string"}}
	}
	if pc.ConnectTimeout == 0 { // something that listens may never answer
		pc.ConnectTimeout = 15 * time.Second
	}
	conn, err := pgx.ConnectConfig(ctx, pc)
	if err != nil {
		return nil, cdc.ConnectProblem(err, &pc.Config, stateSetting(source))
	}
	return conn, nil
}

// reachState sees whether the state database lets us in, before others connect
// to it who would not say what to do.
func reachState(ctx context.Context, source config.Source) error {
	conn, err := connectState(ctx, source)
	if err != nil {
		return err
	}
	return conn.Close(context.WithoutCancel(ctx))
}

// stateSetting names the setting that has the state database's address.
func stateSetting(source config.Source) string {
	if source.StateURL != source.URL {
		return "PGCRM_STATE_DATABASE_URL"
	}
	return "PGCRM_DATABASE_URL"
}
