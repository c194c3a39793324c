package cli

import (
	"context"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/pipeline"
)

func newRunCommand(stop <-chan struct{}, env Environment) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Set up what is missing, load the mapped tables once, then stream until stopped",
		Long: `Creates state schema, publication and slot where they are missing and it may, loads
the rows that exist, and follows the log from then on, the one beside the other.
What a crash interrupts goes on where it was. A second process with the same
settings stands by and takes over when the first is gone.

What is wrong with the settings, the mapping or the neighbours is said before
anything is changed, one line each with its mend, and ends it with exit code 2.
SIGTERM stops the reading, finishes the calls under way within
PGCRM_SHUTDOWN_TIMEOUT, and ends it with 0. PGCRM_LISTEN has the status page,
health and metrics.`,
		Example: `  PGCRM_DATABASE_URL=postgres://pgcrm@db/app HUBSPOT_ACCESS_TOKEN_FILE=/run/token pgcrm run
  PGCRM_MAPPING_FILE=crm/pgcrm.yaml PGCRM_LOG_FORMAT=json pgcrm run`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(env.Env, config.NeedDatabase, config.NeedCRM, config.NeedMapping)
			if err != nil {
				return err
			}
			log := slog.New(newRepeats(newLogger(env.Stderr, cfg.Log).Handler(), time.Now))
			for _, w := range warnings {
				log.Warn("configuration", "warning", w)
			}
			r := &runner{cfg: cfg, log: log, recorder: admin.NewRecorder(), beats: admin.NewHeartbeats(time.Now), started: time.Now(), traces: wantsTraces(env.Env)}
			return r.run(cmd.Context(), stop)
		},
	}
}

// runner is one life of `pgcrm run`.
type runner struct {
	cfg      *config.Config
	log      *slog.Logger
	recorder *admin.Recorder
	beats    *admin.Heartbeats
	started  time.Time
	// onDelivery is told of each delivered record, for the demo; nil otherwise.
	onDelivery func(pipeline.Delivery)
	deliveries *admin.Deliveries // for the status page
	// traces is set where OpenTelemetry's variables ask for them.
	traces bool
	// part is how much of HubSpot's calls it uses; all that it may if zero.
	part float64
	// listener, where set, is served instead of taking PGCRM_LISTEN.
	listener net.Listener
	// stopping ends when the process is told to stop.
	stopping context.Context

	status status
}

// run serves health from the first moment, and everything else as it comes to be.
func (r *runner) run(ctx context.Context, stop <-chan struct{}) error {
	r.deliveries = admin.NewDeliveries(r.cfg.Admin.ShowValues, time.Now)
	server := admin.New(admin.Options{
		Listen:     string(r.cfg.Admin.Listen),
		Logger:     r.log,
		Snapshot:   r.status.snapshot,
		Recorder:   r.recorder,
		Heartbeats: r.beats,
		Listener:   r.listener,
		Deliveries: r.deliveries,
		Operator:   pageOperator{&r.status},
		Token:      r.adminToken(),
		ShowValues: r.cfg.Admin.ShowValues,
	})
	r.status.init(r)
	if _, err := server.Listen(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopping, halt := context.WithCancel(context.WithoutCancel(ctx))
	defer halt()
	r.stopping = stopping
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-stop:
			r.log.Info("stopping", "within", r.cfg.Process.ShutdownTimeout.Duration)
			halt()
		case <-ctx.Done():
		}
		return nil
	})
	group.Go(func() error { return server.Serve(ctx) })
	group.Go(func() error { r.minutely(ctx); return nil })
	group.Go(func() error {
		defer cancel()
		return r.workThrough(ctx, stop)
	})
	return group.Wait()
}

// work sets the road up and walks it until it is told to stop.
func (r *runner) work(ctx context.Context, stop <-chan struct{}) error {
	limitMemory(int64(r.cfg.Delivery.BufferBytes))
	db := databaseConfig(r.cfg, r.log)
	crm, err := r.client()
	if err != nil {
		return err
	}
	defer crm.CloseIdleConnections()
	if r.cfg.Mapping.DryRun {
		return r.dryRun(ctx, stop, db, crm)
	}

	p, properties, cleanup, err := r.build(ctx, stop, db, crm)
	if err != nil {
		if isClosed(stop) && ctx.Err() == nil {
			return nil // told to stop before it had begun
		}
		return err
	}
	defer cleanup()
	group, ctx := errgroup.WithContext(ctx)
	watch, unwatch := context.WithCancel(ctx)
	group.Go(func() error { r.status.watch(watch); return nil })
	group.Go(func() error { properties.watch(watch); return nil })
	group.Go(func() error {
		defer unwatch()
		return p.Run(ctx, stop)
	})
	return group.Wait()
}

// limitMemory has the garbage collector keep the process near what its buffer
// and the rest of it need, unless GOMEMLIMIT says otherwise: with the default
// buffer below 128 MiB. The runtime does not count the pages of the program
// itself, which are 20 MiB or so.
func limitMemory(buffer int64) {
	const rest = 36 << 20
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(buffer + rest)
	}
}

// adminToken is nil where the status page may change nothing.
func (r *runner) adminToken() func(context.Context) (string, error) {
	if !r.cfg.Admin.Token.IsSet() {
		return nil
	}
	return r.cfg.Admin.Token.Value
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
