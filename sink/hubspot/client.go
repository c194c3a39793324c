package hubspot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// Client calls HubSpot's API. It is safe for concurrent use.
type Client struct {
	cfg       Config
	base      *url.URL
	transport http.RoundTripper
	inFlight  chan struct{}
	token     tokenHolder
	portal    atomic.Int64 // that calls belong to; 0 while it is not known
	gates     gates
	gov       *governor
}

// New makes a client; no call is made. The error implements Problems.
func New(cfg Config) (*Client, error) {
	cfg, base, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:       cfg,
		base:      base,
		transport: cfg.Transport,
		inFlight:  make(chan struct{}, cfg.MaxInFlight),
		token:     newTokenHolder(cfg.Token),
		gates:     newGates(cfg.Now),
		gov:       newGovernor(cfg),
	}
	c.token.admit = c.admit
	if c.transport == nil {
		c.transport = newTransport(cfg.MaxInFlight, base.Scheme == "http")
	}
	return c, nil
}

// newTransport keeps as many connections alive as calls may be in flight, asks
// for gzip by itself, and is used below http.Client, so that no redirect is
// ever followed: a redirect would carry the token to another host. In the clear
// it connects to loopback and private addresses alone, whatever a name resolves
// to, and through no proxy.
func newTransport(inFlight int, plain bool) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	proxy := http.ProxyFromEnvironment
	if plain {
		proxy = nil
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			addr, err := netip.ParseAddrPort(address)
			if err != nil || !privateAddr(addr.Addr()) {
				return errors.New("HUBSPOT_BASE_URL: plain http would send the token in the clear to a public address; use https")
			}
			return nil
		}
	}
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          inFlight,
		MaxIdleConnsPerHost:   inFlight,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// CloseIdleConnections closes connections that no call uses.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// call is one request, to be attempted until it has a definite answer.
type call struct {
	endpoint string // without version, for metrics and logs
	method   string
	path     string
	query    url.Values
	body     []byte
	// gate is the object whose calls a missing scope pauses. Empty: refused
	// credentials are returned at once as *AuthError and no gate is waited for.
	gate string
	// check tells a 2xx body that cannot be an answer from one that can.
	check func(reply) error
}

// reply is a definite answer: a status that is not transient, and its body.
type reply struct {
	status        int
	header        http.Header
	body          []byte
	attempts      int
	unanswered    bool
	correlationID string
}

// attemptError is an attempt without an HTTP answer, or with one that is cut.
type attemptError struct {
	err error
	// reached is set where the request may have reached HubSpot.
	reached bool
}

func (e *attemptError) Error() string { return e.err.Error() }
func (e *attemptError) Unwrap() error { return e.err }

// attempt makes one HTTP round trip. An error is always *attemptError.
func (c *Client) attempt(ctx context.Context, k *call, token string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()

	var asked, connected bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked = true },
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	})
	u := *c.base
	u.Path, u.RawPath = "", ""
	target := u.String() + c.base.EscapedPath() + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	var body io.Reader
	if k.body != nil {
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return reply{}, &attemptError{err: errors.New("the request could not be built")}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return reply{}, &attemptError{err: err, reached: connected || !asked}
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, header: resp.Header, correlationID: correlationOf(resp.Header)}
	r.body, err = readAll(io.LimitReader(resp.Body, c.cfg.MaxResponse+1), resp.ContentLength)
	if err != nil {
		return r, &attemptError{err: fmt.Errorf("answer cut off: %w", err), reached: true}
	}
	if int64(len(r.body)) > c.cfg.MaxResponse {
		return r, &attemptError{err: fmt.Errorf("answer longer than %d bytes", c.cfg.MaxResponse), reached: true}
	}
	return r, nil
}

// readAll is io.ReadAll where the length is most often known. What is said of it is
// believed only so far.
func readAll(r io.Reader, length int64) ([]byte, error) {
	const most = 1 << 20
	var b bytes.Buffer
	b.Grow(int(min(max(length, 0), most)) + bytes.MinRead)
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// correlationOf is the name by which HubSpot's support, or Cloudflare's before
// it, finds a call.
func correlationOf(h http.Header) string {
	return cmp.Or(h.Get("X-Hubspot-Correlation-Id"), h.Get("X-Request-Id"), h.Get("Cf-Ray"))
}
