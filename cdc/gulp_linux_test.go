package cdc

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestGulpingIsAConnection holds what is read in gulps against what is asked of any
// connection: order, deadlines, closing, and all of it at once.
func TestGulpingIsAConnection(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer listener.Close()
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		here, err := gulping(conn)
		if err != nil {
			return nil, nil, nil, err
		}
		there, ok := <-accepted
		if !ok {
			return nil, nil, nil, net.ErrClosed
		}
		return here, there, func() { _ = here.Close(); _ = there.Close() }, nil
	})
}
