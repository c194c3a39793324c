package e2e

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// pooler answers as a pooler of connections does. It refuses startup parameters
// that it does not know, or, where it was told to ignore those, gives each
// client an ordinary connection, which knows no replication commands.
type pooler struct {
	refusal  string
	upstream string // URL
}

// serve serves until the listener is closed and all clients have gone.
func (p pooler) serve(l net.Listener) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		clients.Go(func() {
			defer conn.Close()
			p.client(conn)
		})
	}
}

func (p pooler) client(conn net.Conn) {
	b := pgproto3.NewBackend(conn, conn)
	for {
		m, err := b.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, startup := m.(*pgproto3.StartupMessage); startup {
			break
		}
		if _, err := conn.Write([]byte{'N'}); err != nil { // no TLS, no GSSAPI
			return
		}
	}
	if p.refusal != "" {
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: p.refusal})
		_ = b.Flush()
		return
	}
	ctx := context.Background()
	pooled, err := pgconn.Connect(ctx, p.upstream)
	if err != nil {
		return
	}
	upstream, err := pooled.Hijack()
	if err != nil {
		_ = pooled.Close(ctx)
		return
	}
	defer upstream.Conn.Close()
	b.Send(&pgproto3.AuthenticationOk{})
	for name, value := range upstream.ParameterStatuses {
		b.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(conn, upstream.Conn)
		_ = conn.Close()
	})
	_, _ = io.Copy(upstream.Conn, conn)
	_ = upstream.Conn.Close()
	answers.Wait()
}
