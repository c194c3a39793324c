package e2e

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a TCP connection's way through a network that can be bad.
//
// What a sender has given up is not delivered late: once it has closed, the bytes
// that are still on the way are lost. Late requests are the simulator's to play,
// which marks them in its journal.
type wire struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	state   weather
	changed chan struct{} // closed when the state changes
	conns   map[*link]bool
	held    int // bytes that wait to pass
	closed  bool
}

// weather is what a wire does to its connections.
type weather struct {
	refuse     bool          // connections end at once
	freezeUp   bool          // nothing passes from the program to the server
	freezeDown bool          // nothing passes back
	delay      time.Duration // each piece is late
	piece      int           // bytes that pass at a time; 0 for any number
}

// link is one connection, by its two ends.
type link struct {
	near, far net.Conn
	stranded  atomic.Bool
}

func (l *link) cut() {
	for _, end := range []net.Conn{l.near, l.far} {
		if tcp, ok := end.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the other side sees a reset
		}
		_ = end.Close()
	}
}

// newWire listens for connections and passes them on to the target.
func newWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target, changed: make(chan struct{}), conns: map[*link]bool{}}
	var accepting sync.WaitGroup
	accepting.Go(w.accept)
	t.Cleanup(func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		_ = l.Close()
		w.cut()
		accepting.Wait()
	})
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

// set changes the weather.
func (w *wire) set(state weather) {
	w.mu.Lock()
	w.state = state
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	if state.refuse {
		w.cut()
	}
}

// cut resets all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.conns {
		l.cut()
	}
}

// strand has the connections that stand now carry nothing any more, not even their
// end, as a firewall does that has forgotten them. Both sides see what they send
// acknowledged.
func (w *wire) strand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.conns {
		l.stranded.Store(true)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// waiting is how many bytes are on the way.
func (w *wire) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}

func (w *wire) hold(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held += n
}

func (w *wire) now() (weather, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.changed
}

func (w *wire) accept() {
	var links sync.WaitGroup
	defer links.Wait()
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		if state, _ := w.now(); state.refuse {
			_ = near.Close()
			continue
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l := &link{near: near, far: far}
		w.mu.Lock()
		w.conns[l] = true
		if w.closed {
			l.cut()
		}
		w.mu.Unlock()
		links.Go(func() {
			defer func() {
				l.cut()
				w.mu.Lock()
				delete(w.conns, l)
				w.mu.Unlock()
			}()
			var both sync.WaitGroup
			both.Go(func() { w.carry(near, far, l, func(s weather) bool { return s.freezeUp }) })
			both.Go(func() { w.carry(far, near, l, func(s weather) bool { return s.freezeDown }) })
			both.Wait()
		})
	}
}

// carry copies one direction. It reads on while nothing passes, so that it
// learns when the sender has gone; what is on the way then is lost.
func (w *wire) carry(from, to net.Conn, l *link, frozen func(weather) bool) {
	var mu sync.Mutex
	var waiting bytes.Buffer
	arrived := make(chan struct{}, 1)
	gone := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(gone)
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			mu.Lock()
			waiting.Write(b[:n])
			w.hold(n)
			full := waiting.Len() > 1<<20
			mu.Unlock()
			select {
			case arrived <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
			if full { // as a network does, it takes only so much
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	defer reading.Wait()
	defer from.Close() // it ends the reading
	defer func() {
		if !l.stranded.Load() {
			_ = to.Close()
		}
	}()
	for {
		state, changed := w.now()
		if l.stranded.Load() || frozen(state) {
			select {
			case <-changed:
			case <-gone:
				return
			}
			continue
		}
		mu.Lock()
		pending := waiting.Len()
		mu.Unlock()
		if pending == 0 {
			select {
			case <-arrived:
			case <-gone:
				mu.Lock()
				pending = waiting.Len()
				mu.Unlock()
				if pending == 0 {
					return
				}
			}
			continue
		}
		if state.delay > 0 {
			select {
			case <-time.After(state.delay):
			case <-gone:
				return
			}
		}
		size := pending
		if state.piece > 0 {
			size = min(size, state.piece)
		}
		mu.Lock()
		piece := bytes.Clone(waiting.Next(size))
		w.hold(-len(piece))
		mu.Unlock()
		if _, err := io.Copy(to, bytes.NewReader(piece)); err != nil {
			return
		}
	}
}
