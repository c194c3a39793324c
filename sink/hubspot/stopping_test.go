package hubspot

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStoppingEndsWaitsAndNoAttempt: a call that waits gives up at once, with an
// error that nobody takes for a refusal; one that is under way is finished.
func TestStoppingEndsWaitsAndNoAttempt(t *testing.T) {
	for name, p := range map[string]*portal{
		"between attempts": fixed(503, `{}`),
		"at the gate":      fixed(401, `{}`),
		"for the day":      fixed(429, `{"policyName":"DAILY"}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stopping, stop := context.WithCancel(t.Context())
				c := newTestClient(t, p, func(cfg *Config) { cfg.Stopping = stopping })
				ended := make(chan error, 1)
				go func() {
					_, err := c.BatchUpdate(t.Context(), "companies", oneInput)
					ended <- err
				}()
				time.Sleep(100 * time.Millisecond) // in which the first attempt fails
				synctest.Wait()
				begun := time.Now()
				stop()
				err := <-ended
				if took := time.Since(begun); took != 0 || !errors.Is(err, ErrStopping) || errors.As(err, new(*Error)) {
					t.Errorf("after %v: %v", took, err)
				}
				if n := p.count(); n != 1 {
					t.Errorf("%d attempts", n)
				}
				if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); !errors.Is(err, ErrStopping) || p.count() != 1 {
					t.Errorf("a later call: %v, %d attempts", err, p.count())
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		stopping, stop := context.WithCancel(t.Context())
		c := newTestClient(t, &portal{answer: func(request) (int, map[string]string, string) {
			stop()
			synctest.Wait()
			return 200, nil, goodAnswer
		}}, func(cfg *Config) { cfg.Stopping = stopping })
		if answer, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil || answer.Outcomes[0].State != Written {
			t.Errorf("the call under way: %+v, %v", answer, err)
		}
	})
}

// No attempt begins before its permit is given, each asks anew, and once the
// process stops none waits for it.
func TestPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fixed(503, `{}`)
		c := newTestClient(t, p, nil)
		stopping, stop := context.WithCancel(t.Context())
		permits := 0
		ctx := WithPermit(WithStopping(t.Context(), stopping), func(ctx context.Context) error {
			if p.count() != permits {
				t.Errorf("%d attempts with %d permits", p.count(), permits)
			}
			if permits == 3 {
				<-ctx.Done()
				return ctx.Err()
			}
			permits++
			return nil
		})
		time.AfterFunc(time.Hour, stop)
		_, err := c.BatchUpdate(ctx, "companies", oneInput)
		if !errors.Is(err, ErrStopping) || p.count() != 3 {
			t.Errorf("%d attempts, error %v; want 3 and ErrStopping", p.count(), err)
		}
	})
}
