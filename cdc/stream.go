package cdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcrm/pgcrm/change"
)

// Stream reads a replication slot. It belongs to one goroutine; [Stream.Confirm]
// and [Stream.RequestProgress] may be called from any.
type Stream struct {
	conn   *pgconn.PgConn
	frames *frames
	dec    decoder
	log    *slog.Logger
	slot   string
	server Server
	start  change.LSN
	// restart is where the server kept its log from when the stream was opened, and
	// began to decode. Zero for a temporary slot.
	restart change.LSN
	err     error // what ended the stream

	// Status updates.
	interval  time.Duration
	lastSent  time.Time
	sent      change.LSN // the position in the last update
	announced change.LSN // the highest position that the server has spoken of
	pending   bool       // the server asked for a reply
	calls     uint
	shutdown  shutdownWatch
	lastRead  time.Time
	lastProbe time.Time
	silence   silence
	cfg       Config

	// What other goroutines say.
	confirmed atomic.Uint64
	wanted    atomic.Bool // a keepalive is wanted
}

func newStream(cfg Config, conn *pgconn.PgConn, f *frames, server Server, start change.LSN, now time.Time) *Stream {
	s := &Stream{
		conn:      conn,
		frames:    f,
		dec:       decoder{relations: map[uint32]*relation{}, onRelation: cfg.OnRelation},
		log:       cfg.logger(),
		slot:      cfg.Slot,
		server:    server,
		start:     start,
		interval:  cfg.statusInterval(server.WALSenderTimeout),
		lastSent:  now,
		sent:      start,
		announced: start,
		shutdown:  shutdownWatch{timeout: orDefault(server.WALSenderTimeout, cfg.walSenderTimeout())},
		lastRead:  now,
		silence:   silence{bound: streamSilence},
		cfg:       cfg,
	}
	s.confirmed.Store(uint64(start))
	unwatch(conn.Conn())
	return s
}

// Server is who answered when the stream was opened. Its FlushLSN was read
// before the slot was taken; ask [FlushLSN] for one read after.
func (s *Stream) Server() Server { return s.server }

// Start is where the stream began.
func (s *Stream) Start() change.LSN { return s.start }

// PID is the server process that serves the stream.
func (s *Stream) PID() uint32 { return s.conn.PID() }

// Next returns the next event, waiting for it as long as it takes, and sends the
// status updates that fall due meanwhile. The event and its bytes are valid
// until the next call.
//
// When ctx ends, Next returns its error soon and the stream goes on where it
// was. Any other error ends the stream: it is returned again by later calls, and
// Close is all that is left to do.
func (s *Stream) Next(ctx context.Context) (*change.Event, error) {
	if s.err != nil {
		return nil, s.err
	}
	// The clock is looked at now and then while the buffer lasts, and before each
	// read.
	if s.calls++; s.calls%32 == 0 {
		if err := s.keepUp(time.Now()); err != nil {
			return nil, s.fail(err)
		}
	}
	for {
		kind, body, ok, err := s.frames.next()
		if err != nil {
			return nil, s.fail(err)
		}
		if !ok {
			if err := s.read(ctx); err != nil {
				if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
					return nil, ctx.Err()
				}
				return nil, s.fail(err)
			}
			continue
		}
		emit, err := s.message(kind, body)
		if err != nil {
			return nil, s.fail(err)
		}
		if emit {
			return &s.dec.ev, nil
		}
	}
}

// fail ends the stream, and the connection with it: a server that shuts down
// waits for that, and what the caller has to do first may need the server.
func (s *Stream) fail(err error) error {
	s.err = err
	if errors.Is(err, errShuttingDown) && s.send(time.Now()) == nil {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye/4)
		defer cancel()
		_ = s.sayGoodbye(ctx) // the connection ends in any case
	}
	closeHard(s.conn)
	return err
}

// longestRead bounds one wait for bytes, so that a position confirmed meanwhile
// is sent within about that time.
const longestRead = time.Second

// aLongTimeAgo is a deadline that ends a read at once.
var aLongTimeAgo = time.Unix(1, 0)

// read reads once, sending the status updates that fall due before.
func (s *Stream) read(ctx context.Context) error {
	conn := s.conn.Conn()
	for {
		now := time.Now()
		s.lastRead = now
		if err := s.keepUp(now); err != nil {
			return err
		}
		wait := min(longestRead, s.dueIn(now))
		if err := conn.SetReadDeadline(now.Add(wait)); err != nil {
			return fmt.Errorf("replication connection: %w", err)
		}
		// From here on a wish for progress or the end of ctx moves the deadline
		// into the past; one from before is seen by the checks.
		stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(aLongTimeAgo) })
		if err := ctx.Err(); err != nil {
			stop()
			return err
		}
		if s.wanted.Load() {
			stop()
			continue
		}
		err := s.frames.fill()
		stop()
		switch {
		case err == nil:
			s.silence.broken()
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := ctx.Err(); err != nil {
				return err
			}
			s.silence.lasts(min(wait, time.Since(now)))
			if err := s.silent(ctx); err != nil {
				return err
			}
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the server closed the replication connection: %w", io.ErrUnexpectedEOF)
		default:
			return fmt.Errorf("read from the replication connection: %w", err)
		}
	}
}

