package ledger_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
	"github.com/pgcrm/pgcrm/ledger"
)

// relay stands between a ledger and its server.
type relay struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	links []*link
	wg    sync.WaitGroup
}

// link is one connection through a relay.
type link struct {
	client, server net.Conn
	// deaf: what the server says is dropped. mute: what the client says is.
	deaf, mute atomic.Bool
}

func newRelay(t *testing.T, url string) (*relay, string) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))}
	r.wg.Go(r.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		r.hangUp()
		r.wg.Wait()
	})
	address := listener.Addr().(*net.TCPAddr)
	return r, "postgres://" + config.User + ":" + config.Password + "@" + address.String() + "/" + config.Database + "?sslmode=disable"
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client: client, server: server}
		r.mu.Lock()
		r.links = append(r.links, l)
		r.mu.Unlock()
		r.wg.Go(func() { carry(server, client, &l.mute) })
		r.wg.Go(func() { carry(client, server, &l.deaf) })
	}
}

func carry(dst, src net.Conn, drop *atomic.Bool) {
	defer dst.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 && !drop.Load() {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// each does something to the links that there are now, not to later ones.
func (r *relay) each(do func(*link)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.links {
		do(l)
	}
}

// hangUp ends all connections.
func (r *relay) hangUp() {
	r.each(func(l *link) {
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// eventually waits for something that another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within half a minute", what)
}

// TestCutDuringCommit loses the answer to a settle that was committed, and a
// settle that never arrived; the caller cannot tell them apart and does each
// again.
func TestCutDuringCommit(t *testing.T) {
	f := newFixture(t)
	r, url := newRelay(t, f.url)
	l := f.openURL(t, url)
	mustBegin(t, l, instance())
	reader := f.open(t)
	if err := reader.Attach(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
	id, err := l.AddBackfill(t.Context(), ledger.Backfill{Table: accounts.Table, Object: "companies", Match: "account_id", Reason: "asked"})
	if err != nil {
		t.Fatal(err)
	}
	settlement := func(n change.LSN) *ledger.Settlement {
		return &ledger.Settlement{
			Checkpoint: 900 + n, Bound: 2000 + n,
			Deliveries: []ledger.Delivery{
				{Source: accounts, Key: "new", OldKey: "old", Row: "1", CRMID: "77", Accounted: pos(910+n, 1), Delivered: []int{name}, At: at},
				{Source: accounts, Key: "2", Row: "2", Accounted: pos(910+n, 2), Delivered: []int{name, domain}, At: at},
			},
			Letters: []ledger.Letter{
				{Source: accounts, Key: "new", Row: "1", Slot: plan, Category: "c", Position: pos(910+n, 1), Attempts: 1, At: at},
				{Source: accounts, Key: "2", Row: "2", Slot: ledger.WholeRecord, Owed: []int{plan}, Category: "c", Position: pos(910+n, 2), Attempts: 1, At: at},
			},
			Chunks: []ledger.ChunkDone{{ID: id, DoneTo: []string{"2"}, Rows: int64(n)}},
		}
	}
	type picture struct {
		State    ledger.State
		Records  []*change.Record
		Letters  []ledger.Parked
		Backfill ledger.Backfill
	}
	look := func() (p picture) {
		t.Helper()
		p.State = peek(t, reader)
		p.State.SavedAt = time.Time{}
		p.Records = lookup(t, reader, companies, "old", "new", "2")
		p.Letters = letters(t, reader, ledger.Filter{})
		var err error
		if p.Backfill, _, err = reader.Backfill(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return p
	}
	// Warm: all statements are prepared, so that what is lost is the settle.
	settle(t, l, *settlement(1))

	committed := settlement(2)
	r.each(func(l *link) { l.deaf.Store(true) })
	failed := make(chan error)
	go func() { failed <- l.Settle(t.Context(), committed) }()
	eventually(t, "the settle is committed", func() bool { return peek(t, reader).Checkpoint == committed.Checkpoint })
	want := look()
	r.hangUp()
	if err := <-failed; err == nil || !ledger.Transient(err) {
		t.Fatalf("a settle without an answer: %v", err)
	}
	settle(t, l, *committed)
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Fatalf("done again, a committed settle changes things: %s", diff)
	}

	settle(t, l, *settlement(3)) // on a warm connection again
	want = look()
	lost := settlement(4)
	r.each(func(l *link) { l.mute.Store(true) })
	go func() { failed <- l.Settle(t.Context(), lost) }()
	select {
	case err := <-failed:
		t.Fatalf("a settle that cannot arrive: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	r.hangUp()
	if err := <-failed; err == nil || !ledger.Transient(err) {
		t.Fatalf("a settle that did not arrive: %v", err)
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Fatalf("half of a settle: %s", diff)
	}
	settle(t, l, *lost)
	got := look()
	if got.State.Checkpoint != lost.Checkpoint || got.Records[1].Accounted != pos(914, 1) || got.Backfill.Rows != 4 || got.Letters[0].Position != pos(914, 1) {
		t.Fatalf("%+v", got)
	}
}

// TestKilledSessions: sessions ended by an administrator are replaced, and the
// error in between may be tried again.
func TestKilledSessions(t *testing.T) {
	f := newFixture(t)
	l := f.begin(t)
	for n := range change.LSN(5) {
		s := &ledger.Settlement{Checkpoint: 901 + n}
		pgtest.Exec(t, f.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcrm ledger' AND datname = current_database()`)
		for {
			err := l.Settle(t.Context(), s)
			if err == nil {
				break
			}
			if !ledger.Transient(err) {
				t.Fatal(err)
			}
		}
		if st := peek(t, l); st.Checkpoint != s.Checkpoint {
			t.Fatalf("checkpoint %v", st.Checkpoint)
		}
	}
}

// TestStuckPredecessor: an old instance was stopped in the middle of a settle
// and holds the state row.
func TestStuckPredecessor(t *testing.T) {
	f := newFixture(t)
	f.begin(t)
	ctx := context.Background()
	stuck, err := pgx.Connect(ctx, f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close(ctx)
	bystander, err := pgx.Connect(ctx, f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer bystander.Close(ctx)
	if _, err := stuck.Exec(ctx, `BEGIN; UPDATE "My State".state SET checkpoint = '0/3E7'`); err != nil {
		t.Fatal(err)
	}
	if _, err := bystander.Exec(ctx, `BEGIN; SELECT FROM "My State".state`); err != nil {
		t.Fatal(err)
	}
	st := mustBegin(t, f.open(t), instance())
	if st.Epoch != 2 || st.Checkpoint != 900 {
		t.Fatalf("%+v", st)
	}
	if _, err := stuck.Exec(ctx, "COMMIT"); err == nil {
		t.Error("the stuck session lives on")
	}
	if _, err := bystander.Exec(ctx, "COMMIT"); err != nil {
		t.Errorf("a reader was ended: %v", err)
	}
}

// TestRotatedPassword: every connection asks for the address anew.
func TestRotatedPassword(t *testing.T) {
	server := pgtest.Shared(t)
	f := newFixture(t)
	config, err := pgx.ParseConfig(f.url)
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, f.url, `CREATE ROLE rotated SUPERUSER LOGIN PASSWORD 'one'`)
	t.Cleanup(func() { pgtest.Exec(t, server.URL("postgres"), "DROP ROLE rotated") })
	password := atomic.Pointer[string]{}
	one, two := "one", "two"
	password.Store(&one)
	l, err := ledger.Open(t.Context(), ledger.Config{
		URL: func(context.Context) (string, error) {
			return server.RoleURL("rotated", *password.Load(), config.Database), nil
		},
		Schema: schema, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustBegin(t, l, instance())
	pgtest.Exec(t, f.url, `ALTER ROLE rotated PASSWORD 'two'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'`)
	password.Store(&two)
	eventually(t, "settling under the new password", func() bool {
		return l.Settle(t.Context(), &ledger.Settlement{Checkpoint: 950}) == nil
	})
}

func TestTransient(t *testing.T) {
	pg := func(code string) error { return &pgconn.PgError{Code: code} }
	for err, want := range map[error]bool{
		errors.New("EOF"):        true,
		context.DeadlineExceeded: true,
		pg("08006"):              true,
		pg("40001"):              true,
		pg("40P01"):              true,
		pg("53300"):              true,
		pg("57P01"):              true,
		pg("25006"):              true,
		pg("55P03"):              true,
		pg("23505"):              false,
		pg("42601"):              false,
		pg("28P01"):              false,
		pg("22003"):              false,
		ledger.ErrFenced:         false,
		&ledger.Error{}:          false,
		error(nil):               false,
		errors.Join(pg("XX000")): false,
		errors.Join(pg("57P03")): true,
		errors.Join(io.EOF, nil): true,
		errors.Join(pg("3D000")): false,
		errors.Join(pg("58030")): true,
		errors.Join(pg("0A000")): false,
		errors.Join(pg("XX001")): false,
		errors.Join(pg("55006")): true,
		errors.Join(pg("55000")): false,
		errors.Join(pg("57014")): true,
		errors.Join(pg("P0001")): false,
		errors.Join(pg("")):      false,
	} {
		if got := ledger.Transient(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
