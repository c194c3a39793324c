package hubspotsim

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody is the most that is ever read of a request.
const maxBody = 64 << 20

// serve reads the request, lets the faults have their way with it, and
// answers. It returns the status for the statistics, 0 for none.
func (c *call) serve(w http.ResponseWriter, r *http.Request) int {
	p := c.portal
	if c.draw(true); c.plan.fault != nil {
		_, _ = io.CopyN(io.Discard, r.Body, max(1, r.ContentLength/2))
		return cut(w)
	}
	if err := c.readBody(r); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return c.send(w, c.refuse(http.StatusRequestEntityTooLarge, refusal{Message: "HTTP 413 Request Entity Too Large"}))
		}
		return cut(w)
	}
	c.received = p.now()
	c.draw(false)
	if !p.sleep(r.Context(), c.plan.before) {
		return cut(w) // the sender gave up before the work began
	}
	if c.plan.fault != nil {
		if status, done := c.disturb(r.Context(), w); done {
			return status
		}
	}
	a := c.answer()
	p.sleep(r.Context(), c.plan.after)
	if c.gzip && len(a.body) > 0 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		a = compressed(a)
	}
	return c.spoil(w, a)
}

// draw decides what befalls the call: first, before its body is read, whether
// it is cut in the middle of it, and then all else.
func (c *call) draw(torn bool) {
	p := c.portal
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults.list) == 0 {
		return
	}
	c.plan = p.faults.pick(c, torn)
	if name := c.plan.name(); name != "" {
		p.stats.Faults[name]++
	}
}

func (c *call) readBody(r *http.Request) error {
	limit := int64(maxBody)
	if c.portal.maxBody > 0 {
		limit = min(limit, c.portal.maxBody)
	}
	if n := r.ContentLength; n > 0 && n <= limit && int64(cap(c.body)) < n {
		c.body = make([]byte, 0, n+1)
	}
	body := bytes.NewBuffer(c.body)
	_, err := body.ReadFrom(http.MaxBytesReader(nil, r.Body, limit))
	c.body = body.Bytes()
	return err
}

// disturb plays the faults that come before the work. It says whether the call
// is over.
func (c *call) disturb(ctx context.Context, w http.ResponseWriter) (int, bool) {
	p, f := c.portal, c.plan.fault
	switch f.Effect {
	case CutBefore:
		return cut(w), true
	case Status:
		if f.Applied {
			c.answer()
			c.out = c.out[:0]
		}
		return c.send(w, c.broken(f)), true
	case HTML, Empty:
		if f.Applied {
			c.answer()
			c.out = c.out[:0]
		}
		if f.Effect == Empty {
			return c.send(w, c.nothing()), true
		}
		return c.send(w, page(http.StatusOK, "Please wait while we verify your browser")), true
	case Hang:
		select {
		case <-ctx.Done():
		case <-p.closed:
		}
		return cut(w), true
	case Late:
		c.applyLate(ctx, w)
		return 0, true
	}
	return 0, false
}

// applyLate lets the sender give up, and does the work afterwards.
func (c *call) applyLate(ctx context.Context, w http.ResponseWriter) {
	p, f := c.portal, c.plan.fault
	p.mu.Lock()
	p.stats.Late++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.stats.Late--
		p.mu.Unlock()
	}()
	hijacker, ok := w.(http.Hijacker)
	if f.Hang || !ok {
		select {
		case <-ctx.Done():
		case <-p.closed:
		}
	} else if conn, _, err := hijacker.Hijack(); err == nil {
		_ = conn.Close()
	}
	if p.sleep(context.Background(), time.Duration(f.Delay)) {
		c.late = true
		c.answer()
	}
}

// spoil sends an answer, as whole as the fault allows.
func (c *call) spoil(w http.ResponseWriter, a answer) int {
	switch {
	case c.plan.is(CutAfter):
		return cut(w)
	case c.plan.is(Truncate):
		c.head(w, a)
		_, _ = w.Write(a.body[:len(a.body)/2])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		return cut(w)
	case c.plan.is(Short):
		a.body = a.body[:len(a.body)/2]
	}
	return c.send(w, a)
}

