package hubspotsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// ErrCut is what a round trip without a network gives where the portal cut the
// connection.
var ErrCut = errors.New("hubspotsim: connection cut")

// roundTripper calls the portal in the caller's goroutine.
type roundTripper struct{ portal *Portal }

// RoundTrip implements [http.RoundTripper].
func (t roundTripper) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	inner := r.Clone(r.Context())
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	rec := &recorder{header: http.Header{}}
	defer func() {
		switch cause := recover(); {
		case cause == nil:
		case cause != http.ErrAbortHandler: //nolint:errorlint // compared as net/http does
			panic(cause)
		case rec.flushed: // half an answer
			resp, err = rec.response(r, torn{}), nil //nolint:bodyclose // the caller closes it
		default:
			resp, err = nil, ErrCut
		}
	}()
	t.portal.ServeHTTP(rec, inner)
	if err := r.Context().Err(); err != nil {
		return nil, fmt.Errorf("hubspotsim: %w", err)
	}
	return rec.response(r, bytes.NewReader(nil)), nil
}

// recorder keeps an answer.
type recorder struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	flushed bool
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) Flush() { r.flushed = true }

// response ends the body with rest.
func (r *recorder) response(req *http.Request, rest io.Reader) *http.Response {
	r.WriteHeader(http.StatusOK)
	length := int64(-1)
	if n, err := strconv.ParseInt(r.header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status:     strconv.Itoa(r.status) + " " + http.StatusText(r.status),
		StatusCode: r.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: r.header, Request: req,
		Body: io.NopCloser(io.MultiReader(&r.body, rest)), ContentLength: length,
	}
}

// torn is the end of a body that broke off.
type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
