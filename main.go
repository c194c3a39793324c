// Command pgcrm streams row changes out of Postgres and keeps HubSpot records
// up to date with them. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/pgcrm/pgcrm/cli"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, kill := context.WithCancel(context.Background())
	stop := make(chan struct{})
	go func() {
		<-signals
		close(stop) // finish what is in flight
		<-signals
		kill() // at once
	}()
	os.Exit(cli.Main(ctx, stop, cli.Environment{
		Args: os.Args[1:], Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}
