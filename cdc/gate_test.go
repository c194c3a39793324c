package cdc

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// gate stands between a client and the server as a firewall does that forgets
// connections: those that stand when it closes stay open and carry nothing.
// It may leave out startup parameters, as some poolers are set to do.
type gate struct {
	listener net.Listener
	target   string
	leaveOut string // startup parameter

	mu    sync.Mutex
	conns []net.Conn
	shut  direction
	after int // connections that closing concerns
	links sync.WaitGroup
}

type direction struct{ up, down bool }

// through has the database's next connections go through a gate.
func (d *database) through(leaveOut string) *gate {
	d.Helper()
	parsed, err := url.Parse(d.url)
	if err != nil {
		d.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	g := &gate{listener: l, target: parsed.Host, leaveOut: leaveOut}
	parsed.Host = l.Addr().String()
	gated := parsed.String()
	d.cfg.URL = func(context.Context) (string, error) { return gated, nil }
	g.links.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			g.links.Go(func() { g.link(near) })
		}
	})
	d.Cleanup(func() {
		_ = l.Close()
		g.mu.Lock()
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.mu.Unlock()
		g.links.Wait()
	})
	return g
}

// close has the connections that stand now carry nothing in these directions.
func (g *gate) close(d direction) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.after = d, len(g.conns)
}

func (g *gate) link(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer far.Close()
	if g.leaveOut != "" && !g.start(near, far) {
		return
	}
	g.mu.Lock()
	number := len(g.conns)
	g.conns = append(g.conns, near, far)
	g.mu.Unlock()
	var down sync.WaitGroup
	down.Go(func() {
		defer near.Close()
		g.carry(near, far, func() bool { return g.shut.down && number < g.after })
	})
	g.carry(far, near, func() bool { return g.shut.up && number < g.after })
	_ = far.Close()
	down.Wait()
}

// carry takes what comes even where it passes nothing on: the sender sees it
// acknowledged.
func (g *gate) carry(to, from net.Conn, shut func() bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		g.mu.Lock()
		dropped := shut()
		g.mu.Unlock()
		if !dropped && n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// start passes the startup message on, without a parameter.
func (g *gate) start(near, far net.Conn) bool {
	// Nothing but the message is read: the client waits for an answer then.
	b := pgproto3.NewBackend(near, near)
	for {
		m, err := b.ReceiveStartupMessage()
		if err != nil {
			return false
		}
		startup, ok := m.(*pgproto3.StartupMessage)
		if !ok { // a wish for TLS
			if _, err := io.Copy(near, strings.NewReader("N")); err != nil {
				return false
			}
			continue
		}
		delete(startup.Parameters, g.leaveOut)
		text, err := startup.Encode(nil)
		if err == nil {
			_, err = far.Write(text)
		}
		return err == nil
	}
}

// TestTheGate: a test that passes because the gate drops nothing shows nothing.
func TestTheGate(t *testing.T) {
	d := newDatabase(t)
	g := d.through("application_name")
	conn := d.connect()
	var name string
	if err := conn.QueryRow(d.ctx, "SHOW application_name").Scan(&name); err != nil || name != "" {
		t.Errorf("application_name is %q, %v", name, err)
	}
	g.close(direction{down: true})
	ctx, cancel := context.WithCancel(d.ctx)
	answered := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "CREATE TABLE arrived ()")
		answered <- err
	}()
	other := d.connect()
	for there := false; !there; {
		if err := other.QueryRow(d.ctx, "SELECT to_regclass('arrived') IS NOT NULL").Scan(&there); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-answered; err == nil {
		t.Error("an answer came through")
	}
}
