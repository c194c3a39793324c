package hubspot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// do attempts the call until it has a definite answer or ctx ends. It is the
// only retry layer. The reply says, with an error too, how often the call was
// tried and whether an attempt is without a definite answer. Errors are *Error
// (a refusal), *AuthError (calls without a gate), or wrap ctx's or ErrStopping.
func (c *Client) do(ctx context.Context, k *call) (reply, error) {
	var (
		r    reply // the last one, with attempts and unanswered added up
		last error // why the last attempt was not the last
	)
	wait, done := c.waiting(ctx)
	defer done()
	policy := &hinted{inner: newBackOff(), rand: c.cfg.Rand}
	operation := func() error {
		got, err := c.once(ctx, wait, k, &r)
		if err == nil {
			got.attempts, got.unanswered = r.attempts, r.unanswered
			r = got
			return nil
		}
		var again *transient
		if !errors.As(err, &again) {
			return backoff.Permanent(err)
		}
		last = again.err
		policy.atLeast(again.wait)
		return err
	}
	notify := func(err error, wait time.Duration) {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "call to HubSpot failed, trying again",
			slog.String("endpoint", k.endpoint), slog.Int("attempt", r.attempts),
			slog.Duration("wait", wait.Round(time.Millisecond)), slog.Any("error", err))
	}
	// WithContext must be outermost, or a cancelled context sleeps to the end.
	err := backoff.RetryNotify(operation, backoff.WithContext(policy, wait), notify)
	switch {
	case err == nil || wait.Err() == nil:
		return r, err
	case last != nil && ctx.Err() != nil:
		return r, fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), last)
	case last != nil:
		return r, fmt.Errorf("%w; the last attempt: %v", ErrStopping, last) //nolint:errorlint // nobody must take it for a refusal
	case ctx.Err() == nil && errors.Is(err, context.Canceled):
		return r, ErrStopping
	}
	return r, err
}

// ErrStopping is the error of a call that was not made, or not made again,
// because Config.Stopping has ended.
var ErrStopping = errors.New("the process was told to stop")

type stoppingKey struct{}

// WithStopping gives calls an end of their own beside Config.Stopping: once
// stopping has ended they are not tried again, and do not wait, while an attempt
// under way is finished as long as ctx lasts.
func WithStopping(ctx, stopping context.Context) context.Context {
	return context.WithValue(ctx, stoppingKey{}, stopping)
}

type permitKey struct{}

// WithPermit gives calls a condition of their own: no attempt is begun before
// permit, called right before it, has returned nil.
func WithPermit(ctx context.Context, permit func(context.Context) error) context.Context {
	return context.WithValue(ctx, permitKey{}, permit)
}

// waiting returns the context of everything that is not an attempt itself.
func (c *Client) waiting(ctx context.Context) (wait context.Context, done func()) {
	wait, cancel := context.WithCancelCause(ctx)
	ends := []context.Context{c.cfg.Stopping}
	if own, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		ends = append(ends, own)
	}
	var unhook []func() bool
	for _, end := range ends {
		if end.Err() != nil {
			cancel(ErrStopping)
		}
		unhook = append(unhook, context.AfterFunc(end, func() { cancel(ErrStopping) }))
	}
	return wait, func() {
		for _, f := range unhook {
			f()
		}
		cancel(nil)
	}
}

// transient asks for another attempt, after wait at the earliest.
type transient struct {
	err  error
	wait time.Duration
}

func (e *transient) Error() string { return e.err.Error() }
func (e *transient) Unwrap() error { return e.err }