func compressed(a answer) answer {
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, _ = z.Write(a.body) // a bytes.Buffer takes all
	_ = z.Close()
	a.body = body.Bytes()
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("Content-Encoding", "gzip")
	return a
}

// cut closes the connection without an answer.
func cut(http.ResponseWriter) int { panic(http.ErrAbortHandler) }

func (c *call) head(w http.ResponseWriter, a answer) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	kind := "application/json;charset=utf-8"
	if a.html {
		kind = "text/html; charset=UTF-8"
	}
	h.Set("Content-Type", kind)
	if a.status >= 300 && a.status < 400 {
		h.Set("Location", c.request.URL.Path+"?redirected=true")
	}
	h.Set("X-Hubspot-Correlation-Id", c.id)
	h.Set("X-Request-Id", c.id)
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	} else {
		h.Del("Content-Type")
	}
	w.WriteHeader(a.status)
}

func (c *call) send(w http.ResponseWriter, a answer) int {
	c.head(w, a)
	_, _ = w.Write(a.body)
	return a.status
}

// broken is the answer of the effect status: HubSpot's own body for what
// HubSpot answers, a gateway's page for what its gateway does.
func (c *call) broken(f *Fault) answer {
	var a answer
	switch f.Status {
	case http.StatusTooManyRequests:
		policy := f.Policy
		if policy == "" {
			policy = "TEN_SECONDLY_ROLLING"
		}
		a = c.limited(policy, 10*time.Second)
	case http.StatusUnauthorized:
		a = c.unauthenticated()
	case http.StatusForbidden:
		a = c.missingScopes([]string{"crm.objects." + c.route.object + ".write"})
	case http.StatusLocked:
		a = c.refuse(f.Status, refusal{Message: "This resource is locked. Try again in a few seconds.", Category: "LOCKED"})
	case 477:
		a = c.refuse(f.Status, refusal{Message: "Migration in progress", Category: "MIGRATION_IN_PROGRESS"})
	case http.StatusInternalServerError:
		a = c.refuse(f.Status, refusal{Message: "internal error"})
	default:
		if f.Status >= 500 {
			a = page(f.Status, fmt.Sprintf("Error %d: %s", f.Status, http.StatusText(f.Status)))
		} else {
			a = c.refuse(f.Status, refusal{Message: "refused on request", Category: "VALIDATION_ERROR"})
		}
	}
	if f.RetryAfter > 0 {
		if a.header == nil {
			a.header = http.Header{}
		}
		a.header.Set("Retry-After", strconv.Itoa(int((time.Duration(f.RetryAfter)+time.Second-1)/time.Second)))
	}
	return a
}

func page(status int, title string) answer {
	body := "<!DOCTYPE html>\n<html><head><title>api.hubapi.com | " + title + "</title></head>\n<body><h1>" + title +
		"</h1><p>" + strings.Repeat("The web server reported a problem. ", 40) + "</p></body></html>\n"
	return answer{status: status, html: true, body: []byte(body)}
}

// leaveOut chooses the inputs that the effects missing and refuse concern.
func (c *call) leaveOut() {
	f := c.plan.fault
	if f == nil || f.Effect != Missing && f.Effect != Refuse {
		return
	}
	b := &c.batch
	left := max(1, f.Inputs)
	for _, i := range c.rng.Perm(len(b.inputs)) {
		in := &b.inputs[i]
		if f.Contains != "" {
			if string(in.id) != f.Contains && string(in.trace) != f.Contains && !in.has(f.Contains) {
				continue
			}
		} else if left == 0 {
			break
		}
		if f.Effect == Refuse && in.blamed(f.Property) == nil {
			continue
		}
		left--
		switch {
		case f.Effect == Refuse:
			in.refused = true
		case f.Applied:
			in.hidden = true
		default:
			in.unapplied = true
		}
	}
}

// blamed returns the property that a refusal names, nil if the input doesn't
// carry it.
func (in *input) blamed(property string) *prop {
	for i := range in.props {
		if p := &in.props[i]; property == "" || string(p.name) == property {
			return p
		}
	}
	return nil
}

// has says whether a property has exactly the value.
func (in *input) has(value string) bool {
	for _, p := range in.props {
		if string(p.value) == value {
			return true
		}
	}
	return false
}
