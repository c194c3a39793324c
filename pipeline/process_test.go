package pipeline_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

// process is one run of pgcrm: the pipeline and the queue are the project's own,
// all around them is the world.
type process struct {
	name      string
	dead      bool // what it calls does nothing any more; guarded by the world
	overtaken bool // another instance has taken over
	down      bool // it cannot reach its state
	streaming *stream
	pipeline  *pipeline.Pipeline
	kill      context.CancelFunc
	stop      chan struct{}
	done      chan struct{}
	err       error
	stopping  bool
}

// shape is how a process is configured.
type shape struct {
	buffer   int
	batch    int
	inFlight int
	gather   time.Duration
	backfill bool
	chunk    int
	plan     string
	hold     *int64 // PGCRM_HOLD_ABOVE
}

func (w *world) start(name string, sh shape) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{name: name, kill: cancel, stop: make(chan struct{}), done: make(chan struct{})}
	cfg := pipeline.Config{
		Source:          &client{world: w, process: p, dice: w.dice(name + " source")},
		Ledger:          &book{world: w, process: p, dice: w.dice(name + " ledger")},
		Deliverer:       &sender{world: w, process: p, dice: w.dice(name + " crm")},
		Recorder:        recorder{},
		Log:             slog.New(slog.DiscardHandler),
		Instance:        ledger.Instance{InitialCheckpoint: firstLSN, MappingHash: sh.plan},
		SourceHash:      func(*change.Source) string { w.mu.Lock(); defer w.mu.Unlock(); return "h" + w.rehash },
		Tables:          w.pg.tables,
		BatchSize:       sh.batch,
		MaxInFlight:     sh.inFlight,
		BufferBytes:     sh.buffer,
		ShutdownTimeout: 20 * time.Second,
		Gather:          func() time.Duration { return sh.gather },
		Backfill:        sh.backfill,
		ChunkRows:       sh.chunk,
		HoldAbove:       sh.hold,
		CountLoad: func(_ context.Context, b ledger.Backfill, _ *change.Source) (t pipeline.Tally, _ error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for id := range w.pg.seen {
				if w.pg.tables[id.table].String() == b.Table {
					t.Records++
				}
			}
			return t, nil
		},
		Now:   time.Now,
		Lease: w.lease,
		Until: withRight,
	}
	m := &mapper{world: w}
	for t, table := range w.pg.tables {
		target := &change.Target{Index: t, Object: "companies" + strconv.Itoa(t), Match: "key", Properties: []string{"a", "b"}}
		src := &change.Source{Index: t, Table: table.String(), Target: target, Slots: []int{0, 1}, OnMissing: w.policy}
		cfg.Targets = append(cfg.Targets, target)
		cfg.Sources = append(cfg.Sources, src)
	}
	m.sources = cfg.Sources
	cfg.Mapper, cfg.ChunkMapper = m, &mapper{world: w, sources: cfg.Sources}
	if !w.trace.off {
		cfg.Log = slog.New(&traceLog{trace: w.trace, name: name})
	}
	w.trace.add("%s starts with %+v", name, sh)
	if w.alter != nil {
		w.alter(&cfg)
	}
	p.pipeline = pipeline.New(cfg)
	go func() {
		defer close(p.done)
		p.err = p.pipeline.Run(ctx, p.stop)
	}()
	return p
}

// crash is kill -9: all at once, and what was under way may or may not happen.
// The server frees the slot when it notices.
func (w *world) crash(p *process, notices time.Duration) {
	w.mu.Lock()
	p.dead = true
	s := p.streaming
	w.trace.add("%s is killed", p.name)
	w.mu.Unlock()
	p.kill()
	<-p.done
	if s != nil {
		time.AfterFunc(notices, s.sever)
	}
}

// terminate is SIGTERM.
func (p *process) terminate() {
	if !p.stopping {
		p.stopping = true
		close(p.stop)
	}
	<-p.done
	p.kill()
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// mapper maps as package mapping does, for tables with two properties.
type mapper struct {
	*world
	sources []*change.Source
	lent    []change.Patch
}

func (m *mapper) Unfit(src *change.Source, _ *change.Relation) string { return m.Waits(src) }

func (m *mapper) Waits(*change.Source) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waitsFor
}

func (m *mapper) Skipped(*change.Source) uint64 { return 0 }

func (m *mapper) Map(ev *change.Event, dst []change.Patch) ([]change.Patch, error) {
	for i := range m.lent { // they were valid until now
		spoil(m.lent[i].Key, m.lent[i].OldKey, m.lent[i].Row, m.lent[i].Props)
	}
	m.lent = m.lent[:0]
	if ev.Kind == change.Delete {
		return dst, nil
	}
	src := m.sources[slices.Index(m.pg.tables, ev.Relation)]
	key := slices.Clone(ev.New[1].Text)
	p := change.Patch{Source: src, Key: key, Row: slices.Clone(ev.New[0].Text), Whole: true}
	if key[0] == mappingRefuses {
		p.Key, p.Whole = nil, false
		p.Rejection = &change.Rejection{Category: change.InvalidKey}
		m.lent = append(m.lent, p)
		return append(dst, p), nil
	}
	full := ev.Kind == change.Update && len(ev.Old) > 0 && !ev.OldIsKey
	moved := false
	if full && string(ev.Old[1].Text) != string(key) {
		moved = true
		if ev.Old[1].Text[0] != mappingRefuses {
			p.OldKey = slices.Clone(ev.Old[1].Text)
		}
	}
	for slot := range 2 {
		v := ev.New[2+slot]
		if v.Kind == change.Unchanged && moved {
			v = ev.Old[2+slot]
		}
		switch {
		case v.Kind == change.Unchanged:
			p.Whole = false
		case v.Kind == change.Null && full && ev.Old[2+slot].Kind == change.Text && ev.Old[2+slot].Text[0] != mappingRefuses:
			p.Props = p.Props.Append(slot, change.Clear, nil)
		case v.Kind == change.Null:
			p.Props = p.Props.Append(slot, change.ClearIfDelivered, nil)
		case v.Text[0] == mappingRefuses:
			p.Props = p.Props.AppendRefused(slot, change.Rejection{Category: change.InvalidValue})
		default:
			p.Props = p.Props.Append(slot, change.Set, v.Text)
		}
	}
	m.lent = append(m.lent, p)
	return append(dst, p), nil
}

func spoil(texts ...[]byte) {
	for _, t := range texts {
		for i := range t {
			t[i] = '#'
		}
	}
}

type recorder struct{}

func (recorder) CountChanges(string, string, int)   {}
func (recorder) CountRecords(string, string, int)   {}
func (recorder) CountBackfillRows(string, int)      {}
func (recorder) ObserveDelivery(time.Duration, int) {}

// traceLog has the pipeline's own log lines in the trace.
type traceLog struct {
	trace *trace
	name  string
}

func (l *traceLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *traceLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *traceLog) WithGroup(string) slog.Handler            { return l }
func (l *traceLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	l.trace.add("%s: %s", l.name, text)
	return nil
}