// once makes one attempt, after waiting for the gate, for a free slot and for
// the governor, and again at once with a token that was renewed meanwhile.
func (c *Client) once(ctx, wait context.Context, k *call, sum *reply) (reply, error) {
	refused := ""
	for {
		if err := wait.Err(); err != nil {
			return reply{}, err
		}
		leave := func() {}
		if k.gate != "" {
			var err error
			if leave, err = c.gates.enter(wait, k.gate); err != nil {
				return reply{}, err
			}
		}
		token, err := c.token.get(ctx, refused)
		if err != nil {
			err = c.noToken(ctx, k, err)
			leave()
			if err != nil {
				return reply{}, err
			}
			continue
		}
		r, err := c.metered(ctx, wait, k, token, sum)
		if err != nil {
			leave()
			return r, err
		}
		var refusal *Error
		if r.status < 200 || r.status > 299 {
			refusal = parseError(r.status, r.body, r.correlationID)
		}
		again, err := c.settle(ctx, k, r, refusal, token, &refused)
		leave()
		if !again {
			return r, err
		}
	}
}

// settle turns an answer into a result, or says that the attempt is to be made
// again at once: with another token, or when the gate has opened.
func (c *Client) settle(ctx context.Context, k *call, r reply, refusal *Error, token string, refused *string) (again bool, err error) {
	class := OK
	if refusal != nil {
		class = refusal.Class()
	}
	switch class {
	case Renew:
		if *refused == "" {
			*refused = token
			renewed, err := c.token.get(ctx, token)
			switch {
			case err != nil:
				err = c.noToken(ctx, k, err)
				return err == nil, err
			case renewed != token:
				c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "token was refused and has been read again", slog.String("endpoint", k.endpoint))
				return true, nil
			}
		}
		*refused = token
		return c.refused(ctx, k, everyCall, refusal)
	case Stop:
		return c.refused(ctx, k, k.gate, refusal)
	case Retry:
		return false, &transient{refusal, c.waitFor(r, refusal)}
	default: // an answer, for better or worse
	}
	c.gates.passed(ctx, c.cfg.Logger, k.gate)
	if refusal != nil {
		return false, refusal
	}
	return false, nil
}

// refused returns the refusal at once for a call without a gate; for others it
// closes the gate and asks for another attempt, which will wait there.
func (c *Client) refused(ctx context.Context, k *call, key string, refusal *Error) (again bool, err error) {
	auth := &AuthError{Setting: c.cfg.TokenSetting, Refusal: refusal}
	if k.gate == "" {
		return false, auth
	}
	c.pause(ctx, key, auth)
	return true, nil
}

// noToken decides about a token that could not be had: nil means to wait at the
// gate and try again.
func (c *Client) noToken(ctx context.Context, k *call, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *TokenRefused
	auth := &AuthError{Setting: c.cfg.TokenSetting, cause: err}
	switch {
	case !errors.As(err, &refused) && isTransient(err):
		return &transient{err: err}
	case k.gate == "":
		return auth
	}
	c.pause(ctx, everyCall, auth)
	return nil
}

// isTransient reports whether a token source failed for a reason that goes away
// by itself. An unreadable file may be one that is just being replaced, so only
// a source that says so stops.
func isTransient(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (c *Client) pause(ctx context.Context, key string, auth *AuthError) {
	reason := auth.Problems()[0]
	if c.gates.shut(key, reason) {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelError, "HubSpot refuses the credentials, calls are paused until they work again",
			slog.String("problem", reason))
	}
}

// passed opens the gates that a call has passed through with an answer.
func (g *gates) passed(ctx context.Context, log *slog.Logger, key string) {
	for _, k := range []string{everyCall, key} {
		if d, was := g.open(k); was {
			log.LogAttrs(ctx, slog.LevelInfo, "HubSpot accepts the credentials again", slog.Duration("paused", d.Round(time.Second)))
		}
	}
}