// message handles one message of the copy-both conversation.
func (s *Stream) message(kind byte, body []byte) (emit bool, err error) {
	switch kind {
	case 'd': // CopyData
		return s.copyData(body)
	case 'E':
		var m pgproto3.ErrorResponse
		if err := m.Decode(body); err != nil {
			return false, fmt.Errorf("the server's error cannot be read: %w", err)
		}
		return false, s.refusal(pgconn.ErrorResponseToPgError(&m))
	case 'N':
		var m pgproto3.NoticeResponse
		if err := m.Decode(body); err == nil {
			s.log.Debug("postgres_notice", "severity", m.Severity, "message", m.Message)
		}
		return false, nil
	case 'S': // ParameterStatus: a reload of the server's settings
		return false, nil
	case 'c', 'C', 'Z': // CopyDone, CommandComplete, ReadyForQuery
		return false, fmt.Errorf("the server ended the replication stream: %w", io.ErrUnexpectedEOF)
	default:
		return false, fmt.Errorf("unexpected message of type %q on the replication connection", kind)
	}
}

// copyData handles what travels inside the stream.
//
// https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION
func (s *Stream) copyData(body []byte) (emit bool, err error) {
	if len(body) == 0 {
		return false, errors.New("an empty message in the replication stream")
	}
	switch body[0] {
	case 'w': // XLogData: where the data starts, where the log ends, the server's clock
		const header = 1 + 8 + 8 + 8
		if len(body) < header {
			return false, fmt.Errorf("replication data: %w", errTruncated)
		}
		emit, err = s.dec.decode(body[header:])
		if emit && s.dec.ev.Kind == change.Commit {
			s.announced = max(s.announced, s.dec.ev.End)
		}
		return emit, err
	case 'k': // keepalive: where the log has been read to, the server's clock, whether to reply
		if len(body) != 1+8+8+1 {
			return false, fmt.Errorf("keepalive: %w", errTruncated)
		}
		end := change.LSN(binary.BigEndian.Uint64(body[1:]))
		s.announced = max(s.announced, end)
		if body[17] != 0 {
			s.pending = true
			if err := s.keepUp(time.Now()); err != nil {
				return false, err
			}
			if s.shutdown.asked(fromPostgresTime(binary.BigEndian.Uint64(body[9:]))) {
				return false, errShuttingDown
			}
		}
		s.dec.ev = change.Event{Kind: change.Progress, End: end, InTransaction: s.dec.inTx}
		return true, nil
	default:
		return false, fmt.Errorf("unexpected message of type %q in the replication stream", body[0])
	}
}

// refusal explains an error that ended the stream. What became of the slot only
// its row tells: Open reads it.
func (s *Stream) refusal(pg *pgconn.PgError) error {
	switch pg.Code {
	case "42704":
		return &SlotLostError{Slot: s.slot, Reason: pg.Message + ", and changes that were made without it cannot be decoded any more", Undecodable: true, cause: pg}
	case "58P01", "XX000": // the second up to 14
		if !segmentName.MatchString(pg.Message) {
			break
		}
		if s.leftBehind() {
			return fmt.Errorf("the server removed log that it had begun to decode, and has a later place to begin: %w", &leftBehindError{pg})
		}
		return &SlotLostError{Slot: s.slot, Reason: pg.Message, cause: pg}
	}
	if pg.Code == "XX000" {
		return fmt.Errorf("the server cannot decode its log; update it to its latest minor version: %w", pg)
	}
	return fmt.Errorf("the server ended the replication stream: %w", pg)
}

// segmentName is in what a server says, in any language, of log that is gone.
var segmentName = regexp.MustCompile(`\b[0-9A-F]{24}\b`)

// leftBehindError is a refusal that a new stream does not meet.
type leftBehindError struct{ cause *pgconn.PgError }

func (e *leftBehindError) Error() string { return e.cause.Error() }
func (e *leftBehindError) Unwrap() error { return e.cause }

// leftBehind reports whether the slot keeps its log from a later place than when
// this stream was opened. A server remembers such a place from the session before,
// takes it up with the first confirmation of the next one, which is still reading
// log of before, and may remove that from under it.
func (s *Stream) leftBehind() bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookTakes)
	defer cancel()
	slot, ok := lookAgain(ctx, s.cfg)
	return ok && !slot.Lost() && s.restart != 0 && slot.RestartLSN > s.restart
}

// Close sends a last status update with what was confirmed, ends the
// conversation so that the slot is free when Close returns, and closes the
// connection. It takes no longer than ctx allows.
func (s *Stream) Close(ctx context.Context) error {
	defer closeHard(s.conn)
	if s.err != nil {
		return nil // nobody to talk to
	}
	s.err = errClosed
	if err := s.send(time.Now()); err != nil {
		return err
	}
	return s.sayGoodbye(ctx)
}

var errClosed = errors.New("the stream is closed")

// goodbye bounds how long Close waits for the server to end its side: in the
// middle of a huge transaction it goes on sending.
const goodbye = 2 * time.Second

func (s *Stream) sayGoodbye(ctx context.Context) error {
	conn := s.conn.Conn()
	_ = conn.SetDeadline(time.Now().Add(goodbye))
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(aLongTimeAgo) })()
	s.conn.Frontend().Send(&pgproto3.CopyDone{})
	if err := s.conn.Frontend().Flush(); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("end replication: %w", err)
	}
	for {
		kind, _, ok, err := s.frames.next()
		switch {
		case err != nil:
			return err
		case ok && (kind == 'Z' || kind == 'E'):
			return nil
		case ok:
			continue
		}
		if err := s.frames.fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
				return nil // the update was sent; closing the connection ends the rest
			}
			return fmt.Errorf("end replication: %w", err)
		}
	}
}
