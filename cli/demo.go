package cli

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

var (
	//go:embed demo/schema.sql
	demoSchema string
	//go:embed demo/pgcrm.yaml
	demoMapping string
)

// demoToken unlocks the actions of the status page.
const demoToken = "demo"

type demo struct {
	out     io.Writer
	errOut  io.Writer
	rate    float64
	length  time.Duration
	seed    uint64
	faults  float64
	verbose bool
}

func newDemoCommand(stop <-chan struct{}, env Environment) *cobra.Command {
	d := &demo{out: env.Stdout, errOut: env.Stderr}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a throwaway Postgres, a HubSpot simulator, and pgcrm between them",
		Long: `Starts a Postgres server of its own with a small SaaS schema, a HubSpot that runs
here, and the pipeline between them. It keeps changing rows and prints what
arrives in the CRM. No account is needed; Ctrl-C ends it and leaves nothing.

It needs Postgres server binaries (apt-get install postgresql).`,
		Example: `  pgcrm demo
  pgcrm demo --faults 0.2        one call in five goes wrong; nothing is lost
  pgcrm demo --rate 200 --for 30s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), stop) },
	}
	cmd.Flags().Float64Var(&d.rate, "rate", 4, "changes a second")
	cmd.Flags().DurationVar(&d.length, "for", 0, "end when rows have been changing for this long; 0 goes on until Ctrl-C")
	cmd.Flags().Uint64Var(&d.seed, "seed", 1, "of the changes and the faults")
	cmd.Flags().Float64Var(&d.faults, "faults", 0, "part of the calls that the simulator lets go wrong, 0 to 1")
	cmd.Flags().BoolVar(&d.verbose, "log", false, "show pgcrm's own log too")
	return cmd
}

func (d *demo) run(ctx context.Context, stop <-chan struct{}) (err error) {
	if d.rate <= 0 || d.faults < 0 || d.faults > 1 {
		return &usageError{"--rate takes a number above 0, --faults one between 0 and 1"}
	}
	fmt.Fprintln(d.out, "Starting a Postgres server ...")
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		return fmt.Errorf("start a Postgres server: %w", err)
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	url := server.URL("postgres")
	if err := d.createTables(ctx, url); err != nil {
		return err
	}
	portal, crm, closePortal, err := d.startPortal()
	if err != nil {
		return err
	}
	defer closePortal()

	page, err := listenForPage()
	if err != nil {
		return err
	}
	defer page.Close()
	cfg, _, err := config.Load([]string{
		"PGCRM_DATABASE_URL=" + url,
		"HUBSPOT_ACCESS_TOKEN=" + hubspotsim.DefaultToken,
		"HUBSPOT_BASE_URL=" + crm,
		"PGCRM_MAPPING=" + demoMapping,
		// Nothing here is secret.
		"PGCRM_SHOW_VALUES=true", "PGCRM_ADMIN_TOKEN=" + demoToken,
		"PGCRM_LISTEN=" + page.Addr().String(),
	}, config.NeedDatabase, config.NeedCRM, config.NeedMapping)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n  database   %s\n  simulator  %s  (%d companies, %d contacts so far)\n  status     http://%s  (its actions unlock with the token demo)\n\n",
		url, crm, portal.Count("companies"), portal.Count("contacts"), cfg.Admin.Listen)
	return d.stream(ctx, stop, cfg, page, url, portal)
}

// stream runs the pipeline and changes rows until it is told to stop.
func (d *demo) stream(ctx context.Context, stop <-chan struct{}, cfg *config.Config, page net.Listener, url string, portal *hubspotsim.Portal) error {
	log := slog.New(slog.DiscardHandler)
	if d.verbose {
		log = newLogger(d.errOut, cfg.Log)
	}
	arrivals := newArrivals(d.out)
	r := &runner{
		cfg: cfg, log: log, recorder: admin.NewRecorder(), beats: admin.NewHeartbeats(time.Now),
		started: time.Now(), onDelivery: arrivals.delivered, listener: page,
	}
	group, ctx := errgroup.WithContext(ctx)
	work, done := context.WithCancel(ctx)
	group.Go(func() error {
		d.untilStopped(work, stop, arrivals.began)
		done()
		return nil
	})
	group.Go(func() error {
		defer done()
		return r.run(ctx, work.Done())
	})
	group.Go(func() error { return d.change(work, url, r, arrivals) })
	group.Go(func() error { arrivals.print(work); return nil })
	if err := group.Wait(); err != nil {
		return err
	}
	calls := 0
	for _, n := range portal.Stats().Calls {
		calls += n
	}
	arrivals.summary(calls)
	return nil
}

// untilStopped waits for a stop, or until rows have been changing for as long as
// was asked.
func (d *demo) untilStopped(ctx context.Context, stop, began <-chan struct{}) {
	var over <-chan time.Time
	if d.length > 0 {
		select {
		case <-began:
		case <-ctx.Done():
			return
		case <-stop:
			return
		}
		over = time.After(d.length)
	}
	select {
	case <-ctx.Done():
	case <-stop:
	case <-over:
	}
}

func (d *demo) createTables(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, demoSchema); err != nil {
		return fmt.Errorf("create the demo's tables: %w", err)
	}
	return nil
}

// startPortal starts the simulator with the properties that the mapping needs.
// It knows most of the accounts as companies already.
func (d *demo) startPortal() (*hubspotsim.Portal, string, func(), error) {
	// A larger account's limits, and no end to the day's calls: what is shown is
	// the pipeline, not the saving of calls.
	limits := hubspotsim.DefaultLimits()
	limits.Calls, limits.Daily = 190, 0
	portal := hubspotsim.New(hubspotsim.Options{
		Seed:         d.seed,
		Limits:       &limits,
		JournalLimit: 1000,
		Properties: map[string][]hubspotsim.Property{
			"companies": {
				hubspotsim.Unique("account_id"), hubspotsim.Enum("plan", "FREE", "TEAM", "ENTERPRISE"), hubspotsim.Number("seats"),
				hubspotsim.Bool("active_customer"), hubspotsim.Text("account_notes"), hubspotsim.Text("source_system"),
				hubspotsim.Number("mrr"), hubspotsim.Enum("subscription_status", "trialing", "active", "past_due", "cancelled"),
				hubspotsim.Date("renewal_date"),
			},
			"contacts": {hubspotsim.Unique("user_id"), hubspotsim.Text("full_name"), hubspotsim.Text("user_role")},
		},
	})
	companies := make([]map[string]string, 280)
	for i := range companies {
		companies[i] = map[string]string{"account_id": strconv.Itoa(i + 1), "name": "Account " + strconv.Itoa(i+1)}
	}
	if _, err := portal.Seed("companies", companies...); err != nil {
		return nil, "", nil, err
	}
	if d.faults > 0 {
		if err := portal.AddFaults(hubspotsim.Mix(d.faults)...); err != nil {
			return nil, "", nil, err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	srv := &http.Server{Handler: portal, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(listener) }() // ends with Close
	return portal, "http://" + listener.Addr().String(), func() { _ = srv.Close(); portal.Close() }, nil
}

// listenForPage takes the status page's usual address, or any other where
// something listens there already. It is kept from then on: two demos that start
// at once would else both find the usual one free.
func listenForPage() (net.Listener, error) {
	if l, err := net.Listen("tcp", "127.0.0.1:9847"); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}