// metered makes one attempt within the bounds of calls in flight and of the
// governor, and reports it.
func (c *Client) metered(ctx, wait context.Context, k *call, token string, sum *reply) (reply, error) {
	select {
	case c.inFlight <- struct{}{}:
		defer func() { <-c.inFlight }()
	case <-wait.Done():
		return reply{}, wait.Err()
	}
	ticket, err := c.gov.acquire(wait)
	if err != nil {
		return reply{}, err
	}
	if permit, ok := ctx.Value(permitKey{}).(func(context.Context) error); ok {
		if err := permit(wait); err != nil {
			return reply{}, err
		}
	}
	sum.attempts++
	start := c.cfg.Now()
	r, err := c.attempt(ctx, k, token)
	took := c.cfg.Now().Sub(start)
	c.cfg.ObserveCall(k.endpoint, r.status, took)
	c.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "called HubSpot",
		slog.String("endpoint", k.endpoint), slog.Int("status", r.status), slog.Duration("took", took),
		slog.String("correlation_id", r.correlationID), slog.Any("error", err))
	if err == nil && r.status >= 200 && r.status < 300 && k.check != nil {
		if bad := k.check(r); bad != nil {
			err = &attemptError{err: &malformed{r.status, r.body, bad}, reached: true}
		}
	}
	if r.header != nil {
		c.gov.observe(ticket, r.header)
	}
	var failed *attemptError
	switch {
	case errors.As(err, &failed):
		sum.unanswered = sum.unanswered || failed.reached
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		return r, &transient{err: err, wait: 0}
	case r.status == http.StatusTooManyRequests:
		return r, nil // waitFor tells the governor
	case (r.status < 200 || r.status > 299) && ambiguous(r.status) && transientStatus(r.status):
		sum.unanswered = true
	}
	return r, nil
}

// malformed is a 2xx whose body cannot be HubSpot's answer to the call. It is
// waited out like an outage: most often it is the page of a gateway or a proxy.
// That HubSpot has it so for ever cannot be ruled out, so it says what to look at.
type malformed struct {
	status int
	body   []byte
	cause  error
}

func (e *malformed) Unwrap() error { return e.cause }

// Error tells nothing of the body but what it looks like.
func (e *malformed) Error() string {
	what := "is of another shape or cut off: " + e.cause.Error()
	switch trimmed := bytes.TrimSpace(e.body); {
	case len(trimmed) == 0:
		what = "is empty"
	case trimmed[0] == '<':
		what = "is a web page"
	}
	return fmt.Sprintf("status %d, but the body %s; this is waited out, and if it stays so check HUBSPOT_BASE_URL and any proxy between here and HubSpot", e.status, what)
}

func transientStatus(status int) bool {
	return (&Error{Status: status}).Class() == Retry
}

// waitFor gives the least wait before the next attempt of a transient refusal.
// Where the refusal concerns every call, the governor is told instead.
func (c *Client) waitFor(r reply, refusal *Error) time.Duration {
	after := retryAfter(r.header, c.cfg.Now())
	switch refusal.Status {
	case http.StatusLocked:
		return max(after, 2*time.Second) // locks last two seconds
	case http.StatusTooManyRequests:
		c.gov.refused(refusal.Policy, refusal.Message, after)
		return after
	case 477:
		c.gov.block(max(after, 30*time.Second)) // the account moves to another data centre
		return 0
	case 525, 526:
		return max(after, 30*time.Second)
	}
	return after
}

// retryAfter reads the header: seconds, or a date. At most a day.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	var d time.Duration
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 {
		d = time.Duration(min(seconds, 86400) * float64(time.Second))
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), 24*time.Hour)
}

func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 500 * time.Millisecond
	b.Multiplier = 2
	b.MaxInterval = 30 * time.Second
	b.MaxElapsedTime = 0      // as long as ctx lives
	b.RandomizationFactor = 0 // the library's randomness is global: hinted adds ours
	b.Reset()
	return b
}

// hinted adds jitter, and a least wait for the next interval, to a policy.
type hinted struct {
	inner backoff.BackOff
	rand  func() float64
	least time.Duration
}

func (h *hinted) atLeast(d time.Duration) { h.least = d }

func (h *hinted) NextBackOff() time.Duration {
	d := h.inner.NextBackOff()
	d = d/2 + time.Duration(h.rand()*float64(d)) // half to one and a half
	if h.least > d {
		d = h.least + time.Duration(h.rand()*float64(min(h.least/10, time.Second)))
	}
	h.least = 0
	return d
}

func (h *hinted) Reset() { h.inner.Reset(); h.least = 0 }
