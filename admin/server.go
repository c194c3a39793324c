package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are what a Server shows and where.
type Options struct {
	// Listen is host:port, or "off".
	Listen string
	Logger *slog.Logger
	// Snapshot is called for every scrape and every look at the status, from
	// several goroutines. It must not block: it returns what was last known.
	Snapshot   func() Snapshot
	Recorder   *Recorder
	Heartbeats *Heartbeats
	// Listener, where given, is served instead of taking the address Listen.
	Listener net.Listener
	// Deliveries are those that the page shows; nil shows none.
	Deliveries *Deliveries
	// Operator lists parked records and does what is asked for; nil until it can.
	Operator Operator
	// Token gives the secret that lets the page change things; nil where nothing
	// may be changed.
	Token func(ctx context.Context) (string, error)
	// ShowValues lets values of rows be seen.
	ShowValues bool
	// Now is the clock, time.Now outside of tests.
	Now func() time.Time
}

// Server is the HTTP server of one process.
type Server struct {
	opts     Options
	registry *prometheus.Registry
	listener net.Listener
	history  *history
	watchers chan struct{} // pages that follow the events
	asking   chan struct{} // the question to the database that is under way
	wrong    chan struct{} // the wrong token that is answered late
	closing  chan struct{} // closed when the server stops
}

// New makes a server. Nothing listens before Listen or Serve. Options that are
// nil are replaced by ones that show and log nothing.
func New(opts Options) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Snapshot == nil {
		opts.Snapshot = func() Snapshot { return Snapshot{State: Starting} }
	}
	if opts.Recorder == nil {
		opts.Recorder = NewRecorder()
	}
	if opts.Heartbeats == nil {
		opts.Heartbeats = NewHeartbeats(time.Now)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{
		opts: opts, listener: opts.Listener, history: newHistory(),
		watchers: make(chan struct{}, watchersAtMost), asking: make(chan struct{}, 1), wrong: make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	s.registry = newRegistry(opts.Recorder, s.snapshot)
	return s
}

// snapshot completes the caller's snapshot for JSON: lists and maps are never
// null, and the outcomes are counted here.
func (s *Server) snapshot() Snapshot {
	snap := s.opts.Snapshot()
	snap.Records, snap.Changes = s.opts.Recorder.Records(), s.opts.Recorder.changes.sum()
	snap.Fill()
	return snap
}

// Listen takes the address, so that a port in use is found before work starts.
// It returns nil for "off". The error has Problems.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	if s.opts.Listen == "off" {
		return nil, nil //nolint:nilnil // no address is the answer
	}
	if s.listener != nil {
		return s.listener.Addr(), nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.opts.Listen)
	if err != nil {
		return nil, &listenError{s.opts.Listen, err}
	}
	s.listener = l
	return l.Addr(), nil
}

// Serve answers requests until the context ends, then lets those in progress
// finish for up to two seconds. It calls Listen if nobody has. With "off" it
// waits for the context.
func (s *Server) Serve(ctx context.Context) error {
	if s.listener == nil {
		addr, err := s.Listen(ctx)
		if err != nil {
			return err
		}
		if addr == nil {
			<-ctx.Done()
			return nil
		}
	}
	srv := &http.Server{
		Handler:           guardHost(s.listener.Addr(), s.Handler()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug),
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		close(s.closing)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(drain) != nil {
			_ = srv.Close() // what would not end in time is cut
		}
	})
	sampling, enough := context.WithCancel(ctx)
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		s.sampleUntil(sampling)
	}()
	defer func() { enough(); <-sampled }()
	err := srv.Serve(s.listener)
	if !stop() {
		<-drained
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("status server on %s: %w", s.opts.Listen, err)
}

// sampleUntil keeps the history until ctx ends.
func (s *Server) sampleUntil(ctx context.Context) {
	tick := time.NewTicker(fineEvery)
	defer tick.Stop()
	for {
		s.sample()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Handler routes the endpoints. Only what is asked for with the token is a POST;
// everything else takes GET and HEAD alone.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /api/status", s.status)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		ErrorLog:            slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /api/events", s.events)
	mux.HandleFunc("GET /api/history", s.past)
	mux.HandleFunc("GET /api/letters", s.letters)
	mux.HandleFunc("POST /api/unlock", s.guarded("unlock", s.unlock))
	mux.HandleFunc("POST /api/letters/retry", s.guarded("retry", s.retry))
	mux.HandleFunc("POST /api/letters/drop", s.guarded("drop", s.drop))
	mux.HandleFunc("POST /api/resume", s.guarded("resume", s.resume))
	mux.HandleFunc("GET /{$}", s.page)
	mux.Handle("GET /assets/", assets())
	return secured(mux)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(s.snapshot(), "", "  ")
	if err != nil {
		http.Error(w, "the status cannot be encoded", http.StatusInternalServerError)
		s.opts.Logger.Error("status_encode", "error", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}

// listenError is a PGCRM_LISTEN that cannot be used.
type listenError struct {
	address string
	err     error
}

func (e *listenError) Error() string { return e.Problems()[0] }

func (e *listenError) Unwrap() error { return e.err }

// Problems names the variable and the mend.
func (e *listenError) Problems() []string {
	const other = "give another address, or off"
	what, mend := "cannot be listened on: "+e.err.Error(), other
	switch {
	case errors.Is(e.err, syscall.EADDRINUSE):
		what, mend = "is in use", "stop what listens there, "+other
	case errors.Is(e.err, syscall.EACCES):
		what, mend = "may not be listened on by this user", "give a port above 1023, or off"
	case errors.Is(e.err, syscall.EADDRNOTAVAIL):
		what = "is no address of this machine"
	}
	return []string{"PGCRM_LISTEN: " + e.address + " " + what + "; " + mend}
}
