package cdc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gulping takes over a TCP connection that is going to carry a backlog. Go's
// poller is told of each packet, which is the waking that is to be spared; so the
// socket leaves it, and whoever waits for it blocks a thread. Others are returned
// as they are.
func gulping(conn net.Conn) (net.Conn, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	defer func() { _ = tcp.Close() }()
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &gulpConn{local: tcp.LocalAddr(), remote: tcp.RemoteAddr()}
	var dup error
	if err := raw.Control(func(fd uintptr) { c.fd, dup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dup != nil {
		return nil, os.NewSyscallError("fcntl", dup)
	}
	for _, w := range []*waiting{&c.reading, &c.writing} {
		if w.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			_ = c.Close()
			return nil, os.NewSyscallError("eventfd", err)
		}
	}
	return c, nil
}

// gulpConn is a TCP connection outside of Go's poller.
type gulpConn struct {
	local, remote net.Addr
	fd            int // not blocking
	gulps         gulps

	closed           atomic.Bool
	mu               sync.RWMutex // held for writing while the descriptors are closed
	reading, writing waiting
}

// waiting is how one direction waits for the socket.
type waiting struct {
	one      sync.Mutex   // held by a read, or a write
	deadline atomic.Int64 // nanoseconds of Unix time; 0 for none
	waits    atomic.Bool
	fd       int // an eventfd: the deadline has moved, or the end has come
}

// Read rests before a gulp.
func (c *gulpConn) Read(p []byte) (int, error) {
	c.reading.one.Lock()
	defer c.reading.one.Unlock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(p) == 0 {
		return 0, nil
	}
	if c.gulps.due() {
		pause := unix.NsecToTimespec(rest.Nanoseconds())
		_ = unix.Nanosleep(&pause, nil) // a signal ends it early, which is no harm
	}
	for {
		if err := c.reading.over(c); err != nil {
			return 0, c.failed("read", err)
		}
		n, err := unix.Read(c.fd, p)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case err == nil:
			c.gulps.took(n, len(p), time.Now())
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			err = c.reading.wait(c, unix.POLLIN)
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, c.failed("read", err)
		}
	}
}

// Write writes all of p.
func (c *gulpConn) Write(p []byte) (int, error) {
	c.writing.one.Lock()
	defer c.writing.one.Unlock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	done := 0
	for {
		if err := c.writing.over(c); err != nil {
			return done, c.failed("write", err)
		}
		if done == len(p) {
			return done, nil
		}
		n, err := unix.SendmsgN(c.fd, p[done:], nil, nil, unix.MSG_NOSIGNAL)
		if err == nil {
			done += n
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			err = c.writing.wait(c, unix.POLLOUT)
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return done, c.failed("write", err)
		}
	}
}

// over tells why nothing more is to be waited for.
func (w *waiting) over(c *gulpConn) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if at := w.deadline.Load(); at != 0 && time.Now().UnixNano() >= at {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// wait returns when the socket may be ready, or when something may be over.
func (w *waiting) wait(c *gulpConn, events int16) error {
	w.waits.Store(true)
	defer w.waits.Store(false)
	// Whatever is set from here on is told by the eventfd.
	if c.closed.Load() {
		return net.ErrClosed
	}
	timeout := -1
	if at := w.deadline.Load(); at != 0 {
		left := time.Until(time.Unix(0, at))
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timeout = int(min(left, time.Hour)/time.Millisecond) + 1
	}
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: events}, {Fd: int32(w.fd), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
	if _, err := unix.Poll(fds, timeout); err != nil {
		return err
	}
	if fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(w.fd, count[:]) // what it tells is looked up
	}
	return nil
}

// tell wakes whoever waits.
func (w *waiting) tell() {
	if w.waits.Load() {
		_, _ = unix.Write(w.fd, binary.NativeEndian.AppendUint64(nil, 1))
	}
}

// until sets the deadline. One that is past ends a wait at once.
func (w *waiting) until(t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = max(1, t.UnixNano())
	}
	w.deadline.Store(at)
	w.tell()
}

// Close ends reads and writes that are under way.
func (c *gulpConn) Close() error {
	if c.closed.Swap(true) {
		return c.failed("close", net.ErrClosed)
	}
	c.reading.tell()
	c.writing.tell()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range []*waiting{&c.reading, &c.writing} {
		if w.fd > 0 {
			_ = unix.Close(w.fd)
		}
	}
	return unix.Close(c.fd)
}

func (c *gulpConn) failed(op string, err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func (c *gulpConn) LocalAddr() net.Addr  { return c.local }
func (c *gulpConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *gulpConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline ends reads at t, also one that is under way.
func (c *gulpConn) SetReadDeadline(t time.Time) error { return c.set(&c.reading, t) }

// SetWriteDeadline ends writes at t, also one that is under way.
func (c *gulpConn) SetWriteDeadline(t time.Time) error { return c.set(&c.writing, t) }

func (c *gulpConn) set(w *waiting, t time.Time) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed.Load() {
		return c.failed("set", net.ErrClosed)
	}
	w.until(t)
	return nil
}
