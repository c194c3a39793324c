package pipeline_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
)

// BenchmarkReader measures what a row costs between the stream and the queue:
// transactions of 100 updates of 10,000 records, while no call is answered.
func BenchmarkReader(b *testing.B) {
	w := newWorld(traits{tables: 1})
	w.trace.off = true
	p := &process{}
	target := &change.Target{Object: "companies", Match: "key", Properties: []string{"a", "b"}}
	src := &change.Source{Table: w.pg.tables[0].String(), Target: target, Slots: []int{0, 1}}
	rows := &rowStream{rel: w.pg.tables[0], left: b.N, done: make(chan struct{})}
	for i := range 10_000 {
		rows.keys = append(rows.keys, []byte("account-"+strconv.Itoa(i)))
	}
	pl := pipeline.New(pipeline.Config{
		Source:          &rowSource{&client{world: w, process: p, dice: w.dice("source")}, rows},
		Ledger:          &book{world: w, process: p, dice: w.dice("ledger")},
		Deliverer:       stuck{},
		Mapper:          &oneMapper{src: src},
		Recorder:        recorder{},
		Log:             slog.New(slog.DiscardHandler),
		Instance:        ledger.Instance{InitialCheckpoint: firstLSN},
		Targets:         []*change.Target{target},
		Sources:         []*change.Source{src},
		SourceHash:      func(*change.Source) string { return "h" },
		Tables:          w.pg.tables,
		BatchSize:       100,
		MaxInFlight:     1,
		BufferBytes:     1 << 30,
		ShutdownTimeout: time.Second,
		Gather:          func() time.Duration { return 0 },
		ChunkRows:       1000,
		Now:             time.Now,
	})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { over <- pl.Run(ctx, nil) }()
	select {
	case <-rows.done:
	case err := <-over:
		b.Fatal(err)
	}
	b.StopTimer()
	cancel()
	if err := <-over; err != nil && !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
}

type rowSource struct {
	*client
	rows *rowStream
}

func (s *rowSource) Open(context.Context, change.LSN) (pipeline.Stream, error) { return s.rows, nil }

// rowStream is a stream of updates that costs nothing.
type rowStream struct {
	rel  *change.Relation
	keys [][]byte
	left int
	done chan struct{}

	ev  change.Event
	val [4]change.Value
	lsn change.LSN
	in  int // rows left in the transaction
	n   int
}

func (s *rowStream) Next(ctx context.Context) (*change.Event, error) {
	switch {
	case s.in > 1:
		s.in--
		s.left--
		s.n++
		key := s.keys[s.n*7919%len(s.keys)]
		for i := range s.val {
			s.val[i] = change.Value{Kind: change.Text, Text: key}
		}
		s.ev.Kind, s.ev.New = change.Update, s.val[:]
		s.ev.Pos.Ordinal++
	case s.in == 1:
		s.in--
		s.ev.Kind, s.ev.New, s.ev.End = change.Commit, nil, s.lsn+48
	case s.left > 0:
		s.lsn += 20_000
		s.in = 101
		s.ev = change.Event{Kind: change.Begin, Relation: s.rel, Pos: change.Position{LSN: firstLSN + s.lsn}, XID: uint32(s.lsn)}
		if s.lsn == 20_000 {
			s.ev = change.Event{Kind: change.Progress, End: firstLSN + 1}
			s.in, s.lsn = 0, 40_000
		}
	default:
		close(s.done)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &s.ev, nil
}

func (s *rowStream) Confirm(change.LSN)                               {}
func (s *rowStream) RequestProgress()                                 {}
func (s *rowStream) KeepAlive(context.Context) (time.Duration, error) { return time.Second, nil }
func (s *rowStream) Close(context.Context) error                      { return nil }

// oneMapper maps every row to two properties.
type oneMapper struct {
	src   *change.Source
	props change.Props
}

func (m *oneMapper) Unfit(*change.Source, *change.Relation) string { return "" }

func (m *oneMapper) Waits(*change.Source) string { return "" }

func (m *oneMapper) Skipped(*change.Source) uint64 { return 0 }

func (m *oneMapper) Map(ev *change.Event, dst []change.Patch) ([]change.Patch, error) {
	m.props = m.props[:0].Append(0, change.Set, ev.New[2].Text).Append(1, change.Set, ev.New[3].Text)
	return append(dst, change.Patch{Source: m.src, Key: ev.New[1].Text, Row: ev.New[0].Text, Props: m.props}), nil
}

// stuck never answers.
type stuck struct{ pipeline.Deliverer }

func (stuck) Deliver(ctx context.Context, _ *change.Target, jobs []sink.Job) ([]sink.Verdict, error) {
	<-ctx.Done()
	return make([]sink.Verdict, len(jobs)), ctx.Err()
}
