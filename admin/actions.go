package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// operatorPatience is how long a request waits for the database.
	operatorPatience = 5 * time.Second
	// lettersAtMost is how many letters one answer lists.
	lettersAtMost = 100
	// penalty is how long a wrong token is answered late. One waits at a time.
	penalty = 500 * time.Millisecond
	// bodyAtMost bounds what a request may say.
	bodyAtMost = 64 << 10
)

// letters lists parked records. Without PGCRM_SHOW_VALUES what comes from the
// row is left out: the page asks nobody who he is.
func (s *Server) letters(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	f := LetterFilter{Category: query.Get("category"), Limit: lettersAtMost + 1}
	if after := query.Get("after"); after != "" {
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil || n < 0 {
			refuse(w, http.StatusBadRequest, "after is not the number of a parked record")
			return
		}
		f.After = n
	}
	if s.opts.Operator == nil {
		refuse(w, http.StatusServiceUnavailable, ErrNotReady.Error())
		return
	}
	select {
	case s.asking <- struct{}{}: // one question at a time, however many look
		defer func() { <-s.asking }()
	case <-r.Context().Done():
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), operatorPatience)
	defer cancel()
	letters, err := s.opts.Operator.Letters(ctx, f)
	if err != nil {
		s.fail(w, r, "letters", err)
		return
	}
	more := len(letters) > lettersAtMost
	letters = orEmpty(letters[:min(len(letters), lettersAtMost)])
	if !s.opts.ShowValues {
		for i := range letters {
			letters[i].hide()
		}
	}
	answer(w, struct {
		Letters []Letter `json:"letters"`
		More    bool     `json:"more"`
	}{letters, more})
}

// action is a change that a person asks for. It tells how many it concerned.
type action func(ctx context.Context, body []byte) (int64, error)

func (s *Server) retry(ctx context.Context, body []byte) (int64, error) {
	f, err := filterIn(body)
	if err != nil {
		return 0, err
	}
	return s.opts.Operator.Retry(ctx, f)
}

func (s *Server) drop(ctx context.Context, body []byte) (int64, error) {
	f, err := filterIn(body)
	if err != nil {
		return 0, err
	}
	return s.opts.Operator.Drop(ctx, f)
}

func (s *Server) resume(ctx context.Context, body []byte) (int64, error) {
	var what struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(body, &what); err != nil || what.Digest == "" {
		return 0, &badRequest{`say which change: {"digest": "..."}`}
	}
	return 1, s.opts.Operator.Resume(ctx, what.Digest)
}

// unlock changes nothing: the page asks whether a token is the right one.
func (s *Server) unlock(context.Context, []byte) (int64, error) { return 0, nil }

// guarded lets an action through that the page itself sends, with the token. A
// foreign page can neither set the header nor name itself as this origin.
func (s *Server) guarded(name string, do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if why := foreign(r); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			refuse(w, http.StatusUnsupportedMediaType, "send application/json")
			return
		}
		if !s.admitted(w, r) {
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyAtMost))
		if err != nil {
			refuse(w, http.StatusRequestEntityTooLarge, "the request is too large")
			return
		}
		if s.opts.Operator == nil {
			refuse(w, http.StatusServiceUnavailable, ErrNotReady.Error())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), operatorPatience)
		defer cancel()
		n, err := do(ctx, body)
		if err != nil {
			s.fail(w, r, name, err)
			return
		}
		s.opts.Logger.InfoContext(ctx, "asked_on_status_page", "action", name, "concerned", n)
		answer(w, map[string]int64{"concerned": n})
	}
}

// foreign says why a request is not from the page itself. Browsers tell where a
// request comes from; other programs that know the token need not.
func foreign(r *http.Request) string {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return "requests of other pages are refused"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
		return "requests of other pages are refused; a proxy in front has to pass the Host header on"
	}
	return ""
}

// admitted compares the token, in a time that tells nothing of it, and answers
// where it is missing or wrong.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request) bool {
	if s.opts.Token == nil {
		refuse(w, http.StatusForbidden, "PGCRM_ADMIN_TOKEN is not set, so nothing can be changed here")
		return false
	}
	want, err := s.opts.Token(r.Context())
	if err != nil || want == "" {
		s.fail(w, r, "token", errors.Join(errors.New("PGCRM_ADMIN_TOKEN cannot be read"), err))
		return false
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	if ok && subtle.ConstantTimeCompare(a[:], b[:]) == 1 {
		return true
	}
	select {
	case s.wrong <- struct{}{}:
		defer func() { <-s.wrong }()
		wait := time.NewTimer(penalty)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
	case <-r.Context().Done():
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	refuse(w, http.StatusUnauthorized, "this is not the token in PGCRM_ADMIN_TOKEN")
	return false
}

// badRequest is a request that says too little.
type badRequest struct{ line string }

func (e *badRequest) Error() string { return e.line }

func filterIn(body []byte) (LetterFilter, error) {
	var f LetterFilter
	if err := json.Unmarshal(body, &f); err != nil || f.empty() {
		return f, &badRequest{`say which parked records: {"ids": [12]} or {"category": "not_found"}`}
	}
	return f, nil
}

// fail answers an error in words that are safe to show: what the database says
// goes to the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, what string, err error) {
	var bad *badRequest
	switch {
	case errors.As(err, &bad):
		refuse(w, http.StatusBadRequest, bad.line)
	case errors.Is(err, ErrNotReady):
		refuse(w, http.StatusServiceUnavailable, ErrNotReady.Error())
	case errors.Is(err, ErrNotFound):
		refuse(w, http.StatusNotFound, ErrNotFound.Error())
	case r.Context().Err() != nil: // nobody reads the answer
	default:
		s.opts.Logger.WarnContext(r.Context(), "status_page_request_failed", "request", what, "error", err)
		refuse(w, http.StatusServiceUnavailable, "the state database did not answer; pgcrm's log says why")
	}
}

// refuse answers with an error that the page shows.
func refuse(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": line}) // the client may have gone away
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}
