package hubspotsim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// roundTripper calls the portal in the caller's goroutine.
type roundTripper struct{ portal *Portal }

// ErrCut is what a round trip without a network gives where the portal cut the
// connection.
var ErrCut = errors.New("hubspotsim: connection cut")

// RoundTrip implements [http.RoundTripper].
func (t roundTripper) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	defer func() {
		switch cause := recover(); {
		case cause == nil:
		case cause != http.ErrAbortHandler: //nolint:errorlint // compared as net/http does
			panic(cause)
		case rec.Flushed: // half an answer
			resp, err = rec.Result(), nil
			resp.Body = io.NopCloser(io.MultiReader(rec.Body, broken{}))
		default:
			resp, err = nil, ErrCut
		}
	}()
	t.portal.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, fmt.Errorf("hubspotsim: %w", err)
	}
	return rec.Result(), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
